"""The model of an emitted file: axes, parameters and factors as tables, and `forward` with one line per node."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from scalerules.architecture.graph import Graph
from scalerules.architecture.order import ordered
from scalerules.errors import ScaleRulesError, nearest
from scalerules.ops.node import Node
from scalerules.solution.solution import Solution

from ..python_text import (
    WIDTH,
    Identifiers,
    assign,
    commented,
    documented,
    fractions,
    item,
    law,
    number,
    quoted,
    scaled,
    shown,
    value_code,
)
from .helpers import HELPERS
from .lines import LINES, Line, complex_nodes, has_offset, is_lookup, length
from .reasons import reason

OWN_NAMES = ("self", "torch", "nn", "functional", "math", "Tensor", "layer", "stream", *HELPERS)
"""What the emitted file uses itself; a node of such a name gets another identifier."""

LOCALS = (
    "model", "lr", "weight_decay", "eps", "std", "constant", "along_last_axis", "result", "group", "lengths", "steps",
    "name", "parameter", "axes", "axis_lengths", "forward_factors", "init_", "parameter_groups", "train", "Model",
    "PARAMETERS", "MATRICES",
)  # fmt: skip
"""Variables of the functions that speak of scales; a scale of such a name gets another identifier."""

OF_TRAINING = ("model", "length", "groups", "optimizer", "losses", "loss", "steps", "lr", "sizes", "Model")
"""Variables of the training run; a batch of an input of such a name gets another identifier there."""

OF_TORCH = frozenset({
    "T_destination", "_apply", "_backward_hooks", "_backward_pre_hooks", "_buffers", "_call_impl",
    "_compiled_call_impl", "_forward_hooks", "_forward_hooks_always_called", "_forward_hooks_with_kwargs",
    "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_get_backward_hooks", "_get_backward_pre_hooks",
    "_get_name", "_is_full_backward_hook", "_load_from_state_dict", "_load_state_dict_post_hooks",
    "_load_state_dict_pre_hooks", "_maybe_warn_non_full_backward_hook", "_modules", "_named_members",
    "_non_persistent_buffers_set", "_parameters", "_register_load_state_dict_pre_hook", "_register_state_dict_hook",
    "_replicate_for_data_parallel", "_save_to_state_dict", "_slow_forward", "_state_dict_hooks",
    "_state_dict_pre_hooks", "_version", "_wrapped_call_impl", "add_module", "apply", "bfloat16", "buffers",
    "call_super_init", "children", "compile", "cpu", "cuda", "double", "dump_patches", "eval", "extra_repr", "float",
    "forward", "get_buffer", "get_extra_state", "get_parameter", "get_submodule", "half", "ipu", "load_state_dict",
    "modules", "mtia", "named_buffers", "named_children", "named_modules", "named_parameters", "parameters",
    "register_backward_hook", "register_buffer", "register_forward_hook", "register_forward_pre_hook",
    "register_full_backward_hook", "register_full_backward_pre_hook", "register_load_state_dict_post_hook",
    "register_load_state_dict_pre_hook", "register_module", "register_parameter", "register_state_dict_post_hook",
    "register_state_dict_pre_hook", "requires_grad_", "set_extra_state", "set_submodule", "share_memory",
    "state_dict", "to", "to_empty", "train", "training", "type", "xpu", "zero_grad",
})  # fmt: skip
"""Attributes of every torch module: what is called so cannot be a parameter, nor a module with parameters in it."""

OF_MODEL = frozenset({"sizes", "lengths", "factors"})
"""Attributes that the emitted model has beside them."""


@dataclass(frozen=True)
class Writer:
    """One file while it is written: the graph, the numbers, and the identifiers that were given."""

    graph: Graph
    solution: Solution
    base: Mapping[str, float]
    scale: Identifiers = field(default_factory=lambda: Identifiers((*OWN_NAMES, *LOCALS)))
    value: Identifiers = field(default_factory=lambda: Identifiers(OWN_NAMES))
    drawn: Identifiers = field(default_factory=lambda: Identifiers((*OWN_NAMES, *OF_TRAINING)))
    helpers: set[str] = field(default_factory=lambda: {"attach"})

    @cached_property
    def indexed(self) -> frozenset[str]:
        """Token inputs that forward takes as indices: all that reads them is a look-up of rows."""
        nodes = dict(self.graph.walk())
        return frozenset(
            name
            for name, node in nodes.items()
            if node.kind == "tokens"
            and name not in self.graph.outputs
            and all(is_lookup(reader, name) for reader in nodes.values() if name in reader.inputs)
        )

    @cached_property
    def complexes(self) -> frozenset[str]:
        """Nodes whose values are complex."""
        return complex_nodes(self.graph)

    @property
    def arguments(self) -> str:
        """The scales as keyword arguments, the base sizes as defaults."""
        kinds = {scale: "int" if float(value).is_integer() else "float" for scale, value in self.base.items()}
        return ", ".join(f"{self.scale(s)}: {kinds[s]} = {number(value)}" for s, value in self.base.items())

    @property
    def passed(self) -> str:
        """The scales as they are handed on."""
        return ", ".join(self.scale(scale) for scale in self.base)

    def ratio(self, scale: str) -> str:
        """Size over base size, in code."""
        return f"({self.scale(scale)} / {number(self.base[scale])})"


def axis_lengths(w: Writer) -> list[str]:
    """The function that gives the length of every axis."""
    lengths = dict(w.graph.lengths)
    for name, node in w.graph.walk():
        if has_offset(node):
            lengths[f"{name} offset"] = w.graph.length(node.offset or 0, f"node {name!r}")
    code = {axis: value_code(length, w.scale) for axis, length in lengths.items()}
    return [
        f"def axis_lengths({w.arguments}) -> dict[str, int]:",
        '    """The length of every axis at these sizes, rounded up to a whole number."""',
        "    lengths = {",
        *(line for axis, text in code.items() for line in item(f"{quoted(axis)}: ", text, ",", 8)),
        "    }",
        "    return {axis: max(1, math.ceil(length - 1e-9)) for axis, length in lengths.items()}",
    ]


def factors(w: Writer) -> list[str]:
    """The function that gives the numbers which forward multiplies with; nothing where there are none."""
    entries = [line for name, node in w.graph.walk() if node.op == "scale" for line in _factor(w, name, node)]
    for name, rule in w.solution.parameters.items():
        if fractions(rule.mult):
            entries += commented(f"In front of a parameter, by the gauge: {law(rule.mult)}.", 8)
            entries += item(f"{quoted(name)}: ", scaled("1.0", rule.mult, w.ratio), ",", 8)
    if not entries:
        return []
    return [
        f"def forward_factors({w.arguments}) -> dict[str, float]:",
        '    """The numbers that the forward pass multiplies with, at these sizes."""',
        "    return {",
        *entries,
        "    }",
    ]


def _factor(w: Writer, name: str, node: Node) -> list[str]:
    where, text = f"node {name!r}", str(node.factor) if node.factor is not None else "1"
    factor = w.graph.length(node.factor if node.factor is not None else 1, where)
    if not node.free:
        why = f"Fixed by the architecture: {text}."
        code = value_code(factor, w.scale)
    else:
        exponents = w.solution.multipliers.get(name)
        start = factor.value(w.base)
        origin = f"{text} = {number(start)}" if node.factor is not None else "1"
        changes = "the same at every size" if law(exponents) == "1" else law(exponents)
        because = "".join(f"; {text}" for text in reason(w.solution, name, "mult"))
        why = f"Solved for: {changes}; at the base size {origin}{because}."
        code = scaled("1.0" if start == 1 else number(start), exponents, w.ratio)
    return [*commented(why, 8), *item(f"{quoted(name)}: ", code, ",", 8)]


def model(w: Writer) -> list[str]:
    """The class: a table of parameters, a constructor, `forward`."""
    inputs = [name for name, node in w.graph.nodes.items() if node.op == "input"]
    signature = ", ".join(f"{w.value(name)}: Tensor" for name in inputs)
    result = "Tensor" if len(w.graph.outputs) == 1 else f"tuple[{', '.join('Tensor' for _ in w.graph.outputs)}]"
    fixed = [name for name, parameter in w.graph.parameters.items() if not parameter.trained]
    scales = ", ".join(f"{quoted(scale)}: {w.scale(scale)}" for scale in w.base)
    body = _body(w, w.graph.nodes, None, 8)
    title = documented(repr(w.graph.name))
    has_factors = any("self.factors[" in line for line in body)
    return [
        "PARAMETERS = {",
        *(f"    {quoted(name)}: {quoted(' '.join(axes))}," for name, axes in _parameters(w).items()),
        "}",
        '"""The axes of every parameter; those of a repeated block are stacked along its depth axis, the first."""',
        "",
        "",
        "class Model(nn.Module):",
        f'    """The graph {title}, one line per node; parameters have the names of the rules."""',
        "",
        f"    def __init__(self, {w.arguments}) -> None:",
        "        super().__init__()",
        f"        self.sizes = {{{scales}}}",
        f"        self.lengths = axis_lengths({w.passed})",
        *([f"        self.factors = forward_factors({w.passed})"] if has_factors else []),
        "        for name, axes in PARAMETERS.items():",
        "            attach(self, name, [self.lengths[axis] for axis in axes.split()])",
        *(f"        self.get_parameter({quoted(name)}).requires_grad_(False)" for name in fixed),
        "        init_(self)",
        "",
        f"    def forward(self, {signature}) -> {result}:",
        *body,
        f"        return {', '.join(w.value(name) for name in w.graph.outputs)}",
    ]


def _parameters(w: Writer) -> dict[str, tuple[str, ...]]:
    names = list(w.graph.parameters)
    for name in names:
        inside = next((other for other in names if other.startswith(f"{name}.")), None)
        parts = name.split(".")
        taken = parts[0] in OF_MODEL or any(part in OF_TORCH or part.startswith("__") for part in parts)
        if inside or taken or not all(parts):
            what = "has an empty part"
            if inside or taken:
                of_torch = "has the name of an attribute of torch modules"
                what = f"is also the module of {inside!r}" if inside else of_torch
            raise ScaleRulesError(what, where=f"parameter {name!r}", hint="give it another name in the graph")
    return {name: w.graph.shape_of(name) for name in names}


def _body(
    w: Writer, nodes: Mapping[str, Node], stream: tuple[str, ...] | None, indent: int, outside: Sequence[str] = ()
) -> list[str]:
    """Every node in order; `stream` are the axes of what a repeat passes on, None outside of one."""
    lines: list[str] = []
    for name in ordered(nodes, outside):
        node, target = nodes[name], w.value(name)
        if node.op == "repeat":
            lines += _repeat(w, name, node, indent)
        elif node.op != "input":
            line = _line(w, name, node, stream)
            if node.op not in LINES:
                hint = nearest(node.op, LINES)
                raise ScaleRulesError(f"op {node.op!r} cannot be written as PyTorch", where=f"node {name!r}", hint=hint)
            lines += _with_axes(assign(target, LINES[node.op](line), indent), line)
        elif node.kind == "tokens" and name not in w.indexed:
            count = length((node.axes or [""])[-1])
            lines += assign(target, f"functional.one_hot({target}, {count}).to(torch.get_default_dtype())", indent)
    return lines


def _line(w: Writer, name: str, node: Node, stream: tuple[str, ...] | None) -> Line:
    operands = ["stream" if source == "stream" else w.value(source) for source in node.inputs]
    operands += [_parameter(w, parameter, stream is not None) for parameter in node.parameters]
    axes = [stream or () if source == "stream" else w.graph.axes_of(source) for source in node.inputs]
    axes += [tuple(w.graph.parameters[parameter].axes) for parameter in node.parameters]
    return Line(w.graph, name, node, operands, axes, w.helpers, w.indexed, w.complexes)


def _parameter(w: Writer, name: str, in_block: bool) -> str:
    """How forward reads a parameter: `self.attention.W_Q[layer]`, with its multiplier where it has one."""
    code = f"self.{name}" if all(map(is_attribute, name.split("."))) else f"self.get_parameter({quoted(name)})"
    code += "[layer]" if in_block else ""
    rule = w.solution.parameters.get(name)
    return f"self.factors[{quoted(name)}] * {code}" if rule is not None and fractions(rule.mult) else code


def is_attribute(part: str) -> bool:
    """Whether a part of a parameter's name is written as an attribute: what Python reads as it stands."""
    return part.isascii() and part.isidentifier() and not keyword.iskeyword(part) and not part.startswith("__")


def _with_axes(lines: list[str], line: Line) -> list[str]:
    """Says in a comment what axes the value has, where they are not those of the first operand."""
    axes = line.graph.axes_of(line.name)
    comment = f"  # {shown(' '.join(axes))}"
    if len(lines) == 1 and tuple(axes) != (line.axes or [()])[0] and len(lines[0] + comment) <= WIDTH:
        return [lines[0] + comment]
    return lines


def _repeat(w: Writer, name: str, node: Node, indent: int) -> list[str]:
    pad, source = " " * indent, node.inputs[0]
    return [
        f"{pad}stream = {w.value(source)}",
        f"{pad}for layer in range({length(str(node.axis))}):",
        *_body(w, node.body or {}, w.graph.axes_of(source), indent + 4, node.inputs[1:]),
        f"{pad}    stream = {w.value(str(node.result))}",
        f"{pad}{w.value(name)} = stream",
    ]

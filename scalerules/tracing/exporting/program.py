"""The nodes of an exported program as plain data: operations with numbers, weights by their names, inputs, outputs."""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn
from torch.utils import _pytree as pytree

from scalerules.errors import ScaleRulesError
from scalerules.tracing.record import Ref, references

from .measured_values import number
from .users_lines import is_users, short_path

_FORGOTTEN = frozenset(
    {
        "aten._assert_tensor_metadata.default",
        "aten.sym_constrain_range_for_size.default",
        "aten._assert_scalar.default",
        "aten._assert_async.msg",
    }
)
_IDENTITIES = frozenset(
    {
        "aten.alias.default",
        "aten.detach.default",
        "aten.clone.default",
        "aten.detach_.default",
        "aten.lift_fresh_copy.default",
        "aten.lift_fresh.default",
        "aten.contiguous.default",
        "aten.dropout.default",
        "aten.native_dropout.default",
        "aten.feature_dropout.default",
    }
)
"""Of their first operand. Dropout changes no size, and every module would otherwise be noted with two outputs."""
_LAYOUT = (torch.device, torch.memory_format, torch.layout)


@dataclass
class Step:
    """A traced operation with plain numbers; `args` hold `Ref`s, numbers, strings, None and tuples of them."""

    name: str
    target: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    stack: tuple[tuple[str, str], ...]
    source: str


@dataclass
class Tensor:
    """A weight, an input or an output of a trace."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    path: str = ""
    trained: bool = False
    aliases: tuple[str, ...] = ()
    owner: str = ""
    ref: Ref | None = None
    frozen: bool = False
    """A parameter that is not trained."""
    value: float | None = None
    """Of a tensor of equal entries that the module makes while it runs: its entries."""


@dataclass
class Trace:
    """One export: everything of a record, at one set of sizes. `built` says with which tensors it was made."""

    model: str
    sizes: dict[str, int]
    steps: list[Step]
    inputs: list[Tensor]
    weights: list[Tensor]
    outputs: list[Tensor]
    built: str
    notes: list[str] = field(default_factory=list[str])
    loops: list[Any] = field(default_factory=list[Any])
    """Loops over time of which only the first steps are kept (`loops.Loop`)."""
    cut: tuple[int, int] | None = None
    """How the inputs were cut (`brief.Cut`)."""
    chosen: set[str] = field(default_factory=set[str])
    """Lengths that data decide, already noted."""


def read(model: nn.Module, program: Any, sizes: dict[str, int], built: str, holder: str = "") -> Trace:
    """The trace that an exported program of `model` holds. Raises `ScaleRulesError` on a scan over no steps.

    `holder` is what the model is called in the module that was exported in its place, if one was.
    """
    if holder:
        _without_holder(program, f"{holder}.")
    owners = {name: type(module).__name__ for name, module in model.named_modules()}
    names, weights = _weights(model, owners)
    refs: dict[str, Any] = {}
    found = Trace(type(model).__name__, sizes, [], [], list(weights.values()), [], built)
    for spec in program.graph_signature.input_specs:
        _read_input(spec, refs, names, weights, program, found)
    paths = _input_paths(program)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name not in refs:
            value = node.meta.get("val")
            if isinstance(value, torch.Tensor):
                refs[node.name] = Ref(node.name)
                path = paths.get(str(node.name), "")
                found.inputs.append(Tensor(node.name, tuple(value.shape), _dtype(value.dtype), path or str(node.name)))
        elif node.op == "call_function":
            _read_step(node, refs, found)
        elif node.op == "get_attr":
            refs[node.name] = Ref(str(node.target))
    found.weights = list(weights.values())
    _read_outputs(program, refs, found)
    _drop_dead(found)
    return found


def _without_holder(program: Any, prefix: str) -> None:
    """Gives weights and modules the names that they have without the module around them."""
    for spec in program.graph_signature.input_specs:
        if isinstance(spec.target, str):
            spec.target = spec.target.removeprefix(prefix)
    for node in program.graph.nodes:
        stack = list(node.meta.get("nn_module_stack", {}).items())[1:]
        if stack:
            paths = {key: (str(path), kind) for key, (path, kind) in stack}
            bare = {key: ("" if p == prefix[:-1] else p.removeprefix(prefix), kind) for key, (p, kind) in paths.items()}
            node.meta["nn_module_stack"] = bare


def _weights(model: nn.Module, owners: dict[str, str]) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The name by which each name of a weight is known (the first of tied ones), and the weights by that name."""
    first: dict[int, str] = {}
    names: dict[str, str] = {}
    weights: dict[str, Tensor] = {}
    both = [(n, p, True) for n, p in model.named_parameters(remove_duplicate=False)]
    both += [(n, b, False) for n, b in model.named_buffers(remove_duplicate=False)]
    for name, tensor, trained in both:
        known = names[name] = first.setdefault(id(tensor), name)
        if known != name:
            weights[known].aliases += (name,)
            continue
        owner = owners.get(name.rpartition(".")[0], "")
        learns = trained and tensor.requires_grad
        shape, dtype = tuple(tensor.shape), _dtype(tensor.dtype)
        weights[name] = Tensor(name, shape, dtype, "", learns, (), owner, frozen=trained and not learns)
    return names, weights


def _read_input(
    spec: Any, refs: dict[str, Any], names: dict[str, str], weights: dict[str, Tensor], program: Any, found: Trace
) -> None:
    kind = spec.kind.name
    if kind in ("PARAMETER", "BUFFER"):
        refs[spec.arg.name] = Ref(names.get(str(spec.target), str(spec.target)))
    elif kind == "CONSTANT_TENSOR":
        value, name = program.constants[spec.target], str(spec.target)
        weights[name] = Tensor(name, tuple(value.shape), _dtype(value.dtype), "lifted", value=_entry(value))
        refs[spec.arg.name] = Ref(name)


def _read_step(node: Any, refs: dict[str, Any], found: Trace, prefix: str = "", within: Any = None) -> None:
    """Adds a node's operation; `prefix` and `within` (the node of the scan) are those of the body of a scan."""
    target = _target(node.target)
    if target in _FORGOTTEN:
        return
    if target == "getitem":
        source = refs[node.args[0].name]
        dropout = str(node.args[0].target) in _IDENTITIES
        parts = isinstance(source, list)
        refs[node.name] = source[node.args[1]] if parts else source if dropout else Ref(source.name, node.args[1])
        return
    if target in _IDENTITIES and isinstance(node.args[0], torch.fx.Node):
        refs[node.name] = refs[node.args[0].name]
        return
    if target == "scan":
        refs[node.name] = _unrolled(node, refs, found)
        return
    if target == "flex_attention":
        _read_flex(node, refs, found)
        return
    value = node.meta.get("val")
    if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool, bool, int, float)):
        refs[node.name] = number(value)
        return
    values: list[Any] = list(value) if isinstance(value, (tuple, list)) else [value]
    shapes = tuple(_shape(v) if isinstance(v, torch.Tensor) else () for v in values)
    _note_choice(node, values, found)
    dtypes = tuple(_dtype(v.dtype) if isinstance(v, torch.Tensor) else type(v).__name__ for v in values)
    args = tuple(_plain(arg, refs) for arg in node.args)
    kwargs = {key: _plain(arg, refs) for key, arg in node.kwargs.items() if not isinstance(arg, _LAYOUT)}
    kwargs.pop("pin_memory", None)
    name, place = prefix + str(node.name), within or node
    refs[node.name] = Ref(name)
    found.steps.append(Step(name, target, args, kwargs, shapes, dtypes, _stack(place), _source(place)))


def _note_choice(node: Any, values: list[Any], found: Trace) -> None:
    """Says where rows are chosen by values: the first call with a length that only data decide."""
    lengths = [length for v in values if isinstance(v, torch.Tensor) for length in v.shape]
    symbols = {str(length) for length in lengths if isinstance(length, torch.SymInt)} - found.chosen
    if symbols:
        found.chosen |= symbols
        found.notes.append(f"{_source(node)}: rows are chosen by values, traced as if all could be")


def _shape(value: torch.Tensor) -> tuple[int, ...]:
    return tuple(number(length) if isinstance(length, torch.SymInt) else length for length in value.shape)


def _read_flex(node: Any, refs: dict[str, Any], found: Trace) -> None:
    """Attention with a function of one's own at the scores: a mask selects, a fixed bias is of size 0.

    Raises `ScaleRulesError` where that function reads a trained weight.
    """
    query, key, values, scale = *node.args[:3], node.args[5]
    trained = {name for w in found.weights if w.trained for name in (w.name, *w.aliases)}
    others = node.args[7] if len(node.args) > 7 else ()
    read = [refs.get(each.name) for each in others if isinstance(each, torch.fx.Node)]
    learnt = [ref.name for ref in read if isinstance(ref, Ref) and ref.name in trained]
    if learnt:
        raise ScaleRulesError(
            f"the score_mod of flex_attention reads the weight {learnt[0]!r}, which is not known",
            where=": ".join(_stack(node)[-1]) if _stack(node) else None,
            hint="add it to the scores with scaled_dot_product_attention(attn_mask=...)",
        )  # fmt: skip
    name, meta = str(node.name), node.meta["val"]
    args = tuple(_plain(each, refs) for each in (query, key, values))
    shapes, dtypes = tuple(tuple(v.shape) for v in meta), tuple(_dtype(v.dtype) for v in meta)
    target = "aten.scaled_dot_product_attention.default"
    found.steps.append(Step(name, target, args, {"scale": scale}, shapes, dtypes, _stack(node), _source(node)))
    refs[node.name] = Ref(name)


def _entry(value: torch.Tensor) -> float | None:
    """What all entries of a constant are, if it is known and the same for all of them."""
    known = value.device.type == "cpu" and type(value) in (torch.Tensor, nn.Parameter) and value.numel() > 0
    if not known or value.is_complex() or bool((value != value.flatten()[0]).any()):
        return None
    return float(value.flatten()[0])


MAX_STEPS = 6
"""Steps of a `scan` over time that are traced one by one; time does not grow, and `loops` keeps fewer."""


def _unrolled(node: Any, refs: dict[str, Any], found: Trace) -> list[Ref]:
    """A scan as its steps, one after the other; the references to its final carries and stacked outputs."""
    body, carries, sequences, others = node.args
    graph = getattr(node.graph.owning_module, body.target).graph
    steps = sequences[0].meta["val"].shape[0] if sequences else 0
    if not steps:
        raise ScaleRulesError("a scan runs over no steps", where=_source(node), hint="give it longer inputs")
    own = {name for weight in found.weights for name in (weight.name, *weight.aliases)}
    if not any(isinstance(refs[each.name], Ref) and refs[each.name].name in own for each in sequences):
        steps = min(steps, MAX_STEPS)  # with weights of their own all are needed
    inputs = [each for each in graph.nodes if each.op == "placeholder"]
    returned = next(iter(reversed(graph.nodes))).args[0]
    carry: list[Any] = [_plain(each, refs) for each in carries]
    outputs: list[list[Any]] = [[] for _ in returned[len(carries) :]]
    for step in range(steps):
        read = [_slice(node, each, refs[each.name], step, found) for each in sequences]
        values = [*carry, *read, *(_plain(each, refs) for each in others)]
        local: dict[str, Any] = {each.name: value for each, value in zip(inputs, values, strict=True)}
        for each in graph.nodes:
            if each.op == "call_function":
                _read_step(each, local, found, f"{node.name}_{step}_", node)
        results = [_plain(each, local) for each in returned]
        carry = results[: len(carries)]
        for kept, result in zip(outputs, results[len(carries) :], strict=True):
            kept.append(result)
    stacked = [
        _stacked(node, kept, each, number, found)
        for number, (kept, each) in enumerate(zip(outputs, node.meta["val"][len(carries) :], strict=True))
    ]
    return [*carry, *stacked]


def _slice(node: Any, sequence: Any, ref: Ref, step: int, found: Trace) -> Ref:
    """What a scan reads at one step."""
    value, name = sequence.meta["val"], f"{node.name}_{step}_{sequence.name}"
    shape, dtype = (tuple(value.shape[1:]),), (_dtype(value.dtype),)
    found.steps.append(Step(name, "aten.select.int", (ref, 0, step), {}, shape, dtype, _stack(node), _source(node)))
    return Ref(name)


def _stacked(node: Any, kept: list[Any], value: Any, number: int, found: Trace) -> Ref:
    """The outputs of all steps of a scan, along a new first axis."""
    name, shape, dtype = f"{node.name}_out_{number}", (tuple(value.shape),), (_dtype(value.dtype),)
    found.steps.append(
        Step(name, "aten.stack.default", (tuple(kept), 0), {}, shape, dtype, _stack(node), _source(node))
    )
    return Ref(name)


def _target(target: Any) -> str:
    """`aten.linear.default`, `scalerules.selective_scan`, `getitem`."""
    if isinstance(target, torch._ops.OpOverload):
        text = str(target)
        return text.removesuffix(".default") if text.startswith("scalerules.") else text
    return str(getattr(target, "__name__", target))


def _plain(value: Any, refs: dict[str, Any]) -> Any:
    if isinstance(value, torch.fx.Node):
        return refs[value.name]
    if isinstance(value, (tuple, list)):
        return tuple(_plain(inner, refs) for inner in cast("Sequence[Any]", value))
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, refs) for key, inner in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, torch.dtype):
        return _dtype(value)
    if isinstance(value, _LAYOUT):
        return None
    if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)):
        return number(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _stack(node: Any) -> tuple[tuple[str, str], ...]:
    """Paths and class names of the modules around a node, outermost first."""
    found: list[tuple[str, str]] = []
    for path, kind in node.meta.get("nn_module_stack", {}).values():
        name = kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__
        found.append((re.sub(r"@\d+$", "", path), name))
    return tuple(found)


_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in \S+\n\s*(?P<code>.*)')


def _source(node: Any) -> str:
    """The innermost line outside of torch that made a node: `transformers/models/llama/modeling_llama.py:243 code`."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    mine = [frame for frame in frames if is_users(frame[0])] or frames
    return f"{short_path(mine[-1][0])}:{mine[-1][1]} {mine[-1][2].strip()}" if mine else ""


def _input_paths(program: Any) -> dict[str, str]:
    """How each input is passed, by its name in the graph: `args[0]`, `input_ids`."""
    from torch.export.graph_signature import InputKind

    specs = [s for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]
    spec = program.call_spec.in_spec
    filled = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    pairs = pytree.tree_flatten_with_path(filled)[0]
    found: dict[str, str] = {}
    for each, (path, _) in zip(specs, pairs, strict=False):
        text = pytree.keystr(path)
        text = re.sub(r"^\[0\]", "args", text) if text.startswith("[0]") else re.sub(r"^\[1\]\['(\w+)'\]", r"\1", text)
        found[each.arg.name] = text
    return found


def _read_outputs(program: Any, refs: dict[str, Any], found: Trace) -> None:
    from torch.export.graph_signature import OutputKind

    node = next(iter(reversed(program.graph.nodes)))
    specs = program.graph_signature.output_specs
    returned = [a for a, s in zip(node.args[0], specs, strict=False) if s.kind is OutputKind.USER_OUTPUT]
    spec = program.call_spec.out_spec
    filled = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    pairs = pytree.tree_flatten_with_path(filled)[0]
    for value, (path, _) in zip(returned, pairs, strict=False):
        if isinstance(value, torch.fx.Node) and isinstance(value.meta.get("val"), torch.Tensor):
            seen = value.meta["val"]
            text = re.sub(r"\['(\w+)'\]", r".\1", pytree.keystr(path)).lstrip(".") or "output"
            found.outputs.append(Tensor(value.name, _shape(seen), _dtype(seen.dtype), text, ref=refs[value.name]))


def _drop_dead(found: Trace) -> None:
    """Leaves out what no output depends on (masks that were computed and not used, statistics of a batch)."""
    needed = {output.ref.name for output in found.outputs if output.ref}
    kept: list[Step] = []
    for step in reversed(found.steps):
        if step.name in needed:
            kept.append(step)
            needed.update(ref.name for ref in references((step.args, step.kwargs)))
    found.steps = kept[::-1]
    found.weights = [w for w in found.weights if w.trained or w.name in needed]

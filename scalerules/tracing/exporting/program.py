"""Reads an exported program into a trace, call by call."""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from scalerules.errors import ScaleRulesError
from scalerules.tracing.record import Ref, references

from .measured_values import number
from .nodes import LAYOUT, dtype_of, entry_of, plain, shape_of, source_of, stack_of, target_of
from .scans import branched, endless, unrolled
from .traces import Step, Tensor, Trace

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
        "aten.clone.default",
        "aten.lift_fresh_copy.default",
        "aten.lift_fresh.default",
        "aten.contiguous.default",
        "aten.dropout.default",
        "aten.native_dropout.default",
        "aten.feature_dropout.default",
    }
)
"""Of their first operand. Dropout changes no size, and every module would otherwise be noted with two outputs."""


_INSIDE = {"scan": unrolled, "map_impl": unrolled, "cond": branched, "while_loop": endless}
"""Operations that run programs of their own."""


def read(model: nn.Module, program: Any, sizes: dict[str, int], built: str) -> Trace:
    """The trace that an exported program of `model` holds. Raises `ScaleRulesError` on a scan over no steps."""
    owners = {name: type(module).__name__ for name, module in model.named_modules()}
    names, weights = _weights(model, owners)
    refs: dict[str, Any] = {}
    trace = Trace(type(model).__name__, sizes, [], [], list(weights.values()), [], built)
    constants = {str(name): value for name, value in program.constants.items()}
    for spec in program.graph_signature.input_specs:
        _read_input(spec, refs, names, weights, constants)
    paths = _input_paths(program)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name not in refs:
            value = node.meta.get("val")
            if isinstance(value, torch.Tensor):
                refs[node.name] = Ref(node.name)
                path = paths.get(str(node.name), "") or str(node.name)
                trace.inputs.append(Tensor(node.name, tuple(value.shape), dtype_of(value.dtype), path))
        elif node.op == "call_function":
            _read_step(node, refs, trace)
        elif node.op == "get_attr":
            refs[node.name] = Ref(str(node.target))
    trace.weights = list(weights.values())
    _read_outputs(program, refs, trace)
    _drop_dead(trace)
    return trace


def _weights(model: nn.Module, owners: dict[str, str]) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The name by which each name of a weight is known (the first of tied ones), and the weights by that name."""
    first: dict[int, str] = {}
    names: dict[str, str] = {}
    weights: dict[str, Tensor] = {}
    both = [(n, p, True) for n, p in model.named_parameters(remove_duplicate=False)]
    both += [(n, b, False) for n, b in model.named_buffers(remove_duplicate=False)]
    for name, tensor, trained in both:
        whole_name = names[name] = first.setdefault(id(tensor), name)
        if whole_name != name:
            weights[whole_name].aliases += (name,)
            continue
        owner = owners.get(name.rpartition(".")[0], "")
        learns = trained and tensor.requires_grad
        shape, dtype = tuple(tensor.shape), dtype_of(tensor.dtype)
        weights[name] = Tensor(name, shape, dtype, "", learns, (), owner, frozen=trained and not learns)
    return names, weights


def _read_input(
    spec: Any, refs: dict[str, Any], names: dict[str, str], weights: dict[str, Tensor], constants: dict[str, Any]
) -> None:
    kind = spec.kind.name
    if kind in ("PARAMETER", "BUFFER"):
        refs[spec.arg.name] = Ref(names.get(str(spec.target), str(spec.target)))
    elif kind == "CONSTANT_TENSOR":
        value, name = constants[str(spec.target)], str(spec.target)
        weights[name] = Tensor(name, tuple(value.shape), dtype_of(value.dtype), "lifted", value=entry_of(value))
        refs[spec.arg.name] = Ref(name)
    elif kind == "CUSTOM_OBJ":  # a generator of random numbers
        refs[spec.arg.name] = None


def _read_step(node: Any, refs: dict[str, Any], trace: Trace, prefix: str = "", within: Any = None) -> None:
    """Adds a node's operation; `prefix` and `within` (the node of the scan) are those of the body of a scan."""
    target = target_of(node.target)
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
    if target in _INSIDE:
        refs[node.name] = _INSIDE[target](node, refs, trace, _read_step)
        return
    if target == "flex_attention":
        _read_flex(node, refs, trace)
        return
    value = node.meta.get("val")
    if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool, bool, int, float)):
        refs[node.name] = number(value)
        return
    values: list[Any] = list(value) if isinstance(value, (tuple, list)) else [value]
    shapes = tuple(shape_of(v) if isinstance(v, torch.Tensor) else () for v in values)
    _note_choice(node, values, trace)
    dtypes = tuple(dtype_of(v.dtype) if isinstance(v, torch.Tensor) else type(v).__name__ for v in values)
    args = tuple(plain(arg, refs) for arg in node.args)
    kwargs = {key: plain(arg, refs) for key, arg in node.kwargs.items() if not isinstance(arg, LAYOUT)}
    kwargs.pop("pin_memory", None)
    name, place = prefix + str(node.name), within or node
    refs[node.name] = Ref(name)
    trace.steps.append(Step(name, target, args, kwargs, shapes, dtypes, stack_of(place), source_of(place)))


def _note_choice(node: Any, values: list[Any], trace: Trace) -> None:
    """Says where rows are chosen by values: the first call with a length that only data decide."""
    lengths = [length for v in values if isinstance(v, torch.Tensor) for length in v.shape]
    symbols = {str(length) for length in lengths if isinstance(length, torch.SymInt)} - trace.chosen
    if symbols:
        trace.chosen |= symbols
        trace.notes.append(f"{source_of(node)}: rows are chosen by values, traced as if all could be")


def _read_flex(node: Any, refs: dict[str, Any], trace: Trace) -> None:
    """Attention with a function of one's own at the scores: a mask selects, a fixed bias is of size 0.

    Raises `ScaleRulesError` where that function reads a trained weight.
    """
    query, key, values, scale = *node.args[:3], node.args[5]
    trained = {name for w in trace.weights if w.trained for name in (w.name, *w.aliases)}
    others = node.args[7] if len(node.args) > 7 else ()
    read = [refs.get(operand.name) for operand in others if isinstance(operand, torch.fx.Node)]
    learnt = [ref.name for ref in read if isinstance(ref, Ref) and ref.name in trained]
    if learnt:
        raise ScaleRulesError(
            f"the score_mod of flex_attention reads the weight {learnt[0]!r}, which is not known",
            where=": ".join(stack_of(node)[-1]) if stack_of(node) else None,
            hint="add it to the scores with scaled_dot_product_attention(attn_mask=...)",
        )  # fmt: skip
    name, meta = str(node.name), node.meta["val"]
    args = tuple(plain(operand, refs) for operand in (query, key, values))
    shapes, dtypes = tuple(tuple(v.shape) for v in meta), tuple(dtype_of(v.dtype) for v in meta)
    target = "aten.scaled_dot_product_attention.default"
    trace.steps.append(Step(name, target, args, {"scale": scale}, shapes, dtypes, stack_of(node), source_of(node)))
    refs[node.name] = Ref(name)


def _input_paths(program: Any) -> dict[str, str]:
    """How each input is passed, by its name in the graph: `args[0]`, `input_ids`."""
    from torch.export.graph_signature import InputKind

    specs = [s for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]
    pairs = pytree.tree_flatten_with_path(_filled(program.call_spec.in_spec))[0]
    trace: dict[str, str] = {}
    for entry, (path, _) in zip(specs, pairs, strict=False):
        text = pytree.keystr(path)
        text = re.sub(r"^\[0\]", "args", text) if text.startswith("[0]") else re.sub(r"^\[1\]\['(\w+)'\]", r"\1", text)
        trace[entry.arg.name] = text
    return trace


def _filled(spec: Any) -> Any:
    """What a description of nested values describes, with tensors without entries in it: some types ask for tensors."""
    return pytree.tree_unflatten([torch.empty(0) for _ in range(spec.num_leaves)], spec)


def _read_outputs(program: Any, refs: dict[str, Any], trace: Trace) -> None:
    from torch.export.graph_signature import OutputKind

    node = next(iter(reversed(program.graph.nodes)))
    specs = program.graph_signature.output_specs
    returned = [a for a, s in zip(node.args[0], specs, strict=False) if s.kind is OutputKind.USER_OUTPUT]
    pairs = pytree.tree_flatten_with_path(_filled(program.call_spec.out_spec))[0]
    for value, (path, _) in zip(returned, pairs, strict=False):
        if isinstance(value, torch.fx.Node) and isinstance(value.meta.get("val"), torch.Tensor):
            seen = value.meta["val"]
            text = re.sub(r"\['(\w+)'\]", r".\1", pytree.keystr(path)).lstrip(".") or "output"
            trace.outputs.append(Tensor(value.name, shape_of(seen), dtype_of(seen.dtype), text, ref=refs[value.name]))


def _drop_dead(trace: Trace) -> None:
    """Leaves out what no output depends on (masks that were computed and not used, statistics of a batch)."""
    needed = {output.ref.name for output in trace.outputs if output.ref}
    kept: list[Step] = []
    for step in reversed(trace.steps):
        if step.name in needed:
            kept.append(step)
            needed.update(ref.name for ref in references((step.args, step.kwargs)))
    trace.steps = kept[::-1]
    trace.weights = [w for w in trace.weights if w.trained or w.name in needed]

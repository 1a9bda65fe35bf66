"""Operations that run programs of their own: a scan as its steps one after the other, a condition as both branches."""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from scalerules.errors import ScaleRulesError
from scalerules.tracing.record import Ref

from .nodes import dtype_of, plain, source_of, stack_of
from .traces import Step, Trace

ReadStep: TypeAlias = "Callable[[Any, dict[str, Any], Trace, str, Any], None]"

MAX_STEPS = 6
"""Steps of a `scan` over time that are traced one by one; time does not grow, and `time_loops` keeps fewer."""


def unrolled(node: Any, refs: dict[str, Any], trace: Trace, read_step: ReadStep) -> list[Ref]:
    """A scan, or a map, as its steps, one after the other; the references to its final carries and stacked outputs.

    `read_step` adds the operation of a node of the body.
    """
    body, *carried, sequences, others = node.args  # a map carries nothing along
    carries = carried[0] if carried else ()
    steps = sequences[0].meta["val"].shape[0] if sequences else 0
    if not steps:
        raise ScaleRulesError(f"{node.target} runs over no steps", where=source_of(node), hint="give it longer inputs")
    own = {name for weight in trace.weights for name in (weight.name, *weight.aliases)}
    if not any(isinstance(refs[each.name], Ref) and refs[each.name].name in own for each in sequences):
        steps = min(steps, MAX_STEPS)  # with weights of their own all are needed
    trace.taken_apart = str(node.target)
    carry: list[Any] = [plain(each, refs) for each in carries]
    outputs: list[list[Any]] = [[] for _ in node.meta["val"][len(carries) :]]
    for step in range(steps):
        read = [_slice(node, each, refs[each.name], step, trace) for each in sequences]
        values = [*carry, *read, *(plain(each, refs) for each in others)]
        results = _inside(node, body, values, f"{node.name}_{step}_", trace, read_step)
        carry = results[: len(carries)]
        for kept, result in zip(outputs, results[len(carries) :], strict=True):
            kept.append(result)
    stacked = [
        _stacked(node, kept, each, number, trace)
        for number, (kept, each) in enumerate(zip(outputs, node.meta["val"][len(carries) :], strict=True))
    ]
    return [*carry, *stacked]


def endless(node: Any, refs: dict[str, Any], trace: Trace, read_step: ReadStep) -> list[Ref]:
    """`while_loop` has as many steps as data say. Raises `ScaleRulesError`."""
    said = "how often while_loop repeats only the data say"
    raise ScaleRulesError(said, where=source_of(node), hint="write it as a loop of Python, of as many steps as it has")


def branched(node: Any, refs: dict[str, Any], trace: Trace, read_step: ReadStep) -> list[Ref]:
    """`torch.cond`: both branches, and of each result the entries of the one that the condition says."""
    condition, *branches, given = node.args
    values = [plain(each, refs) for each in given]
    ways = [
        _inside(node, branch, values, f"{node.name}_{name}_", trace, read_step)
        for name, branch in zip(("then", "else"), branches, strict=True)
    ]
    trace.notes.append(f"{source_of(node)}: a branch depends on values, both are traced")
    trace.taken_apart = str(node.target)
    chosen = plain(condition, refs)
    return [
        _added(node, f"out_{number}", "aten.where.self", (chosen, one, other), value, value.shape, trace)
        for number, (one, other, value) in enumerate(zip(*ways, node.meta["val"], strict=True))
    ]


def _inside(node: Any, program: Any, values: list[Any], prefix: str, trace: Trace, read_step: ReadStep) -> list[Any]:
    """What a program inside of an operation returns of these values, its calls added to the trace."""
    graph = getattr(node.graph.owning_module, program.target).graph
    inputs = [each.name for each in graph.nodes if each.op == "placeholder"]
    local: dict[str, Any] = dict(zip(inputs, values, strict=True))
    for each in graph.nodes:
        if each.op == "call_function":
            read_step(each, local, trace, prefix, node)
        elif each.op == "get_attr":
            local[each.name] = each.target
    return [plain(each, local) for each in next(iter(reversed(graph.nodes))).args[0]]


def _slice(node: Any, sequence: Any, ref: Ref, step: int, trace: Trace) -> Ref:
    """What a scan reads at one step."""
    value = sequence.meta["val"]
    return _added(node, f"{step}_{sequence.name}", "aten.select.int", (ref, 0, step), value, value.shape[1:], trace)


def _stacked(node: Any, kept: list[Any], value: Any, number: int, trace: Trace) -> Ref:
    """The outputs of all steps of a scan, along a new first axis."""
    return _added(node, f"out_{number}", "aten.stack.default", (tuple(kept), 0), value, value.shape, trace)


def _added(node: Any, short: str, target: str, args: tuple[Any, ...], value: Any, shape: Any, trace: Trace) -> Ref:
    """A call in the trace that stands in for a part of what a node does; of the kind of `value`, in this shape."""
    name, dtypes = f"{node.name}_{short}", (dtype_of(value.dtype),)
    trace.steps.append(Step(name, target, args, {}, (tuple(shape),), dtypes, stack_of(node), source_of(node)))
    return Ref(name)

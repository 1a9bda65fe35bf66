"""Depth: blocks that repeat are lowered once, as the body of a repeat along an axis of their own.

A block is folded if all that it hands on is its stream, so that the graph costs as much for 96 blocks as for two.
"""

from __future__ import annotations

from scalerules.tracing.record import Call, Record, Ref, Repetition
from scalerules.tracing.repeated_names import starred
from scalerules.tracing.sketch.axes import Axis
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Atom, Dim, Value

from .linear_loops import Loops
from .state import Lowering

FEW = 2
"""So many blocks are left as they are, unless a scale says how many there are."""


class Folds:
    """The repetitions of a record that are folded; `handles` takes their calls."""

    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering
        self.first: dict[str, Repetition] = {}
        self.inside: set[str] = set()
        self.loops = Loops(lowering)
        for repetition in lowering.record.repetitions:
            if not wanted(repetition):
                continue
            why = (
                "what they hand on is no tensor of one shape"
                if repetition.path in lowering.unfolded
                else unsuited(lowering.record, repetition)
            )
            if why is None:
                self.first[repetition.copies[0][-1]] = repetition
                self.inside.update(name for copy in repetition.copies for name in copy)
            else:
                lowering.notes.append(f"{repetition.path}: the {len(repetition.copies)} blocks are not folded: {why}")

    def handles(self, call: Call) -> bool:
        """Whether a call stands in a folded block; with the last call of the first block, the block is lowered."""
        if call.name in self.first:
            fold(self.lowering, self.first[call.name], self.loops)
        return call.name in self.inside or self.loops.handles(call)


def wanted(repetition: Repetition) -> bool:
    """Whether a repetition is worth folding: its length is a scale, or it is long."""
    grows = repetition.count is not None and bool(repetition.count.scales)
    return repetition.over == "layers" and (grows or len(repetition.copies) > FEW)


def unsuited(record: Record, repetition: Repetition) -> str | None:
    """Why a repetition cannot be folded; None if it can."""
    if repetition.count is None:
        return "how many there are follows no law"
    if len(repetition.carried) != 1 or repetition.stepped:
        return "they hand on more than one tensor"
    if not in_list(repetition):
        return "they share weights, or are not members of one list one after the other"
    inside = {name for copy in repetition.copies for name in copy}
    result = result_of(repetition)
    outside = [ref for call in record.calls if call.name not in inside for ref in call.reads()]
    outside += [output.ref for output in record.outputs]
    if any(ref.name in inside and ref != result for ref in outside):
        return "something inside of them is read from outside"
    weights = {name for copy in repetition.weights for name in copy}
    if any(ref.name in weights for ref in outside):
        return "a weight of theirs is read elsewhere"
    return None


def result_of(repetition: Repetition) -> Ref:
    """What the last block hands on."""
    _, result = repetition.carried[0]
    return Ref(repetition.copies[-1][repetition.copies[0].index(result.name)], result.index)


def in_list(repetition: Repetition) -> bool:
    """Whether every block is so many members of a list, one group after the other, and reads weights of its own."""
    if not repetition.members or any(len(members) != len(repetition.members[0]) for members in repetition.members):
        return False
    flat = [index for members in repetition.members for index in members]
    if flat != list(range(flat[0], flat[0] + len(flat))):
        return False
    names = [[starred(name, repetition, copy) for name in weights] for copy, weights in enumerate(repetition.weights)]
    return all(copy_names == names[0] for copy_names in names) and not set(names[0]) & set(repetition.weights[0])


def fold(lowering: Lowering, repetition: Repetition, loops: Loops) -> None:
    """Lowers the first block as the body of a repeat, and makes what the last block hands on known."""
    sketch, by_name = lowering.sketch, {call.name: call for call in lowering.record.calls}
    start, result = repetition.carried[0]
    first = lowering.get(start)
    if not isinstance(first, Value):
        raise Unfoldable(repetition.path)
    sketch.nodes.call = by_name[repetition.copies[0][0]]
    name = sketch.nodes.free_name(repetition.path.rstrip("_#") or "blocks")
    source = sketch.ordered(first, short="stream")
    slots = sketch.nodes.slots(source)
    dims = _dims(first, slots)
    kept = lowering.results.get(start.name)
    with sketch.nodes.within(name):
        stream = sketch.nodes.add(SketchNode(f"%{name}", "stream", (), None, tuple(range(len(slots))), slots))
        lowering.results[start.name] = Value(stream, dims)
        before = set(lowering.results)
        for call_name in repetition.copies[0]:
            if not loops.handles(by_name[call_name]):
                lowering.results[call_name] = lowering.lower(by_name[call_name])
        handed_on = lowering.get(result)
        if not isinstance(handed_on, Value):
            raise Unfoldable(repetition.path)
        last = sketch.ordered(handed_on)
    if len(sketch.nodes.slots(last)) != len(slots):
        raise Unfoldable(repetition.path)
    for a, b in zip(sketch.nodes.slots(last), slots, strict=True):
        a.join(b)
    for inner in set(lowering.results) - before:
        if isinstance(lowering.results[inner], (Value, tuple)) and inner in by_name:
            del lowering.results[inner]
    if kept is not None:
        lowering.results[start.name] = kept
    else:
        del lowering.results[start.name]
    assert repetition.count is not None
    axis = Axis(repetition.count, ["layers"])
    fields = {"result": last, "depth": axis, "repetition": repetition, "stream": stream}
    sketch.nodes.add(SketchNode(name, "repeat", (source,), None, tuple(range(len(slots))), slots, fields=fields))
    lowering.results[result_of(repetition).name] = Value(name, dims)


class Unfoldable(Exception):
    """A repetition that does not hand on one tensor of real numbers of one shape; its path."""


def _dims(value: Value, slots: tuple[Axis, ...]) -> tuple[Dim, ...]:
    dims: list[Dim] = []
    slot = 0
    for dim in value.dims:
        if not dim:
            dims.append(())
        else:
            dims.append((Atom(slots[slot], slot),))
            slot += 1
    return tuple(dims)

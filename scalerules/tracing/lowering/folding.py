"""Depth: blocks that repeat are lowered once, as the body of a repeat along an axis of their own.

A block is folded if all that it hands on is its stream, so that the graph costs as much for 96 blocks as for two.
"""

from __future__ import annotations

from scalerules.tracing.record import Call, Record, Ref, Run
from scalerules.tracing.run_names import starred
from scalerules.tracing.sketch.axes import Axis
from scalerules.tracing.sketch.made import Made
from scalerules.tracing.sketch.values import Atom, Dim, Value

from .linear_loops import Loops
from .state import Lowering

FEW = 2
"""So many blocks are left as they are, unless a scale says how many there are."""


class Folds:
    """The runs of a record that are folded; `handles` takes their calls."""

    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering
        self.first: dict[str, Run] = {}
        self.inside: set[str] = set()
        self.loops = Loops(lowering)
        for run in lowering.record.runs:
            if not wanted(run):
                continue
            why = (
                "what they hand on is no tensor of one shape"
                if run.path in lowering.unfolded
                else unsuited(lowering.record, run)
            )
            if why is None:
                self.first[run.copies[0][-1]] = run
                self.inside.update(name for copy in run.copies for name in copy)
            else:
                lowering.notes.append(f"{run.path}: the {len(run.copies)} blocks are not folded: {why}")

    def handles(self, call: Call) -> bool:
        """Whether a call stands in a folded block; with the last call of the first block, the block is lowered."""
        if call.name in self.first:
            fold(self.lowering, self.first[call.name], self.loops)
        return call.name in self.inside or self.loops.handles(call)


def wanted(run: Run) -> bool:
    """Whether a run is worth folding: its length is a scale, or it is long."""
    return run.over == "layers" and ((run.count is not None and bool(run.count.scales)) or len(run.copies) > FEW)


def unsuited(record: Record, run: Run) -> str | None:
    """Why a run cannot be folded; None if it can."""
    if run.count is None:
        return "how many there are follows no law"
    if len(run.carried) != 1 or run.stepped:
        return "they hand on more than one tensor"
    if not in_list(run):
        return "they share weights, or are not members of one list one after the other"
    inside = {name for copy in run.copies for name in copy}
    result = result_of(run)
    outside = [ref for call in record.calls if call.name not in inside for ref in call.reads()]
    outside += [output.ref for output in record.outputs]
    if any(ref.name in inside and ref != result for ref in outside):
        return "something inside of them is read from outside"
    weights = {name for copy in run.weights for name in copy}
    if any(ref.name in weights for ref in outside):
        return "a weight of theirs is read elsewhere"
    return None


def result_of(run: Run) -> Ref:
    """What the last block hands on."""
    _, result = run.carried[0]
    return Ref(run.copies[-1][run.copies[0].index(result.name)], result.index)


def in_list(run: Run) -> bool:
    """Whether every block is so many members of a list, one group after the other, and reads weights of its own."""
    if not run.members or any(len(members) != len(run.members[0]) for members in run.members):
        return False
    flat = [index for members in run.members for index in members]
    if flat != list(range(flat[0], flat[0] + len(flat))):
        return False
    names = [[starred(name, run, copy) for name in weights] for copy, weights in enumerate(run.weights)]
    return all(each == names[0] for each in names) and not set(names[0]) & set(run.weights[0])


def fold(lowering: Lowering, run: Run, loops: Loops) -> None:
    """Lowers the first block as the body of a repeat, and makes what the last block hands on known."""
    sketch, by_name = lowering.sketch, {call.name: call for call in lowering.record.calls}
    start, result = run.carried[0]
    first = lowering.get(start)
    if not isinstance(first, Value):
        raise Unfoldable(run.path)
    sketch.nodes.call = by_name[run.copies[0][0]]
    name = sketch.nodes.free_name(run.path or "blocks")
    source = sketch.ordered(first, short="stream")
    slots = sketch.nodes.slots(source)
    dims = _dims(first, slots)
    kept = lowering.known.get(start.name)
    with sketch.nodes.within(name):
        stream = sketch.nodes.add(Made(f"%{name}", "stream", (), None, tuple(range(len(slots))), slots))
        lowering.known[start.name] = Value(stream, dims)
        before = set(lowering.known)
        for call_name in run.copies[0]:
            if not loops.handles(by_name[call_name]):
                lowering.known[call_name] = lowering.lower(by_name[call_name])
        handed_on = lowering.get(result)
        if not isinstance(handed_on, Value):
            raise Unfoldable(run.path)
        last = sketch.ordered(handed_on)
    if len(sketch.nodes.slots(last)) != len(slots):
        raise Unfoldable(run.path)
    for a, b in zip(sketch.nodes.slots(last), slots, strict=True):
        a.join(b)
    for known in set(lowering.known) - before:
        if isinstance(lowering.known[known], (Value, tuple)) and known in by_name:
            del lowering.known[known]
    if kept is not None:
        lowering.known[start.name] = kept
    else:
        del lowering.known[start.name]
    assert run.count is not None
    axis = Axis(run.count, ["layers"])
    fields = {"result": last, "depth": axis, "run": run, "stream": stream}
    sketch.nodes.add(Made(name, "repeat", (source,), None, tuple(range(len(slots))), slots, fields=fields))
    lowering.known[result_of(run).name] = Value(name, dims)


class Unfoldable(Exception):
    """A run that does not hand on one tensor of real numbers of one shape; its path."""


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


# --- the body ------------------------------------------------------------------------------------------

"""Loops over time whose state is a linear function of the state before, as one recurrence over all times.

One step is lowered with a stand-in for the state before. If the state is that times a decay, plus what is written into
it, entry by entry, then everything in the step is lifted to all times, and the loop becomes one `recurrence` node.
"""

from __future__ import annotations

from scalerules.tracing.record import Call, Ref, Repetition, references
from scalerules.tracing.sketch.axes import Axis
from scalerules.tracing.sketch.values import Atom, Constant, Result, Source, Unknown, Value

from .all_times import AllTimes, NotLinear
from .shared_blocks import Counted
from .state import Lowering

GATHERING = ("aten.stack.default", "aten.cat.default", "aten.concat.default")


class Loops:
    """The loops over time of a record; `handles` takes the calls of those that are one recurrence."""

    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering
        loops = [loop for loop in lowering.record.repetitions if loop.over == "time"]
        fixed = [loop for loop in loops if loop.count is not None and not loop.count.scales]
        self.first = {loop.copies[0][0]: loop for loop in fixed if loop.copies[0][0] not in lowering.unfolded}
        self.ready: dict[str, Result] = {}
        self.counted = Counted(lowering, [loop for loop in loops if loop not in fixed])

    def handles(self, call: Call) -> bool:
        """Whether a call stands in such a loop, or gathers what its steps return."""
        loop = self.first.pop(call.name, None)
        if loop is not None:
            self.ready.update(_recurrence(self.lowering, loop) or {})
        if call.name not in self.ready:
            return self.counted.handles(call)
        self.lowering.results[call.name] = self.ready[call.name]
        return True


def _recurrence(lowering: Lowering, loop: Repetition) -> dict[str, Result] | None:
    """What the calls of a loop are, and those that gather its steps; None if it is no linear recurrence."""
    try:
        with lowering.attempt():
            return _Step(lowering, loop).results()
    except (NotLinear, Unknown):
        return None


class _Step:
    """One step of a loop, lowered with a stand-in for the state before."""

    def __init__(self, lowering: Lowering, loop: Repetition) -> None:
        self.lowering, self.loop = lowering, loop
        self.calls = {call.name: call for call in lowering.record.calls}
        self.moving: dict[str, tuple[Source, int]] = {}
        self.time: Axis | None = None
        before = set(lowering.sketch.nodes)
        carry, state, self.values = self._lowered()
        if self.time is None:
            raise NotLinear
        self.all_times = AllTimes(lowering.sketch.nodes, before, self.moving, self.time, carry, state)
        self.all_times.recur(loop)

    # --- one step ----------------------------------------------------------------------------------

    def _lowered(self) -> tuple[str, str, dict[str, Result]]:
        """The stand-in, the state that the step makes of it, and what each call computes."""
        if len(self.loop.carried) != 1:
            raise NotLinear
        start, result = self.loop.carried[0]
        given = self.lowering.get(start)
        if not isinstance(given, Constant) or given.number != 0 or result.index is not None:
            raise NotLinear
        shape = self.calls[result.name].shape
        if None in shape:
            raise NotLinear
        carry = self.lowering.sketch.data("before", [length for length in shape if length is not None])
        assert isinstance(carry.source, str)
        self.lowering.results[result.name] = carry
        first, second = self.loop.copies[:2]
        values: dict[str, Result] = {}
        for name, twin in zip(second, first, strict=True):
            call = self.calls[name]
            self.lowering.results[name] = values[name] = self.lowering.lower(call)
            self._note_moving(call, self.calls[twin])
        handed_on = values[second[first.index(result.name)]]
        if not isinstance(handed_on, Value) or not isinstance(handed_on.source, str):
            raise NotLinear
        return carry.source, handed_on.source, values

    def _note_moving(self, call: Call, twin: Call) -> None:
        """Notes what reads another time in every step: `x[:, t]`, or the next of what was unbound."""
        if call.target == "aten.select.int" and call.args[2] != twin.args[2]:
            self._note(self.lowering.results[call.name], self.lowering.value(call, 0), call.args[1])
        for mine, its in zip(call.reads(), twin.reads(), strict=True):
            source = self.calls.get(mine.name)
            if mine.name == its.name and mine.index != its.index and source is not None:
                if source.target != "aten.unbind.int":
                    raise NotLinear
                dim = self.lowering.arg(source, 1, "dim", 0)
                self._note(self.lowering.get(mine), self.lowering.value(source, 0), dim)

    def _note(self, one: Result, whole: Value, dim: object) -> None:
        atoms = whole.dims[self.lowering.dim(dim, len(whole.dims))]
        if not isinstance(one, Value) or len(atoms) > 1:
            raise NotLinear
        if not atoms or atoms[0].slot is None:
            return  # it is the same at all times
        node = self.lowering.sketch.nodes[one.source] if isinstance(one.source, str) else None
        if node is None or node.op != "rearrange" or node.operands[0] is not whole.source or node.labels is None:
            raise NotLinear
        if node.labels[0][atoms[0].slot] in node.result:
            raise NotLinear
        self.moving[node.name] = (whole.source, atoms[0].slot)
        if self.time is not None:
            self.time.join(atoms[0].axis)
        self.time = self.time or atoms[0].axis

    # --- what is read of it ------------------------------------------------------------------------

    def results(self) -> dict[str, Result]:
        """What the calls of the loop are for what reads them behind it, and what gathers them."""
        inside = {name for copy in self.loop.copies for name in copy}
        place = {name: i for copy in self.loop.copies for i, name in enumerate(copy)}
        results: dict[str, Result] = {name: Constant(()) for name in inside}
        second = self.loop.copies[1]
        for call in self.lowering.record.calls:
            read = [ref for ref in references((call.args, call.kwargs)) if ref.name in inside]
            if call.name in inside or not read:
                continue
            if call.target in GATHERING and len({place[ref.name] for ref in read}) == 1 and _all_of(call, read):
                results[call.name] = self._gathered(call, self.values[second[place[read[0].name]]])
            else:
                for ref in read:
                    results[ref.name] = self.all_times.last(self.values[second[place[ref.name]]])
        for output in self.lowering.record.outputs:
            if output.ref.name in inside:
                results[output.ref.name] = self.all_times.last(self.values[second[place[output.ref.name]]])
        return results

    def _gathered(self, call: Call, one: Result) -> Value:
        whole = self.all_times.whole(one)
        dim = self.lowering.dim(call.args[1] if len(call.args) > 1 else 0, len(call.shape))
        dims = list(whole.dims)
        if call.target == "aten.stack.default":
            dims.insert(dim, ())
        elif dims[dim]:
            raise NotLinear
        dims[dim] = (Atom(self.all_times.time, 0),)
        return whole.at(dims)


def _all_of(call: Call, read: list[Ref]) -> bool:
    """Whether a call gathers steps of the loop and nothing else."""
    return len(read) == len(list(references((call.args, call.kwargs))))

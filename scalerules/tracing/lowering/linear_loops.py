"""Loops over time whose state is a linear function of the state before, as one recurrence over all times.

One step is lowered with a stand-in for the state before. If the state is that times a decay, plus what is written into
it, entry by entry, then everything in the step is lifted to all times, and the loop becomes one `recurrence` node.
"""

from __future__ import annotations

from dataclasses import replace

from scalerules.tracing.record import Call, Ref, Run, references
from scalerules.tracing.sketch.axes import Axis
from scalerules.tracing.sketch.made import Made
from scalerules.tracing.sketch.values import Atom, Constant, Dim, Part, Result, Source, Unknown, Value

from .shared_blocks import Counted
from .state import Lowering

ALL = ".all"
"""Behind the names of nodes that hold all times of what one step holds one of."""
GATHERING = ("aten.stack.default", "aten.cat.default", "aten.concat.default")


class Loops:
    """The loops over time of a record; `handles` takes the calls of those that are one recurrence."""

    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering
        loops = [run for run in lowering.record.runs if run.over == "time"]
        fixed = [run for run in loops if run.count is not None and not run.count.scales]
        self.first = {run.copies[0][0]: run for run in fixed if run.copies[0][0] not in lowering.unfolded}
        self.ready: dict[str, Result] = {}
        self.counted = Counted(lowering, [run for run in loops if run not in fixed])

    def handles(self, call: Call) -> bool:
        """Whether a call stands in such a loop, or gathers what its steps return."""
        run = self.first.pop(call.name, None)
        if run is not None:
            self.ready.update(_recurrence(self.lowering, run) or {})
        if call.name not in self.ready:
            return self.counted.handles(call)
        self.lowering.known[call.name] = self.ready[call.name]
        return True


class _NotLinear(Exception):
    """The loop is no such recurrence; its steps are lowered one by one."""


def _recurrence(lowering: Lowering, run: Run) -> dict[str, Result] | None:
    """What the calls of a loop are, and those that gather its steps; None if it is no linear recurrence."""
    sketch = lowering.sketch
    kept = dict(sketch.nodes), dict(sketch._changed), dict(sketch._cuts), dict(lowering.known), dict(lowering.shown)  # pyright: ignore[reportPrivateUsage]
    try:
        return _Step(lowering, run).results()
    except (_NotLinear, Unknown):
        sketch.nodes, sketch._changed, sketch._cuts, lowering.known, lowering.shown = kept  # pyright: ignore[reportPrivateUsage]
        return None


class _Step:
    """One step of a loop, lowered with a stand-in for the state before."""

    def __init__(self, lowering: Lowering, run: Run) -> None:
        self.lowering, self.run, self.sketch = lowering, run, lowering.sketch
        self.calls = {call.name: call for call in lowering.record.calls}
        self.before = set(lowering.sketch.nodes)
        self.moving: dict[str, tuple[Source, int]] = {}
        """Nodes that hold one time: what holds all of them, and which of its axes is time."""
        self.lifted: dict[str, tuple[Source, bool]] = {}
        self.time: Axis | None = None
        self.carry, self.state, self.values = self._lowered()
        self.along = self._full_state()

    # --- one step ----------------------------------------------------------------------------------

    def _lowered(self) -> tuple[str, str, dict[str, Result]]:
        """The stand-in, the state that the step makes of it, and what each call computes."""
        if len(self.run.carried) != 1:
            raise _NotLinear
        start, result = self.run.carried[0]
        given = self.lowering.get(start)
        if not isinstance(given, Constant) or given.number != 0 or result.index is not None:
            raise _NotLinear
        shape = self.calls[result.name].shape
        if None in shape:
            raise _NotLinear
        carry = self.sketch.data("before", [length for length in shape if length is not None])
        assert isinstance(carry.source, str)
        self.lowering.known[result.name] = carry
        first, second = self.run.copies[:2]
        values: dict[str, Result] = {}
        for name, twin in zip(second, first, strict=True):
            call = self.calls[name]
            self.lowering.known[name] = values[name] = self.lowering.lower(call)
            self._note_moving(call, self.calls[twin])
        made = values[second[first.index(result.name)]]
        if not isinstance(made, Value) or not isinstance(made.source, str):
            raise _NotLinear
        self.made = made
        return carry.source, made.source, values

    def _note_moving(self, call: Call, twin: Call) -> None:
        """Notes what reads another time in every step: `x[:, t]`, or the next of what was unbound."""
        if call.target == "aten.select.int" and call.args[2] != twin.args[2]:
            value, dim = (
                self.lowering.value(call, 0),
                self.lowering.dim(call.args[1], len(self.lowering.value(call, 0).dims)),
            )
            self._note(self.lowering.known[call.name], value, dim)
        for mine, its in zip(call.reads(), twin.reads(), strict=True):
            source = self.calls.get(mine.name)
            if mine.name == its.name and mine.index != its.index and source is not None:
                if source.target != "aten.unbind.int":
                    raise _NotLinear
                value = self.lowering.value(source, 0)
                self._note(
                    self.lowering.get(mine),
                    value,
                    self.lowering.dim(self.lowering.arg(source, 1, "dim", 0), len(value.dims)),
                )

    def _note(self, one: Result, whole: Value, dim: int) -> None:
        if not isinstance(one, Value) or len(whole.dims[dim]) > 1:
            raise _NotLinear
        if not whole.dims[dim] or whole.dims[dim][0].slot is None:
            return  # it is the same at all times
        made = self.sketch.nodes[one.source] if isinstance(one.source, str) else None
        slot = whole.dims[dim][0].slot
        if made is None or made.op != "rearrange" or made.operands[0] is not whole.source or made.labels is None:
            raise _NotLinear
        if slot is None or made.labels[0][slot] in made.result:
            raise _NotLinear
        self.moving[made.name] = (whole.source, slot)
        axis = whole.dims[dim][0].axis
        if self.time is not None:
            self.time.join(axis)
        self.time = self.time or axis

    # --- all times ---------------------------------------------------------------------------------

    def _full_state(self) -> str:
        """The `recurrence` node: its operands are the decay and what is written into the state."""
        made = self.sketch.nodes[self.state]
        if made.op != "add" or made.labels is None or len(made.operands) != 2 or self.time is None:
            raise _NotLinear
        old = [k for k, source in enumerate(made.operands) if self._reads_carry(source)]
        if len(old) != 1:
            raise _NotLinear
        k = old[0]
        decay, row = self._decay(made.operands[k], made.labels[k])
        driven = self._lift(made.operands[1 - k])
        top = 1 + max(x for row_ in (*made.labels, made.result, row) for x in row_)
        rows = [((top, *row) if decay[1] else row), ((top, *made.labels[1 - k]) if driven[1] else made.labels[1 - k])]
        name = self.sketch.name_here("state")
        node = Made(
            name, "recurrence", (decay[0], driven[0]), tuple(rows), (top, *made.result), (self.time, *made.slots),
            fields={"loop": self.run.copies[0][0]},
        )  # fmt: skip
        self.lifted[self.state] = self.lifted[self.carry] = (self.sketch.add(node), True)
        return name

    def _reads_carry(self, source: Source) -> bool:
        if isinstance(source, Part) or source in self.before:
            return False
        return source == self.carry or any(self._reads_carry(inner) for inner in self.sketch.nodes[source].operands)

    def _decay(self, source: Source, row: tuple[int, ...]) -> tuple[tuple[Source, bool], tuple[int, ...]]:
        """What the state before is multiplied with, and the labels of its axes in those of the state."""
        made = self.sketch.nodes[source] if isinstance(source, str) else None
        if made is None or made.op != "einsum" or made.labels is None or len(made.operands) != 2:
            raise _NotLinear
        k = made.operands.index(self.carry) if self.carry in made.operands else -1
        if k < 0 or self._reads_carry(made.operands[1 - k]) or set(made.labels[k]) != set(made.result):
            raise _NotLinear
        outer = dict(zip(made.result, row, strict=True))
        if [outer[x] for x in made.labels[k]] != list(self.sketch.nodes[self.state].result):
            raise _NotLinear  # the state's axes change places
        return self._lift(made.operands[1 - k]), tuple(outer[x] for x in made.labels[1 - k])

    def _lift(self, source: Source) -> tuple[Source, bool]:
        """The same at all times, time its first axis; and whether it has times at all."""
        if isinstance(source, Part) or source in self.before and source not in self.moving:
            return source, False
        if source not in self.lifted:
            self.lifted[source] = self._lifted(self.sketch.nodes[source])
        return self.lifted[source]

    def _lifted(self, made: Made) -> tuple[Source, bool]:
        assert self.time is not None
        if made.name in self.moving:
            whole, slot = self.moving[made.name]
            assert made.labels is not None
            result = (made.labels[0][slot], *made.result)
            return self._add(replace(made, operands=(whole,), result=result, slots=(self.time, *made.slots))), True
        inner = [self._lift(source) for source in made.operands]
        if not any(timed for _, timed in inner):
            return made.name, False
        if made.op in ("recurrence", "scan", "repeat", "slice", "concat") or made.name == self.carry:
            raise _NotLinear
        operands, along = tuple(source for source, _ in inner), None if made.along is None else made.along + 1
        slots = (self.time, *made.slots)
        if made.labels is None:
            if len(operands) > 1:
                raise _NotLinear
            result = tuple(range(len(slots)))
            return self._add(replace(made, operands=operands, result=result, slots=slots, along=along)), True
        top = 1 + max((x for row in (*made.labels, made.result) for x in row), default=0)
        rows = tuple((top, *row) if timed else row for row, (_, timed) in zip(made.labels, inner, strict=True))
        return self._add(replace(made, operands=operands, labels=rows, result=(top, *made.result), slots=slots,
                                 along=along)), True  # fmt: skip

    def _add(self, made: Made) -> str:
        return self.sketch.add(replace(made, name=self.sketch.free_name(made.name + ALL)))

    # --- what is read of it ------------------------------------------------------------------------

    def results(self) -> dict[str, Result]:
        """What the calls of the loop are for what reads them behind it, and what gathers them."""
        inside = {name for copy in self.run.copies for name in copy}
        place = {name: i for copy in self.run.copies for i, name in enumerate(copy)}
        found: dict[str, Result] = {name: Constant(()) for name in inside}
        second = self.run.copies[1]
        for call in self.lowering.record.calls:
            read = [ref for ref in references((call.args, call.kwargs)) if ref.name in inside]
            if call.name in inside or not read:
                continue
            if call.target in GATHERING and len({place[ref.name] for ref in read}) == 1 and _all_of(call, read):
                found[call.name] = self._gathered(call, self.values[second[place[read[0].name]]])
            else:
                for ref in read:
                    found[ref.name] = self._once(self.values[second[place[ref.name]]])
        for output in self.lowering.record.outputs:
            if output.ref.name in inside:
                found[output.ref.name] = self._once(self.values[second[place[output.ref.name]]])
        return found

    def _gathered(self, call: Call, one: Result) -> Value:
        whole, dims = self._whole(one)
        rank = len(call.shape)
        dim = self.lowering.dim(call.args[1] if len(call.args) > 1 else 0, rank)
        time: Dim = (Atom(self.time or Axis(call.shape[dim] or whole.slots[0].length), 0),)
        if call.target == "aten.stack.default":
            dims.insert(dim, time)
        elif dims[dim]:
            raise _NotLinear
        else:
            dims[dim] = time
        return Value(whole.name, tuple(dims))

    def _whole(self, one: Result) -> tuple[Made, list[Dim]]:
        """A value at all times: its node, and its dimensions there without time."""
        if not isinstance(one, Value):
            raise _NotLinear
        source, timed = self._lift(one.source)
        if not timed or not isinstance(source, str):
            raise _NotLinear
        dims = [tuple(Atom(a.axis, None if a.slot is None else a.slot + 1) for a in dim) for dim in one.dims]
        return self.sketch.nodes[source], list(dims)

    def _once(self, one: Result) -> Value:
        """The value at one time, the last."""
        whole, dims = self._whole(one)
        labels = tuple(range(len(whole.slots)))
        name = self.sketch.name_here("last")
        self.sketch.add(Made(name, "rearrange", (whole.name,), (labels,), labels[1:], whole.slots[1:]))
        back = [tuple(Atom(a.axis, None if a.slot is None else a.slot - 1) for a in dim) for dim in dims]
        return Value(name, tuple(back))


def _all_of(call: Call, read: list[Ref]) -> bool:
    """Whether a call gathers steps of the loop and nothing else."""
    return len(read) == len(list(references((call.args, call.kwargs))))

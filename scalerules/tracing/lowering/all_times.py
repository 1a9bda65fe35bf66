"""What one step of a loop computes, at all times: every node of the step is lifted to have time as its first axis."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scalerules.tracing.record import Repetition
from scalerules.tracing.sketch.axes import Axis
from scalerules.tracing.sketch.nodes import Nodes
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Part, Result, Source, Value, moved

ALL = ".all"
"""Behind the names of nodes that hold all times of what one step holds one of."""
UNLIFTED = ("recurrence", "scan", "repeat", "slice", "concat")


class NotLinear(Exception):
    """A loop that is no linear recurrence; its steps are lowered one by one."""


@dataclass(frozen=True)
class Lifted:
    """A source at all times; `timed`: time is its first axis, otherwise it is the same at all of them."""

    source: Source
    timed: bool


class AllTimes:
    """The lifted nodes of one step, which reads the stand-in `carry` and makes `state` of it.

    `before` are the nodes from before the loop. `moving` are those that hold one time: what holds all of them, and
    which of its axes is time.
    """

    def __init__(
        self, nodes: Nodes, before: set[str], moving: dict[str, tuple[Source, int]], time: Axis, carry: str, state: str
    ) -> None:
        self.nodes, self.before, self.moving, self.time = nodes, before, moving, time
        self.carry, self.state = carry, state
        self.lifted: dict[str, Lifted] = {}

    def recur(self, loop: Repetition) -> None:
        """Adds the `recurrence` node, which is the state at all times; raises `NotLinear` where it is none.

        Its operands are the decay and what is written into the state.
        """
        state = self.nodes[self.state]
        if state.op != "add" or state.labels is None or len(state.operands) != 2:
            raise NotLinear
        old = [k for k, source in enumerate(state.operands) if self._reads_carry(source)]
        if len(old) != 1:
            raise NotLinear
        k = old[0]
        decay, row = self._decay(state.operands[k], state.labels[k])
        driven, other = self.lift(state.operands[1 - k]), state.labels[1 - k]
        top = 1 + max(x for labels in (*state.labels, state.result, row) for x in labels)
        rows = ((top, *row) if decay.timed else row, (top, *other) if driven.timed else other)
        node = SketchNode(
            self.nodes.name_here("state"), "recurrence", (decay.source, driven.source), rows, (top, *state.result),
            (self.time, *state.slots), fields={"loop": loop.copies[0][0]},
        )  # fmt: skip
        self.lifted[self.state] = self.lifted[self.carry] = Lifted(self.nodes.add(node), True)

    def _reads_carry(self, source: Source) -> bool:
        if isinstance(source, Part) or source in self.before:
            return False
        return source == self.carry or any(self._reads_carry(inner) for inner in self.nodes[source].operands)

    def _decay(self, source: Source, row: tuple[int, ...]) -> tuple[Lifted, tuple[int, ...]]:
        """What the state before is multiplied with, and the labels of its axes in those of the state."""
        node = self.nodes[source] if isinstance(source, str) else None
        if node is None or node.op != "einsum" or node.labels is None or len(node.operands) != 2:
            raise NotLinear
        k = node.operands.index(self.carry) if self.carry in node.operands else -1
        if k < 0 or self._reads_carry(node.operands[1 - k]) or set(node.labels[k]) != set(node.result):
            raise NotLinear
        outer = dict(zip(node.result, row, strict=True))
        if [outer[x] for x in node.labels[k]] != list(self.nodes[self.state].result):
            raise NotLinear  # the state's axes change places
        return self.lift(node.operands[1 - k]), tuple(outer[x] for x in node.labels[1 - k])

    def lift(self, source: Source) -> Lifted:
        """The source at all times."""
        if isinstance(source, Part) or source in self.before and source not in self.moving:
            return Lifted(source, False)
        if source not in self.lifted:
            self.lifted[source] = self._lifted(self.nodes[source])
        return self.lifted[source]

    def _lifted(self, node: SketchNode) -> Lifted:
        slots = (self.time, *node.slots)
        if node.name in self.moving:
            whole, slot = self.moving[node.name]
            assert node.labels is not None
            return self._add(node, operands=(whole,), result=(node.labels[0][slot], *node.result), slots=slots)
        inner = [self.lift(source) for source in node.operands]
        if not any(operand.timed for operand in inner):
            return Lifted(node.name, False)
        if node.op in UNLIFTED or node.name == self.carry or node.labels is None and len(inner) > 1:
            raise NotLinear
        operands, along = tuple(operand.source for operand in inner), None if node.along is None else node.along + 1
        if node.labels is None:
            return self._add(node, operands=operands, result=tuple(range(len(slots))), slots=slots, along=along)
        top = 1 + max((x for row in (*node.labels, node.result) for x in row), default=0)
        rows = tuple((top, *row) if operand.timed else row for row, operand in zip(node.labels, inner, strict=True))
        return self._add(node, operands=operands, labels=rows, result=(top, *node.result), slots=slots, along=along)

    def _add(self, node: SketchNode, **changes: object) -> Lifted:
        name = self.nodes.free_name(node.name + ALL)
        return Lifted(self.nodes.add(replace(node, name=name, **changes)), True)  # pyright: ignore[reportArgumentType]

    def whole(self, one: Result) -> Value:
        """A value of one step at all times: time is its first slot and none of its dimensions."""
        if not isinstance(one, Value):
            raise NotLinear
        lifted = self.lift(one.source)
        if not lifted.timed:
            raise NotLinear
        return Value(lifted.source, moved(one.dims, lambda slot: slot + 1))

    def last(self, one: Result) -> Value:
        """A value of one step, at the last time."""
        whole = self.whole(one)
        slots = self.nodes.slots(whole.source)
        name = self.nodes.rearranged(whole.source, range(1, len(slots)), slots[1:], "last")
        return Value(name, moved(whole.dims, lambda slot: slot - 1))

"""The same block, with the same weights, applied so many times as a scale says: depth that shares its weights.

What the applications add to a stream that goes on through residuals is aligned: the weights are the same, and so is
what they read up to what was added. So the sum over `L` applications is `L` times one of them, at the start as in
every change (an Euler step of the same length, unlike blocks with weights of their own, whose sum starts as a root).
"""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.tracing.record import Call, Ref, Repetition

from .families.arithmetic import pairwise
from .state import Lowering

ADDS = ("aten.add.Tensor", "aten.add_.Tensor")


class Counted:
    """The loops of a record whose number of steps is a scale; `handles` takes the sums along their streams."""

    def __init__(self, lowering: Lowering, repetitions: Sequence[Repetition]) -> None:
        self.lowering = lowering
        self.calls = {call.name: call for call in lowering.record.calls} if repetitions else {}
        self.adds: dict[str, tuple[Repetition, int]] = {}
        """The sums along a stream, by the name of the call: the loop, and which operand is added to the stream."""
        for repetition in repetitions:
            self._enter(repetition)

    def handles(self, call: Call) -> bool:
        """Whether a call is such a sum; what is added counts as often as the block is applied."""
        if call.name not in self.adds:
            return False
        repetition, branch = self.adds[call.name]
        self.lowering.sketch.nodes.call = call
        parts = [self.lowering.value(call, 0), self.lowering.value(call, 1)]
        assert repetition.count is not None
        parts[branch] = self.lowering.sketch.scale(parts[branch], repetition.count, "times")
        total = pairwise(self.lowering, "add", parts, call.shape, "add")
        self.lowering.results[call.name] = total
        if isinstance(total.source, str):
            self.lowering.shown[total.source] = call.name
        return True

    def _enter(self, repetition: Repetition) -> None:
        assert repetition.count is not None
        branches = self._along_stream(repetition)
        if branches is None:
            where = repetition.path or "the module"
            self.lowering.held |= repetition.count.scales
            self.lowering.notes.append(
                f"{where}: {repetition.count} steps with the same weights are no residuals of one stream, and their "
                "number is held fixed"
            )
            return
        for copy in repetition.copies:
            here = {place: branch for place, branch in branches.items() if place < len(copy)}
            self.adds.update({copy[place]: (repetition, branch) for place, branch in here.items()})

    def _along_stream(self, repetition: Repetition) -> dict[int, int] | None:
        """Places of the sums along the stream, and which operand is the branch; None if it is no such stream."""
        first, second = repetition.copies[:2]
        if len(repetition.carried) != 1 or any(self._moves(a, b) for a, b in zip(first, second, strict=True)):
            return None
        _, result = repetition.carried[0]
        main, branches = {result.name}, dict[int, int]()
        for place, name in enumerate(second):
            call = self.calls[name]
            refs = [arg for arg in call.args[:2] if isinstance(arg, Ref)]
            on = [k for k, ref in enumerate(refs) if ref.name in main]
            if call.target in ADDS and len(refs) == 2 and len(on) == 1 and not call.kwargs:
                main.add(name)
                branches[place] = 1 - on[0]
        return branches if second[first.index(result.name)] in main else None

    def _moves(self, mine: str, its: str) -> bool:
        """Whether a call reads a number that is another one in the next step: it goes along something."""
        a, b = self.calls[mine], self.calls[its]
        plain = [(x, y) for x, y in zip(a.args, b.args, strict=True) if not isinstance(x, (Ref, tuple))]
        return any(x != y for x, y in plain)

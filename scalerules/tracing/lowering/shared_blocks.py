"""The same block, with the same weights, applied so many times as a scale says: depth that shares its weights.

What the applications add to a stream that goes on through residuals is aligned: the weights are the same, and so is
what they read up to what was added. So the sum over `L` applications is `L` times one of them, at the start as in
every change (an Euler step of the same length, unlike blocks with weights of their own, whose sum starts as a root).
"""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.tracing.record import Call, Ref, Run

from .families.pointwise import pairwise
from .state import Lowering

ADDS = ("aten.add.Tensor", "aten.add_.Tensor")


class Counted:
    """The loops of a record whose number of steps is a scale; `handles` takes the sums along their streams."""

    def __init__(self, lowering: Lowering, runs: Sequence[Run]) -> None:
        self.lowering = lowering
        self.calls = {call.name: call for call in lowering.record.calls} if runs else {}
        self.adds: dict[str, tuple[Run, int]] = {}
        """The sums along a stream, by the name of the call: the loop, and which operand is added to the stream."""
        for run in runs:
            self._enter(run)

    def handles(self, call: Call) -> bool:
        """Whether a call is such a sum; what is added counts as often as the block is applied."""
        if call.name not in self.adds:
            return False
        run, branch = self.adds[call.name]
        self.lowering.sketch.nodes.call = call
        parts = [self.lowering.value(call, 0), self.lowering.value(call, 1)]
        assert run.count is not None
        parts[branch] = self.lowering.sketch.scale(parts[branch], run.count, "times")
        found = pairwise(self.lowering, "add", parts, call.shape, "add")
        self.lowering.known[call.name] = found
        if isinstance(found.source, str):
            self.lowering.shown[found.source] = call.name
        return True

    def _enter(self, run: Run) -> None:
        assert run.count is not None
        found = self._along_stream(run)
        if found is None:
            where = run.path or "the module"
            self.lowering.held |= run.count.scales
            self.lowering.notes.append(
                f"{where}: {run.count} steps with the same weights are no residuals of one stream, and their number is "
                "held fixed"
            )
            return
        for copy in run.copies:
            self.adds.update({copy[place]: (run, branch) for place, branch in found.items() if place < len(copy)})

    def _along_stream(self, run: Run) -> dict[int, int] | None:
        """Places of the sums along the stream, and which operand is the branch; None if it is no such stream."""
        first, second = run.copies[:2]
        if len(run.carried) != 1 or any(self._moves(a, b) for a, b in zip(first, second, strict=True)):
            return None
        _, result = run.carried[0]
        main, found = {result.name}, dict[int, int]()
        for place, name in enumerate(second):
            call = self.calls[name]
            refs = [arg for arg in call.args[:2] if isinstance(arg, Ref)]
            on = [k for k, ref in enumerate(refs) if ref.name in main]
            if call.target in ADDS and len(refs) == 2 and len(on) == 1 and not call.kwargs:
                main.add(name)
                found[place] = 1 - on[0]
        return found if second[first.index(result.name)] in main else None

    def _moves(self, mine: str, its: str) -> bool:
        """Whether a call reads a number that is another one in the next step: it goes along something."""
        a, b = self.calls[mine], self.calls[its]
        plain = [(x, y) for x, y in zip(a.args, b.args, strict=True) if not isinstance(x, (Ref, tuple))]
        return any(x != y for x, y in plain)

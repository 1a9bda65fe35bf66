"""Derives and measures one random graph with one optimizer in one mode, and shrinks it where the two disagree.

The derivation goes to the independent checker, the graph is derived once more written in another way, and training is
held against what was predicted and against what is wanted of any rule. A disagreement is measured again, with other and
more seeds and one size more, before it counts.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.derivation.derive import derive
from scalerules.errors import Clash, ScaleRulesError
from scalerules.measurement.verification.judge import Row
from scalerules.measurement.verification.report import Report
from scalerules.solution.solution import Solution

from .findings import Outcome
from .shrink import shrink
from .variants import CHANGES, exponents, written

SIZES = (64, 128, 256, 512)
SEEDS, AGAIN = 2, 4
"""Runs per size at first, and when a disagreement is looked at again."""
STEPS = 3
ALONE = 1 / 64
"""The part of the usual rate at which a rule for one step of each parameter alone is measured: what the others move in
the same step is then small beside what is there."""
DERIVE_LIMIT = 10.0
"""CPU seconds above which a derivation counts as a finding of its own."""
SHRINK_LIMIT = 90.0
"""Seconds that the shrinking of one finding may take."""
SADDLE = "saddle"
"""The word in a solution's warning of what grows by a constant factor a step: sizes are those of the first steps, and
what is measured near the largest stable rate soon is not."""

Deriver = Callable[..., Solution]


class _TooSlow(BaseException):
    """A derivation takes too long; nothing that catches exceptions on the way should catch it."""


class Clock:
    """How long it may take, in seconds; None: as long as it takes."""

    def __init__(self, minutes: float | None) -> None:
        self.seconds = None if minutes is None else 60 * minutes
        self.started = self.last = time.monotonic()
        self.stopped = False

    @property
    def elapsed(self) -> float:
        """Seconds since it started."""
        return time.monotonic() - self.started

    @property
    def over(self) -> bool:
        """Whether the time is up, or it was interrupted while it shrank."""
        return self.stopped or (self.seconds is not None and self.elapsed > self.seconds)

    @property
    def left(self) -> float | None:
        """Seconds that are left; None: as long as it takes."""
        return None if self.seconds is None else max(0.0, self.seconds - self.elapsed)

    def lap(self) -> float:
        """Seconds since the last lap."""
        before, self.last = self.last, time.monotonic()
        return self.last - before


class Examiner:
    """Derives graphs with one optimizer in one mode, and measures them at `sizes`; without sizes it only derives."""

    def __init__(self, optimizer: str, sizes: Sequence[float] = SIZES, rule: Deriver = derive,
                 clock: Clock | None = None, mode: str = "joint") -> None:  # fmt: skip
        self.optimizer, self.sizes, self.rule, self.clock = optimizer, tuple(sizes), rule, clock or Clock(None)
        self.mode = mode

    def outcome(self, graph: Graph, seed: int, smallest: bool = True) -> Outcome:
        """What becomes of a graph: measured, measured again where it disagrees, shrunk where it still does."""
        started = time.monotonic()
        drawn = self.examine(graph)
        least = None
        if drawn.finding:
            least = self.shrunk(graph, drawn) if smallest else graph
            last = self.examine(least) if least is not graph and not self.clock.stopped else drawn
            drawn = replace(drawn, said=last.detail or drawn.detail)
        return drawn.placed(seed, self.optimizer, self.mode, len(graph.nodes), graph, least, time.monotonic() - started)

    def examine(self, graph: Graph) -> Outcome:
        """Derives, measures, and measures again what disagrees. Raises KeyboardInterrupt."""
        solution = self._derived(graph)
        if isinstance(solution, Outcome):
            return self._varied(graph, None) or solution if solution.kind == "clash" else solution
        if varied := self._varied(graph, solution):
            return varied
        if not self.sizes:
            return Outcome("derived")
        if self.mode == "isolated" and self._as_joint(graph, solution):
            return Outcome("same")
        return self._compared(graph, solution)

    def _compared(self, graph: Graph, solution: Solution) -> Outcome:
        """What training says of a rule."""
        try:
            report = self._measured(graph, solution, SEEDS, 0, self.sizes, 1)
            first, goals = _counts(report.rows), _counts([goal.row for goal in report.goals])
            if report.verdict is False:
                more = (*self.sizes, 2 * max(self.sizes))
                report = self._measured(graph, solution, AGAIN, 1000, more, 2)
        except ScaleRulesError as error:
            return Outcome("not measured", str(error))
        except Exception as error:  # a crash is what fuzzing looks for
            return Outcome("error", f"measuring: {type(error).__name__}: {error}")
        kind = {True: "agrees", None: "undecided", False: "disagrees"}[report.verdict]
        if kind == "disagrees" and any(SADDLE in warning for warning in solution.warnings):
            kind = "saddle"
        found = [(row.quantity, row) for row in report.wrong] + [(goal.goal, goal.row) for goal in report.failed]
        rows = tuple((what, r.node, r.step, r.parameter, str(r.predicted), r.why) for what, r in found)
        detail = "; ".join(_said(row) for row in rows[:3])
        return Outcome(kind, detail, first, goals, rows)

    def shrunk(self, graph: Graph, outcome: Outcome) -> Graph:
        """The smallest graph of which the same kind of thing is found."""
        end = time.monotonic() + SHRINK_LIMIT

        def holds(smaller: Graph) -> bool:
            if time.monotonic() > end or self.clock.over:
                raise TimeoutError
            try:
                again = self.examine(smaller)
            except KeyboardInterrupt:  # the finding is kept, then all ends
                self.clock.stopped = True
                raise
            return again.kind == outcome.kind and (not outcome.signs or bool(again.signs & outcome.signs))

        return shrink(graph, holds)

    def _derived(self, graph: Graph) -> Solution | Outcome:
        try:
            with cpu_limit(DERIVE_LIMIT):
                solution = self._rule(graph, self.mode)
            if solution.derivation is not None:  # what was changed by hand has none
                solution.check()
            return solution
        except _TooSlow:
            return Outcome("slow", f"deriving takes more than {DERIVE_LIMIT:g} s")
        except Clash as clash:
            return Outcome("clash", str(clash))
        except Exception as error:  # a crash is what fuzzing looks for
            return Outcome("error", f"deriving: {type(error).__name__}: {error}")

    def _rule(self, graph: Graph, mode: str) -> Solution:
        return self.rule(graph, optimizer=self.optimizer, **({} if mode == "joint" else {"mode": mode}))

    def _varied(self, graph: Graph, solution: Solution | None) -> Outcome | None:
        """The ways of writing the graph, all at once and then one by one, that have another rule (None: no rule)."""
        plain = None if solution is None else exponents(graph, solution)

        def differs(*names: str) -> bool:
            other = written(graph, *(CHANGES[name] for name in names))
            try:
                with cpu_limit(DERIVE_LIMIT):
                    return exponents(other, self._rule(other, self.mode)) != plain
            except Clash:
                return plain is not None

        try:
            if not differs(*CHANGES):
                return None
            names = [name for name in CHANGES if differs(name)] or list(CHANGES)
        except _TooSlow:
            return Outcome("slow", f"written in another way, deriving takes more than {DERIVE_LIMIT:g} s")
        except Exception as error:  # a crash is what fuzzing looks for
            return Outcome("error", f"deriving what is written in another way: {type(error).__name__}: {error}")
        return Outcome("varies", ", ".join(names))

    def _as_joint(self, graph: Graph, solution: Solution) -> bool:
        """Whether the rule is that of the joint mode, which is measured there."""
        try:
            return exponents(graph, self._rule(graph, "joint")) == exponents(graph, solution)
        except Clash:
            return False

    def _measured(
        self, graph: Graph, solution: Solution, seeds: int, seed: int, sizes: Sequence[float], looks: int
    ) -> Report:
        from scalerules.measurement.verification.verify import verify

        def measured(lr: float | None, steps: int) -> Report:
            report = verify(graph, solution, sizes, seeds, steps, lr, progress=False, jobs=1, seed=seed, looks=looks)
            if report.interrupted:
                raise KeyboardInterrupt
            return report

        if self.mode == "joint":
            return measured(None, STEPS)
        alone = measured(ALONE * self._edge(graph, solution, sizes), 1)
        return replace(alone, goals=[])  # they are wanted of what trains together

    def _edge(self, graph: Graph, solution: Solution, sizes: Sequence[float]) -> float:
        """The usual rate of a rule."""
        from scalerules.measurement.scales import scale_values
        from scalerules.measurement.verification.usual import usual_rate

        base = next(iter(scale_values(graph, solution, sizes, what="cannot fit slopes to")[1].values()))
        return usual_rate(graph, solution, base, STEPS).value


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    """Rows by status."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    return counts


def _said(row: tuple[Any, ...]) -> str:
    quantity, node, step, parameter, predicted, why = row
    return f"{quantity} of {node}{f' by {parameter}' if parameter else ''}, step {step}, predicted {predicted}: {why}"


@contextmanager
def cpu_limit(seconds: float) -> Generator[None]:
    """Raises inside after so many CPU seconds; no limit outside of the main thread, or where no such timer is."""
    if not hasattr(signal, "SIGVTALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)

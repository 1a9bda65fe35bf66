"""Whether a rule leaves something on the table: each rate and initial size, half a power larger, has to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from scalerules.sizes.exponents import Exponents
from scalerules.solution.solution import Solution

from .facts import VerificationFacts
from .goals import Goal
from .judge import Row

HALF = Fraction(1, 2)


def larger(
    solution: Solution, report: VerificationFacts, goals_of: Callable[[Solution], Sequence[Goal]]
) -> Iterator[Goal]:
    """A goal `maximal` for each rate and initial size: not reached where the larger rule reaches all the others."""
    for name, rule in solution.parameters.items():
        for size in ("lr", "init"):
            if name in report.silent:
                continue
            exponents: Exponents = getattr(rule, size)
            scale = next(scale for scale, growth in solution.direction.items() if growth)
            shifted = {**exponents, scale: exponents[scale] + HALF}
            goals = goals_of(replace(solution.changed(name, **{size: shifted}), sizes=()))
            row = Row(size, name, report.steps, Fraction(0), None, None, parameter=name)
            if goals and all(goal.row.sure for goal in goals):
                row = replace(row, status="wrong", why="half a power larger is as good")
            yield Goal("maximal", row)

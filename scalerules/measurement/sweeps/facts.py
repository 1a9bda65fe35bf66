"""What a sweep found: a curve of losses per rule and size, the optimum of each, and how it drifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .curves import LIMIT, Curve, Row
from .optimum import Drift, Losses, Optimum, fit, mean_losses


@dataclass
class SweepFacts:
    """What a sweep found: `rows` by rule and size, `drifts` by rule in grid steps of sqrt(2) per doubling of the size.

    `cpu_seconds` are those of all runs that the report rests on, `seconds` those of this call, in which `runs_made`
    runs were made (the others were on the disk).
    """

    graph: str
    optimizer: str
    rules: list[str]
    scale: str
    sizes: list[float]
    seeds: int
    steps: int
    data: str
    schedule: str
    lrs: tuple[float, ...] | None = None
    rows: list[Row] = field(default_factory=list[Row])
    drifts: dict[str, Drift] = field(default_factory=dict[str, Drift])
    seeds_used: int = 0
    runs_made: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    interrupted: bool = False
    over: str = "lr"
    """What is swept: the rate, or another number of a training loop of one's own."""

    @property
    def verdict(self) -> bool:
        """True if the first rule's optimum was located at every size and drifts by less than half a grid step."""
        first, drift = self.rules[0], self.drifts.get(self.rules[0])
        located = [row.optimum.located for row in self.rows if row.rule == first]
        return drift is not None and len(located) == len(self.sizes) and all(located) and abs(drift.steps) < LIMIT

    def row(self, rule: str, size: float) -> Row:
        """The row of a rule at a size. Raises `KeyError`."""
        return {(row.rule, row.size): row for row in self.rows}[rule, size]


def judged(report: SweepFacts, curves: Sequence[Curve]) -> None:
    """Fills rows and drifts in from the curves, with the seeds that are complete wherever there is anything."""
    seeds = _complete(report, curves)
    report.seeds_used = len(seeds)
    report.rows, report.drifts = [], {}
    for rule in report.rules:
        mine = {curve.size: curve for curve in curves if curve.rule == rule and curve.outcomes}
        losses: dict[float, Losses] = {size: curve.losses for size, curve in mine.items()}
        optima, drift = fit(losses, seeds)
        report.rows += [_row(curve, optima[size], seeds) for size, curve in mine.items()]
        if drift is not None:
            report.drifts[rule] = drift


def _complete(report: SweepFacts, curves: Sequence[Curve]) -> list[int]:
    """The seeds that have an optimum on every curve that was begun; the first one at least."""
    begun = [curve.losses for curve in curves if curve.outcomes]
    seeds = list(range(report.seeds))
    while len(seeds) > 1 and any(len(mean_losses(losses, seeds)) < 3 for losses in begun):
        seeds.pop()
    return seeds


def _row(curve: Curve, optimum: Optimum, seeds: Sequence[int]) -> Row:
    means = mean_losses(curve.losses, seeds)
    outcomes = [o for by_seed in curve.outcomes.values() for o in by_seed.values()]
    points = tuple((2.0**x, y) for x, y in means.items())
    return Row(curve.rule, curve.size, optimum, points, len(outcomes), sum(o.diverged for o in outcomes))

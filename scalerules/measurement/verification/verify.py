"""Measures what a solution predicts: trains the graph at several sizes and holds fitted slopes against sizes.

Training is done by `backends/training/ensemble.py`, the statistics are in `slopes.py` and `judge.py`. The base learning
rate is chosen near the largest stable one: at a tenth of it real instabilities stay invisible at any size that can be
trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.boundary.amounts import LARGEST_RATE, MOST_JOBS, positive, seeds_of, several, whole
from scalerules.boundary.working import working
from scalerules.derivation.question import direction_of
from scalerules.errors import ScaleRulesError
from scalerules.measurement.footprint import check_fits
from scalerules.ops.losses import LOSSES
from scalerules.optimizers import optimizer
from scalerules.optimizers.own import STEPS
from scalerules.solution.solution import Solution

from ..scales import scale_values
from ..trainers import training
from .edge import Rate, rises
from .goals import Goal, Table, judge_goals
from .judge import Key, Row, far_above, judge, measured, milder, warned
from .maximal import larger
from .predicted import (
    beside_gradients,
    climbing,
    floors_of,
    left_behind,
    of_parameter,
    peak_sizes,
    predicted_sizes,
    pulled,
    slow_names,
)
from .reading import Reading
from .report import Report
from .runs import Look, Runs, belong, few_samples, left_out, usable
from .slopes import Samples
from .usual import usual_rate

GENTLE = 0.25
"""The part of that rate at which what was measured too small is measured again: near the edge a wide network may have
learned everything within three steps, and what moves little then is not what scales wrongly."""


def verify(
    graph: Graph,
    solution: Solution,
    sizes: Sequence[float] | None = None,
    seeds: int | Sequence[int] = 4,
    steps: int = 3,
    lr: float | None = None,
    progress: bool = True,
    jobs: int | None = None,
    device: str = "cpu",
    seed: int = 0,
    looks: int = 3,
    maximal: bool = False,
    scales: Mapping[str, Any] | None = None,
) -> Report:
    """Trains `graph` with the numbers of `solution` and compares measured slopes with `solution.sizes`.

    `sizes` are values of the first scale of the solution's direction, the smallest being the base size; the others
    grow with it as the direction says. By default 1, 2, 4 and 8 times the graph's own base. `seeds` is a number of
    runs for every size, or one for each: wide networks average by themselves and need fewer. `lr` is the base learning
    rate, by default 0.4 of the largest that is stable at the base size. Where nothing is surely wrong and something is
    open, it looks again with twice the seeds, and with four times where something is still open that may grow (`looks`
    1: it does not). `maximal` asks as well whether each rate and initial size, half a power larger, fails: one more
    run of all sizes for each. `scales` says the direction again: it has to be the solution's. `device` is torch's name
    of one; `seed` the first seed. What is too small for single precision is measured in double. Ctrl-C returns what
    was measured until then.

    Raises `MissingExtra` without torch, `ScaleRulesError` for sizes or seeds that no slope can be fitted to, and for a
    device that is not there.
    """
    belong(graph, solution)
    if scales is not None:
        _along(graph, solution, scales)
    seeds_of(seeds, "seeds")
    whole(steps, "steps")
    whole(seed, "seed", 0)
    whole(looks, "looks", 1, 3)
    if lr is not None:
        positive(lr, "lr", LARGEST_RATE)
    if jobs is not None:
        whole(jobs, "jobs", 1, MOST_JOBS)
    if sizes is not None:
        several(sizes, "sizes", 2)
    training("measure")  # without torch, said before anything else
    training("optimizer_steps").trainable(solution.optimizer)
    jobs = 1 if solution.optimizer.partition("(")[0] in STEPS else jobs  # what is registered is known to this process
    device, graph, started = usable(device), few_samples(graph), time.monotonic()
    _, values_at = scale_values(graph, solution, sizes, what="cannot fit slopes to")
    by_size = {int(size) if size.is_integer() else size: values for size, values in values_at.items()}
    counts = _seed_counts(by_size, seeds, steps)
    base = next(iter(by_size.values()))
    check_fits(graph, by_size.values())
    with working(f"looking for the learning rate of {graph.name}", progress):
        rate = Rate(lr) if lr is not None else usual_rate(graph, solution, base, steps, seed, jobs, device)
    silent, chosen = left_out(graph, solution, base)
    growth = float(next(g for g in solution.direction.values() if g))
    report = Report(
        graph.name, solution.optimizer, list(by_size), counts[0], steps, rate, seeds_by_size=counts, growth=growth,
        silent=silent, chosen=chosen, scale=next(s for s, g in solution.direction.items() if g),
    )  # fmt: skip
    verification = _Verification(
        report, graph, solution, Look(graph, solution, by_size, base, steps, progress, jobs, device), seed
    )
    with working(f"measuring {graph.name}", progress):
        verification.run(looks)
    if maximal and report.verdict is not False and not report.interrupted:
        with working(f"measuring larger rules of {graph.name}", progress):
            report.goals += larger(solution, report, lambda rule: _goals_of(verification, rule))
    report.seconds = time.monotonic() - started
    return report


def _along(graph: Graph, solution: Solution, scales: Mapping[str, Any]) -> None:
    """Raises `ScaleRulesError` where a solution is of another direction than this."""
    asked, own = direction_of(graph, scales), {name: growth for name, growth in solution.direction.items() if growth}
    if asked != own:
        here, there = (", ".join(f"{name} = {growth}" for name, growth in each.items()) for each in (own, asked))
        text = f"the solution is along {here}, not along {there}"
        raise ScaleRulesError(text, hint="derive(graph, scales=...) gives one that is")


def _goals_of(verification: _Verification, rule: Solution) -> list[Goal]:
    """The goals of another rule of the same graph, at one look."""
    own, report = verification, verification.report
    blank = replace(report, rows=[], goals=[], samples={})
    other = _Verification(blank, own.graph, rule, replace(own.look, solution=rule, progress=False), own.seed)
    other.run(1)
    return blank.goals


def _seed_counts(scales: Mapping[float, object], seeds: int | Sequence[int], steps: int) -> list[int]:
    """The number of seeds at each size."""
    counts = [seeds] * len(scales) if isinstance(seeds, int) else list(seeds)
    if len(counts) != len(scales):
        hint = "one number for all, or one for each size"
        raise ScaleRulesError(f"{len(counts)} numbers of seeds for {len(scales)} sizes", hint=hint)
    if min(counts) < 1 or steps < 1:
        text = f"cannot measure with {min(counts)} seeds and {steps} steps"
        raise ScaleRulesError(text, hint="give at least one of each")
    if counts != sorted(counts, reverse=True):
        hint = "the same number, or fewer, such as 8,4,2,2"
        raise ScaleRulesError(f"more seeds at a larger size: {counts}", hint=hint)
    return counts


class _Verification:
    """A report while it is filled."""

    def __init__(self, report: Report, graph: Graph, solution: Solution, look: Look, seed: int) -> None:
        self.report, self.graph, self.solution, self.look, self.seed = report, graph, solution, look, seed

    def run(self, looks: int) -> None:
        """Looks; once more where that could decide something, and `looks` allows it."""
        report = self.report
        runs, whole = self._measure(report.rate.value, 0, 1)
        report.rows, report.interrupted = self._judge(runs), not whole
        if whole and any(row.unresolved for row in self._all_rows()):
            self.look = replace(self.look, double=True)
            runs, whole = self._measure(report.rate.value, 0, 1)
            report.rows, report.interrupted = self._judge(runs), not whole
        if looks < 2 or report.interrupted or far_above(report.rows) or report.verdict is True:
            return
        if any(self._near_the_edge(r) and r.status in ("wrong", "undecided") for r in self._all_rows()):
            gentle, whole = self._measure(report.rate.value * GENTLE, 0, 1)
            self._merge_gentle(gentle)
        off = [*report.wrong, *(goal.row for goal in report.failed)]
        below = all(row.excess < 0 for row in off)  # of few seeds: too few to see what it tends to
        while whole and report.conclusion != "agrees" and below and report.seeds > 1 and report.looks < looks:
            seen = 2 ** (report.looks - 1)
            more, whole = self._measure(report.rate.value, seen, 2 * seen)
            runs |= more
            report.rows, report.looks = self._judge(runs), report.looks + 1
            if whole and any(self._near_the_edge(r) and not r.sure for r in self._all_rows()):
                gentle, whole = self._measure(report.rate.value * GENTLE, 0, 2 * seen)
                self._merge_gentle(gentle)
            below = report.blunt or any(
                row.excess > 0 for row in report.open
            )  # what is surely off, or too small, stays
        report.interrupted = not whole

    def _measure(self, lr: float, start: int, stop: int) -> tuple[Runs, bool]:
        """The runs of some multiples of the asked number of seeds."""
        seeds = {
            size: range(self.seed + start * count, self.seed + stop * count)
            for size, count in zip(self.report.sizes, self.report.seeds_by_size, strict=True)
        }
        return self.look(lr, seeds)

    def _merge_gentle(self, runs: Runs) -> None:
        """What the rate alone may have put off is off only if it is at the gentler rate, too."""
        kept, rows = self.report.goals, self.report.rows
        off = {row.key for row in rows if not row.sure and self._near_the_edge(row)}
        again = {row.key: row for row in self._judge(runs, keep=False)}
        goals = {goal.key: goal.row for goal in self.report.goals}
        self.report.rows = [milder(row, again.get(row.key, row)) if row.key in off else row for row in rows]
        self.report.goals = [
            replace(goal, row=milder(goal.row, goals.get(goal.key, goal.row))) if goal.row.excess < 0 else goal
            for goal in kept
        ]

    def _near_the_edge(self, row: Row) -> bool:
        """Whether the rate alone may be why a row is off: it moves too little, or only later gradients grow.

        Long steps make a softmax certain, and then the gradient of a bounded loss scales as it does nowhere else.
        """
        grow = [r for r in self._all_rows() if r.excess > 0 and not r.sure]
        certain = LOSSES[self.graph.loss].bounded and all(r.quantity == "gradient" and r.step > 1 for r in grow)
        return row.excess < 0 or certain

    def _all_rows(self) -> list[Row]:
        return [*self.report.rows, *(goal.row for goal in self.report.goals)]

    def _judge(self, runs: Runs, keep: bool = True) -> list[Row]:
        """The rows of the sizes that were reached; with `keep`, their samples go to the report."""
        sizes = [size for size in self.report.sizes if any(reached == size for _, reached in runs)]
        seeds = sorted({seed for seed, _ in runs})
        if len(sizes) < 2:
            return []
        table = [[runs.get((seed, size)) for size in sizes] for seed in seeds]
        there = [run for row in table for run in row if run]
        reading = Reading(self.graph)
        predicted = predicted_sizes(self.solution, self.report.steps, there, self.report.silent, reading.weights)
        samples: dict[Key, Samples] = {
            key: [[run.rms.get(key, math.nan) if run else None for run in row] for row in table] for key in predicted
        }
        if keep:
            self.report.samples, self.report.measured_sizes, self.report.seeds_used = samples, sizes, len(seeds)
            self.report.rose = {
                size: sum(rises(run.losses) for (_, reached), run in runs.items() if reached == size) for size in sizes
            }
        logs = [math.log(size / self.report.sizes[0]) / self.report.growth for size in sizes]
        steps, silent = self.report.steps, self.report.silent
        floors = floors_of(self.graph, self.look.base)
        wanted = Table(table, logs, steps, silent, left_behind(self.solution), floors)
        self.report.goals = judge_goals(reading, wanted)
        measurements = [
            measured(key, size, logs, samples[key], floor=floors.get(of_parameter(key), 0.0))
            for key, size in predicted.items()
        ]
        peaks = peak_sizes(predicted, logs, pulled(samples, table), floors)
        slow, climbs = slow_names(self.graph, self.solution, predicted), climbing(self.solution, predicted)
        steady = optimizer(self.solution.optimizer).normalised()
        beside = beside_gradients(predicted, logs, samples, steady)
        return [warned(row, climbs) for row in judge(measurements, peaks, slow, beside, steady)]

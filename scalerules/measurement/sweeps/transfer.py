"""Learning-rate transfer: where the best rate lies at every size, for a rule and for what it is compared with.

The runs are planned in `plan.py`, kept in `store.py`, made in `workers.py`; the optimum and its uncertainty are in
`optimum.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.boundary.amounts import LARGEST_RATE, MOST_JOBS, MOST_SEEDS, positive, several, whole
from scalerules.boundary.working import working
from scalerules.catalogue.graphs import graph as load
from scalerules.catalogue.user_code import kind_of
from scalerules.derivation.derive import derive
from scalerules.errors import ScaleRulesError, UnknownName
from scalerules.measurement.footprint import check_fits
from scalerules.measurement.scales import leading_scale, scale_values
from scalerules.measurement.verification.runs import belong
from scalerules.solution.solution import Solution

from .compared import Compared, rules
from .curves import Curve
from .facts import judged
from .own import Train, name_of, own_job
from .plan import Plan, grid
from .report import TransferReport
from .store import AnyJob, Job, Outcome, Store
from .workers import Remaining, fitted, weight, work

__all__ = ["TransferReport", "transfer"]

SCHEDULES = ("linear", "constant")


def transfer(
    graph: Graph | str | Train,
    solution: Solution | None = None,
    sizes: Sequence[float] | None = None,
    lrs: Sequence[float] | None = None,
    *,
    base: float | None = None,
    compare: Compared = ("standard",),
    seeds: int = 3,
    steps: int = 100,
    data: Any = "auto",
    axes: Mapping[str, int] | None = None,
    schedule: str = "linear",
    weight_decay: float = 0.0,
    over: str = "lr",
    store: str | Path | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> TransferReport:
    """Trains at several sizes over a grid of rates and says where each optimum lies and how it drifts per doubling.

    `solution` (by default what `derive` gives for Adam) is held beside those of `compare`: names (`standard`, `ntk`,
    `mean-field`), solutions, or either by label. `sizes` are values of the first scale that grows, by default 1, 2, 4
    and 8 times the graph's own; the other scales grow with it as the direction says. At the size `base`, by default
    the smallest, all rules are the same: every number has its natural constant there. `lrs` are rates at the base; by
    default the grid of sqrt(2) is searched around each optimum. `data` is `text`, `digits`, `auto` or a source of
    one's own (`backends/training/real_data.py`), `axes` other lengths of axes that do not grow. `schedule` is `linear`
    (warm-up over a tenth of the steps, then down to nothing) or `constant`. `store` names the file that keeps every
    finished run: the same call goes on there after any kind of end. `jobs` processes make the runs, or the engine that
    joblib was told to use. Ctrl-C returns what is done so far.

    In place of the graph a training loop of one's own: `train(lr, seed, rule, **sizes)` returns the loss, where
    `rule.apply(model, lr=lr, ...)` sets a model up and gives the optimizer's groups, and `sizes` are the values of the
    scales. The argument of the rule may have any name. `over` names another number that is swept, `train(lr_beside,
    seed, rule, ...)`; the grid stands in `lrs` then too. Data, steps, schedule and decay are the loop's own.

    Raises `MissingExtra` without torch, `ScaleRulesError` for sizes, rates or data that do not fit.
    """
    _check(sizes, lrs, base, seeds, steps, axes, jobs)
    if callable(graph) and not isinstance(graph, Graph):
        given = {"data": data, "axes": axes, "schedule": schedule, "weight_decay": weight_decay}
        for name in (name for name, value in given.items() if value and value not in ("auto", "linear")):
            raise ScaleRulesError(f"{name}= is the training loop's own", hint="train(lr, seed, rule, **sizes)")
        report, curves = of_own(graph, solution, sizes, grid(lrs), base, compare, seeds, over)
        said = f"training by {report.graph}"
    else:
        if over != "lr":
            hint = "a training loop of your own sweeps what it likes: transfer(train, solution, over=...)"
            raise ScaleRulesError(f"a graph is trained over the rate, not over {over!r}", hint=hint)
        if schedule not in SCHEDULES:
            raise UnknownName("schedule", schedule, SCHEDULES)
        graph = load(graph) if isinstance(graph, str) else graph
        solution = derive(graph, "adam") if solution is None else solution
        belong(graph, solution)
        job = Job(graph, solution, {}, {}, 0.0, 0, steps, data, schedule, weight_decay)
        report, curves = of_graph(job, dict(axes or {}), sizes, grid(lrs), base, compare, seeds)
        said = f"training {report.graph}"
    with working(said, progress):
        _sweep(report, curves, Plan(report.lrs, tuple(range(seeds))), store, jobs, progress)
    return report


def _check(
    sizes: Sequence[float] | None, lrs: Sequence[float] | None, base: float | None, seeds: int, steps: int,
    axes: Mapping[str, int] | None, jobs: int | None,
) -> None:  # fmt: skip
    """Raises `ScaleRulesError` for numbers that cannot be meant."""
    whole(seeds, "seeds", 1, MOST_SEEDS)
    whole(steps, "steps")
    if jobs is not None:
        whole(jobs, "jobs", 1, MOST_JOBS)
    if sizes is not None:
        several(sizes, "sizes", 2)
    if axes is not None and not isinstance(axes, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ScaleRulesError(f"axes= is {kind_of(axes)}, not lengths by axis", hint="axes={'batch': 16}")
    if lrs is not None:
        several(lrs, "lrs", 1, LARGEST_RATE)
    if base is not None:
        positive(base, "base")


def of_graph(
    job: Job, axes: dict[str, int], sizes: Sequence[float] | None, lrs: tuple[float, ...] | None, base: float | None,
    compare: Compared, seeds: int,
) -> tuple[TransferReport, list[Curve]]:  # fmt: skip
    """The empty report and the curves of the graph of a job. Raises `ScaleRulesError`."""
    solution, compared = job.solution, rules(job.graph, job.solution, compare)
    graph, source = fitted(job.graph, job.data, axes)
    start, scales = scale_values(graph, solution, sizes, base)
    check_fits(graph, scales.values())
    job = replace(job, graph=graph, base=start, data=source)
    curves = [
        Curve(name, size, replace(job, solution=rule, sizes=values))
        for size, values in scales.items()
        for name, rule in compared.items()
    ]
    report = TransferReport(
        graph=graph.name, optimizer=solution.optimizer, rules=list(compared), sizes=list(scales),
        scale=leading_scale(solution), seeds=seeds, steps=job.steps, data=getattr(source, "name", str(source)),
        schedule=job.schedule, lrs=lrs,
    )  # fmt: skip
    return report, curves


def of_own(
    train: Train, solution: Solution | None, sizes: Sequence[float] | None, lrs: tuple[float, ...] | None,
    base: float | None, compare: Compared, seeds: int, over: str,
) -> tuple[TransferReport, list[Curve]]:  # fmt: skip
    """The empty report and the curves of a training loop of one's own. Raises `ScaleRulesError`."""
    graph = getattr(solution, "architecture", None)
    if solution is None or not isinstance(graph, Graph):
        hint = "transfer(train, sr.derive(graph, optimizer='adamw'), ...)"
        raise ScaleRulesError("a training loop needs the solution that it trains by, with its graph", hint=hint)
    compared = rules(graph, solution, compare)
    start, scales = scale_values(graph, solution, sizes, base)
    job = own_job(train, over, graph, solution, start)
    curves = [
        Curve(name, size, replace(job, solution=rule, sizes=values))
        for size, values in scales.items()
        for name, rule in compared.items()
    ]
    report = TransferReport(
        graph=graph.name, optimizer=solution.optimizer, rules=list(compared), sizes=list(scales),
        scale=leading_scale(solution), seeds=seeds, steps=0, data=f"by {name_of(train)}()", schedule="its own",
        lrs=lrs, over=over,
    )  # fmt: skip
    return report, curves


def _sweep(
    report: TransferReport, curves: list[Curve], plan: Plan, store: str | Path | None, jobs: int | None, progress: bool
) -> None:
    """Makes runs until the plan is content, then judges; Ctrl-C ends it early."""
    began, shown = time.monotonic(), Remaining(progress)
    with closing(Store(store)) as kept:
        try:
            while True:
                wanted = [(curve, job) for curve in curves for job in curve.missing(plan)]
                if not wanted:
                    break
                wanted.sort(key=lambda pair: (pair[1].seed, weight(pair[1])))
                owners: dict[str, list[Curve]] = {}
                for curve, job in wanted:  # what several rules share is run once
                    owners.setdefault(job.key, []).append(curve)
                by_key = {job.key: job for _, job in wanted}
                for job, outcome in work(by_key.values(), kept, shown, jobs):
                    _take(report, owners[job.key], job, outcome)
        except KeyboardInterrupt:
            report.interrupted = True
    judged(report, curves)
    report.seconds, report.runs_made = time.monotonic() - began, shown.count


def _take(report: TransferReport, owners: Sequence[Curve], job: AnyJob, outcome: Outcome) -> None:
    report.cpu_seconds += outcome.seconds
    for curve in owners:
        curve.outcomes.setdefault(job.lr, {})[job.seed] = outcome

"""Measures what a solution predicts: trains the graph at several sizes and holds fitted slopes against sizes.

Training is done by `backends/interpret.py` and `backends/training.py`, the statistics are in `slopes.py`. The base
learning rate is chosen near the largest stable one: at a tenth of it real instabilities stay invisible at any size
that can be trained.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .errors import MissingExtra, ScaleRulesError
from .graph import Graph
from .slopes import Row, Samples, far_above, judge, peak, row

if TYPE_CHECKING:
    from fractions import Fraction

    from .derivation import Predicted, Solution

Key = tuple[str, str, int, str | None]
"""(quantity, node, step, parameter for an own contribution)."""

SAMPLES = 16
"""Independent inputs (batch times time) that a run trains on: an aligned sum over a batch of N has a constant of about
1/sqrt(N) beside the independent ones, so a large batch hides for many sizes what is aligned."""
EDGE_STEPS = 6
"""Steps over which the loss must not rise above its start for a learning rate to count as stable."""
OF_THE_EDGE = 0.4
"""The base learning rate, as a part of the largest stable one."""
GENTLE = 0.25
"""The part of that rate at which what was measured too small is measured again: near the edge a wide network may have
learned everything within three steps, and what moves little then is not what scales wrongly."""
WORTH_PROCESSES = 3e8
"""Parameter entries times passes below which starting processes costs more than it saves."""


@dataclass(frozen=True)
class Rate:
    """The base learning rate, and the stable and the unstable rate that it was placed by (None: it was given)."""

    value: float
    stable: float | None = None
    unstable: float | None = None

    def __str__(self) -> str:
        if self.stable is None:
            return f"{self.value:.3g} (given)"
        above = f"{self.unstable:.3g} is not" if self.unstable is not None else "none was found that is not"
        return f"{self.value:.3g} ({OF_THE_EDGE:g} of {self.stable:.3g}, which is stable at the base size; {above})"


Runs = dict[tuple[int, float], Any]
"""What was measured (`backends.training.Measurement`), by seed and size."""


@dataclass(frozen=True)
class Task:
    """One training run of a verification."""

    size: float
    seed: int
    scales: Mapping[str, float]


@dataclass
class Report:
    """What was measured: a row per quantity with its verdict, and how the runs were made.

    `samples` holds the root mean squares by key, one list per seed with one number per size; `rose` counts the runs
    whose loss rose above its start, per size.
    """

    graph: str
    optimizer: str
    sizes: list[float]
    seeds: int
    steps: int
    rate: Rate
    rows: list[Row] = field(default_factory=list[Row])
    samples: dict[Key, Samples] = field(default_factory=dict[Key, Samples])
    rose: dict[float, int] = field(default_factory=dict[float, int])
    seeds_used: int = 0
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def verdict(self) -> bool:
        """True if something was measured and no row disagrees."""
        return bool(self.rows) and all(r.agrees for r in self.rows)

    @property
    def wrong(self) -> list[Row]:
        """The rows that disagree, those that are furthest off first."""
        return sorted((r for r in self.rows if not r.agrees), key=lambda r: -abs(r.excess))

    def to_json(self) -> str:
        """The report as JSON text (see the interface; `late`, `status`, `learning_rate` and more are added)."""
        data = {
            "graph": self.graph, "optimizer": self.optimizer, "sizes": self.sizes, "seeds": self.seeds,
            "seeds_used": self.seeds_used, "steps": self.steps, "learning_rate": self.rate.value,
            "learning_rate_note": str(self.rate), "interrupted": self.interrupted,
            "rows": [r.to_dict() for r in self.rows], "verdict": self.verdict,
        }  # fmt: skip
        return json.dumps(data, indent=1) + "\n"

    def to_table(self, every: bool = False) -> Any:
        """A rich table: by default one line per quantity and node (its last step) and every row that disagrees."""
        from .verify_view import table

        return table(self, every)

    def plot(self, path: str) -> None:
        """Draws measured sizes over the scale, divided by the predicted power: what agrees is level."""
        from .verify_view import plot

        plot(self, path)


def verify(
    graph: Graph,
    solution: Solution,
    sizes: Sequence[float] | None = None,
    seeds: int = 4,
    steps: int = 3,
    lr: float | None = None,
    progress: bool = True,
    jobs: int | None = None,
) -> Report:
    """Trains `graph` with the numbers of `solution` and compares measured slopes with `solution.sizes`.

    `sizes` are values of the first scale of the solution's direction, the smallest being the base size; the others
    grow with it as the direction says. By default 1, 2, 4 and 8 times the graph's own base. `lr` is the base learning
    rate, by default 0.4 of the largest that is stable at the base size. Where the verdict hangs on slopes that
    are only just off, it looks again with twice the seeds. Ctrl-C returns what was measured until then.

    Raises `MissingExtra` without torch, `ScaleRulesError` for sizes or seeds that no slope can be fitted to.
    """
    training, graph = _backend("training"), few_samples(graph)
    started, scales = time.monotonic(), _scale_values(graph, solution, sizes, seeds, steps)
    base = next(iter(scales.values()))
    rate = Rate(lr) if lr is not None else _rate(training, graph, solution, base)
    report = Report(graph.name, solution.optimizer, list(scales), seeds, steps, rate)
    look = _Look(graph, solution, scales, base, steps, progress, jobs)
    runs = look(rate.value, range(seeds), report)
    report.rows = _judge(report, solution, runs)
    if seeds > 1 and not report.interrupted and not report.verdict and not far_above(report.rows):
        _second_look(report, solution, look, runs)
    report.seconds = time.monotonic() - started
    return report


def _second_look(report: Report, solution: Solution, look: _Look, runs: Runs) -> None:
    """Measures again what is off: too large with twice the seeds, too small at a gentler rate as well."""
    if any(r.excess > 0 for r in report.wrong):
        runs |= look(report.rate.value, range(report.seeds, 2 * report.seeds), report)
        report.rows = _judge(report, solution, runs)
    if any(r.excess < 0 for r in report.wrong) and not report.interrupted:
        gentle = look(report.rate.value * GENTLE, range(report.seeds), report)
        again = {(r.quantity, r.node, r.step, r.parameter): r for r in _judge(report, solution, gentle, keep=False)}
        report.rows = [
            again.get((r.quantity, r.node, r.step, r.parameter), r) if not r.agrees and r.excess < 0 else r
            for r in report.rows
        ]


def few_samples(graph: Graph) -> Graph:
    """The graph with a batch so small that about `SAMPLES` inputs are seen, two at least; its sizes are the same.

    The batch is the first axis of an input, where it does not grow and no parameter has it.
    """
    taken = {axis for parameter in graph.parameters.values() for axis in parameter.axes}
    axes = dict(graph.axes)
    for node in graph.nodes.values():
        first, *others = node.axes if node.op == "input" and node.axes else [""]
        if not first or first in taken or graph.lengths[first].scales:
            continue
        fixed = [graph.lengths[axis].at({}) for axis in others[:-1] if not graph.lengths[axis].scales]
        axes[first] = min(graph.lengths[first].at({}), max(2, SAMPLES // math.prod(fixed)))
    return graph if axes == graph.axes else Graph.model_validate(graph.to_dict() | {"axes": axes})


def _backend(name: str) -> Any:
    """A module of the backends; they import torch, the engine does not."""
    try:
        return importlib.import_module(f"scalerules.backends.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "scalerules":
            raise
        raise MissingExtra("training a graph", "torch") from error


def _scale_values(
    graph: Graph, solution: Solution, sizes: Sequence[float] | None, seeds: int, steps: int
) -> dict[float, dict[str, float]]:
    """The value of every scale, by the size of the first one; the base size first."""
    growing = {name: growth for name, growth in solution.direction.items() if growth}
    if not growing:
        raise ScaleRulesError("no scale of the solution grows", hint="derive it with a growing scale")
    leading, bases = next(iter(growing)), graph.base_sizes()
    chosen = sorted({float(size) for size in sizes or [bases[leading] * factor for factor in (1, 2, 4, 8)]})
    if len(chosen) < 2 or chosen[0] <= 0:
        raise ScaleRulesError(f"cannot fit slopes to the sizes {list(sizes or [])}", hint="give two or more, above 0")
    if seeds < 1 or steps < 1:
        raise ScaleRulesError(f"cannot measure with {seeds} seeds and {steps} steps", hint="give at least one of each")
    result: dict[float, dict[str, float]] = {}
    for size in chosen:
        ratio = (size / chosen[0]) ** (1 / float(growing[leading]))
        values = {name: bases[name] * ratio ** float(growing.get(name, 0)) for name in graph.scales}
        result[int(size) if size.is_integer() else size] = values | {leading: size}
    return result


def _rate(training: Any, graph: Graph, solution: Solution, base: Mapping[str, float]) -> Rate:
    """Doubles or halves from 1/32 to the largest rate at which the loss does not rise at the base size."""
    program = training.Program(graph, solution, base, base)

    def stable(rate: float) -> bool:
        for seed in (0, 1):
            losses = training.losses(program, training.Trial(rate, EDGE_STEPS, seed))
            if not all(math.isfinite(loss) and loss <= losses[0] * 1.0001 for loss in losses):
                return False
        return True

    with training.one_thread():
        power = -5
        up = stable(2.0**power)
        while -40 < power < 20 and stable(2.0 ** (power + (1 if up else -1))) == up:
            power += 1 if up else -1
        power = power if up else power - 1
    if power <= -40:
        raise ScaleRulesError(
            "no learning rate is stable at the base size", where=f"graph {graph.name!r}", hint="give one (lr=)"
        )
    return Rate(OF_THE_EDGE * 2.0**power, 2.0**power, 2.0 ** (power + 1) if power < 20 else None)


def measure(graph: Graph, solution: Solution, base: Mapping[str, float], task: Task, lr: float, steps: int) -> Any:
    """One run, in whatever process: (task, measurement)."""
    training = _backend("training")
    own = {(p.node, p.parameter) for p in solution.sizes if p.quantity == "own" and p.parameter}
    with training.one_thread():
        program = training.Program(graph, solution, task.scales, base)
        return task, training.measure(program, training.Trial(lr, steps, task.seed), sorted(own) or None)


@dataclass(frozen=True)
class _Look:
    """Runs all sizes with some seeds at some rate; an interruption is noted in the report."""

    graph: Graph
    solution: Solution
    scales: Mapping[float, Mapping[str, float]]
    base: Mapping[str, float]
    steps: int
    progress: bool
    jobs: int | None

    def __call__(self, lr: float, seeds: Iterable[int], report: Report) -> Runs:
        tasks = [Task(size, seed, scales) for seed in seeds for size, scales in self.scales.items()]
        calls = [(self.graph, self.solution, self.base, task, lr, self.steps) for task in tasks]
        jobs = min(self.jobs or _worth(self.graph, tasks, self.steps), len(tasks))
        runs: Runs = {}
        try:
            with _progress(len(tasks), self.progress) as advance:
                for task, measurement in _results(calls, jobs):
                    runs[task.seed, task.size] = measurement
                    advance(f"size {task.size:g}, seed {task.seed}")
        except KeyboardInterrupt:
            report.interrupted = True
        return runs


def _worth(graph: Graph, tasks: Sequence[Task], steps: int) -> int:
    entries = 0.0
    for task in tasks:
        lengths = {axis: length.value(task.scales) for axis, length in graph.lengths.items()}
        entries += sum(math.prod(lengths[axis] for axis in graph.shape_of(name)) for name in graph.parameters)
    return (os.cpu_count() or 1) if entries * (steps + 1) > WORTH_PROCESSES else 1


def _results(calls: Iterable[tuple[Any, ...]], jobs: int) -> Iterator[Any]:
    if jobs > 1:
        try:
            from joblib import Parallel, delayed  # type: ignore[import-untyped]
        except ModuleNotFoundError:
            jobs = 1
        else:
            run: Any = Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered")
            yield from run(delayed(measure)(*call) for call in calls)
            return
    for call in calls:
        yield measure(*call)


class _progress:
    """A progress bar on standard error, once the work has taken two seconds, on a terminal only."""

    def __init__(self, total: int, wanted: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self.shown = wanted and sys.stderr.isatty()
        self.bar = Progress(console=console, transient=True)
        self.task = self.bar.add_task("measuring", total=total)
        self.since, self.started = time.monotonic(), False

    def __enter__(self) -> _progress:
        return self

    def __call__(self, what: str) -> None:
        self.bar.update(self.task, advance=1, description=what)
        if self.shown and not self.started and time.monotonic() - self.since > 2:
            self.started = True
            self.bar.start()

    def __exit__(self, *_: object) -> None:
        if self.started:
            self.bar.stop()


def _judge(report: Report, solution: Solution, runs: Runs, keep: bool = True) -> list[Row]:
    """The rows that the complete seeds say; with `keep`, their samples go to the report."""
    seeds = sorted({seed for seed, _ in runs})
    whole = [seed for seed in seeds if all((seed, size) in runs for size in report.sizes)]
    if not whole:
        return []
    growth = float(next(g for g in solution.direction.values() if g))
    logs = [math.log(size / report.sizes[0]) / growth for size in report.sizes]
    predicted = {
        key: p.size
        for p in solution.sizes
        if p.step <= report.steps
        and all((key := _key(p)) in runs[whole[0], size].rms for size in report.sizes)
    }
    numbers = [[runs[seed, size].rms for size in report.sizes] for seed in whole]
    samples = {key: [[rms.get(key, math.nan) for rms in of_seed] for of_seed in numbers] for key in predicted}
    if keep:
        report.seeds_used, report.samples = len(whole), samples
        report.rose = {size: sum(_rises(runs[seed, size].losses) for seed in whole) for size in report.sizes}
    rows = [row(key, size, logs, samples[key]) for key, size in predicted.items()]
    return judge(rows, _peaks(predicted, logs, samples))


def _key(p: Predicted) -> Key:
    return (p.quantity, p.node, p.step, p.parameter if p.quantity == "own" else None)


def _peaks(
    predicted: Mapping[Key, Fraction | None], logs: Sequence[float], samples: Mapping[Key, Samples]
) -> dict[tuple[str, str, str | None], Row]:
    """The row of the maximum over steps, by quantity, node, parameter; its step is the first that should reach it."""
    steps: dict[tuple[str, str, str | None], list[Key]] = {}
    for key in predicted:
        steps.setdefault((key[0], key[1], key[3]), []).append(key)
    peaks: dict[tuple[str, str, str | None], Row] = {}
    for name, keys in steps.items():
        top = max((size for key in keys if (size := predicted[key]) is not None), default=None)
        first = min(key[2] for key in keys if predicted[key] == top)
        key = (name[0], name[1], first, name[2])
        # what tends to its size must do so where that is first reached: later steps mix in how training went
        heading = row(key, top, logs, samples[key]).tends
        peaks[name] = replace(row(key, top, logs, peak(samples[k] for k in keys)), tends=heading)
    return peaks


def _rises(losses: Sequence[float]) -> bool:
    return not all(math.isfinite(loss) and loss <= losses[0] * 1.0001 for loss in losses)

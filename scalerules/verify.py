"""Measures what a solution predicts: trains the graph at several sizes and holds fitted slopes against sizes.

Training is done by `backends/interpret.py` and `backends/training.py`, the statistics are in `slopes.py`. The base
learning rate is chosen near the largest stable one: at a tenth of it real instabilities stay invisible at any size
that can be trained.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .errors import ScaleRulesError
from .graph import Graph
from .runs import Look, Rate, Runs, backend, few_samples, rises, stable_rate
from .slopes import Name, Row, Samples, far_above, judge, peak, row

if TYPE_CHECKING:
    from fractions import Fraction

    from .solution import Predicted, Solution

Key = tuple[str, str, int, str | None]
"""(quantity, node, step, parameter for an own contribution)."""

GENTLE = 0.25
"""The part of that rate at which what was measured too small is measured again: near the edge a wide network may have
learned everything within three steps, and what moves little then is not what scales wrongly."""


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
    backend("training")  # without torch, said before anything else
    graph, started = few_samples(graph), time.monotonic()
    scales = _scale_values(graph, solution, sizes, seeds, steps)
    base = next(iter(scales.values()))
    rate = Rate(lr) if lr is not None else stable_rate(graph, solution, base)
    report = Report(graph.name, solution.optimizer, list(scales), seeds, steps, rate)
    look = Look(graph, solution, scales, base, steps, progress, jobs)
    runs, whole = look(rate.value, range(seeds))
    report.rows, report.interrupted = _judge(report, graph, solution, runs), not whole
    if seeds > 1 and not report.interrupted and not report.verdict and not far_above(report.rows):
        _second_look(report, graph, solution, look, runs)
    report.seconds = time.monotonic() - started
    return report


def _second_look(report: Report, graph: Graph, solution: Solution, look: Look, runs: Runs) -> None:
    """Measures again what is off: too large with twice the seeds, too small at a gentler rate as well."""
    if any(r.excess > 0 for r in report.wrong):
        more, whole = look(report.rate.value, range(report.seeds, 2 * report.seeds))
        report.rows, report.interrupted = _judge(report, graph, solution, runs | more), not whole
    if any(r.excess < 0 for r in report.wrong) and not report.interrupted:
        gentle, whole = look(report.rate.value * GENTLE, range(report.seeds))
        report.interrupted = not whole
        again = {r.key: r for r in _judge(report, graph, solution, gentle, keep=False)}
        report.rows = [again.get(r.key, r) if not r.agrees and r.excess < 0 else r for r in report.rows]


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


def _judge(report: Report, graph: Graph, solution: Solution, runs: Runs, keep: bool = True) -> list[Row]:
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
    samples: dict[Key, Samples] = {}
    samples |= {key: [[rms.get(key, math.nan) for rms in of_seed] for of_seed in numbers] for key in predicted}
    if keep:
        report.seeds_used, report.samples = len(whole), samples
        report.rose = {size: sum(rises(runs[seed, size].losses) for seed in whole) for size in report.sizes}
    rows = [row(key, size, logs, samples[key]) for key, size in predicted.items()]
    read = {(name, parameter) for name, node in graph.walk() for parameter in node.parameters}
    further = {("own", node, parameter) for _, node, _, parameter in predicted if (node, parameter) not in read}
    return judge(rows, _peaks(predicted, logs, samples), further)


def _key(p: Predicted) -> Key:
    return (p.quantity, p.node, p.step, p.parameter if p.quantity == "own" else None)


def _peaks(
    predicted: Mapping[Key, Fraction | None], logs: Sequence[float], samples: Mapping[Key, Samples]
) -> dict[Name, Row]:
    """The row of the maximum over steps, by quantity, node, parameter; its step is the first that should reach it."""
    steps: dict[Name, list[Key]] = {}
    for key in predicted:
        steps.setdefault((key[0], key[1], key[3]), []).append(key)
    peaks: dict[Name, Row] = {}
    for name, keys in steps.items():
        top = max((size for key in keys if (size := predicted[key]) is not None), default=None)
        first = min(key[2] for key in keys if predicted[key] == top)
        key = (name[0], name[1], first, name[2])
        # what tends to its size must do so where that is first reached: later steps mix in how training went
        heading = row(key, top, logs, samples[key]).tends
        peaks[name] = replace(row(key, top, logs, peak(samples[k] for k in keys)), tends=heading)
    return peaks

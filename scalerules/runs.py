"""The runs of a verification: which base learning rate, how many samples, in which processes, with what progress.

`verify.py` asks for them and judges; the training itself is `backends/training.py`.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import MissingExtra, ScaleRulesError
from .graph import Graph

if TYPE_CHECKING:
    from .solution import Solution

SAMPLES = 16
"""Independent inputs (batch times time) that a run trains on: an aligned sum over a batch of N has a constant of about
1/sqrt(N) beside the independent ones, so a large batch hides for many sizes what is aligned."""
EDGE_STEPS = 6
"""Steps over which the loss must not rise above its start for a learning rate to count as stable."""
OF_THE_EDGE = 0.4
"""The base learning rate, as a part of the largest stable one."""
WORTH_PROCESSES = 1e9
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


def backend(name: str) -> Any:
    """A module of the backends; they import torch, the engine does not."""
    try:
        return importlib.import_module(f"scalerules.backends.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "scalerules":
            raise
        raise MissingExtra("training a graph", "torch") from error


def stable_rate(graph: Graph, solution: Solution, base: Mapping[str, float]) -> Rate:
    """A rate near the largest at which the loss does not rise at the base size, found by doubling or halving.

    Raises `ScaleRulesError` if there is none above 2^-40.
    """
    training = backend("training")
    program = training.Program(graph, solution, base, base)

    def stable(rate: float) -> bool:
        return not any(rises(training.losses(program, training.Trial(rate, EDGE_STEPS, seed))) for seed in (0, 1))

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


def rises(losses: Sequence[float]) -> bool:
    """Whether a loss goes above its start, by more than rounding, or is not finite."""
    return not all(math.isfinite(loss) and loss <= losses[0] * 1.0001 for loss in losses)


def measure(graph: Graph, solution: Solution, base: Mapping[str, float], task: Task, lr: float, steps: int) -> Any:
    """One run, in whatever process: (task, measurement)."""
    training = backend("training")
    own = {(p.node, p.parameter) for p in solution.sizes if p.quantity == "own" and p.parameter}
    with training.one_thread():
        program = training.Program(graph, solution, task.scales, base)
        return task, training.measure(program, training.Trial(lr, steps, task.seed), sorted(own) or None)


@dataclass(frozen=True)
class Look:
    """Runs all sizes with some seeds at some rate; returns what was measured, and whether all of it was."""

    graph: Graph
    solution: Solution
    scales: Mapping[float, Mapping[str, float]]
    base: Mapping[str, float]
    steps: int
    progress: bool
    jobs: int | None

    def __call__(self, lr: float, seeds: Iterable[int]) -> tuple[Runs, bool]:
        tasks = [Task(size, seed, scales) for seed in seeds for size, scales in self.scales.items()]
        calls = [(self.graph, self.solution, self.base, task, lr, self.steps) for task in tasks]
        jobs = min(self.jobs or _worth(self.graph, tasks, self.steps), len(tasks))
        runs: Runs = {}
        try:
            with Progress(len(tasks), self.progress) as advance:
                for task, measurement in _results(calls, jobs):
                    runs[task.seed, task.size] = measurement
                    advance(f"size {task.size:g}, seed {task.seed}")
        except KeyboardInterrupt:
            return runs, False
        return runs, True


def _worth(graph: Graph, tasks: Sequence[Task], steps: int) -> int:
    """How many processes the work is worth."""
    entries = 0.0
    for task in tasks:
        lengths = {axis: length.value(task.scales) for axis, length in graph.lengths.items()}
        entries += sum(math.prod(lengths[axis] for axis in graph.shape_of(name)) for name in graph.parameters)
    return (os.cpu_count() or 1) if entries * (steps + 1) > WORTH_PROCESSES else 1


def _results(calls: Iterable[tuple[Any, ...]], jobs: int) -> Iterator[Any]:
    if jobs > 1:
        try:
            from joblib import Parallel, delayed  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
        except ModuleNotFoundError:
            jobs = 1
        else:
            run: Any = Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered")
            yield from run(delayed(measure)(*call) for call in calls)
            return
    for call in calls:
        yield measure(*call)


class Progress:
    """A progress bar on standard error, once the work has taken two seconds, on a terminal only."""

    def __init__(self, total: int, wanted: bool) -> None:
        from rich import progress
        from rich.console import Console

        console = Console(stderr=True)
        self.shown = wanted and sys.stderr.isatty()
        self.bar = progress.Progress(console=console, transient=True)
        self.task = self.bar.add_task("measuring", total=total)
        self.since, self.started = time.monotonic(), False

    def __enter__(self) -> Progress:
        return self

    def __call__(self, what: str) -> None:
        self.bar.update(self.task, advance=1, description=what)
        if self.shown and not self.started and time.monotonic() - self.since > 2:
            self.started = True
            self.bar.start()

    def __exit__(self, *_: object) -> None:
        if self.started:
            self.bar.stop()

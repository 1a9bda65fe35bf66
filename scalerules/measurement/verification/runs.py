"""The runs of a verification: which base learning rate, how many samples, which seeds, in which processes.

`verify.py` asks for them and judges; the training itself is `backends/training/ensemble.py`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError, UnknownName, short
from scalerules.measurement.progress import Progress
from scalerules.solution.solution import Solution

from ..footprint import step_cost
from ..trainers import trainer, training
from .reading import Reading

SAMPLES = 16
"""Independent inputs (batch times time) that a run trains on: an aligned sum over a batch of N has a constant of about
1/sqrt(N) beside the independent ones, so a large batch hides for many sizes what is aligned."""
WORTH_PROCESSES = 4e9
"""Parameter entries times passes below which starting processes costs more than it saves."""


Runs = dict[tuple[int, float], Any]
"""What was measured (`backends.training.Measurement`), by seed and size."""


@dataclass(frozen=True)
class Task:
    """The training runs of a verification at one size."""

    size: float
    seeds: Sequence[int]
    scales: Mapping[str, float]


def belong(graph: Graph, solution: Solution) -> None:
    """Raises `ScaleRulesError` unless these are a graph and its solution."""
    if not isinstance(graph, Graph):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ScaleRulesError(f"{short(graph)} is no graph", hint="such as sr.graph('mlp')")
    if not hasattr(solution, "direction"):
        raise ScaleRulesError(f"{short(solution)} is no solution", hint="such as sr.derive(graph, optimizer='adam')")
    for name in getattr(solution, "parameters", ()):
        if name not in graph.parameters:
            raise UnknownName("parameter", name, graph.parameters, where=f"graph {graph.name!r}")


def few_samples(graph: Graph) -> Graph:
    """The graph with a batch so small that about `SAMPLES` inputs are seen, two at least; its sizes are the same.

    The batch is the first axis of an input, where it does not grow and no parameter has it.
    """
    if getattr(graph, "live", None) is not None:
        return graph  # a module brings its own inputs
    taken = {axis for parameter in graph.parameters.values() for axis in parameter.axes}
    axes = dict(graph.axes)
    for node in graph.nodes.values():
        first, *others = node.axes if node.op == "input" and node.axes else [""]
        if not first or first in taken or graph.lengths[first].scales:
            continue
        fixed = [graph.lengths[axis].at({}) for axis in others[:-1] if not graph.lengths[axis].scales]
        axes[first] = min(graph.lengths[first].at({}), max(2, SAMPLES // math.prod(fixed)))
    return graph if axes == graph.axes else Graph.model_validate(graph.to_dict() | {"axes": axes})


def usable(device: str) -> str:
    """The device itself. Raises `ScaleRulesError` where torch cannot use it."""
    torch = training("measure").torch
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = str(error).splitlines()[0].rstrip(".")
        text = f"cannot train on the device {device!r}: {said}"
        raise ScaleRulesError(text, hint="cpu, or cuda with a GPU") from None
    return device


def left_out(graph: Graph, solution: Solution, base: Mapping[str, float]) -> tuple[list[str], list[str]]:
    """The parameters that nothing depends on, and the nodes whose rows are others after a step."""
    module = training("module_program" if getattr(graph, "live", None) is not None else "measure")
    with training("measure").one_thread():
        program = trainer(graph)[0](graph, solution, base, base)
        return module.silent(program), list(program.chosen)


def measure(graph: Graph, solution: Solution, base: Mapping[str, float], task: Task, lr: float, steps: int,
            device: str = "cpu", double: bool = False) -> Iterator[tuple[int, float, Any]]:  # fmt: skip
    """Runs at one size, in whatever process: (seed, size, measurement) as they are ready; `double`: that precision."""
    measuring, (of, _, looked_at) = training("measure"), trainer(graph)
    reading = Reading(graph)
    watched = measuring.Watched(reading.frozen, () if reading.data_grow else reading.judged)
    own = {(p.node, p.parameter) for p in solution.sizes if p.quantity == "own" and p.parameter}
    with measuring.one_thread():
        program = of(graph, solution, task.scales, base)
        program = replace(program, dtype=measuring.torch.float64) if double else program
        trials = [measuring.Trial(lr, steps, seed) for seed in task.seeds]
        for seed, measured in zip(task.seeds, looked_at(program, trials, own, device, watched), strict=True):
            yield seed, task.size, measured


@dataclass(frozen=True)
class Look:
    """Runs all sizes with some seeds at some rate; returns what was measured, and whether all of it was.

    Small sizes come first, so that an interruption leaves slopes over those.
    """

    graph: Graph
    solution: Solution
    scales: Mapping[float, Mapping[str, float]]
    base: Mapping[str, float]
    steps: int
    progress: bool
    jobs: int | None
    device: str = "cpu"
    double: bool = False

    def __call__(self, lr: float, seeds: Mapping[float, Iterable[int]]) -> tuple[Runs, bool]:
        tasks = [Task(size, list(seeds[size]), scales) for size, scales in self.scales.items()]
        costs = {task.size: step_cost(self.graph, task.scales) for task in tasks}
        total = sum(costs[task.size] * len(task.seeds) for task in tasks)
        worth = (os.cpu_count() or 1) if total * (self.steps + 1) > WORTH_PROCESSES else 1
        jobs = 1 if self.device != "cpu" else self.jobs or worth
        runs: Runs = {}
        try:
            with Progress(total, self.progress) as advance:
                for seed, size, measurement in _results(tasks, self._call(lr), jobs):
                    runs[seed, size] = measurement
                    advance(f"size {size:g}, seed {seed}", costs[size])
        except KeyboardInterrupt:
            return runs, False
        return runs, True

    def _call(self, lr: float) -> Callable[[Task], tuple[Any, ...]]:
        return lambda task: (self.graph, self.solution, self.base, task, lr, self.steps, self.device, self.double)


def _results(
    tasks: Sequence[Task], call: Callable[[Task], tuple[Any, ...]], jobs: int
) -> Iterator[tuple[int, float, Any]]:
    """What is measured, in this process or, seed by seed, in several."""
    if jobs > 1:
        try:
            from joblib import Parallel, delayed  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
        except ModuleNotFoundError:
            jobs = 1
        else:
            run: Any = Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered")
            single = [Task(task.size, [seed], task.scales) for task in reversed(tasks) for seed in task.seeds]
            for results in run(delayed(_listed)(*call(task)) for task in single):
                yield from results
            return
    for task in tasks:
        yield from measure(*call(task))


def _listed(*arguments: Any) -> list[tuple[int, float, Any]]:
    return list(measure(*arguments))

"""The runs of a verification: which base learning rate, how many samples, which seeds, in which processes.

`verify.py` asks for them and judges; the training itself is `backends/ensemble.py`.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalerules.architecture.graph import Graph
from scalerules.measurement.progress import Progress

from .errors import MissingExtra, ScaleRulesError, UnknownName, short

if TYPE_CHECKING:
    from scalerules.solution.solution import Solution

SAMPLES = 16
"""Independent inputs (batch times time) that a run trains on: an aligned sum over a batch of N has a constant of about
1/sqrt(N) beside the independent ones, so a large batch hides for many sizes what is aligned."""
EDGE_STEPS = 6
"""Steps over which the loss must not rise above its start for a learning rate to count as stable."""
EDGE_SEEDS = (0, 1)
OF_THE_EDGE = 0.4
"""The base learning rate, as a part of the largest stable one."""
AT_ONCE = 4
"""Learning rates, each twice the one before, that are tried together."""
WORTH_PROCESSES = 4e9
"""Parameter entries times passes below which starting processes costs more than it saves."""
OVERHEAD = 1e5
"""What a run costs whatever its size, in parameter entries."""


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


def backend(name: str) -> Any:
    """A module of the backends; they import torch, the engine does not."""
    try:
        return importlib.import_module(f"scalerules.backends.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "scalerules":
            raise
        raise MissingExtra("training a graph", "torch") from error


def trainer(graph: Graph) -> tuple[Any, Any, Any]:
    """What runs a graph, and what trains it: the interpreter, or of a traced module the module itself."""
    if getattr(graph, "live", None) is not None:
        module = backend("live")
        return module.LiveProgram, module.losses, module.measure
    return backend("training").Program, backend("ensemble").losses, backend("ensemble").measure


def usable(device: str) -> str:
    """The device itself. Raises `ScaleRulesError` where torch cannot use it."""
    torch = backend("training").torch
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = str(error).splitlines()[0].rstrip(".")
        text = f"cannot train on the device {device!r}: {said}"
        raise ScaleRulesError(text, hint="cpu, or cuda with a GPU") from None
    return device


def stable_rate(graph: Graph, solution: Solution, base: Mapping[str, float], device: str = "cpu") -> Rate:
    """A rate near the largest at which the loss does not rise at the base size, among the powers of two.

    Several rates train at once, and the next ones where the edge is not among them.

    Raises `ScaleRulesError` if there is none above 2^-40.
    """
    training, (of, losses, _) = backend("training"), trainer(graph)
    program = of(graph, solution, base, base)

    def stable(powers: Sequence[int]) -> list[bool]:
        trials = [training.Trial(2.0**power, EDGE_STEPS, seed) for power in powers for seed in EDGE_SEEDS]
        bad = [rises(history) for history in losses(program, trials, device)]
        return [not any(bad[i : i + len(EDGE_SEEDS)]) for i in range(0, len(bad), len(EDGE_SEEDS))]

    with training.one_thread():
        power = _edge(stable)
    if power is None:
        hint = "give one (lr=)"
        raise ScaleRulesError("no learning rate is stable at the base size", where=f"graph {graph.name!r}", hint=hint)
    return Rate(OF_THE_EDGE * 2.0**power, 2.0**power, 2.0 ** (power + 1) if power < 20 else None)


def silent(graph: Graph, solution: Solution, base: Mapping[str, float]) -> list[str]:
    """The parameters that nothing depends on, so that there is nothing to measure: see `training.silent`."""
    module = backend("live" if getattr(graph, "live", None) is not None else "training")
    training = backend("training")
    with training.one_thread():
        return module.silent(trainer(graph)[0](graph, solution, base, base))


def _edge(stable: Any) -> int | None:
    """The power below the first unstable one above a stable one; 20 if there is none, None if nothing is stable."""
    low, high, known = -6, -6, dict[int, bool]()
    while True:
        asked = list(range(high, high + AT_ONCE)) if low == high or known[low] else list(range(low - AT_ONCE, low))
        known |= dict(zip(asked, stable(asked), strict=True))
        low, high = min(known), max(known) + 1
        edges = [power for power in known if known[power] and known.get(power + 1) is False]
        if edges:
            return min(edges)
        if not known[low] and low <= -40:
            return None
        if known[low] and high > 20:
            return 20


JUMP = 1e-3
"""The part of a loss by which it has to change before its standing still says something."""


def rises(losses: Sequence[float]) -> bool:
    """Whether a loss goes above its start, by more than rounding, is not finite, or got stuck.

    Bounded outputs (a sigmoid) saturate at any rate that is too large: the loss jumps and then stands still.
    """
    jumped = any(abs(loss - losses[0]) > JUMP * abs(losses[0]) for loss in losses)
    stuck = jumped and len(losses) > 3 and len(set(losses[-3:])) == 1
    return stuck or not all(math.isfinite(loss) and loss <= losses[0] * 1.0001 for loss in losses)


def measure(graph: Graph, solution: Solution, base: Mapping[str, float], task: Task, lr: float, steps: int,
            device: str = "cpu") -> Iterator[tuple[int, float, Any]]:  # fmt: skip
    """Runs at one size, in whatever process: (seed, size, measurement) as they are ready."""
    training, (of, _, looked_at) = backend("training"), trainer(graph)
    own = {(p.node, p.parameter) for p in solution.sizes if p.quantity == "own" and p.parameter}
    with training.one_thread():
        program = of(graph, solution, task.scales, base)
        trials = [training.Trial(lr, steps, seed) for seed in task.seeds]
        for seed, measured in zip(task.seeds, looked_at(program, trials, own, device), strict=True):
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

    def __call__(self, lr: float, seeds: Mapping[float, Iterable[int]]) -> tuple[Runs, bool]:
        tasks = [Task(size, list(seeds[size]), scales) for size, scales in self.scales.items()]
        costs = {task.size: self._cost(task) for task in tasks}
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
        return lambda task: (self.graph, self.solution, self.base, task, lr, self.steps, self.device)

    def _cost(self, task: Task) -> float:
        """What a run costs, in parameter entries."""
        lengths = {axis: length.value(task.scales) for axis, length in self.graph.lengths.items()}
        shapes = [self.graph.shape_of(name) for name in self.graph.parameters]
        return OVERHEAD + sum(math.prod(lengths[axis] for axis in shape) for shape in shapes)


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
            for found in run(delayed(_listed)(*call(task)) for task in single):
                yield from found
            return
    for task in tasks:
        yield from measure(*call(task))


def _listed(*arguments: Any) -> list[tuple[int, float, Any]]:
    return list(measure(*arguments))

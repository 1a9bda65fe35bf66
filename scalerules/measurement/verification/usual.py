"""The learning rate at which a rule is measured where none is given."""

from __future__ import annotations

from collections.abc import Mapping

from scalerules.architecture.graph import Graph
from scalerules.solution.solution import Solution

from .edge import EDGE_SEEDS, Rate, stable_rate, turns
from .reading import Reading
from .runs import Look


def usual_rate(
    graph: Graph, solution: Solution, base: Mapping[str, float], steps: int, seed: int = 0, jobs: int | None = 1,
    device: str = "cpu",
) -> Rate:  # fmt: skip
    """The base learning rate: near the largest stable one, less where values would be new altogether.

    That is asked where nothing else bounds the rate: of what normed weights make for norms, and of all that something
    not linear reads where no rate is too large (a loss that cannot rise, behind a norm and fixed weights).
    """
    rate, reading = stable_rate(graph, solution, base, device), Reading(graph)
    nodes = reading.turning or (reading.judged if rate.unstable is None else frozenset[str]())
    if not nodes:
        return rate
    size = next(iter(base.values()))
    look = Look(graph, solution, {size: base}, base, steps, False, jobs, device)
    runs, _ = look(rate.value, {size: range(seed, seed + len(EDGE_SEEDS))})
    return rate.turning(max((turns(run.rms, nodes, steps) for run in runs.values()), default=0.0))

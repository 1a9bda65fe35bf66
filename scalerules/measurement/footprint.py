"""What a training run takes: the least memory, reckoned before anything is allocated, and about how long."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from scalerules.architecture.graph import Graph
from scalerules.boundary.memory import check

COPIES = 4
"""So often a parameter is there while it is trained: its start, itself, its gradient, what the optimizer keeps."""
BYTES = 4
OVERHEAD = 1e5
"""Parameter entries that take as long as what does not depend on the size."""


def check_fits(graph: Graph, sizes: Iterable[Mapping[str, float]], option: str = "sizes") -> None:
    """Raises `ScaleRulesError` where a run at the largest of these values of the scales cannot be allocated."""
    largest = max(sizes, key=lambda values: footprint(graph, values))
    said = ", ".join(f"{name} {value:g}" for name, value in largest.items())
    check(footprint(graph, largest), f"training at {said}", hint=f"give smaller {option}")


def footprint(graph: Graph, values: Mapping[str, float]) -> float:
    """Bytes that a run takes at least: the parameters with their copies, and the largest value with its gradient."""
    lengths = {axis: max(1.0, length.value(values)) for axis, length in graph.lengths.items()}
    largest = max(math.prod(lengths[axis] for axis in graph.axes_of(name)) for name, _ in graph.walk())
    return BYTES * (COPIES * entries(graph, values) + 2 * largest)


def step_cost(graph: Graph, values: Mapping[str, float]) -> float:
    """About how long a step takes, next to others: parameter entries, and something for every operation."""
    return OVERHEAD + entries(graph, values)


def entries(graph: Graph, values: Mapping[str, float]) -> float:
    """The entries of all parameters at these values of the scales."""
    lengths = {axis: length.value(values) for axis, length in graph.lengths.items()}
    return sum(math.prod(lengths[axis] for axis in graph.shape_of(name)) for name in graph.parameters)

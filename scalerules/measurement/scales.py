"""The values of every scale at the sizes that are measured."""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError
from scalerules.solution.solution import Solution


def leading_scale(solution: Solution) -> str:
    """The first scale that grows along the direction of a solution. Raises `ScaleRulesError` where none does."""
    for name, growth in solution.direction.items():
        if growth:
            return name
    raise ScaleRulesError("no scale of the solution grows", hint="derive it with a growing scale")


def scale_values(
    graph: Graph,
    solution: Solution,
    sizes: Sequence[float] | None,
    base: float | None = None,
    what: str = "no drift can be found over",
) -> tuple[dict[str, float], dict[float, dict[str, float]]]:
    """The value of every scale at the base, and by the size of the first that grows.

    Without `base` the smallest size is the base. Raises `ScaleRulesError` for fewer than two sizes; `what`: what for.
    """
    leading, bases = leading_scale(solution), graph.base_sizes()
    growth = float(solution.direction[leading])
    chosen = sorted({float(value) for value in sizes or [bases[leading] * factor for factor in (1, 2, 4, 8)]})
    if len(chosen) < 2 or chosen[0] <= 0:
        raise ScaleRulesError(f"{what} the sizes {list(sizes or [])}", hint="two or more, above 0")
    start = chosen[0] if base is None else float(base)
    if not start > 0:
        raise ScaleRulesError(f"the base size cannot be {start:g}", hint="give one above 0")

    def values(value: float) -> dict[str, float]:
        ratio = (value / start) ** (1 / growth)
        others = {name: bases[name] * ratio ** float(solution.direction.get(name, 0)) for name in graph.scales}
        return others | {leading: value}

    return values(start), {value: values(value) for value in chosen}

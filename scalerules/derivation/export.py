"""A solution as source code, and on a live model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.catalogue.backends import backend
from scalerules.catalogue.user_code import kind_of
from scalerules.errors import ScaleRulesError
from scalerules.solution.solution import Solution


def emit(solution: Solution, to: str = "pytorch", *, graph: Graph | None = None) -> str:
    """The rules of `solution` as readable, self-contained source code for the backend `to`.

    `graph` is needed where the solution does not carry it (after `Solution.from_json`).
    """

    if not isinstance(solution, Solution):  # pyright: ignore[reportUnnecessaryIsInstance]
        what = f"emit writes a solution, not {kind_of(solution)}"
        raise ScaleRulesError(what, hint="sr.emit(sr.derive(graph, optimizer='adam'))")
    return backend(to).emit(solution, to, graph=graph)


def apply(
    model: Any,
    solution: Solution,
    *,
    base: Mapping[str, float],
    sizes: Mapping[str, float],
    lr: float,
    weight_decay: float = 0.0,
    **options: Any,
) -> list[dict[str, Any]]:
    """Initialises the parameters of a torch `model` by name, in place; returns the optimizer's parameter groups.

    `base` are the sizes (values of the scales) that `lr` was tuned at, `sizes` those of `model`.
    """
    given = {"base": base, "sizes": sizes, "lr": lr, "weight_decay": weight_decay, **options}
    return backend("pytorch").apply(model, solution, **given)

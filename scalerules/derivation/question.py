"""What is asked, checked and turned into a problem for the solver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, cast

from scalerules.architecture.graph import Graph
from scalerules.boundary.amounts import whole
from scalerules.boundary.exact import exact
from scalerules.catalogue.graphs import graph as load
from scalerules.errors import ScaleRulesError, UnknownName, short
from scalerules.optimizers.named import optimizer as optimizer_of
from scalerules.passes.events import Alignments
from scalerules.solving.problem import Problem

from .parametrizations import Given, named, read

MODES = ("joint", "isolated")


ALIGNMENTS = {
    "derived": None,
    "full": (Fraction(1), Fraction(1, 2), Fraction(1)),
    "none": (Fraction(1, 2), Fraction(1, 2), Fraction(1, 2)),
}


Alignment = str | Mapping[str, Sequence[Any]]


def problem_of(
    graph: Graph,
    optimizer: str,
    *,
    mode: str = "joint",
    scales: Mapping[str, Any] | None = None,
    steps: int = 3,
    alignment: Alignment = "derived",
    given: Given = None,
    nonlazy: bool = False,
    lazy: bool = False,
) -> Problem:
    """The problem that a question poses. Raises `ScaleRulesError` with the nearest valid name."""
    if mode not in MODES:
        raise UnknownName("mode", mode, MODES)
    whole(steps, "steps", 1, MOST_STEPS)
    direction, rule = direction_of(graph, scales), optimizer_of(optimizer)
    if isinstance(given, str):
        vectors = named(given, graph, direction, rule)
    else:
        vectors = read(given, graph, direction, rule)
    alignments = _alignments(graph, alignment)
    return Problem(graph, direction, rule, steps, mode == "isolated", vectors, alignments, nonlazy, lazy)


def direction_of(graph: Graph, scales: Mapping[str, Any] | None) -> dict[str, Fraction]:
    """The growth of every scale that grows. Raises `ScaleRulesError` with the nearest valid name."""
    chosen = graph.scales if scales is None else scales
    if not isinstance(chosen, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        hint = "such as scales={'width': 1, 'state': '1/4'}"
        raise ScaleRulesError(f"scales are growths by name, not {short(chosen)}", hint=hint)
    direction: dict[str, Fraction] = {}
    for name, growth in chosen.items():
        if name not in graph.scales:
            raise UnknownName("scale", name, graph.scales, where=f"graph {graph.name!r}")
        direction[name] = exact(growth, f"scale {name!r}", "growth")
    direction = {name: growth for name, growth in direction.items() if growth}
    if not direction or any(growth < 0 for growth in direction.values()):
        raise ScaleRulesError("no scale grows", where=f"graph {graph.name!r}", hint="give one a positive growth")
    return direction


def _alignments(graph: Graph, alignment: Alignment) -> Alignments:
    if isinstance(alignment, str):
        if alignment not in ALIGNMENTS:
            raise UnknownName("alignment", alignment, ALIGNMENTS)
        shares = ALIGNMENTS[alignment]
        return dict.fromkeys(graph.parameters, shares) if shares else {}
    if not isinstance(alignment, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        hint = f"one of: {', '.join(ALIGNMENTS)}; or three exponents by parameter"
        raise ScaleRulesError(f"unknown alignment {short(alignment)}", hint=hint)
    alignments: dict[str, tuple[Fraction, Fraction, Fraction]] = {}
    for name, three in alignment.items():
        if name not in graph.parameters:
            raise UnknownName("parameter", name, graph.parameters)
        shares = _three(name, three)
        if shares is not None:
            alignments[name] = shares
    return alignments


def _three(name: str, three: Any) -> tuple[Fraction, Fraction, Fraction] | None:
    """The exponents of one parameter, written as three numbers or by name; None where they are derived."""
    where, hint = f"alignment of {name!r}", f"such as [1, 1/2, 1], or one of: {', '.join(ALIGNMENTS)}"
    if isinstance(three, str):
        if three not in ALIGNMENTS:
            raise UnknownName("alignment", three, ALIGNMENTS, where=where)
        return ALIGNMENTS[three]
    if not isinstance(three, Sequence) or len(shares := cast(Sequence[object], three)) != 3:
        raise ScaleRulesError("needs three exponents, of dW x, W dx and dW dx", where=where, hint=hint)
    along, across, crossed = (exact(share, where) for share in shares)
    return along, across, crossed


MOST_STEPS = 100
"""Steps over which stability can be asked for."""


def graph_given(graph: Any) -> Graph:
    """The graph itself, or the one that a name or a path stands for. Raises `ScaleRulesError` for anything else."""
    if isinstance(graph, Graph):
        return graph

    return load(graph)

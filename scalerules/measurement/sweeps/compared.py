"""Parametrizations to train with: a solution as it is, or a named one (`standard`, `ntk`, `mean-field`) as a solution.

`derive(given="standard")` refuses what is unstable; a sweep trains with it to show what happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.catalogue.user_code import kind_of
from scalerules.derivation.parametrizations import PARAMETRIZATIONS, named
from scalerules.errors import ScaleRulesError, UnknownName
from scalerules.optimizers import optimizer as optimizer_of
from scalerules.sizes.exponents import Exponents
from scalerules.solution.rule import Rule
from scalerules.solution.solution import Solution

Compared = Sequence[str | Solution] | Mapping[str, str | Solution]


def rules(graph: Graph, solution: Solution, compare: Compared) -> dict[str, Solution]:
    """Label -> what is trained with; the first is `solution` itself. Raises `ScaleRulesError` for what does not fit."""
    mine = "derived" if solution.mode == "joint" else solution.mode
    labelled = {mine: solution}
    for name, other in _named(compare):
        if not isinstance(other, (str, Solution)):  # pyright: ignore[reportUnnecessaryIsInstance]
            what = f"compare= holds {kind_of(other)}, not a solution or the name of one"
            raise ScaleRulesError(what, hint="compare=('standard',)")
        if name in labelled:
            raise ScaleRulesError(f"two rules are called {name!r}", hint="compare={'a name': solution, ...}")
        labelled[name] = parametrization(other, graph, solution) if isinstance(other, str) else other
    for name, rule in labelled.items():
        _fits(graph, solution, name, rule)
    return labelled


def _named(compare: Compared) -> list[tuple[str, str | Solution]]:
    if isinstance(compare, Mapping):
        return list(compare.items())
    several: Any = list(compare) if isinstance(compare, (list, tuple, set, frozenset)) else [compare]
    return [(other.mode if isinstance(other, Solution) else str(other), other) for other in several]


def _fits(graph: Graph, first: Solution, name: str, other: Solution) -> None:
    for parameter in graph.parameters:
        if parameter not in other.parameters:
            raise UnknownName("parameter", parameter, other.parameters, where=f"rule {name!r}")
    if other.optimizer != first.optimizer:
        what = f"is for {other.optimizer}, the first for {first.optimizer}"
        raise ScaleRulesError(what, where=f"rule {name!r}", hint="derive both for one optimizer")


def parametrization(name: str, graph: Graph, solution: Solution) -> Solution:
    """A named parametrization in the plain gauge, for the optimizer and the scales of `solution`.

    Where an exponent is free in the architecture, the factor that is written there holds (`head^(-1/2)`). Raises
    `UnknownName`.
    """
    if name not in PARAMETRIZATIONS or name == "mup":
        raise UnknownName("parametrization to compare with", name, set(PARAMETRIZATIONS) - {"mup"})
    rule = optimizer_of(solution.optimizer)
    sizes = named(name, graph, solution.direction, rule)
    none = Exponents(dict.fromkeys(solution.scales, Fraction(0)))

    def exponents(quantity: str, parameter: str) -> Exponents:
        if (quantity, parameter) not in sizes:
            return none
        return Exponents(dict(zip(solution.direction, sizes[quantity, parameter][1:], strict=True)))

    parameters = {
        parameter: Rule(graph.shape_of(parameter), exponents("init", parameter), none, exponents("lr", parameter), none,
                        none.plus(exponents("lr", parameter), -1))
        for parameter in graph.parameters
    }  # fmt: skip
    return Solution(
        graph=graph.name, optimizer=solution.optimizer, mode=name, gauge="plain", scales=solution.scales,
        parameters=parameters, multipliers=_written(graph, solution), direction=solution.direction,
        assumptions=(PARAMETRIZATIONS[name],), architecture=graph,
    )  # fmt: skip


def _written(graph: Graph, solution: Solution) -> dict[str, Exponents]:
    """The exponents of the factors that the architecture writes at its free multipliers."""
    factors: dict[str, Exponents] = {}
    for name, node in graph.walk():
        if node.free:
            length = graph.length(node.factor if node.factor is not None else 1, f"node {name!r}")
            growths = {scale: length.growth({scale: Fraction(1)}) for scale in solution.scales}
            factors[name] = Exponents(growths)
    return factors

"""Sizes that are given: part of a parametrization as written by a reader, or a named one, as unknowns of the solver."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, cast

from .errors import ScaleRulesError, UnknownName
from .graph import Graph
from .lower import Held
from .optimizers import Optimizer
from .propagate import Point, start
from .scale import Direction
from .terms import Symbol

Given = Mapping[str, Any] | str | None

PARAMETRIZATIONS = {
    "standard": "std 1/sqrt(fan_in), no multipliers, one learning rate (Sohl-Dickstein et al. 2020, arXiv 2001.07301)",
    "ntk": "std 1, multiplier 1/sqrt(fan_in), one learning rate (Jacot et al. 2018, arXiv 1806.07572)",
    "mean-field": "as ntk, but outputs are divided by fan_in (Mei, Montanari and Nguyen 2018, arXiv 1804.06561)",
    "mup": "what the engine derives (Yang and Hu 2021, arXiv 2011.14522)",
}
"""The named parametrizations and their definitions, by fan-in alone."""


def read(given: Given, graph: Graph, direction: Direction, optimizer: Optimizer) -> dict[Symbol, Fraction]:
    """Sizes along the direction, in the plain gauge.

    `{"h1": {"init": -1/2, "lr": {"width": -1}}, "multipliers": {"scores": -1}}`; a number stands for the exponent of
    every scale of the direction's first. A `mult` of a parameter is moved into its init and lr.
    """
    data = dict(given or {}) if not isinstance(given, str) else {}
    nodes = data.pop("multipliers", {})
    parameters = data.pop("parameters", data)
    found: dict[Symbol, Fraction] = {}
    free = [name for name, node in graph.walk() if node.free]
    for node, value in nodes.items():
        if node not in free:
            raise UnknownName("free multiplier", node, free)
        found["mult", node] = _size(value, direction, f"multiplier {node!r}")
    for name, sizes in parameters.items():
        if name not in graph.parameters:
            raise UnknownName("parameter", name, graph.parameters)
        found.update(_parameter(name, sizes, direction, optimizer))
    return found


def _parameter(name: str, sizes: Any, direction: Direction, optimizer: Optimizer) -> dict[Symbol, Fraction]:
    where = f"parameter {name!r}"
    if not isinstance(sizes, Mapping):
        raise ScaleRulesError("needs its sizes by name", where=where, hint="such as {'init': '-1/2', 'lr': '-1'}")
    known = ("init", "lr", "mult", "eps", "wd", "shape", "log")
    written = cast(Mapping[object, Any], sizes)
    for size in written:
        if size not in known:
            raise UnknownName("size", str(size), known[:3], where=where)
    mult = _size(written["mult"], direction, where) if written.get("mult") is not None else Fraction(0)
    found: dict[Symbol, Fraction] = {}
    if written.get("init") is not None:
        found["init", name] = _size(written["init"], direction, where) + mult
    if written.get("lr") is not None:
        found["lr", name] = _size(written["lr"], direction, where) + mult * optimizer.gauge
    return found


def _size(value: Any, direction: Direction, where: str) -> Fraction:
    """An exponent, or exponents by scale, along the direction."""
    try:
        if isinstance(value, Mapping):
            shares = cast(Mapping[str, Any], value)
            for scale in shares:
                if scale not in direction:
                    raise UnknownName("scale", str(scale), direction, where=where)
            return sum((Fraction(str(v)) * direction[s] for s, v in shares.items()), Fraction(0))
        return Fraction(str(value)) * next(iter(direction.values()))
    except (ValueError, ZeroDivisionError):
        raise ScaleRulesError(f"cannot read the exponent {value!r}", where=where, hint="a fraction: '-1/2'") from None


def named(name: str, graph: Graph, direction: Direction, optimizer: Optimizer) -> dict[Symbol, Fraction]:
    """Initial sizes (and, relative to one global rate, rates) of a named parametrization, in the plain gauge.

    Raises `UnknownName`. `mup` gives nothing: everything is derived.
    """
    if name not in PARAMETRIZATIONS:
        raise UnknownName("parametrization", name, PARAMETRIZATIONS)
    found: dict[Symbol, Fraction] = {}
    if name == "mup":
        return found
    at = Point(graph, direction, {})
    plan = start(graph, direction)
    outputs = {key for site in plan.sites if site.key in plan.outputs for key in site.parameters}
    for held in plan.parameters.values():
        fan_in = sum((at.growths[axis] for axis in held.fan_in), Fraction(0))
        init = -fan_in if name == "mean-field" and held.key in outputs else -fan_in / 2
        if graph.parameters[held.name].init == "normal":
            found["init", held.name] = init
        if graph.parameters[held.name].trained:
            found["lr", held.name] = _rate(name, held, init, graph, optimizer)
    return found


def _rate(name: str, held: Held, init: Fraction, graph: Graph, optimizer: Optimizer) -> Fraction:
    """The rate in the plain gauge when all rates are alike in the parametrization's own gauge."""
    if name == "standard" or graph.parameters[held.name].init != "normal":
        return Fraction(0)
    return init * optimizer.gauge

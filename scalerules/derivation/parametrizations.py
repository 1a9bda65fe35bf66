"""Sizes that are given: part of a parametrization as written by a reader, or a named one, as unknowns of the solver."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, cast

from scalerules.architecture.graph import Graph
from scalerules.boundary.exact import exact
from scalerules.errors import ScaleRulesError, UnknownName, short
from scalerules.ops.site import Held
from scalerules.optimizers.law import Optimizer, facts_of
from scalerules.optimizers.powers import shift
from scalerules.passes.point import Point
from scalerules.passes.propagate import start
from scalerules.sizes.lengths import Direction
from scalerules.sizes.vectors import Vector, along, plus
from scalerules.terms.term import Symbol

HINT = "such as {'h1': {'init': '-1/2'}}, or one of: standard, ntk, mean-field, mup"

Given = Mapping[str, Any] | str | None

PARAMETRIZATIONS = {
    "standard": "std 1/sqrt(fan_in), no multipliers, one learning rate (Sohl-Dickstein et al. 2020, arXiv 2001.07301)",
    "ntk": "std 1, multiplier 1/sqrt(fan_in), one learning rate (Jacot et al. 2018, arXiv 1806.07572)",
    "mean-field": "as ntk, but outputs are divided by fan_in (Mei, Montanari and Nguyen 2018, arXiv 1804.06561)",
    "mup": "what the engine derives (Yang and Hu 2021, arXiv 2011.14522)",
}
"""The named parametrizations and their definitions, by fan-in alone."""


def read(given: Given, graph: Graph, direction: Direction, optimizer: Optimizer) -> dict[Symbol, Vector]:
    """Sizes along the direction, each with its exponents by scale, in the plain gauge.

    `{"h1": {"init": -1/2, "lr": {"width": -1}}, "multipliers": {"scores": -1}}`; a number stands for the exponent of
    every scale of the direction's first. A `mult` of a parameter is moved into its init and lr.
    """
    if given is not None and not isinstance(given, Mapping | str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ScaleRulesError(f"given sizes stand by parameter, not {short(given)}", hint=HINT)
    data = dict(given or {}) if not isinstance(given, str) else {}
    nodes = _by_name(data.pop("multipliers", {}), "multipliers")
    parameters = _by_name(data.pop("parameters", data), "parameters")
    vectors: dict[Symbol, Vector] = {}
    free = [name for name, node in graph.walk() if node.free]
    for node, value in nodes.items():
        if node not in free:
            raise UnknownName("free multiplier", node, free)
        vectors["mult", node] = _size(value, direction, f"multiplier {node!r}")
    helds = {held.name: held for held in start(graph, direction).parameters.values()} if parameters else {}
    for name, sizes in parameters.items():
        if name not in graph.parameters:
            raise UnknownName("parameter", name, graph.parameters)
        vectors.update(_parameter(name, sizes, direction, optimizer, helds[name]))
    return vectors


def _by_name(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ScaleRulesError(f"stand by name, not as {short(value)}", where=where, hint=HINT)
    return cast(Mapping[str, Any], value)


def _parameter(name: str, sizes: Any, direction: Direction, optimizer: Optimizer, held: Held) -> dict[Symbol, Vector]:
    where = f"parameter {name!r}"
    if not isinstance(sizes, Mapping):
        raise ScaleRulesError("needs its sizes by name", where=where, hint="such as {'init': '-1/2', 'lr': '-1'}")
    names = ("init", "lr", "mult", "eps", "wd", "shape", "log")
    written = cast(Mapping[object, Any], sizes)
    for size in written:
        if size not in names:
            raise UnknownName("size", str(size), names[:3], where=where)
    mult = _size(written.get("mult") or 0, direction, where)
    vectors: dict[Symbol, Vector] = {}
    if written.get("init") is not None:
        vectors["init", name] = plus(_size(written["init"], direction, where), mult, Fraction(1))
    if written.get("lr") is not None:
        vectors["lr", name] = plus(_size(written["lr"], direction, where), mult, _gauge(optimizer, held))
    return vectors


def _gauge(optimizer: Optimizer, held: Held) -> Fraction:
    """The power by which the rate falls when the multiplier of a parameter grows by one and its std falls by one."""
    return 1 + shift(optimizer.guess(facts_of(held)))


def _size(value: Any, direction: Direction, where: str) -> Vector:
    """An exponent, or exponents by scale."""
    if not isinstance(value, Mapping):
        return along({next(iter(direction)): exact(value, where)}, direction)
    shares = {str(scale): exact(share, where) for scale, share in cast(Mapping[Any, Any], value).items()}
    for scale in shares:
        if scale not in direction:
            raise UnknownName("scale", scale, direction, where=where)
    return along(shares, direction)


def named(name: str, graph: Graph, direction: Direction, optimizer: Optimizer) -> dict[Symbol, Vector]:
    """Initial sizes (and, relative to one global rate, rates) of a named parametrization, in the plain gauge.

    Raises `UnknownName`. `mup` gives nothing: everything is derived.
    """
    if name not in PARAMETRIZATIONS:
        raise UnknownName("parametrization", name, PARAMETRIZATIONS)
    vectors: dict[Symbol, Vector] = {}
    if name == "mup":
        return vectors
    growths = Point(graph, direction, {}).constants(tuple(direction))
    flat = along({}, direction)
    plan = start(graph, direction)
    outputs = {key for site in plan.sites if site.key in plan.outputs for key in site.parameters}
    for held in plan.parameters.values():
        whole = name == "mean-field" and held.key in outputs
        share, init = Fraction(-1) if whole else Fraction(-1, 2), flat
        for axis in held.fan_in:
            init = plus(init, growths["growth", axis], share)
        random = graph.parameters[held.name].init == "normal"
        if random:
            vectors["init", held.name] = init
        if graph.parameters[held.name].trained:
            alike = name != "standard" and random  # all rates are alike in the parametrization's own gauge
            vectors["lr", held.name] = plus(flat, init, _gauge(optimizer, held)) if alike else flat
    return vectors

"""Rules written by hand, to test the backends apart from the engine: exponents that differ from one another."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import sympy

from scalerules.graph import Graph


class Exponents(dict[str, Any]):
    """Scale -> exponent."""

    def factor(self, ratios: dict[str, float]) -> float:
        return math.prod(ratios[scale] ** float(e) for scale, e in self.items())


def power(exponent: str | int) -> Exponents:
    return Exponents(width=sympy.Rational(exponent))


@dataclass
class Rule:
    shape: tuple[str, ...]
    init: Exponents
    mult: Exponents
    lr: Exponents
    eps: Exponents
    wd: Exponents
    log: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class Solution:
    graph: str
    parameters: dict[str, Rule]
    multipliers: dict[str, Exponents]
    architecture: Graph | None
    optimizer: str
    mode: str = "joint"
    gauge: str = "plain"
    scales: list[str] = field(default_factory=lambda: ["width"])
    direction: dict[str, Fraction] = field(default_factory=lambda: {"width": Fraction(1)})
    cone: list[str] = field(default_factory=list[str])
    assumptions: list[str] = field(default_factory=lambda: ["everything else is held fixed"])
    warnings: list[str] = field(default_factory=list[str])

    def __getitem__(self, name: str) -> Rule:
        return self.parameters[name]


def handmade(graph: Graph, optimizer: str = "adam", factors: bool = False) -> Solution:
    """muP-like rules by the shape of a parameter; with `factors`, a multiplier in front of every hidden matrix."""
    parameters: dict[str, Rule] = {}
    for name, parameter in graph.parameters.items():
        grows = [bool(graph.lengths[axis].growth({"width": Fraction(1)})) for axis in parameter.axes]
        summed = grows[-1] and len(grows) > 1 and parameter.init == "normal"
        init = "-1/2" if summed and grows[0] else -1 if summed else 0
        parameters[name] = Rule(
            graph.shape_of(name),
            power(init),
            power("1/2" if factors and summed and grows[0] else 0),
            power(-1 if summed and optimizer != "sgd" else 0),
            power(-1 if grows[0] else 0),
            power(1 if summed else 0),
        )
    free = [name for name, node in graph.walk() if node.op == "scale" and node.free]
    multipliers = {name: power("-1/2" if name.endswith("scores") else 0) for name in free}
    return Solution(graph.name, parameters, multipliers, graph, optimizer)

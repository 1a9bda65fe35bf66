"""Rules written by hand, to test the backends apart from the engine: exponents that differ from one another."""

from __future__ import annotations

from fractions import Fraction

from scalerules.architecture.graph import Graph
from scalerules.sizes.exponents import Exponents
from scalerules.solution.rule import Rule
from scalerules.solution.solution import Solution


def power(exponent: str | int, scale: str = "width") -> Exponents:
    """One scale to a power."""
    return Exponents({scale: Fraction(exponent)})


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
    return Solution(
        graph=graph.name,
        optimizer=optimizer,
        mode="joint",
        gauge="plain",
        scales=("width",),
        parameters=parameters,
        multipliers={name: power("-1/2" if name.endswith("scores") else 0) for name in free},
        direction={"width": Fraction(1)},
        assumptions=("everything else is held fixed",),
        architecture=graph,
    )

"""A graph and its solution with harmless names: the same architecture, and nothing in it that a user wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError
from scalerules.ops.node import Node
from scalerules.optimizers.law import RADIUS
from scalerules.optimizers.named import named_in as law_of
from scalerules.sizes.exponents import Exponents
from scalerules.solution.rule import Rule
from scalerules.solution.solution import Solution

from .model import is_attribute


class Harmless:
    """New names for everything in a graph: `scale1`, `axis2`, `node7`, `p3` (or `p3.p4`, with as many parts)."""

    def __init__(self, graph: Graph) -> None:
        self.old = graph
        self.scales = {name: f"scale{i}" for i, name in enumerate(graph.scales)}
        self.axes = {name: f"axis{i}" for i, name in enumerate(graph.axes)}
        self.parameters = {name: _parameter(name, i) for i, name in enumerate(graph.parameters)}
        self.nodes = {name: f"node{i}" for i, (name, _) in enumerate(graph.walk())}
        self.graph = self._graph()

    def solution(self, old: Solution) -> Solution:
        """The solution with these names, without anything that is only text."""
        return replace(
            old, graph="graph", optimizer=_optimizer(old.optimizer), mode="", gauge="",
            scales=tuple(self.scales[scale] for scale in old.scales if scale in self.scales),
            parameters={self.parameters[name]: self._rule(rule) for name, rule in old.parameters.items()},
            multipliers={self.nodes[n]: self._exponents(e) for n, e in old.multipliers.items() if n in self.nodes},
            direction={}, cone=(), assumptions=(), warnings=(), sizes=(), explanations={}, constants={},
            architecture=self.graph,
        )  # fmt: skip

    def _graph(self) -> Graph:
        old = self.old
        data = {
            "name": "graph", "loss": old.loss,
            "scales": {self.scales[name]: growth for name, growth in old.scales.items()},
            "axes": self._lengths(),
            "parameters": {
                self.parameters[name]: {
                    "axes": self._axes(p.axes), "init": p.init, "trained": p.trained,
                    "density": self._factor(p.density), "factor": self._factor(p.factor),
                }
                for name, p in old.parameters.items()
            },
            "nodes": self._nodes(old.nodes),
            "outputs": [self.nodes[name] for name in old.outputs],
            "sizes": {self.scales[name]: value for name, value in old.sizes.items() if name in self.scales},
        }  # fmt: skip
        return Graph.model_validate(data)

    def _nodes(self, nodes: Mapping[str, Node]) -> dict[str, Any]:
        return {self.nodes[name]: self._node(node) for name, node in nodes.items()}

    def _node(self, node: Node) -> dict[str, Any]:
        changed = {
            "inputs": ["stream" if name == "stream" else self.nodes[name] for name in node.inputs],
            "parameters": [self.parameters[name] for name in node.parameters],
            "axes": None if node.axes is None else self._axes(node.axes),
            "axis": None if node.axis is None else self.axes[node.axis],
            "factor": self._factor(node.factor),
            "offset": self._factor(node.offset),
            "body": None if node.body is None else self._nodes(node.body),
            "result": None if node.result is None else self.nodes[node.result],
        }
        kept = {name: getattr(node, name) for name in type(node).model_fields if name not in changed}
        return {name: value for name, value in {**kept, **changed}.items() if value is not None}

    def _axes(self, axes: Sequence[str]) -> list[str]:
        return [self.axes[axis] for axis in axes]

    def _factor(self, text: str | float | None) -> str | float | None:
        return _renamed(text, {**self.scales, **self.axes}) if isinstance(text, str) else text

    def _lengths(self) -> dict[str, str | int]:
        """The lengths of the axes; a name in one is that of an axis that stands before it, or of a scale."""
        lengths: dict[str, str | int] = {}
        renamed = dict(self.scales)
        for axis, text in self.old.axes.items():
            lengths[self.axes[axis]] = _renamed(text, renamed) if isinstance(text, str) else text
            renamed[axis] = self.axes[axis]
        return lengths

    def _rule(self, rule: Rule) -> Rule:
        init, mult, lr, eps, wd = map(self._exponents, (rule.init, rule.mult, rule.lr, rule.eps, rule.wd))
        shape = tuple(self.axes.get(axis, "axis") for axis in rule.shape)
        radius = {name: self._exponents(size) for name, size in rule.dampings.items() if name == RADIUS}
        return replace(rule, shape=shape, init=init, mult=mult, lr=lr, eps=eps, wd=wd, log=(), dampings=radius)

    def _exponents(self, exponents: Exponents) -> Exponents:
        return type(exponents)({self.scales[scale]: value for scale, value in exponents.fractions.items()})


def _renamed(text: str, names: Mapping[str, str]) -> str:
    """A product of scales and axes with other names."""
    return re.sub(r"[^\W\d]\w*", lambda match: names[match[0]], text)


def _parameter(name: str, number: int) -> str:
    """A name with as many parts, which is written as an attribute where `name` is."""
    parts = name.split(".")
    if not all(map(is_attribute, parts)):
        return f"{number}"
    return ".".join(f"p{number}" for _ in parts)


def _optimizer(name: str) -> str:
    """The optimizer, where it is one; of any other text only what decides what is written."""
    try:
        law_of(name)
    except ScaleRulesError:
        return "muon?" if name.startswith("muon") else "?"
    return name

"""The constants of the `unit` gauge: what every operation is multiplied with, forward and backward, at the base size.

With parameters of std 1 and these factors every value has unit variance at initialisation, and every gradient that
leaves an operation the variance of the one that enters (Unit Scaling, arXiv 2303.11257; u-muP, arXiv 2407.17465). They
are integrated (`scalerules.gaussian`), under the assumption of independent Gaussian arguments. At another size a
parameter's factor moves by the exponents of its multiplier, and a free multiplier by its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scalerules.architecture.graph import Graph
from scalerules.architecture.order import ordered
from scalerules.ops import OPS
from scalerules.ops.functions import FUNCTIONS
from scalerules.ops.node import Node
from scalerules.solution.rule import Constant

from . import gaussian

"""Operations that pass entries on as they are."""


@dataclass(frozen=True)
class _Value:
    """Mean and standard deviation of the entries of a value; tokens are one-hot along their last axis."""

    mean: float = 0.0
    std: float = 1.0
    tokens: bool = False

    @property
    def square(self) -> float:
        """The mean square."""
        return self.mean**2 + self.std**2


def constants(graph: Graph, sizes: Mapping[str, float] | None = None) -> dict[str, Constant]:
    """The constants of every node that is not transparent, by name, at these values of the scales (default: the base).

    What is behind an operation that is not integrated (a scan, a routing) counts as of unit variance.
    """
    walk = _Walk(graph, sizes or graph.base_sizes())
    walk.body(graph.nodes, 1)
    for output in graph.outputs:
        walk.loss(output)
    return walk.constants


class _Walk:
    def __init__(self, graph: Graph, sizes: Mapping[str, float]) -> None:
        self.graph, self.sizes = graph, sizes
        self.values: dict[str, _Value] = {}
        self.constants: dict[str, Constant] = {}

    def length(self, axis: str) -> int:
        return self.graph.lengths[axis].at(self.sizes)

    def body(self, nodes: Mapping[str, Node], blocks: int) -> None:
        sums = [name for name in ordered(nodes) if nodes[name].op == "residual"]
        weights = gaussian.residuals(blocks * len(sums))
        for name in ordered(nodes):
            node = nodes[name]
            if node.op == "repeat":
                self.values["stream"] = self.values[node.inputs[0]]
                self.body(node.body or {}, self.length(str(node.axis)))
                self.values[name] = self.values[str(node.result)]
            elif node.op == "residual":
                turns = weights[sums.index(name) :: len(sums)]
                self.constants[name] = Constant(1.0, dict.fromkeys(node.inputs, 1.0), tuple(turns))
                self.values[name] = _Value()
            else:
                self.values[name] = self.node(name, node)

    def node(self, name: str, node: Node) -> _Value:
        """Notes the constant of a node, and returns its value with the constant."""
        operands = [self.values.get(source, _Value()) for source in node.inputs]
        operands += [self.parameter(parameter) for parameter in node.parameters]
        if node.op == "input":
            return _Value(tokens=node.kind == "tokens")
        if node.op == "einsum":
            return self.einsum(name, node, operands)
        if OPS[node.op].passes:
            return operands[0]
        if node.op in FUNCTIONS:
            mean, std, slope = gaussian.of_function(node.op, _rounded(math.sqrt(operands[0].square)))
            return self.note(name, node, mean, std, [slope])
        if node.op == "softmax":
            of = gaussian.softmax(_rounded(operands[0].std), self.length(str(node.axis)), bool(node.causal))
            return self.note(name, node, of[0], of[1], [of[2]])
        if node.op in ("rms_norm", "layer_norm"):
            length, lost = self.length(str(node.axis)), 1 if node.op == "rms_norm" else 2
            left = math.sqrt(max(1, length - lost) / length)  # without the part along the tensor, and the mean
            return self.note(name, node, 0.0, 1.0, [left / operands[0].std])
        if node.op == "mean":
            count = self.length(str(node.axis))
            return self.note(name, node, operands[0].mean, operands[0].std / math.sqrt(count), [1 / math.sqrt(count)])
        if node.op == "add":
            mean, square = sum(v.mean for v in operands), sum(v.std**2 for v in operands)
            return self.note(name, node, mean, math.sqrt(square), [1.0] * len(operands))
        return _Value()

    def note(self, name: str, node: Node, mean: float, std: float, slopes: Sequence[float]) -> _Value:
        """A result of this mean and std is divided by the std, and the gradients by their sizes."""
        backward = {source: 1 / slope for source, slope in zip(node.operands, slopes, strict=False) if slope}
        self.constants[name] = Constant(1 / std if std else 1.0, backward)
        return _Value(mean / std, 1.0) if std else _Value(mean, 0.0)

    def parameter(self, name: str) -> _Value:
        """A parameter at its start: random entries have unit variance, constant ones are as they are."""
        kind = self.graph.parameters[name].init
        return _Value() if kind == "normal" else _Value(0.0 if kind == "zeros" else 1.0, 0.0)

    def einsum(self, name: str, node: Node, operands: Sequence[_Value]) -> _Value:
        """A sum of products of independent entries, and the gradients, which are sums over what the operand has not.

        A parameter's gradient is summed over batch and time as well; look-ups sum nothing.
        """
        labels, result = node.labels()
        axis_of: dict[str, str] = {}
        shapes = self.graph.operand_axes(name)
        for part, axes in zip(labels, shapes, strict=True):
            axis_of.update(zip(part, axes, strict=True))
        hot = {part[-1] for part, value in zip(labels, operands, strict=True) if value.tokens}

        def count(over: set[str]) -> int:
            return math.prod(self.length(axis_of[label]) for label in over - hot)

        every = {label for part in labels for label in part}
        summed = count(every - set(result))
        squares = [1.0 if value.tokens else value.square for value in operands]
        mean = summed * math.prod(1.0 if value.tokens else value.mean for value in operands)
        std = math.sqrt(max(0.0, summed * (math.prod(squares) - mean**2 / summed**2)))
        slopes: list[float] = []
        for k, part in enumerate(labels):
            others = math.prod(squares[:k] + squares[k + 1 :])
            seen = count(every - set(part))
            rows = set[str]() if operands[k].tokens else hot & set(part)  # of which each is looked up now and then
            slopes.append(math.sqrt(others * seen / math.prod(self.length(axis_of[label]) for label in rows)))
        return self.note(name, node, mean, std, slopes)

    def loss(self, output: str) -> None:
        """The gradient of the loss at an output: of cross-entropy, a softmax less the target."""
        axes, value = self.graph.axes_of(output), self.values[output]
        if self.graph.loss == "cross_entropy":
            size = gaussian.cross_entropy(_rounded(value.std), self.length(axes[-1]))
        else:
            size = math.sqrt(value.square + 1)
        self.constants[f"loss({output})"] = Constant(1.0, {output: 1 / size})


def _rounded(std: float) -> float:
    """Standard deviations that differ by rounding share one integral."""
    return round(std, 9)

"""Evaluates a graph node by node in torch, with every intermediate value. Operations are in `operations.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scalerules.architecture.graph import Graph
from scalerules.architecture.order import ordered
from scalerules.errors import GraphError
from scalerules.ops.node import Node

from .call import Call, ForwardPass, Scope, Swap
from .operations import TABLE
from .refusals import reason, told


@dataclass(frozen=True)
class Evaluation:
    """A graph whose lengths and factors are numbers.

    By name: `lengths` the entries along every axis, `factors` what `scale` nodes multiply with, `offsets` where slices
    begin, `multipliers` what parameters are multiplied with. `sizes` are the values of the scales, for messages.
    """

    graph: Graph
    sizes: Mapping[str, float]
    lengths: Mapping[str, int]
    factors: Mapping[str, float]
    offsets: Mapping[str, int]
    multipliers: Mapping[str, float]
    dtype: torch.dtype

    @cached_property
    def order(self) -> dict[str | None, list[str]]:
        """The nodes of the top level (None) and of the body of each repeat, each behind what it reads."""
        bodies = {name: node.body for name, node in self.graph.nodes.items() if node.body is not None}
        return {None: ordered(self.graph.nodes)} | {name: ordered(body) for name, body in bodies.items()}

    @cached_property
    def _operand_axes(self) -> dict[tuple[str | None, str], list[tuple[str, ...]]]:
        return {}

    def nodes(self, repeat: str | None) -> Mapping[str, Node]:
        """The nodes of the top level (None), or of the body of a repeat."""
        return self.graph.nodes if repeat is None else self.graph.nodes[repeat].body or {}

    def run(self, parameters: Mapping[str, Tensor], inputs: Mapping[str, Tensor], swap: Swap | None = None,
            look: bool = True) -> ForwardPass:  # fmt: skip
        """Computes every node. `swap` gives single nodes other values of a parameter; `look`: see `ForwardPass`."""
        forward = ForwardPass(parameters, dict(inputs), look=look)
        self._walk(Scope(forward, forward.values, swap=swap or {}))
        return forward

    def _walk(self, scope: Scope) -> None:
        nodes = self.nodes(scope.repeat)
        for name in self.order[scope.repeat]:
            scope.values[name] = self.compute(scope, name, nodes[name])

    def compute(self, scope: Scope, name: str, node: Node, alone: str | None = None) -> Tensor:
        """The value of a node; with `alone` the part of a sum that this parameter is."""
        operands = [scope.values[source] for source in node.inputs]
        for parameter in node.parameters:
            value = scope.swap.get((name, parameter), scope.forward.parameters[parameter])
            value = value if scope.block is None else value[scope.block]
            if self.graph.parameters[parameter].density is not None:
                value = value * (value != 0)  # the mask: what is not kept is zero and gets no gradient
            operands.append(value if self.multipliers[parameter] == 1 else value * self.multipliers[parameter])
        if alone is not None and node.op == "add":
            place = len(node.inputs) + node.parameters.index(alone)
            operands = [x if i == place else torch.zeros_like(x) for i, x in enumerate(operands)]
        if node.op == "repeat":
            return self._repeat(scope, name, node, operands[0])
        axes = self._axes(scope.repeat, name, node)
        try:
            return TABLE[node.op](
                Call(
                    name,
                    node,
                    operands,
                    axes,
                    self.lengths,
                    self.factors.get(name, 1.0),
                    self.offsets.get(name, 0),
                    self.dtype,
                    scope,
                )
            )
        except (RuntimeError, ValueError, IndexError) as error:
            raise told(error, self._cannot(name, node, error)) from error

    def _axes(self, repeat: str | None, name: str, node: Node) -> list[tuple[str, ...]]:
        """The axes of the operands of a node."""
        axes = self._operand_axes.get((repeat, name))
        if axes is None:
            before = {"stream": self.graph.nodes[repeat].inputs[0]} if repeat else {}
            axes = [self.graph.axes_of(before.get(source, source)) for source in node.inputs]
            axes += [tuple(self.graph.parameters[parameter].axes) for parameter in node.parameters]
            self._operand_axes[repeat, name] = axes
        return axes

    def _cannot(self, name: str, node: Node, error: Exception) -> GraphError:
        """What torch refuses, in the terms of the graph."""
        there = ", ".join(f"{scale}={value:g}" for scale, value in self.sizes.items())
        hint = "the shapes of its operands do not fit together there: look at the equation and the lengths of the axes"
        said = f"{node.op} cannot be computed at {there}: {reason(error)}"
        return GraphError(said, where=f"node {name!r}", hint=hint)

    def _repeat(self, outer: Scope, name: str, node: Node, stream: Tensor) -> Tensor:
        """The stream after all blocks of the repeat `name`; the values of every block are kept in the forward pass."""
        outer.forward.blocks[name] = []
        for block in range(self.lengths[str(node.axis)]):
            inner = Scope(outer.forward, {"stream": stream}, name, block, outer.swap)
            self._walk(inner)
            outer.forward.blocks[name].append(inner.values)
            stream = inner.values[str(node.result)]
        return stream

"""Runs a Graph itself in torch: parameters and data at given scale values, forward with every intermediate.

`verify` and `transfer` train through this, so that what is measured is the graph that was derived and not a
translation of it. Operations are in `operations.py`, optimizer steps in `optimizer_steps.py`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from scalerules.architecture.graph import Graph
from scalerules.architecture.order import ordered
from scalerules.errors import GraphError
from scalerules.ops import OPS
from scalerules.ops.node import Node

from ..base_values import density, natural_std, start
from .call import Call, Run, Scope, Swap
from .operations import SCAN_PARTS, TABLE


@dataclass(frozen=True)
class Data:
    """Fixed random data: the input nodes' values, and one target tensor per output."""

    inputs: dict[str, Tensor]
    targets: list[Tensor]


@dataclass(frozen=True)
class Program:
    """A graph at given values of its scales, with the numbers of a solution.

    `sizes` and `base` are values of the scales; a number of the solution is its natural constant at the base
    size times `(size/base)**exponent`. `solution` is a `scalerules.derivation.Solution` (or has its
    `parameters` and `multipliers`).
    """

    graph: Graph
    solution: Any
    sizes: Mapping[str, float]
    base: Mapping[str, float]
    dtype: torch.dtype = torch.float32

    @cached_property
    def ratios(self) -> dict[str, float]:
        """Size over base size, per scale."""
        return {scale: self.sizes[scale] / self.base[scale] for scale in self.graph.scales}

    @cached_property
    def lengths(self) -> dict[str, int]:
        """The number of entries along every axis."""
        return {axis: length.at(self.sizes) for axis, length in self.graph.lengths.items()}

    @cached_property
    def factors(self) -> dict[str, float]:
        """The number that every `scale` node multiplies with: a fixed factor at the actual size, a free one scaled."""
        return {name: self._factor(name, node) for name, node in self.graph.walk() if node.op == "scale"}

    def _factor(self, name: str, node: Node) -> float:
        if not node.free:
            return self.number(node.factor if node.factor is not None else 1)
        start = self.number(node.factor, self.base) if node.factor is not None else 1.0
        exponents = self.solution.multipliers.get(name)
        return start * (exponents.change(self.ratios) if exponents is not None else 1.0)

    @cached_property
    def _operand_axes(self) -> dict[tuple[str | None, str], list[tuple[str, ...]]]:
        return {}

    @cached_property
    def _mult(self) -> dict[str, float]:
        rules = self.solution.parameters
        return {name: rules[name].mult.change(self.ratios) if name in rules else 1.0 for name in self.graph.parameters}

    @cached_property
    def _order(self) -> dict[str | None, list[str]]:
        bodies = {name: node.body for name, node in self.graph.nodes.items() if node.body is not None}
        return {None: ordered(self.graph.nodes)} | {name: ordered(body) for name, body in bodies.items()}

    def number(self, text: str | float | None, sizes: Mapping[str, float] | None = None) -> float:
        """A length or factor written in axes and scales (`"head^(-1/2)"`), at these scale values."""
        return self.graph.length(text or 0, self.graph.name).value(sizes or self.sizes) if text else 0.0

    def shape(self, parameter: str) -> list[int]:
        """The shape of a parameter, the blocks of its repeat first."""
        return [self.lengths[axis] for axis in self.graph.shape_of(parameter)]

    # --- parameters and data -----------------------------------------------------------------------

    def initial(self, seed: int) -> dict[str, Tensor]:
        """The parameters at initialisation, by name; the same numbers for the same seed, name and shape."""
        return {name: self._initial(name, _generator(seed, name)) for name in self.graph.parameters}

    def _initial(self, name: str, generator: torch.Generator) -> Tensor:
        shape, kind = self.shape(name), self.graph.parameters[name].init
        rule = self.solution.parameters.get(name)
        factor = rule.init.change(self.ratios) if rule is not None and kind != "zeros" else 1.0
        if kind == "normal":
            std = natural_std(self.graph, name, self.base) * factor
            value = torch.randn(shape, generator=generator, dtype=self.dtype).mul_(std)
            part = density(self.graph, name, self.sizes)
            return value if part == 1 else value * (torch.rand(shape, generator=generator) < part)
        factor *= start(self.graph, name, self.base)
        if kind in ("zeros", "ones"):
            return torch.full(shape, 0.0 if kind == "zeros" else factor, dtype=self.dtype)
        numbers = torch.arange(1, shape[-1] + 1, dtype=self.dtype)
        return ((numbers.log() if kind == "log_range" else numbers) * factor).expand(shape).clone()

    def data(self, seed: int) -> Data:
        """Normal inputs, random tokens as one-hot vectors, and random targets of order one."""
        inputs: dict[str, Tensor] = {}
        for name, node in self.graph.nodes.items():
            if node.op == "input":
                inputs[name] = self._draw([self.lengths[a] for a in node.axes or []], node.kind == "tokens", seed, name)
        return Data(inputs, [self._target(name, seed) for name in self.graph.outputs])

    def _draw(self, shape: list[int], tokens: bool, seed: int, name: str) -> Tensor:
        generator = _generator(seed, f"data {name}")
        if not tokens:
            return torch.randn(shape, generator=generator, dtype=self.dtype)
        chosen = torch.randint(shape[-1], shape[:-1], generator=generator)
        return torch.nn.functional.one_hot(chosen, shape[-1]).to(self.dtype)

    def _target(self, output: str, seed: int) -> Tensor:
        shape = [self.lengths[axis] for axis in self.graph.axes_of(output)]
        return self._draw(shape, self.graph.loss == "cross_entropy", seed, f"target {output}")

    def loss(self, run: Run, data: Data) -> Tensor:
        """The loss, a mean over all axes but a last one that does not grow, over which it is a sum.

        The gradient at an output entry is then of order one, or one over the length of the axes that grow.
        """
        return self.loss_of(self.outputs(run), data.targets)

    def outputs(self, run: Run) -> list[Tensor]:
        """The values of the output nodes."""
        return [run.values[output] for output in self.graph.outputs]

    def loss_of(self, outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        """The loss of these outputs."""
        total = torch.zeros((), dtype=self.dtype)
        for output, value, target in zip(self.graph.outputs, outputs, targets, strict=True):
            if self.graph.loss == "cross_entropy":
                terms = -(target * torch.log_softmax(value, -1)).sum(-1)
            else:
                terms = (value - target).square().sum(-1) / 2
            axes = self.graph.axes_of(output)
            meant = axes if axes and self.graph.lengths[axes[-1]].scales else axes[:-1]
            total = total + terms.sum() / math.prod(self.lengths[axis] for axis in meant)
        return total

    # --- forward -----------------------------------------------------------------------------------

    def forward(self, parameters: Mapping[str, Tensor], data: Data, swap: Swap | None = None, look: bool = True) -> Run:
        """Computes every node. `swap` gives single nodes other values of a parameter; `look`: see `Run`."""
        run = Run(parameters, dict(data.inputs), look=look)
        self._walk(Scope(run, run.values, swap=swap or {}))
        return run

    def _walk(self, scope: Scope) -> None:
        nodes = self._nodes(scope.repeat)
        for name in self._order[scope.repeat]:
            scope.values[name] = self._compute(scope, name, nodes[name])

    def _compute(self, scope: Scope, name: str, node: Node, alone: str | None = None) -> Tensor:
        """The value of a node; with `alone` the part of a sum that this parameter is."""
        operands = [scope.values[source] for source in node.inputs]
        for parameter in node.parameters:
            value = scope.swap.get((name, parameter), scope.run.parameters[parameter])
            value = value if scope.block is None else value[scope.block]
            if self.graph.parameters[parameter].density is not None:
                value = value * (value != 0)  # the mask: what is not kept is zero and gets no gradient
            operands.append(value if self._mult[parameter] == 1 else value * self._mult[parameter])
        if alone is not None and node.op == "add":
            at = len(node.inputs) + node.parameters.index(alone)
            operands = [x if i == at else torch.zeros_like(x) for i, x in enumerate(operands)]
        axes = self._operand_axes.get((scope.repeat, name))
        if axes is None:
            before = {"stream": self.graph.nodes[scope.repeat].inputs[0]} if scope.repeat else {}
            axes = [self.graph.axes_of(before.get(source, source)) for source in node.inputs]
            axes += [tuple(self.graph.parameters[parameter].axes) for parameter in node.parameters]
            self._operand_axes[scope.repeat, name] = axes
        if node.op == "repeat":
            return self.repeat(scope, name, node, operands[0])
        offset = math.ceil(self.number(node.offset or 0) - 1e-9)
        try:
            return TABLE[node.op](
                Call(name, node, operands, axes, self.lengths, self.factors.get(name, 1.0), offset, self.dtype, scope)
            )
        except (RuntimeError, ValueError, IndexError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise self._cannot(name, node, error) from error

    def _cannot(self, name: str, node: Node, error: Exception) -> GraphError:
        """What torch refuses, in the terms of the graph."""
        at = ", ".join(f"{scale}={value:g}" for scale, value in self.sizes.items())
        why = str(error).strip().split("\n")[0]
        hint = "the shapes of its operands do not fit together there: look at the equation and the lengths of the axes"
        return GraphError(f"{node.op} cannot be computed at {at}: {why}", where=f"node {name!r}", hint=hint)

    def repeat(self, outer: Scope, name: str, node: Node, stream: Tensor) -> Tensor:
        """The stream after all blocks of the repeat `name`; the values of every block are kept in the run."""
        outer.run.blocks[name] = []
        for block in range(self.lengths[str(node.axis)]):
            inner = Scope(outer.run, {"stream": stream}, name, block, outer.swap)
            self._walk(inner)
            outer.run.blocks[name].append(inner.values)
            stream = inner.values[str(node.result)]
        return stream

    def _nodes(self, repeat: str | None) -> Mapping[str, Node]:
        return self.graph.nodes if repeat is None else self.graph.nodes[repeat].body or {}

    # --- a parameter's own contribution ------------------------------------------------------------

    def readers(self, parameter: str) -> list[str]:
        """The nodes that read a parameter directly."""
        return [name for name, node in self.graph.walk() if parameter in node.parameters]

    def own(
        self, run: Run, data: Data, initial: Mapping[str, Tensor], parameter: str, node: str, fine: bool = True
    ) -> Tensor:
        """What `node` is minus what it would be had it read the initial value of `parameter`.

        If `node` reads the parameter directly, only there; otherwise the nodes that read it see the initial value
        and what lies between them and `node` follows, all other inputs staying as they are. Blocks are stacked; at a
        residual, where the branches of all blocks add up, so do their contributions. `fine`: of a linear node, from the
        difference of the parameter, which takes longer.
        """
        readers = [node] if node in self.readers(parameter) else self._last_readers(parameter, node)
        linear = fine and self.linear(node, parameter)
        moved = minus(run.parameters[parameter], initial[parameter]) if linear else initial[parameter]
        swap = {(reader, parameter): moved for reader in readers}
        repeat, target = self._scope(readers[0]), self._whole(node)
        if target not in self._nodes(repeat):
            return run.all_values()[node] - self.forward(run.parameters, data, swap).all_values()[node]
        scopes = [run.values] if repeat is None else run.blocks[repeat]
        parts: list[Tensor] = []
        for index, values in enumerate(scopes):
            # a run of its own: a repeat on the way must not overwrite the blocks of this one
            scope = Scope(Run(run.parameters), dict(values), repeat, None if repeat is None else index, swap)
            if linear:
                parts.append(self._compute(scope, node, self._nodes(repeat)[node], parameter))
                continue
            self._rerun(scope, target)
            parts.append(values[node] - scope.values[node])
        if repeat is None:
            return parts[0].detach()
        stacked = torch.stack(parts).detach()
        return stacked.cumsum(0) if self._nodes(repeat)[target].op == "residual" else stacked

    def _last_readers(self, parameter: str, node: str) -> list[str]:
        """The nodes that read it from which `node` is reached past no other of them: what it adds there is theirs."""
        readers = self.readers(parameter)
        nodes = self._nodes(self._scope(readers[0]))
        if len(readers) < 2 or any(name not in nodes for name in (*readers, self._whole(node))):
            return readers
        before = {name: self._before(nodes, name) for name in (*readers, self._whole(node))}
        on_the_way = [r for r in readers if r in before[self._whole(node)]]
        return [r for r in on_the_way if not any(r in before[other] for other in on_the_way)] or readers

    @staticmethod
    def _before(nodes: Mapping[str, Node], name: str) -> set[str]:
        """The nodes of a scope that a node depends on."""
        found, queue = set[str](), [name]
        while queue:
            new = [source for source in nodes[queue.pop()].inputs if source in nodes and source not in found]
            found.update(new)
            queue += new
        return found

    def linear(self, node: str, parameter: str) -> bool:
        """Whether a node is linear in a parameter that it reads: then its own contribution is that of the difference.

        The difference of two values that are nearly equal would lose what is small beside them.
        """
        return (node, parameter) in self._linear

    @cached_property
    def _linear(self) -> set[tuple[str, str]]:
        return {
            (name, parameter)
            for name, node in self.graph.walk()
            if OPS[node.op].linear or OPS[node.op].multilinear
            for parameter in node.parameters
            if node.parameters.count(parameter) == 1 and self.graph.parameters[parameter].density is None
        }

    def _whole(self, node: str) -> str:
        """The node itself, or the scan that `node` is an internal node of."""
        name, _, part = node.rpartition(".")
        return name if part in SCAN_PARTS and name in self._scans else node

    @cached_property
    def _scans(self) -> set[str]:
        return {name for name, node in self.graph.walk() if node.op == "scan"}

    def _rerun(self, scope: Scope, target: str) -> None:
        nodes, stale = self._nodes(scope.repeat), {reader for reader, _ in scope.swap}
        for name in self._order[scope.repeat]:
            if name in stale or stale.intersection(nodes[name].inputs):
                stale.add(name)
                scope.values[name] = self._compute(scope, name, nodes[name])
            if name == target:
                return

    def _scope(self, node: str) -> str | None:
        for name, outer in self.graph.nodes.items():
            if outer.body is not None and node in outer.body:
                return name
        if node not in self.graph.nodes:
            raise GraphError("is in no graph or body", where=f"node {node!r}")
        return None


def minus(now: Any, before: Any) -> Any:
    """The difference of two tensors, or of two sequences of them (of a repeat: block by block)."""
    if isinstance(now, Tensor):
        return now - before
    return tuple(a - b for a, b in zip(now, before, strict=True))


def _generator(seed: int, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))

"""Runs a Graph itself in torch: parameters and data at given scale values, forward with every intermediate.

`verify` and `transfer` train through this, so that what is measured is the graph that was derived and not a
translation of it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from scalerules.ops.node import Node

from ..base_values import density, identity_, natural_std, start
from .abstract_program import AbstractProgram, Data
from .call import ForwardPass
from .contributions import Contributions
from .evaluation import Evaluation


class Program(AbstractProgram):
    """A graph that is evaluated node by node."""

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
    def _multipliers(self) -> dict[str, float]:
        rules = self.solution.parameters
        return {name: rules[name].mult.change(self.ratios) if name in rules else 1.0 for name in self.graph.parameters}

    @cached_property
    def evaluation(self) -> Evaluation:
        """The graph with its numbers."""
        offsets = {name: math.ceil(self.number(node.offset) - 1e-9)
                   for name, node in self.graph.walk() if node.offset is not None}  # fmt: skip
        return Evaluation(self.graph, self.sizes, self.lengths, self.factors, offsets, self._multipliers, self.dtype)

    @cached_property
    def contributions(self) -> Contributions:
        """The own contributions of its parameters."""
        return Contributions(self.evaluation)

    def forward(self, parameters: Mapping[str, Tensor], data: Data, look: bool = True) -> ForwardPass:
        """Computes every node; `look`: see `ForwardPass`."""
        return self.evaluation.run(parameters, data.inputs, look=look)

    def readers(self, parameter: str) -> list[str]:
        """The nodes that read a parameter directly."""
        return self.contributions.readers(parameter)

    def own(self, forward: ForwardPass, initial: Mapping[str, Tensor], parameter: str, node: str,
            fine: bool = True) -> Tensor:  # fmt: skip
        """What `node` is minus what it would be had it read the initial value: see `Contributions.own`."""
        return self.contributions.own(forward, initial, parameter, node, fine)

    def linear(self, node: str, parameter: str) -> bool:
        """Whether a node is linear in a parameter that it reads."""
        return self.contributions.linear(node, parameter)

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
        if kind == "identity":
            value = torch.empty(shape, dtype=self.dtype)
            identity_(value, len(shape) - len(self.graph.parameters[name].axes), factor)
            return value
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
        """Random; over examples that get more, half of it is the same: else there is less and less to learn of all."""
        axes, growing = self.graph.axes_of(output), self.graph.lengths
        shape, examples = [self.lengths[axis] for axis in axes], axes[:-1]
        tokens = self.graph.loss == "cross_entropy"
        target = self._draw(shape, tokens, seed, f"target {output}")
        if not any(growing[axis].scales for axis in examples):
            return target
        alike = [1 if growing[axis].scales else self.lengths[axis] for axis in examples]
        same = self._draw([*alike, shape[-1]], tokens, seed, f"target {output} of all")
        if not tokens:
            return (target + same) / math.sqrt(2)
        coin = torch.rand([*shape[:-1], 1], generator=_generator(seed, f"coin {output}"))
        return torch.where(coin < 0.5, same, target)

    def outputs(self, forward: ForwardPass) -> list[Tensor]:
        """The values of the output nodes."""
        return [forward.values[output] for output in self.graph.outputs]

    def loss_of(self, outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        """The loss of these outputs."""
        total = torch.zeros((), dtype=self.dtype)
        for output, value, target in zip(self.graph.outputs, outputs, targets, strict=True):
            if self.graph.loss == "cross_entropy":
                terms = -(target * torch.log_softmax(value, -1)).sum(-1)
            else:
                terms = (value - target).square().sum(-1) / 2
            axes = self.graph.axes_of(output)
            grows = bool(axes) and bool(self.graph.lengths[axes[-1]].scales)
            meant = axes if grows and self.graph.loss != "cross_entropy" else axes[:-1]
            total = total + terms.sum() / math.prod(self.lengths[axis] for axis in meant)
        return total


def _generator(seed: int, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))

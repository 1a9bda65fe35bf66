"""What is trained and measured: a graph, or the module that it was traced from, with the numbers of a solution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from scalerules.architecture.graph import Graph


@dataclass(frozen=True)
class Data:
    """Fixed random data: the input nodes' values, and one target tensor per output."""

    inputs: dict[str, Tensor]
    targets: list[Tensor]


@dataclass(frozen=True)
class AbstractProgram(ABC):
    """A graph at given values of its scales, with the numbers of a solution.

    `sizes` and `base` are values of the scales; a number of the solution is its natural constant at the base
    size times `(size/base)**exponent`. `solution` is a `scalerules.derivation.Solution` (or has its
    `parameters` and `multipliers`). What `forward` returns, a forward pass, has `parameters`, `values` by name, and
    `all_values()`.
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

    @property
    def chosen(self) -> Collection[str]:
        """The nodes with as many entries as trained values choose: after a step others, which are not compared."""
        return ()

    @cached_property
    def lengths(self) -> dict[str, int]:
        """The number of entries along every axis."""
        return {axis: length.at(self.sizes) for axis, length in self.graph.lengths.items()}

    def number(self, text: str | float | None, sizes: Mapping[str, float] | None = None) -> float:
        """A length or factor written in axes and scales (`"head^(-1/2)"`), at these scale values."""
        return self.graph.length(text or 0, self.graph.name).value(sizes or self.sizes) if text else 0.0

    @abstractmethod
    def initial(self, seed: int) -> dict[str, Tensor]:
        """The parameters at initialisation, by name; the same numbers for the same seed, name and shape."""

    @abstractmethod
    def data(self, seed: int) -> Data:
        """Inputs and random targets of order one."""

    @abstractmethod
    def forward(self, parameters: Mapping[str, Tensor], data: Data, look: bool = True) -> Any:
        """The forward pass with every intermediate value; without those that are only looked at if not `look`."""

    @abstractmethod
    def outputs(self, forward: Any) -> list[Tensor]:
        """The values of the output nodes."""

    @abstractmethod
    def loss_of(self, outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        """The loss of these outputs."""

    def loss(self, forward: Any, data: Data) -> Tensor:
        """The loss, a mean over all axes but the last; over that a sum where it does not grow, or is one of classes.

        The gradient at an output entry is then of order one, or one over the length of the axes that grow; of classes
        it is of order one at the label.
        """
        return self.loss_of(self.outputs(forward), data.targets)

    @abstractmethod
    def readers(self, parameter: str) -> list[str]:
        """The nodes that read a parameter directly."""

    @abstractmethod
    def own(self, forward: Any, initial: Mapping[str, Tensor], parameter: str, node: str, fine: bool = True) -> Tensor:
        """What `node` is minus what it would be had it read the initial value of `parameter`."""

    @abstractmethod
    def linear(self, node: str, parameter: str) -> bool:
        """Whether a node is linear in a parameter that it reads: then its own contribution is that of the difference.

        The difference of two values that are nearly equal would lose what is small beside them.
        """

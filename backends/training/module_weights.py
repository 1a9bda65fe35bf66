"""The weights of a module as parameters of the graph that it was traced to, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError
from scalerules.sizes.lengths import Length
from scalerules.tracing.writing.places import Piece


@dataclass(frozen=True)
class Weights:
    """The pieces of the module's weights that each parameter of the graph is, at these values of the scales."""

    graph: Graph
    pieces: Mapping[str, Sequence[Piece]]
    sizes: Mapping[str, float]

    def stacked(self, name: str, own: Mapping[str, Tensor]) -> Tensor:
        """A parameter of the graph from the module's weights, the blocks of its repeat first."""
        shape = [self.graph.lengths[axis].at(self.sizes) for axis in self.graph.parameters[name].axes]
        for piece in self.pieces[name]:
            whole = [math.prod(self._count(length) for length, _, _ in factors) for factors in piece.factors]
            if whole != list(own[piece.weight].shape):
                raise ScaleRulesError(
                    f"{piece.weight} has the shape {tuple(own[piece.weight].shape)} at {dict(self.sizes)}, and "
                    f"{tuple(whole)} by its lengths", where=f"module {self.graph.name}",
                    hint="the module rounds a size there: choose sizes at which it does not",
                )  # fmt: skip
        flat = [self._part(own[p.weight].detach(), p).reshape(shape) for p in self.pieces[name]]
        return torch.stack(flat) if self.graph.repeat_of(name) else flat[0].clone()

    def _part(self, tensor: Tensor, piece: Piece) -> Tensor:
        """The part of a weight that a parameter of the graph is: a view of it."""
        dim = 0
        for factors in piece.factors:
            whole = [self._count(length) for length, _, _ in factors]
            tensor = tensor.unflatten(dim, whole) if len(whole) > 1 else tensor
            for i, (_, start, length) in enumerate(factors):
                if start is not None:
                    tensor = tensor.narrow(dim + i, self._count(start), self._count(length))
            dim += len(whole)
        return tensor

    def _count(self, length: Length) -> int:
        return math.ceil(length.value(self.sizes) - 1e-9)

    def weights(self, parameters: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The module's weights from parameters of the graph; `others` are those of the weights that they do not set."""
        filled: dict[str, Tensor] = {}
        for name, parameter in parameters.items():
            for k, piece in enumerate(self.pieces[name]):
                value = parameter[k] if self.graph.repeat_of(name) else parameter
                if piece.whole:
                    filled[piece.weight] = value.reshape(others[piece.weight].shape)
                else:
                    if piece.weight not in filled:
                        filled[piece.weight] = others[piece.weight].detach().clone()
                    view = self._part(filled[piece.weight], piece)
                    view.copy_(value.reshape(view.shape))
        return {**others, **filled}

"""Matrices that do not step as the tensor that holds them: parts of a fused weight, and tensors that are sharded.

For one step each is a parameter of its own with a piece of the gradient and of the state; then all are written back.
State is kept in the tensor's shape, so that a checkpoint does not know of pieces.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from .sharded import fill, is_sharded, whole
from .weight_parts import dimensions, region

Part = tuple[str, float, float]
"""What a part reads (`[0:64, :]`), its rate and its decay over those of the group."""
WHOLE: tuple[Part, ...] = (("", 1.0, 1.0),)


class Pieces:
    """Replaces, while it is open, the groups of an optimizer of matrices by groups of pieces."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.cut: dict[Tensor, list[tuple[str, Tensor]]] = {}

    def __enter__(self) -> None:
        kept, self.groups, self.state = list[dict[str, Any]](), self.optimizer.param_groups, self.optimizer.state
        replaced: dict[Any, Any] = {}
        for group in self.groups:
            parts: tuple[Part, ...] = group.get("parts", WHOLE)
            apart = [p for p in group["params"] if p.grad is not None and (parts != WHOLE or is_sharded(p))]
            if not apart:
                kept.append(group)
                continue
            gone = {id(p) for p in apart}
            kept.append({**group, "params": [p for p in group["params"] if id(p) not in gone]})
            for text, rate, decay in parts:
                pieces = [self._piece(p, text, replaced) for p in apart]
                numbers = {"lr": group["lr"] * rate, "weight_decay": group["weight_decay"] * decay}
                kept.append({**group, **numbers, "params": pieces})
        if self.cut:
            self.optimizer.param_groups = [group for group in kept if group["params"]]
            self.optimizer.state = _joined(self.state, self.cut, replaced)

    def _piece(self, parameter: Tensor, text: str, state: dict[Any, Any]) -> Tensor:
        """A piece of a parameter, with what it has of gradient and state."""
        assert parameter.grad is not None
        piece = torch.nn.Parameter(matrix(whole(parameter), text).clone())
        piece.grad = matrix(whole(parameter.grad), text).clone()
        kept = self.state.get(parameter, {})
        if kept:
            state[piece] = {
                key: matrix(whole(value), text).clone() if _alike(value, parameter) else _copied(value)
                for key, value in kept.items()
            }
        self.cut.setdefault(parameter, []).append((text, piece))
        return piece

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stepped = self.optimizer.state
        self.optimizer.param_groups, self.optimizer.state = self.groups, self.state
        if error is not None or not self.cut:
            return
        for parameter, pieces in self.cut.items():
            values = whole(parameter).clone()
            for text, piece in pieces:
                _set(values, text, piece.detach())
            fill(parameter.data, values)
            self.state[parameter] = _gathered(parameter, [(t, piece, stepped.get(piece, {})) for t, piece in pieces])
        mine = {piece for pieces in self.cut.values() for _, piece in pieces}
        self.state.update({key: value for key, value in stepped.items() if key not in mine and key not in self.cut})


def _joined(state: Any, cut: dict[Tensor, Any], replaced: dict[Any, Any]) -> Any:
    joined = type(state)(state.default_factory) if hasattr(state, "default_factory") else type(state)()
    joined.update({key: value for key, value in state.items() if key not in cut})
    joined.update(replaced)
    return joined


def _alike(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def matrix(values: Tensor, text: str) -> Tensor:
    """What a part reads of a whole tensor, as a matrix: dimensions that one of the tensor was opened into are one."""
    part = region(values, text, {})
    counts, lengths, first = dimensions(text) or [1] * part.ndim, list[int](), 0
    for count in counts:
        lengths.append(part.shape[first : first + count].numel())
        first += count
    while len(lengths) > 2 and 1 in lengths:  # one expert of several
        lengths.remove(1)
    return part.reshape(lengths)


def _set(values: Tensor, text: str, piece: Tensor) -> None:
    part = region(values, text, {})
    part.copy_(piece.reshape(part.shape))


def _gathered(parameter: Tensor, pieces: list[tuple[str, Tensor, dict[str, Any]]]) -> dict[str, Any]:
    """The state of a parameter from that of its pieces. Raises `TypeError` for state of another shape than theirs."""
    gathered: dict[str, Any] = {}
    for key, value in pieces[0][2].items():
        if isinstance(value, Tensor) and value.shape == pieces[0][1].shape:
            like = torch.zeros_like(parameter, dtype=value.dtype)
            values = torch.zeros(parameter.shape, dtype=value.dtype, device=value.device)
            for text, _, state in pieces:
                _set(values, text, state[key])
            fill(like, values)
            gathered[key] = like
        elif isinstance(value, Tensor) and value.ndim > 0:
            raise TypeError(f"state {key!r} of {tuple(value.shape)} is not that of a part of a fused weight")
        else:
            gathered[key] = value
    return gathered

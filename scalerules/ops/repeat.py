"""Depth: a block that is repeated along an axis, with parameters of its own in every repetition."""

from __future__ import annotations

from collections.abc import Sequence

from .node import Node
from .registry import Lengths, register


def _repeat_axes(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    return shapes[0]


register(
    "repeat",
    "Depth is an axis: the parameters of a repeated block are stacked along it, and every residual of the block is "
    "a sum over it.",
    _repeat_axes,
    operands=(1, None),
    required=["axis", "body", "result"],
    kind="depth",
)

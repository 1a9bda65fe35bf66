"""Depth: a block that is repeated along an axis, with parameters of its own in every repetition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scalerules.errors import GraphError

from .registry import register

if TYPE_CHECKING:
    from scalerules.architecture.graph import Graph

    from .node import Node


def _repeat_axes(node: Node, shapes: list[tuple[str, ...]], graph: Graph, where: str) -> Sequence[str]:
    result = graph.axes_of(str(node.result))
    if tuple(result) != tuple(shapes[0]):
        raise GraphError(f"the body turns axes {list(shapes[0])} into {list(result)}", where=where)
    return shapes[0]


register(
    "repeat",
    "Depth is an axis: the parameters of a repeated block are stacked along it, and every residual of the block is "
    "a sum over it.",
    _repeat_axes,
    operands=(1, None),
    required=["axis", "body", "result"],
)

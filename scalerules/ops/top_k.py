"""Routing: the choice of the largest entries along an axis, as one-hot vectors that contractions select with.

A mixture of experts reads its parameters through the choice: `einsum(x, choice, W)` is the chosen experts' answers, and
`einsum(scores, choice)` their scores; the gradient goes through these and never through the choice (straight-through).
Source: Shazeer et al. 2017, arXiv 1701.06538 (keep the top k, equations 3 to 5, without the noise).
"""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.errors import GraphError

from .node import Node
from .registry import Lengths, register


def _chosen_axes(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    axes = node.axes or []
    if len(axes) != 2 or axes[1] != shapes[0][-1]:
        hint = f"axes: the axis of the choices, then the one chosen from, such as 'active {shapes[0][-1]}'"
        raise GraphError(f"chooses along {axes}, not along the last axis {shapes[0][-1]!r}", where=where, hint=hint)
    return [*shapes[0][:-1], *axes]


register(
    "top_k",
    "One-hot vectors of the largest entries. What is not chosen has no part: for every sum, the axis chosen from is as "
    "long as the axis of the choices; no gradient goes through the choice.",
    _chosen_axes,
    required=["axes"],
    kind="choice",
)

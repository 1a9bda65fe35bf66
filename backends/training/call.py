"""One evaluation of an operation: its node, its operands, and the lengths of its axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scalerules.ops.node import Node


@dataclass(frozen=True)
class Call:
    """One node about to be computed: its operands as tensors, with the names of their axes."""

    name: str
    node: Node
    operands: list[Tensor]
    axes: list[tuple[str, ...]]
    lengths: Mapping[str, int]
    """The number of entries along every axis."""
    factor: float
    """What a `scale` node multiplies with."""
    offset: int
    """Where a `slice` begins."""
    dtype: torch.dtype
    scope: Scope
    """Where the node stands; a scan adds its internal nodes, `NAME.state` and others, to its values."""

    @property
    def dim(self) -> int:
        """The dimension of the first operand that the node works along (the last of that name)."""
        return last_index(self.axes[0], str(self.node.axis))

    def length(self, axis: str) -> int:
        """The number of entries along an axis."""
        return self.lengths[axis]


def last_index(axes: Sequence[str], axis: str) -> int:
    """The last position of `axis` in `axes` (attention weights have the axis time twice)."""
    return len(axes) - 1 - list(axes)[::-1].index(axis)


Swap = Mapping[tuple[str, str], Tensor]
"""(node, parameter) -> the value that this node alone reads instead of the parameter's."""


@dataclass
class ForwardPass:
    """One evaluation of a graph: the values of the top level, and of each repeat's body, block by block.

    `look` False leaves out what is computed only to be looked at (the internal nodes of scans).
    """

    parameters: Mapping[str, Tensor]
    values: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    blocks: dict[str, list[dict[str, Tensor]]] = field(default_factory=dict[str, list[dict[str, Tensor]]])
    look: bool = True

    def all_values(self) -> dict[str, Tensor]:
        """Every node's value by name, detached; nodes of a body are stacked over the blocks (first dimension)."""
        stacked = {name: value.detach() for name, value in self.values.items()}
        for blocks in self.blocks.values():
            for name in blocks[0]:
                if name != "stream":
                    stacked[name] = torch.stack([block[name].detach() for block in blocks])
        return stacked


@dataclass(frozen=True)
class Scope:
    """The top level of a graph (`repeat` and `block` None), or one block of a repeat, while it is computed."""

    forward: ForwardPass
    values: dict[str, Tensor]
    repeat: str | None = None
    block: int | None = None
    swap: Swap = field(default_factory=dict[tuple[str, str], Tensor])

"""The selective scan: a recurrence over time with a diagonal transition.

Operands of `scan`: `u` (batch time channel), `dt` (batch time channel), `A` (channel state), `B` and `C`
(batch time state, or channel state). Result: `y` (batch time channel), with
`x_t = decay(dt, A) x_{t-1} + input(dt, A) B_t u_t`, `y_t = C_t x_t`; `x` is the node `NAME.state`.
Source: Gu and Dao 2023, arXiv 2312.00752, section 3; the recurrence is computed by `backends/scan.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import GraphError
from .registry import register

if TYPE_CHECKING:
    from ..graph import Graph, Node


def _scan_axes(node: Node, shapes: list[tuple[str, ...]], graph: Graph, where: str) -> Sequence[str]:
    u, dt, a, b, c = shapes
    batch, time, channel = u if len(u) == 3 else ("", "", "")
    state = a[-1] if a else ""
    wanted = [(u, "u"), (dt, "dt"), (a, "A"), (b, "B"), (c, "C")]
    allowed = [
        {(batch, time, channel)},
        {(batch, time, channel)},
        {(channel, state), (state,)},
        {(batch, time, state), (channel, state)},
        {(batch, time, state), (channel, state)},
    ]
    for (shape, name), shapes_allowed in zip(wanted, allowed, strict=True):
        if len(u) != 3 or shape not in shapes_allowed:
            expected = " or ".join(sorted(" ".join(s) for s in shapes_allowed)) if len(u) == 3 else "3 axes"
            raise GraphError(f"operand {name} has axes {' '.join(shape)!r}, not {expected!r}", where=where)
    return u


register(
    "scan",
    "The fixed point of its body over the fixed number of steps; entries that decay along the state axis keep "
    "their index profile.",
    _scan_axes,
    operands=(5, 5),
    required=["discretisation"],
)

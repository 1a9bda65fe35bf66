"""The table of elementary operations: what each takes, the axes of its result, and its laws.

Every file of this folder registers its operations here; an operation without a reason (a docstring) is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from scalerules.errors import GraphError, nearest
from scalerules.sizes.lengths import Length

from .node import Node

Lengths = Mapping[str, Length]
AxesRule = Callable[[Node, list[tuple[str, ...]], Lengths, str], Sequence[str]]
"""The axes of a result, from the node, the axes of its operands, the length of every axis and where it stands."""

Kind = Literal["data", "sum", "product", "factor", "norm", "layout", "function", "recurrence", "choice", "depth"]
"""What an operation is to a reader."""

OPS: dict[str, Op] = {}
LAWS: dict[str, Op] = {}
_COMMON = {"op", "inputs", "parameters"}


@dataclass(frozen=True)
class Op:
    """An elementary operation: number of operands, fields it takes, the axes of its result, its laws.

    `laws` holds the rule of each pass (see `scalerules.passes`); `reason` is what a derivation prints.
    """

    name: str
    reason: str
    axes: AxesRule
    least: int = 1
    most: int | None = 1
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    laws: Any = field(default=None, repr=False)
    kind: Kind = "function"
    passes: bool = False
    """Every entry of the result is one of the operand's, perhaps with the other sign: no size changes."""
    linear: bool = False
    """The result is a linear function of all operands together."""
    multilinear: bool = False
    """The result is a linear function of every operand."""

    def takes(self, node: Node) -> bool:
        """Whether the node has the fields and the number of operands that the op takes."""
        try:
            self.check_fields(node, "")
        except GraphError:
            return False
        return True

    def check_fields(self, node: Node, where: str) -> None:
        """Raises `GraphError` unless the node has the fields and the number of operands that the op takes."""
        given = {name for name in node.model_fields_set if getattr(node, name) is not None}
        for extra in sorted(given - _COMMON - self.required - self.optional):
            names = sorted(_COMMON | self.required | self.optional)
            raise GraphError(f"op {self.name!r} takes no field {extra!r}", where=where, hint=nearest(extra, names))
        for missing in sorted(self.required - given):
            raise GraphError(f"op {self.name!r} needs the field {missing!r}", where=where)
        count = len(node.operands)
        if count < self.least or (self.most is not None and count > self.most):
            wanted = f"{self.least}" if self.least == self.most else f"{self.least} or more"
            raise GraphError(f"op {self.name!r} takes {wanted} operands, not {count}", where=where)


def register(
    name: str,
    reason: str | None,
    axes: AxesRule,
    *,
    operands: tuple[int, int | None] = (1, 1),
    required: Sequence[str] = (),
    optional: Sequence[str] = (),
    laws: Any = None,
    kind: Kind = "function",
    passes: bool = False,
    linear: bool = False,
    multilinear: bool = False,
) -> Op:
    """Adds an operation to the table. Raises `ValueError` without a reason, or when the name is taken."""
    if not reason or not reason.strip():
        raise ValueError(f"op {name!r} has no reason: a rule without one is not registered")
    if name in OPS:
        raise ValueError(f"op {name!r} is registered twice")
    OPS[name] = Op(
        name, " ".join(reason.split()), axes, *operands, frozenset(required), frozenset(optional), laws, kind,
        passes, linear or passes, multilinear,
    )  # fmt: skip
    return OPS[name]


def like(node: Node) -> list[str]:
    """The ops that a node with these fields and operands could be; all where it could be none."""
    return [name for name, op in OPS.items() if op.takes(node)] or list(OPS)


def internal(name: str, reason: str, laws: Any) -> Op:
    """A law of a site that only appears when a scan is opened; it cannot be written in a graph."""
    LAWS[name] = Op(name, " ".join(reason.split()), same_axes, laws=laws)
    return LAWS[name]


def law_of(name: str) -> Op:
    """The operation, or the internal law, called `name`."""
    return OPS.get(name) or LAWS[name]


def same_axes(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    """The result has the axes of the first operand, which every other operand may only have part of."""
    whole = max(shapes, key=len)
    for shape in shapes:
        for axis in shape:
            if axis not in whole:
                raise GraphError(f"the axes {list(shape)} do not fit into {list(whole)}", where=where)
    return whole


def with_axis(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    """The result has the axes of the operand, `axis` among them."""
    if node.axis not in shapes[0]:
        raise GraphError(
            f"has no axis {node.axis!r}, only {list(shapes[0])}", where=where, hint=nearest(str(node.axis), shapes[0])
        )
    return shapes[0]

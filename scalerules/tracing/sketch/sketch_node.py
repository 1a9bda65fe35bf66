"""What a sketch is made of: nodes with loose ends, and the changes of axes that make them fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scalerules.sizes.arithmetic import probe
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call

from .axes import Axis
from .values import Source


@dataclass(frozen=True, eq=False)
class SketchNode:
    """A node of a sketch: what it reads, a label for every axis of its operands and its result, and its further fields.

    `labels` None: the axes of the result are those of the only operand. `along` is the slot that a norm, softmax or
    mean works on.
    """

    name: str
    op: str
    operands: tuple[Source, ...]
    labels: tuple[tuple[int, ...], ...] | None
    result: tuple[int, ...]
    slots: tuple[Axis, ...]
    along: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    call: Call | None = None
    body: str | None = None
    """The repeat in whose body it stands."""
    product: str | None = None
    """The product that a factor stands in front of in the module."""
    shown: bool = True
    """Whether a call of the module returns its value: not that of what a factor was moved past."""
    fixed: bool = False
    """Of an input: whether only the calculus has it, entries that the module holds and no batch changes; of a factor:
    whether nothing is to be solved for."""
    square_of: Source | None = None
    """What its entries are the squares of, entry by entry, axis by axis."""


@dataclass(frozen=True)
class Stretch:
    """A change of one axis: only `length` entries from `start` on."""

    start: Length
    length: Length

    @property
    def key(self) -> tuple[object, ...]:
        return ("stretch", probe(self.start), probe(self.length))


@dataclass(frozen=True)
class Split:
    """A change of one axis: into factors of these lengths."""

    lengths: tuple[Length, ...]

    @property
    def makes_matrix(self) -> bool:
        """Whether two factors grow or more: what was one row is a matrix, and no row of heads."""
        return sum(bool(length.scales) for length in self.lengths) > 1

    @property
    def key(self) -> tuple[object, ...]:
        return ("split", *(probe(length) for length in self.lengths))


Change = Stretch | Split

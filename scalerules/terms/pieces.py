"""A tensor as the laws see it: pieces that are lists of terms, or outer products that stay unmultiplied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .term import Term

HALF = Fraction(1, 2)


Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outer:
    """A change of a parameter, kept as the factors of its contraction: `factor * einsum(factors) -> labels`.

    A label that stands twice is a diagonal: without factors the identity.
    """

    factors: tuple[tuple[Labels, tuple[Term, ...]], ...]
    labels: Labels
    factor: Term


def axis_name(label: str) -> str:
    """The axis of a label: labels are written `axis|word`, unique within one contraction."""
    return label.partition("|")[0]


Piece = list[Term] | Outer


Operand = Sequence[Piece]

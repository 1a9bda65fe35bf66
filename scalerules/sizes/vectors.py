"""Vectors of exact sizes: one along the direction, then one for each of its scales."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from .lengths import Direction

Vector = tuple[Fraction, ...]


def plus(a: Vector, b: Vector, share: Fraction) -> Vector:
    """The vector `a + share * b`."""
    return tuple(x + share * y for x, y in zip(a, b, strict=True))


def along(exponents: Mapping[str, Fraction], direction: Direction) -> Vector:
    """The size along the direction of a product of scales, then its exponents."""
    size = sum((share * direction[scale] for scale, share in exponents.items()), Fraction(0))
    return (size, *(exponents.get(scale, Fraction(0)) for scale in direction))

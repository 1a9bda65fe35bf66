"""Sums, products and powers of lengths, and when two lengths are equal."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache

from .lengths import Length, Monomial

PROBES = (97.0, 331.0)
"""Values of the scales at which lengths are compared; each further scale gets another multiple of them."""


def fixed(number: int | float | Fraction) -> Length:
    """The length of a constant."""
    return Length((Monomial(Fraction(number).limit_denominator(10**12), ()),))


ONE = fixed(1)


@lru_cache(maxsize=100_000)
def probe(length: Length) -> tuple[float, ...]:
    """The value of a length at two points that no two simple lengths agree at."""
    names = sorted(length.scales)
    values: list[float] = []
    for value in PROBES:
        values.append(length.value({name: value * (1.618 + hash_of(name)) for name in names}))
    return tuple(values)


def hash_of(name: str) -> float:
    """A number between 0 and 1 that depends on a name alone."""
    total = 0
    for letter in name:
        total = (total * 131 + ord(letter)) % 1_000_003
    return total / 1_000_003


def same(a: Length, b: Length) -> bool:
    """Whether two lengths are equal at all values of the scales."""
    return a == b or all(
        abs(x - y) <= 1e-6 * max(abs(x), abs(y), 1e-9) for x, y in zip(probe(a), probe(b), strict=True)
    )


def is_one(length: Length) -> bool:
    """Whether a length is the constant 1."""
    return same(length, ONE)


def constant(length: Length) -> float | None:
    """The number that a length is, or None where it varies."""
    return length.value({}) if not length.scales else None


def plus(*lengths: Length) -> Length:
    """The sum of lengths, terms of the same powers taken together."""
    constants: dict[tuple[tuple[str, Fraction], ...], Fraction] = {}
    for length in lengths:
        for monomial in length.monomials:
            constants[monomial.powers] = constants.get(monomial.powers, Fraction(0)) + monomial.constant
    kept = tuple(Monomial(number, powers) for powers, number in constants.items() if number)
    return Length(kept or (Monomial(Fraction(0), ()),))


def times(a: Length, b: Length) -> Length:
    """The product of two lengths."""
    products: list[Length] = []
    for x in a.monomials:
        for y in b.monomials:
            powers = dict(x.powers)
            for name, power in y.powers:
                powers[name] = powers.get(name, Fraction(0)) + power
            kept = tuple(sorted((name, power) for name, power in powers.items() if power))
            products.append(Length((Monomial(x.constant * y.constant, kept),)))
    return plus(*products)


def negative(length: Length) -> Length:
    """A length with the opposite sign; only for differences."""
    return times(length, fixed(-1))


def power(length: Length, exponent: Fraction) -> Length | None:
    """A monomial raised to a power; None of a sum (unless the exponent is a small whole number)."""
    if len(length.monomials) == 1:
        only = length.monomials[0]
        if only.constant <= 0 and exponent.denominator != 1:
            return None
        exact = exponent.denominator == 1 and only.constant
        number = only.constant ** int(exponent) if exact else Fraction(float(only.constant) ** float(exponent))
        powers = tuple((name, p * exponent) for name, p in only.powers)
        return Length((Monomial(number.limit_denominator(10**12), powers),))
    if exponent == 1:
        return length
    return times(length, length) if exponent == 2 else None


def over(a: Length, b: Length) -> Length | None:
    """The quotient of two lengths, None where it is no sum of products."""
    if len(b.monomials) == 1:
        inverse = power(b, Fraction(-1))
        return None if inverse is None else times(a, inverse)
    ratio = [x / y for x, y in zip(probe(a), probe(b), strict=True)]
    return fixed(round(ratio[0])) if abs(ratio[0] - ratio[1]) < 1e-9 and round(ratio[0]) else None


def product(lengths: Iterable[Length]) -> Length:
    """The product of many lengths."""
    total = ONE
    for length in lengths:
        total = times(total, length)
    return total

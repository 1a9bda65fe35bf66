"""Scales and the lengths of axes: products of scales and constants, and their growth along a direction.

A *scale* is a number that grows (width, state size, depth); a *direction* says how fast each scale grows,
`{"width": 1, "state": 1/4}`; the *growth* of an axis is the exponent with which its length then grows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from scalerules.errors import ScaleRulesError

Direction = Mapping[str, Fraction]
"""Growth of every scale that grows; a scale that is absent is held fixed."""

MAX_POWER = 64
"""No length of an axis is a higher power of a scale."""

_FACTOR = re.compile(
    r"\s*(?P<op>[*/]?)\s*(?:(?P<number>\d{1,15}(?:\.\d{1,15})?)|(?P<name>[A-Za-z_]\w*))"
    r"(?:\s*(?:\^|\*\*)\s*(?P<power>-?\d{1,3}|\(\s*-?\d{1,3}(?:\s*/\s*0*[1-9]\d{0,2})?\s*\)))?\s*"
)


@dataclass(frozen=True)
class Monomial:
    """`constant * product of scales**powers`, such as `4 * width**(1/2)`."""

    constant: Fraction
    powers: tuple[tuple[str, Fraction], ...]

    def growth(self, direction: Direction) -> Fraction:
        """The exponent with which this grows along `direction`."""
        return sum((power * direction.get(name, Fraction(0)) for name, power in self.powers), Fraction(0))

    def value(self, sizes: Mapping[str, float]) -> float:
        """The number at the given scale values."""
        return float(self.constant) * math.prod(sizes[name] ** float(power) for name, power in self.powers)

    def __str__(self) -> str:
        factors = [] if self.constant == 1 and self.powers else [str(_written(self.constant))]
        for name, power in self.powers:
            factors.append(name if power == 1 else f"{name}^{power if power.denominator == 1 else f'({power})'}")
        return "*".join(factors)


def _written(constant: Fraction) -> Fraction:
    """A constant in at most fifteen digits above and below the line: one that is irrational has no end."""
    if max(abs(constant.numerator), constant.denominator) < 10**15:
        return constant
    return Fraction(f"{float(constant):.12e}").limit_denominator(10**14)


@dataclass(frozen=True)
class Length:
    """A sum of monomials: the length of an axis, or a factor in the forward pass."""

    monomials: tuple[Monomial, ...]

    @property
    def scales(self) -> frozenset[str]:
        """Names of the scales that occur."""
        return frozenset(name for monomial in self.monomials for name, _ in monomial.powers)

    def leading(self, direction: Direction) -> Monomial:
        """The monomial that grows fastest along `direction` (the first one among equals)."""
        return max(self.monomials, key=lambda monomial: monomial.growth(direction))

    def growth(self, direction: Direction) -> Fraction:
        """The exponent with which this grows along `direction`."""
        return self.leading(direction).growth(direction)

    def value(self, sizes: Mapping[str, float]) -> float:
        """The number at the given scale values, not rounded."""
        return sum(monomial.value(sizes) for monomial in self.monomials)

    def at(self, sizes: Mapping[str, float]) -> int:
        """The length as a whole number, at least 1 (rounded up, as `ceil(width / 16)` is)."""
        return max(1, math.ceil(self.value(sizes) - 1e-9))

    def __str__(self) -> str:
        return " + ".join(str(monomial) for monomial in self.monomials).replace("+ -", "- ")


def parse_length(text: str | int, axes: Mapping[str, Length] | None = None, *, where: str | None = None) -> Length:
    """The length written in `text`: `64*width`, `width/4`, `width^(1/2)`, `rank + 2*state`, `depth - 1`.

    A name in `axes` is replaced by its length; every other name is a scale.
    Raises `ScaleRulesError` if the text is not a sum of products.
    """
    parts = re.sub(r"\s-\s", " + -", str(text)).split("+")
    return Length(tuple(_parse_monomial(part, axes or {}, str(text), where) for part in parts))


def _parse_monomial(text: str, axes: Mapping[str, Length], whole: str, where: str | None) -> Monomial:
    constant, powers = Fraction(1), dict[str, Fraction]()
    text = text.strip()
    start = position = 1 if text.startswith("-") else 0
    constant = Fraction(-1) if start else constant
    while position < len(text):
        match = _FACTOR.match(text, position)
        if match is None or bool(match["op"]) != (position > start):
            break
        power = Fraction((match["power"] or "1").strip("() ").replace(" ", ""))
        power = -power if match["op"] == "/" else power
        if match["number"]:
            if power.denominator != 1 or (power < 0 and not Fraction(match["number"])):
                break
            constant *= Fraction(match["number"]) ** int(power)
        else:
            for name, inner in _factors(match["name"], axes, power, whole, where):
                if name:
                    powers[name] = powers.get(name, Fraction(0)) + inner
                else:
                    constant *= inner
        position = match.end()
    # A number such as 9^999, or a chain of axes with powers, must neither fill the memory nor overflow.
    too_large = constant.numerator.bit_length() > 512 or any(abs(power) > MAX_POWER for power in powers.values())
    if position == start or position < len(text) or too_large or (powers and not constant):
        raise ScaleRulesError(
            f"cannot read the length {whole!r}",
            where=where,
            hint="a length is a sum of products of scales and constants, such as '64*width' or 'width/4'",
        )
    return Monomial(constant, tuple(sorted((n, p) for n, p in powers.items() if p)))


def _factors(
    name: str, axes: Mapping[str, Length], power: Fraction, whole: str, where: str | None
) -> list[tuple[str, Fraction]]:
    """The scales (and, under the empty name, the constant) that `name**power` stands for."""
    if name not in axes:
        return [(name, power)]
    monomials = axes[name].monomials
    first, constant = monomials[0], monomials[0].constant
    exact = power.denominator == 1
    if len(monomials) > 1 or not (exact or constant == 1):
        root = _exact_power(constant, power) if len(monomials) == 1 else None
        if root is None:
            raise ScaleRulesError(f"cannot raise the axis {name!r} to the power {power} in {whole!r}", where=where)
        factor = root
    else:
        factor = constant ** int(power) if exact else Fraction(1)
    return [("", factor)] + [(scale, inner * power) for scale, inner in first.powers]


def _exact_power(constant: Fraction, power: Fraction) -> Fraction | None:
    """`constant**power` to fifteen digits: a constant factor carries no size, only a number."""
    return Fraction(float(constant) ** float(power)).limit_denominator(10**15) if constant > 0 else None

"""The exponents of a quantity, one for each scale: exact numbers in, sympy expressions out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, cast

from scalerules.boundary.amounts import positive
from scalerules.errors import ScaleRulesError, UnknownName, short

if TYPE_CHECKING:
    import sympy  # pyright: ignore[reportMissingTypeStubs]


@dataclass(frozen=True)
class Exponents(Mapping[str, "sympy.Rational"]):
    """The exponent of every scale: `exponents["width"]` is an exact sympy Rational."""

    fractions: Mapping[str, Fraction]

    def __getitem__(self, scale: str) -> sympy.Rational:
        import sympy  # pyright: ignore[reportMissingTypeStubs]

        if scale not in self.fractions:
            raise UnknownName("scale", scale, self.fractions)
        value = self.fractions[scale]
        return cast("sympy.Rational", sympy.Rational(value.numerator, value.denominator))

    def __iter__(self) -> Iterator[str]:
        return iter(self.fractions)

    def __len__(self) -> int:
        return len(self.fractions)

    @cached_property
    def expr(self) -> sympy.Expr:
        """The product of the scales to their exponents, as a sympy expression."""
        import sympy  # pyright: ignore[reportMissingTypeStubs]

        return sympy.Mul(*(sympy.Symbol(scale, positive=True) ** self[scale] for scale in self.fractions))

    def factor(self, ratios: Mapping[str, float]) -> float:
        """The product of `ratios[scale] ** exponent`: by what the quantity changes when each scale grows so.

        A scale that is not among the ratios stays as it is. Raises `UnknownName` for a scale that has no exponent here,
        since what it changes is not known, and `ScaleRulesError` for a ratio that is not above 0.
        """
        if not isinstance(ratios, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            hint = f"such as {{{next(iter(self.fractions), 'width')!r}: 2}}"
            raise ScaleRulesError(f"ratios stand by scale, not as {short(ratios)}", hint=hint)
        for scale, ratio in ratios.items():
            if scale not in self.fractions:
                raise UnknownName("scale", scale, self.fractions)
            positive(ratio, f"the ratio of {scale!r}", math.inf)
        return self.change(ratios)

    def change(self, ratios: Mapping[str, float]) -> float:
        """The same factor, of ratios that are known to be right; scales without an exponent change nothing."""
        product = 1.0
        for scale, exponent in self.fractions.items():
            product *= ratios.get(scale, 1.0) ** float(exponent)
        return product

    def size(self, direction: Mapping[str, Fraction]) -> Fraction:
        """The exponent along a direction."""
        return sum((value * direction.get(s, Fraction(0)) for s, value in self.fractions.items()), Fraction(0))

    def plus(self, other: Exponents, share: int | Fraction = 1) -> Exponents:
        """Exponents of the product with `other ** share`."""
        return Exponents({s: v + share * other.fractions.get(s, Fraction(0)) for s, v in self.fractions.items()})

    def __str__(self) -> str:
        parts = [
            scale if value == 1 else f"{scale}^{value if value.denominator == 1 else f'({value})'}"
            for scale, value in self.fractions.items()
            if value
        ]
        return " ".join(parts) or "1"

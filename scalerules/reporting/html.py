"""Numbers and powers as HTML."""

from __future__ import annotations

from fractions import Fraction
from html import escape

from scalerules.sizes.exponents import Exponents

from .drawing import POWER


def power(exponents: Exponents) -> str:
    """A product of powers of scales as HTML: `width<sup>−1/2</sup>`."""
    parts = [
        escape(scale) + ("" if value == 1 else f"<sup>{exponent(value)}</sup>")
        for scale, value in exponents.fractions.items()
        if value
    ]
    return " ".join(parts) or '<span class="one">1</span>'


def exponent(value: Fraction) -> str:
    """A fraction with a minus sign as long as a digit."""
    return str(value).replace("-", "\N{MINUS SIGN}")


def raised(text: str) -> str:
    """Text as HTML, with its exponents raised: `width^(-1/2)` as the reader expects it."""
    return POWER.sub(r"\1<sup>\2</sup>", escape(text)).replace("<sup>-", "<sup>\N{MINUS SIGN}")

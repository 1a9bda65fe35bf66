"""Numbers, powers and tables as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], style: str = "") -> str:
    """A table of HTML cells; a cell that brings its own `<td` or `<th` is taken as it is."""
    head = "".join(f"<th>{cell}</th>" for cell in heads)
    lines = ("".join(c if c.startswith(("<td", "<th")) else f"<td>{c}</td>" for c in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll {style}" tabindex="0">{whole}</div>'  # what scrolls has to be reached by the keyboard

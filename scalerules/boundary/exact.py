"""Exact numbers that somebody wrote: fractions of usual length, read without ever computing a long one."""

from __future__ import annotations

import re
from fractions import Fraction

from scalerules.errors import ScaleRulesError, short

FRACTION = re.compile(r"[+-]?\d{1,9}(?:\.\d{1,17}|/0*[1-9]\d{0,8})?(?:[eE][+-]?\d{1,2})?")
"""A fraction or a decimal number of usual length: not `1e999999999`, whose exact value would fill the memory."""


def exact(value: object, where: str | None = None, kind: str = "exponent") -> Fraction:
    """The fraction that a number (`0.5`, sympy's too) or a text (`"-1/2"`) stands for.

    Raises `ScaleRulesError` for everything else.
    """
    text = str(value).strip() if not isinstance(value, bool) and value is not None else ""
    if len(text) > 40 or not FRACTION.fullmatch(text):
        raise ScaleRulesError(f"cannot read the {kind} {short(value)}", where=where, hint="a fraction: '-1/2'")
    return Fraction(text)

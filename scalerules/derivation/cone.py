"""The cone of directions in which a solution holds, as inequalities between the growths of the scales."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm

from scalerules.passes.events import Event, Run
from scalerules.solving.equations import Vectors, vector_of
from scalerules.terms.term import Term

Inequality = tuple[int, ...]
"""Coefficients of a combination of growths that is at most 0."""


def cone_of(run: Run, vectors: Vectors, scales: Sequence[str]) -> tuple[str, ...]:
    """Inequalities such as `state <= width`; empty where the solution holds in every direction of these scales."""
    return tuple(_text(inequality, scales) for inequality in bounding(run, vectors, scales))


def bounding(run: Run, vectors: Vectors, scales: Sequence[str]) -> dict[Inequality, tuple[Event, Term]]:
    """Every inequality that no other one implies, with the term that would grow beyond it, and its event."""
    if len(scales) < 2:
        return {}
    inequalities: dict[Inequality, tuple[Event, Term]] = {}
    seen: set[object] = set()
    for event in run.events:
        for term in event.terms if event.judged else ():
            form = dict(term.counts)
            for symbol, share in event.discount if term is event.term else ():
                form[symbol] = form.get(symbol, Fraction(0)) + share
            if term.profile and term is not event.term:
                continue
            key = frozenset(form.items())
            if key in seen:
                continue
            seen.add(key)
            inequality = _whole(vector_of(form, vectors, run, scales)[1:])
            if any(coefficient > 0 for coefficient in inequality):
                inequalities.setdefault(inequality, (event, term))
    return {
        inequality: place
        for inequality, place in inequalities.items()
        if not any(other != inequality and _implies(other, inequality) for other in inequalities)
    }


def _whole(coefficients: Sequence[Fraction]) -> Inequality:
    scale = lcm(*(c.denominator for c in coefficients))
    numbers = [int(c * scale) for c in coefficients]
    divisor = gcd(*numbers) or 1
    return tuple(number // divisor for number in numbers)


def _implies(b: Inequality, a: Inequality) -> bool:
    """Whether `a <= 0` follows from `b <= 0` and growths of at least 0: `a - k b` has no positive entry for some k."""
    low, high = Fraction(0), None
    for x, y in zip(a, b, strict=True):
        if y > 0:
            low = max(low, Fraction(x, y))
        elif y < 0:
            bound = Fraction(x, y)
            high = bound if high is None else min(high, bound)
        elif x > 0:
            return False
    return high is None or low <= high


def _text(inequality: Inequality, scales: Sequence[str]) -> str:
    def side(sign: int) -> str:
        parts = [
            scale if abs(c) == 1 else f"{abs(c)}*{scale}"
            for c, scale in zip(inequality, scales, strict=True)
            if c * sign > 0
        ]
        return " + ".join(parts) or "0"

    return f"{side(1)} <= {side(-1)}"

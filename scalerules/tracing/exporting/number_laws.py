"""Which sizes are traced, and the laws of the numbers seen there: a constant, a monomial, a sum of those, rounded.

A number of the graph (the length of an axis, an argument) is a *column*: one value per trace. A law is accepted only
if it is exact in every trace, and there is always one trace more than the law has unknowns.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from scalerules.sizes.lengths import Length, Monomial

from .measured_values import Decided

Column: TypeAlias = tuple[float, ...]
Powers: TypeAlias = tuple[tuple[str, Fraction], ...]

PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43)
MAX_TERMS = 4
FLOAT_TOLERANCE = 3e-7
"""Relative: a number that passed through single precision still counts as equal."""


@dataclass(frozen=True)
class Rounded(Length):
    """A length that is a multiple of `step`: the sum of monomials rounded `up` or `down`."""

    step: int = 1
    how: Literal["up", "down"] = "up"

    def at(self, sizes: Mapping[str, float]) -> int:
        """The length as a whole number."""
        steps = self.value(sizes) / self.step
        return self.step * (math.ceil(steps - 1e-9) if self.how == "up" else math.floor(steps + 1e-9))


def spread(scales: Mapping[str, Sequence[int]], slow: Mapping[str, Sequence[int]]) -> list[dict[str, int]]:
    """Sizes at which every scale differs by other ratios: the greatest common divisor of a scale's values times primes.

    The first is as small as the smallest given values allow, the last is the one held out. A scale in `slow` (one that
    adds nodes) goes through the values given there instead.
    """
    count = max(5, len(scales) + 2)
    points: list[dict[str, int]] = [{} for _ in range(count)]
    for index, (scale, values) in enumerate(scales.items()):
        if scale in slow:
            chosen = _bounce(slow[scale], count, index)
        else:
            step = math.gcd(*values)
            start = next(i for i, prime in enumerate(PRIMES) if prime * step >= min(min(values), 31 * step))
            chosen = [step * prime for prime in PRIMES[start : start + count]]
            chosen = chosen[:1] + _turned(chosen[1:], index)
        for point, value in zip(points, chosen, strict=True):
            point[scale] = value
    return points


def given(scales: Mapping[str, Sequence[int]]) -> list[dict[str, int]]:
    """Sizes made of the given values alone, all first values first; fewer than five where there are not as many."""
    grid = [dict(zip(scales, values, strict=True)) for values in itertools.product(*scales.values())]
    first, rest = grid[0], grid[1:]
    if len(scales) > 1:
        random.Random(0).shuffle(rest)
    return [first, *rest[: max(4, len(scales) + 1)]]


def _turned(values: list[int], by: int) -> list[int]:
    by %= len(values)
    return values[by:] + values[:by]


def _bounce(values: Sequence[int], count: int, phase: int) -> list[int]:
    """`2, 3, 4, 3, 2, 3, ...`: small values, from one trace to the next not in step with a prime."""
    cycle = [*values, *values[-2:0:-1]] if len(values) > 2 else list(values)
    turn = [cycle[(i + phase * (i > 0)) % len(cycle)] for i in range(count)]
    return turn


class Laws:
    """Fits columns over the traced sizes; sums use the monomials that other columns of the same graph follow.

    `spare` is how many traces more than unknowns a law has to be exact in; 0 where no further sizes can be had.
    """

    def __init__(self, points: Sequence[Mapping[str, int]], spare: int = 1) -> None:
        self.points, self.spare = points, spare
        self.scales = list(points[0])
        self._fits: dict[tuple[Column, bool], Length | None] = {}
        self._basis: dict[Powers, list[Fraction]] = {}
        self._rounded: dict[Column, Rounded] = {}
        for powers in [(), *(((scale, Fraction(1)),) for scale in self.scales)]:
            self._basis[powers] = [self._exact(powers, point) for point in points]

    @cached_property
    def _design(self) -> np.ndarray:
        rows = [[1.0, *(math.log(point[scale]) for scale in self.scales)] for point in self.points]
        return np.array(rows)

    @cached_property
    def _tellable(self) -> bool:
        """The sizes tell all scales apart, with the traces to spare."""
        unknowns = len(self.scales) + 1
        return bool(np.linalg.matrix_rank(self._design) == unknowns <= len(self.points) - self.spare)

    def learn(self, column: Column) -> None:
        """Remembers the monomial that a column of whole numbers follows, for the sums of other columns."""
        law = self.law(column) if not _constant(column) else None
        if law is not None and len(law.monomials) == 1 and type(law) is Length:
            powers = law.monomials[0].powers
            if all(power.denominator == 1 and power > 0 for _, power in powers):
                self._basis.setdefault(powers, [self._exact(powers, point) for point in self.points])

    def law(self, column: Column, last: bool = False) -> Length | None:
        """The law of a column, or None; `last`: all monomials are learnt, so sums and rounding may be tried too."""
        if any(isinstance(value, Decided) for value in column):
            column = (int(column[0]),) * len(column)
        key = (column, last)
        if key not in self._fits:
            self._fits[key] = self._law(column, last)
        return self._fits[key]

    def _law(self, column: Column, last: bool) -> Length | None:
        whole = all(isinstance(value, int) for value in column)
        if _constant(column):
            return Length((Monomial(_fraction(column[0]), ()),)) if math.isfinite(column[0]) else None
        if not all(math.isfinite(value) for value in column):
            return None
        monomial = self._monomial(column, whole)
        if monomial is not None or not (last and whole):
            return monomial
        return self._sum([int(v) for v in column]) or self._rounding([int(v) for v in column])

    def _monomial(self, column: Column, whole: bool) -> Length | None:
        if not self._tellable or any(value == 0 for value in column):
            return None
        sign = 1 if column[0] > 0 else -1
        if any(sign * value < 0 for value in column):
            return None
        logs = np.log(np.array([sign * value for value in column], dtype=float))
        fitted = np.linalg.lstsq(self._design, logs, rcond=None)[0]
        powers = [Fraction(float(power)).limit_denominator(1 if whole else 4) for power in fitted[1:]]
        kept = tuple((s, p) for s, p in sorted(zip(self.scales, powers, strict=True)) if p)
        if whole:
            ratios = {Fraction(int(v)) / self._exact(kept, p) for v, p in zip(column, self.points, strict=True)}
            return Length((Monomial(ratios.pop(), kept),)) if len(ratios) == 1 else None
        values = [v / self._approximate(kept, p) for v, p in zip(column, self.points, strict=True)]
        if max(abs(value / values[0] - 1) for value in values) > FLOAT_TOLERANCE:
            return None
        return Length((Monomial(_fraction(values[0]), kept),))

    def _sum(self, column: list[int]) -> Length | None:
        """The fewest of the graph's own monomials, with rational coefficients, that add up to the column."""
        names = list(self._basis)
        for count in range(2, min(MAX_TERMS, len(self.points) - self.spare) + 1):
            best: tuple[Fraction, Length] | None = None
            for chosen in itertools.combinations(names, count):
                solution = self._solve([self._basis[powers] for powers in chosen], column)
                if solution is None:
                    continue
                cost = sum((abs(c) * c.denominator**2 for c in solution), Fraction(0))
                if best is None or cost < best[0]:
                    terms = sorted(zip(chosen, solution, strict=True), key=lambda t: (-sum(p for _, p in t[0]), t[0]))
                    best = cost, Length(tuple(Monomial(c, powers) for powers, c in terms))
            if best is not None:
                return best[1]
        return None

    def _solve(self, terms: list[list[Fraction]], column: list[int]) -> list[Fraction] | None:
        """Coefficients with small denominators, exact in every trace and none of them zero."""
        matrix = np.array([[float(value) for value in term] for term in terms]).T
        solved, _, rank, _ = np.linalg.lstsq(matrix, np.array(column, dtype=float), rcond=None)
        if rank < len(terms):
            return None
        coefficients = [Fraction(float(value)).limit_denominator(64) for value in solved]
        if any(value == 0 for value in coefficients):
            return None
        for index, value in enumerate(column):
            if sum(c * term[index] for c, term in zip(coefficients, terms, strict=True)) != value:
                return None
        return coefficients

    def _rounding(self, column: list[int]) -> Rounded | None:
        """A multiple of the graph's own monomial, rounded; then a sum of such a column and monomials."""
        for step in dict.fromkeys((math.gcd(*column), 1)):
            for powers, values in self._basis.items():
                if not powers:
                    continue
                for how in ("up", "down"):
                    factor = _interval([v // step for v in column], values, how)
                    if factor is not None:
                        law = Rounded((Monomial(factor * step, powers),), step, how)
                        self._rounded[tuple(column)] = law
                        return law
        return self._sum_with_rounded(column)

    def _sum_with_rounded(self, column: list[int]) -> Rounded | None:
        for inner, law in list(self._rounded.items()):
            if law.step != 1:
                continue
            rest = [v - int(w) for v, w in zip(column, inner, strict=True)]
            other = self._law(tuple(rest), last=False) or (self._sum(rest) if any(rest) else None)
            whole = other is not None and all(m.constant.denominator == 1 for m in other.monomials)
            if other is not None and type(other) is Length and whole:
                return Rounded((*law.monomials, *other.monomials), 1, law.how)
        return None

    def leading(self, column: Column) -> Length | None:
        """The term that matters in the end of a real number that is a sum, an inverse or root of one, or a logarithm.

        `log(10000) / (width / 2 - 1)` goes as `1 / width`; what tends to a number, or grows as a logarithm, is fixed.
        """
        sign = -1 if column[0] < 0 else 1
        values = np.array([sign * float(value) for value in column])
        if len(column) < 4 or not np.isfinite(values).all() or bool((values <= 0).any()):
            return None
        for exponent in (1, -1, 2, -2):
            for terms in itertools.combinations(self._terms(), 2):
                coefficients = _combined(values**exponent, [term for _, term in terms])
                if coefficients is None:
                    continue
                (powers, _), coefficient = next(pair for pair in zip(terms, coefficients, strict=True) if pair[1])
                if coefficient < 0:
                    continue
                number = Fraction(sign * coefficient ** (1 / exponent)).limit_denominator(10**12)
                return Length((Monomial(number, tuple((s, p / exponent) for s, p in powers)),)) if number else None
        return None

    def _terms(self) -> list[tuple[Powers, np.ndarray]]:
        """What sums of real numbers are made of, what grows fastest first; a logarithm grows as no power."""
        growing = sorted((powers for powers in self._basis if powers), key=lambda p: -sum(e for _, e in p))
        terms = [(powers, self._column(powers)) for powers in growing]
        terms += [((), np.log(self._column(powers))) for powers in growing if len(powers) == 1]
        terms.append(((), np.ones(len(self.points))))
        inverse = [tuple((scale, -power) for scale, power in powers) for powers in growing[::-1]]
        return [*terms, *((powers, self._column(powers)) for powers in inverse)]

    def _column(self, powers: Powers) -> np.ndarray:
        return np.array([self._approximate(powers, point) for point in self.points])

    def _exact(self, powers: Powers, point: Mapping[str, int]) -> Fraction:
        return math.prod((Fraction(point[scale]) ** int(power) for scale, power in powers), start=Fraction(1))

    def _approximate(self, powers: Powers, point: Mapping[str, int]) -> float:
        return math.prod(point[scale] ** float(power) for scale, power in powers)


def _combined(values: np.ndarray, terms: list[np.ndarray]) -> list[float] | None:
    """The coefficients of terms that add up to the values, None where they do not; those of no weight are 0."""
    matrix = np.array(terms).T
    solved, _, rank, _ = np.linalg.lstsq(matrix, values, rcond=None)
    if rank < len(terms) or np.max(np.abs(matrix @ solved / values - 1)) > FLOAT_TOLERANCE:
        return None
    share = [float(np.max(np.abs(c * term / values))) for c, term in zip(solved, terms, strict=True)]
    return [float(c) if part > 1e-5 else 0.0 for c, part in zip(solved, share, strict=True)]


def _constant(column: Column) -> bool:
    return all(value == column[0] for value in column)


def _fraction(value: float) -> Fraction:
    """A number as a fraction: a simple one where that is what it is up to rounding."""
    if isinstance(value, int):
        return Fraction(value)
    for simple in (Fraction(value).limit_denominator(1000), Fraction(value).limit_denominator(10**6)):
        if simple and abs(float(simple) / value - 1) < 1e-12:
            return simple
    close = Fraction(value).limit_denominator(1000)
    return close if close and abs(float(close) / value - 1) < 1e-8 else Fraction(value).limit_denominator(10**15)


def _interval(column: list[int], values: list[Fraction], how: str) -> Fraction | None:
    """The simplest `a` with `column = ceil(a * values)` (or floor) in every trace, its denominator at most 512."""
    low = max((Fraction(v - (how == "up")) / m for v, m in zip(column, values, strict=True)))
    high = min((Fraction(v + (how == "down")) / m for v, m in zip(column, values, strict=True)))
    # up: low < a <= high; down: low <= a < high
    for bottom in range(1, 513):
        top = math.ceil(low * bottom)
        candidates = [Fraction(t, bottom) for t in (top, top + 1)]
        for a in candidates:
            inside = low < a <= high if how == "up" else low <= a < high
            if inside and a > 0:
                return a
    return None

"""The statistics of a verification: slopes of log(size of a quantity) over log(scale), and how sure they are.

The logarithm of a measured size is the sum of a level per size and an effect per seed (a seed has its data at every
size) and noise: two-way least squares, which takes fewer seeds at larger sizes as they come. A slope is a contrast of
levels, its error comes from what is left. Sizes are finite: corrections die out as the scale grows, so what is judged
is the *estimate*, halfway between the slope over all sizes and the late slope, that of the larger sizes; their
difference, the *bend*, says where the slope is heading.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

Samples = Sequence[Sequence[float | None]]
"""Root mean squares, one row per seed, one column per size; None where the seed was not run at that size."""

ASSUMED = 0.2
"""Noise of a logarithm where nothing says how large it is: one seed, two sizes."""
REACHED = 0.1
"""The part of the mean square at the largest size that a term of the predicted size must make up, surely, for what
still falls to count as tending to it."""
SURE = 2.0
"""Standard errors by which it must."""


@dataclass(frozen=True)
class Slope:
    """An exponent measured over all sizes (`value`) and over the later ones, and what is judged.

    `noise` is the variance of a logarithm around level plus seed, from `freedom` degrees of freedom; the variances of
    `value`, `estimate` and `bend` are it times their `spread`.
    """

    value: float
    late: float
    noise: float
    freedom: int
    spread: tuple[float, float, float]
    sizes: int

    @property
    def estimate(self) -> float:
        """Halfway between both slopes; of three sizes or fewer the slope over all, the late one would be all noise."""
        return (self.value + self.late) / 2 if self.sizes > 3 else self.value

    @property
    def bend(self) -> float:
        """The difference by which the slope of the larger sizes is above that of all."""
        return self.late - self.value

    @property
    def stderr(self) -> float:
        """The standard error of the slope over all sizes."""
        return math.sqrt(self.noise * self.spread[0])


def fit(logs: Sequence[float], samples: Samples) -> Slope | None:
    """The slope of log(sample) over `logs` (log sizes); None where a quantity is zero or not finite.

    Seeds in which a quantity vanishes at some size are left out, if they are the smaller part.
    """
    whole = [row for row in samples if all(x is None or 0 < x < math.inf for x in row)]
    if len(logs) < 2 or not whole or 2 * len(whole) <= len(samples):
        return None
    rows = [[None if x is None else math.log(x) for x in row] for row in whole]
    if any(all(row[k] is None for row in rows) for k in range(len(logs))):
        return None
    full, start = _contrast(logs), len(logs) - late_count(len(logs))
    late = [0.0] * start + _contrast(logs[start:])
    half = 0.5 if len(logs) > 3 else 0.0
    middle, difference = (
        [a * x + b * y for x, y in zip(full, late, strict=True)] for a, b in ((1 - half, half), (-1, 1))
    )
    table = _table(tuple(tuple(y is not None for y in row) for row in rows))
    levels = table.levels(rows)
    noise, freedom = _noise(rows, levels) if len(rows) > 1 else _scatter(logs, levels)
    spread = (table.variance(full), table.variance(middle), table.variance(difference))
    return Slope(_dot(full, levels), _dot(late, levels), noise, freedom, spread, len(logs))


def levels(samples: Samples) -> list[float]:
    """The logarithm of the size at each size, without the effects of seeds that are missing at some; the first is 0."""
    whole = [row for row in samples if all(x is None or x > 0 for x in row)]
    rows = [[None if x is None else math.log(x) for x in row] for row in whole]
    if not rows:
        return []
    return _table(tuple(tuple(y is not None for y in row) for row in rows)).levels(rows)


def late_count(sizes: int) -> int:
    """How many of the largest sizes the late slope uses: three quarters of them, at least two."""
    return max(2, round(0.75 * sizes))


def _contrast(x: Sequence[float]) -> list[float]:
    """The weights with which values at `x` add up to their least-squares slope."""
    middle = fmean(x)
    total = sum((a - middle) ** 2 for a in x)
    return [(a - middle) / total for a in x]


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@dataclass(frozen=True)
class _Table:
    """Two-way least squares: `y[seed][size] = effect[seed] + level[size] + noise`, cells may be missing.

    `inverse` is that of the normal equations without the effects, the first level being zero.
    """

    inverse: list[list[float]]

    def levels(self, rows: Sequence[Sequence[float | None]]) -> list[float]:
        """The level of every size, up to a constant."""
        sums = [0.0] * len(self.inverse)
        for row in rows:
            effect = fmean(y for y in row if y is not None)
            for k, y in enumerate(row):
                if y is not None:
                    sums[k] += y - effect
        return self._solve(sums)

    def variance(self, contrast: Sequence[float]) -> float:
        """The variance of a contrast of levels, in units of the noise."""
        return _dot(contrast, self._solve(contrast))

    def _solve(self, right: Sequence[float]) -> list[float]:
        return [_dot(row, right) for row in self.inverse]


@lru_cache(256)
def _table(there: tuple[tuple[bool, ...], ...]) -> _Table:
    """The table for the cells that are there, by seed and size: the same for all quantities of a verification."""
    n = len(there[0])
    matrix = [[0.0] * n for _ in range(n)]
    for row in there:
        cells = [k for k, is_there in enumerate(row) if is_there]
        for k in cells:
            matrix[k][k] += 1
            for other in cells:
                matrix[k][other] -= 1 / len(cells)
    return _Table([[0.0] * n, *([0.0, *row] for row in _inverse([row[1:] for row in matrix[1:]]))])


def _inverse(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """The inverse; zero where there is none: sizes that share no seed, of which nothing can be compared."""
    n = len(matrix)
    a = [[*row, *(1.0 if i == k else 0.0 for k in range(n))] for i, row in enumerate(matrix)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(a[r][i]))
        if abs(a[pivot][i]) < 1e-12:
            return [[0.0] * n for _ in range(n)]
        a[i], a[pivot] = a[pivot], a[i]
        a[i] = [x / a[i][i] for x in a[i]]
        for r in range(n):
            if r != i:
                a[r] = [x - a[r][i] * y for x, y in zip(a[r], a[i], strict=True)]
    return [row[n:] for row in a]


def _noise(rows: Sequence[Sequence[float | None]], levels: Sequence[float]) -> tuple[float, int]:
    """(Variance of what is left, degrees of freedom)."""
    total, cells = 0.0, 0
    for row in rows:
        left = [y - level for y, level in zip(row, levels, strict=True) if y is not None]
        middle = sum(left) / len(left)
        total += sum((x - middle) ** 2 for x in left)
        cells += len(left)
    freedom = cells - len(rows) - len(levels) + 1
    return (total / freedom, freedom) if freedom > 0 else (ASSUMED**2, 0)


def _scatter(logs: Sequence[float], levels: Sequence[float]) -> tuple[float, int]:
    """The noise that one seed shows: the scatter around the straight line (which counts a bend as noise)."""
    if len(logs) < 3:
        return ASSUMED**2, 0
    slope, x0, y0 = _dot(_contrast(logs), levels), fmean(logs), fmean(levels)
    left = [y - y0 - slope * (x - x0) for x, y in zip(logs, levels, strict=True)]
    return sum(x * x for x in left) / (len(logs) - 2), len(logs) - 2


def tends(logs: Sequence[float], samples: Samples, size: float) -> bool:
    """Whether a term of size e is there beside one that is 1/2 smaller: `mean square = b s^2e + a s^(2e-1)`.

    A sum over n entries that are a little aligned has both; with few entries the second is in front.
    """
    parts: list[float] = []
    for sample in samples:
        cells = [(log, x) for log, x in zip(logs, sample, strict=True) if x is not None]
        levels = [x * x * math.exp(-2 * size * log) for log, x in cells]
        if len(levels) < 3 or not all(0 < level < math.inf for level in levels):
            continue
        parts.append(_limit([math.exp(-log) for log, _ in cells], levels) / levels[-1])
    if 2 * len(parts) <= len(samples):
        return False
    spread = math.sqrt(sum((p - fmean(parts)) ** 2 for p in parts) / max(1, len(parts) - 1) / len(parts))
    return fmean(parts) - SURE * spread > REACHED


def _limit(x: Sequence[float], y: Sequence[float]) -> float:
    """The value at x = 0 of the line through (x, y), the points weighted for equal relative errors."""
    weights = [1 / (b * b) for b in y]
    total = sum(weights)
    x0, y0 = (sum(w * v for w, v in zip(weights, values, strict=True)) / total for values in (x, y))
    rise = sum(w * (a - x0) * (b - y0) for w, a, b in zip(weights, x, y, strict=True))
    return y0 - x0 * rise / sum(w * (a - x0) ** 2 for w, a in zip(weights, x, strict=True))


def peak(samples: Iterable[Samples]) -> Samples:
    """The largest over steps, by seed and size."""
    return [
        [None if any(x is None for x in cells) else max(x for x in cells if x is not None)
         for cells in zip(*rows, strict=True)]
        for rows in zip(*samples, strict=True)
    ]  # fmt: skip


def times(samples: Samples, others: Samples) -> Samples:
    """One quantity times another, by seed and size."""
    return [
        [None if x is None or y is None else x * y for x, y in zip(*rows, strict=True)]
        for rows in zip(samples, others, strict=True)
    ]


def quotient(samples: Samples, others: Samples) -> Samples:
    """One quantity as a part of another, by seed and size; zero where either is."""
    return [
        [None if x is None or y is None else x / y if y else 0.0 for x, y in zip(*rows, strict=True)]
        for rows in zip(samples, others, strict=True)
    ]

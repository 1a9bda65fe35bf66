"""The statistics of a verification: slopes of log(size of a quantity) over log(scale), and when one contradicts.

A slope is fitted per seed (the seeds share their data over the sizes, so fits are paired) and averaged; its standard
error comes from the spread over seeds. Sizes are finite: corrections die out as the scale grows, so what is judged is
the *estimate*, halfway between the slope over all sizes and the late slope, that of the larger sizes. The late slope
alone follows every bump of a short training; the full one alone hides a growth that has just begun.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import fmean, median, stdev
from typing import Literal

Status = Literal["agrees", "wrong", "missing", "unpredicted"]
Name = tuple[str, str, str | None]
"""(quantity, node, parameter for an own contribution)."""
Samples = Sequence[Sequence[float]]
"""Root mean squares, one row per seed, one column per size."""

TOLERANCE = 0.2
"""How far an estimate may lie from its exponent besides its standard errors; faults come in steps of 1/2."""
ERRORS = 2.0
"""Standard errors that are allowed in addition; a verification judges hundreds of slopes at once."""
ALLOWANCE = 0.5
"""How far below its size may be measured what only an aligned term with a small constant brings there: changes, and
what reaches its size after the first step only (gradients of queries and keys, their own part under SGD)."""


REACHED = 0.1
"""The part of the mean square at the largest size that a term of the predicted size must make up, surely, for what
still falls to count as tending to it."""


@dataclass(frozen=True)
class Slope:
    """An exponent measured over all sizes and over the later ones, with standard errors over seeds."""

    value: float
    stderr: float
    late: float
    estimate: float
    error: float
    """The standard error of `estimate`."""


@dataclass(frozen=True)
class Row:
    """One quantity against its predicted size.

    `predicted` None: exactly zero. `slope` None: nothing was measured (all zero), or it was not finite. `why` says in
    words what disagrees.
    """

    quantity: str
    node: str
    step: int
    predicted: Fraction | None
    slope: float | None
    stderr: float | None
    late: float | None = None
    estimate: float | None = None
    error: float = 0.0
    tends: bool = False
    """Whether it falls towards its predicted size: independent terms, 1/2 below it, still stand before it."""
    parameter: str | None = None
    status: Status = "agrees"
    why: str = ""

    @property
    def key(self) -> tuple[str, str, int, str | None]:
        """(quantity, node, step, parameter): what was measured."""
        return (self.quantity, self.node, self.step, self.parameter)

    @property
    def agrees(self) -> bool:
        """Whether the measurement does not contradict the prediction."""
        return self.status == "agrees"

    @property
    def excess(self) -> float:
        """How far the estimate lies above the predicted size (negative: below); 0 if there is none."""
        if self.estimate is None or self.predicted is None:
            return 0.0
        return self.estimate - float(self.predicted)

    def to_dict(self) -> dict[str, object]:
        """The row as JSON data; `parameter`, `why` only where they say something."""
        data: dict[str, object] = {
            "quantity": self.quantity, "node": self.node, "step": self.step,
            "predicted": None if self.predicted is None else str(self.predicted),
            "slope": _rounded(self.slope), "stderr": _rounded(self.stderr), "late": _rounded(self.late),
            "estimate": _rounded(self.estimate), "agrees": self.agrees, "status": self.status,
        }  # fmt: skip
        return data | {key: text for key, text in (("parameter", self.parameter), ("why", self.why)) if text}


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)


def fit(logs: Sequence[float], samples: Samples) -> Slope | None:
    """The slope of log(sample) over `logs` (log sizes); None where a quantity is zero or not finite.

    Seeds in which a quantity vanishes at some size are left out, if they are the smaller part.
    """
    rows = [[math.log(x) for x in row] for row in samples if all(0 < x < math.inf for x in row)]
    if len(logs) < 2 or not rows or 2 * len(rows) <= len(samples):
        return None
    start = len(logs) - late_count(len(logs))
    full = [_least_squares(logs, row) for row in rows]
    late = [_least_squares(logs[start:], row[start:]) for row in rows]
    estimate = [(a + b) / 2 for a, b in zip(full, late, strict=True)]
    return Slope(fmean(full), _stderr(full), fmean(late), fmean(estimate), _stderr(estimate))


def late_count(sizes: int) -> int:
    """How many of the largest sizes the late slope uses: three quarters of them, at least two."""
    return max(2, math.ceil(0.75 * sizes))


def _least_squares(x: Sequence[float], y: Sequence[float]) -> float:
    middle = fmean(x)
    return sum((a - middle) * b for a, b in zip(x, y, strict=True)) / sum((a - middle) ** 2 for a in x)


def _stderr(values: Sequence[float]) -> float:
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def tends(logs: Sequence[float], samples: Samples, size: float) -> bool:
    """Whether a term of size e is there beside one that is 1/2 smaller: `mean square = b s^2e + a s^(2e-1)`.

    A sum over n entries that are a little aligned has both; with few entries the second is in front.
    """
    parts: list[float] = []
    for sample in samples:
        levels = [x * x * math.exp(-2 * size * log) for x, log in zip(sample, logs, strict=True)]
        if len(levels) < 3 or not all(0 < level < math.inf for level in levels):
            return False
        parts.append(_limit([math.exp(-log) for log in logs], levels) / levels[-1])
    return fmean(parts) - ERRORS * _stderr(parts) > REACHED


def _limit(x: Sequence[float], y: Sequence[float]) -> float:
    """The value at x = 0 of the line through (x, y), the points weighted for equal relative errors."""
    weights = [1 / (b * b) for b in y]
    total = sum(weights)
    x0, y0 = (sum(w * v for w, v in zip(weights, values, strict=True)) / total for values in (x, y))
    rise = sum(w * (a - x0) * (b - y0) for w, a, b in zip(weights, x, y, strict=True))
    return y0 - x0 * rise / sum(w * (a - x0) ** 2 for w, a in zip(weights, x, strict=True))


def row(key: tuple[str, str, int, str | None], predicted: Fraction | None, logs: Sequence[float],
        samples: Samples) -> Row:  # fmt: skip
    """The measured row of one quantity, not judged yet."""
    quantity, node, step, parameter = key
    found = fit(logs, samples)
    base = Row(quantity, node, step, predicted, None, None, parameter=parameter)
    if found is not None:
        heading = predicted is not None and tends(logs, samples, float(predicted))
        base = replace(base, slope=found.value, stderr=found.stderr, late=found.late, tends=heading)
        return replace(base, estimate=found.estimate, error=found.error)
    if any(not math.isfinite(x) for sample in samples for x in sample):
        return replace(base, status="wrong", why="it was not finite: training diverged")
    return base


def peak(samples: Iterable[Samples]) -> Samples:
    """The largest over steps, by seed and size."""
    return [[max(cells) for cells in zip(*rows, strict=True)] for rows in zip(*samples, strict=True)]


def judge(
    rows: Sequence[Row], peaks: Mapping[Name, Row], slow: Collection[Name] = ()
) -> list[Row]:
    """Every row with its verdict; `peaks` holds, per quantity, node and parameter, the row of the maximum over steps.

    More than the predicted size is wrong at any step. Less is wrong for a value; a gradient, an own contribution and a
    change reach their size at some step (`step` of the peak: the first that is predicted to), so there the maximum
    over steps decides, with an allowance for what is slow: what `slow` names, changes, and what rises over the steps.
    """
    error = _typical_error([r.error for r in (*rows, *peaks.values()) if r.estimate is not None])
    judged: list[Row] = []
    for r in rows:
        name = (r.quantity, r.node, r.parameter)
        top = peaks.get(name, r)
        rises = top.step > 1 and r.quantity != "value"
        judged.append(_judged(r, top, error, ALLOWANCE if rises or r.quantity == "change" or name in slow else 0.0))
    return judged


def _typical_error(errors: Sequence[float]) -> Callable[[Row], float]:
    """A row's standard error, drawn halfway to the typical one: four seeds alone estimate it badly."""
    typical = median(errors) if errors else 0.0
    return lambda r: math.sqrt((r.error**2 + typical**2) / 2)


def _judged(r: Row, top: Row, error: Callable[[Row], float], allowance: float) -> Row:
    if r.status != "agrees":
        return r
    if r.predicted is None:
        if r.slope is None:
            return r
        return replace(r, status="unpredicted", why="predicted to be exactly zero, and it is not")
    if top.slope is None:
        return replace(r, status="missing", why="a size is predicted, and it is zero at every step")
    margin = TOLERANCE + ERRORS * error(r)
    if r.excess > margin:
        return replace(r, status="wrong", why=f"grows faster than predicted, by {r.excess:.2f}")
    below = TOLERANCE + ERRORS * error(top) + allowance
    if min(-r.excess, -top.excess) > below and r.slope is not None and not top.tends:
        at = "" if top is r else " at every step"
        return replace(r, status="wrong", why=f"smaller than predicted{at}, by {-top.excess:.2f}")
    return r


def far_above(rows: Sequence[Row], more: float = 0.15) -> bool:
    """Whether something grows so much faster than predicted that more seeds could not change the verdict."""
    far = [r for r in rows if not r.agrees and r.excess > TOLERANCE + more + ERRORS * r.error]
    return len(far) > 1

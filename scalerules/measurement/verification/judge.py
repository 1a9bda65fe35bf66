"""When a measured slope contradicts a predicted size, when it agrees, and when it is too blunt to say.

A verification judges hundreds of slopes at once, and none of them is exact: noise of few seeds, sizes that are finite,
training that goes its own way near the largest stable rate. So *wrong* is said only of what is off by more than the
tolerance even at the end of a wide interval; what looks off inside it is *undecided*, and every row says what it would
have noticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import NormalDist, median
from typing import Literal

from .slopes import ASSUMED, Samples, Slope, fit, tends

Status = Literal["agrees", "warned", "undecided", "wrong", "missing", "unpredicted"]
"""`warned`: off, and the rule says so itself."""
Key = tuple[str, str, int, str | None]
"""(quantity, node, step, parameter for an own contribution)."""
Name = tuple[str, str, str | None]
"""(quantity, node, parameter for an own contribution)."""

TOLERANCE = 0.2
"""How far an estimate may lie from its exponent besides its interval; faults come in steps of 1/2."""
FALSE_ALARMS = 0.05
"""Verifications of right rules in which a row may be called wrong by chance, if rows were independent: hundreds are
judged at once, so each has an interval that is so much wider."""
HALFWAY, BY_CHANCE = 0.25, 0.5
"""How far beside its size an estimate must lie for the row to be open: nearer to a fault of 1/2 than to none; and in
how many verifications of right rules chance may do that to a row."""
POWER = 1.645
"""Standard errors between a threshold and what passes it in 95 of 100 cases."""
ALLOWANCE = 0.5
"""How far below its size may be measured what only an aligned term with a small constant brings there: changes, and
what reaches its size after the first step only (gradients of queries and keys, their own part under SGD)."""
AHEAD = 2.0
"""Bends that the slope may still go: a correction s^-1/2 measured over a factor of 8 has about three left."""
FEW = 8
"""Entries below which what is made of a parameter spreads so widely from run to run that few runs do not show it."""
SCATTERS = 0.01
"""The share of the variance of few random numbers below which what is measured is none: Adam's step of one number."""
PRIOR = 3
"""Degrees of freedom of the typical noise of such quantities, in that of each: few seeds alone estimate it badly."""


@dataclass(frozen=True)
class Row:
    """One quantity against its predicted size.

    `predicted` None: exactly zero. `slope` None: nothing was measured (all zero), or it was not finite. `why` says in
    words what disagrees or is open. `error` is the standard error of `estimate`, with the typical noise mixed in.
    """

    quantity: str
    node: str
    step: int
    predicted: Fraction | None
    slope: float | None
    stderr: float | None
    late: float | None = None
    estimate: float | None = None
    bend: float = 0.0
    error: float = 0.0
    width: float = 0.0
    """Half the width of the interval around `estimate` that is judged by."""
    chance: float = 0.0
    """How far the estimate of one of all these rows lies beside its size by chance."""
    tends: bool = False
    """Whether it falls towards its predicted size: independent terms, 1/2 below it, still stand before it."""
    somewhere: bool = True
    """Whether it was above what single precision resolves at any size."""
    parameter: str | None = None
    beside: Row | None = None
    """The same for as large a gradient as is predicted, where that scatters less: what the rate alone decides."""
    status: Status = "agrees"
    why: str = ""

    @property
    def key(self) -> Key:
        """(quantity, node, step, parameter): what was measured."""
        return (self.quantity, self.node, self.step, self.parameter)

    @property
    def agrees(self) -> bool:
        """Whether the measurement does not contradict the prediction; what is undecided does not."""
        return self.status in ("agrees", "warned", "undecided")

    @property
    def sure(self) -> bool:
        """Whether it simply agrees."""
        return self.status == "agrees"

    @property
    def unresolved(self) -> bool:
        """Whether a size is predicted of what was measured as zero somewhere: it is, or it is rounded away."""
        return self.status == "missing" or (self.status == "undecided" and self.estimate is None)

    @property
    def excess(self) -> float:
        """How far the estimate lies above the predicted size (negative: below); 0 if there is none."""
        if self.estimate is None or self.predicted is None:
            return 0.0
        return self.estimate - float(self.predicted)

    @property
    def detects(self) -> float | None:
        """The smallest excess that would have been called wrong in 95 of 100 cases."""
        judged = self.beside or self
        return None if judged.estimate is None else TOLERANCE + judged.width + POWER * judged.error

    def to_dict(self) -> dict[str, object]:
        """The row as JSON data; `parameter`, `why` only where they say something."""
        ends = (None, None) if self.estimate is None else (self.estimate - self.width, self.estimate + self.width)
        data: dict[str, object] = {
            "quantity": self.quantity, "node": self.node, "step": self.step,
            "predicted": None if self.predicted is None else str(self.predicted),
            "slope": _rounded(self.slope), "stderr": _rounded(self.stderr), "late": _rounded(self.late),
            "estimate": _rounded(self.estimate), "interval": [_rounded(end) for end in ends],
            "bend": _rounded(self.bend), "detects": _rounded(self.detects),
            "agrees": self.agrees, "status": self.status,
        }  # fmt: skip
        return data | {key: text for key, text in (("parameter", self.parameter), ("why", self.why)) if text}


def student(z: float, freedom: int) -> float:
    """What Student's t exceeds as rarely as a normal variable exceeds `z` (Cornish and Fisher's expansion)."""
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)


@dataclass(frozen=True)
class Measured:
    """A quantity before it is judged: what was predicted, and the slope that was found (None: zero or not finite).

    `somewhere`: whether it was above what single precision resolves at any size; `floor`: the least variance that its
    logarithm has from run to run, for what few random numbers make.
    """

    key: Key
    predicted: Fraction | None
    slope: Slope | None
    finite: bool
    tends: bool = False
    somewhere: bool = True
    floor: float = 0.0

    def row(self, noise: float, rows: int) -> Row:
        """The row, one of so many; `noise` is the typical variance."""
        quantity, node, step, parameter = self.key
        row = Row(quantity, node, step, self.predicted, None, None, parameter=parameter)
        row = replace(row, somewhere=self.somewhere)
        if self.slope is None:
            return row if self.finite else replace(row, status="wrong", why="it was not finite: training diverged")
        slope = self.slope
        freedom = slope.freedom + PRIOR
        floor = self.floor if slope.noise > self.floor * SCATTERS else 0.0
        mixed = max(floor, (slope.freedom * slope.noise + PRIOR * noise) / freedom)
        error = math.sqrt(mixed * slope.spread[1])
        width, chance = (
            error * student(NormalDist().inv_cdf(1 - share / rows), freedom) for share in (FALSE_ALARMS, BY_CHANCE)
        )
        return replace(
            row, slope=slope.value, stderr=slope.stderr, late=slope.late, estimate=slope.estimate, bend=slope.bend,
            error=error, width=width, chance=chance, tends=self.tends,
        )  # fmt: skip


def measured(key: Key, predicted: Fraction | None, logs: Sequence[float], samples: Samples,
             heading: Samples | None = None, floor: float = 0.0) -> Measured:  # fmt: skip
    """What the samples of one quantity say; `heading`: others, which say whether it tends to its size."""
    slope = fit(logs, samples)
    finite = all(x is None or math.isfinite(x) for sample in samples for x in sample)
    low = slope is not None and predicted is not None and slope.estimate < float(predicted) - TOLERANCE
    heads = low and tends(logs, samples if heading is None else heading, float(predicted or 0))
    somewhere = any(x is not None and x > 0 for sample in samples for x in sample)
    return Measured(key, predicted, slope, finite, heads, somewhere, floor)


def floor_of(entries: int) -> float:
    """The variance of the logarithm of the root mean square of so few independent normal numbers; of `FEW` or more 0.

    A quarter of the trigamma function at half their number, by its recurrence and, from 3 on, its expansion.
    """
    if entries >= FEW:
        return 0.0
    x, variance = entries / 2, 0.0
    while x < 3:
        variance, x = variance + 1 / x**2, x + 1
    return (variance + 1 / x + 1 / (2 * x**2) + 1 / (6 * x**3)) / 4


def judge(
    measurements: Sequence[Measured], peaks: Mapping[Name, Measured], slow: Mapping[Name, float] | None = None,
    beside: Mapping[Key, Measured] | None = None, normalised: bool = False,
) -> list[Row]:  # fmt: skip
    """Every row with its verdict; `peaks` holds, per quantity, node and parameter, the maximum over steps.

    `beside`: own contributions for as large a gradient as is predicted. Gradients are judged themselves, and scatter:
    where a contribution does so with its gradient, it is held to grow only if it grows beside it. Under a rule that is
    `normalised` it does not depend on the gradient's size: there what is divided by a gradient that has not come to its
    size yet is open where it grows by no more than that lacks.

    More than the predicted size is wrong at any step. Less is wrong for a value; a gradient, an own contribution and a
    change reach their size at some step (`step` of the peak: the first that is predicted to), so there the maximum
    over steps decides, with an allowance for what is slow: what `slow` names (how much), changes, and what rises over
    the steps.
    """
    slow, beside = slow or {}, beside or {}
    typical = typical_noises((*measurements, *peaks.values()))
    less = typical_noises(beside.values())
    rows = max(1, sum(m.slope is not None for m in measurements))
    tops = {name: m.row(typical.get(name[0], ASSUMED**2), rows) for name, m in peaks.items()}
    judged: list[Row] = []
    for m in measurements:
        row, name = m.row(typical.get(m.key[0], ASSUMED**2), rows), (m.key[0], m.key[1], m.key[3])
        pair = beside[m.key].row(less.get(m.key[0], ASSUMED**2), rows) if m.key in beside else None
        if pair and pair.slope is not None and not normalised and pair.error < row.error:
            row = replace(row, beside=pair)
        top = tops.get(name, row)
        rises = top.step > 1 and row.quantity != "value"
        usual = ALLOWANCE if rises or row.quantity == "change" else 0.0
        row = _judged(row, top, max(usual, slow.get(name, 0.0)))
        if normalised and pair and row.status == "wrong" and row.excess > 0 and pair.excess <= TOLERANCE:
            row = replace(row, status="undecided", why=f"{row.why}, while its gradient is too small by as much")
        judged.append(row)
    return judged


def typical_noises(measurements: Iterable[Measured]) -> dict[str, float]:
    """The median variance of a logarithm, by quantity."""
    noises: dict[str, list[float]] = {}
    for m in measurements:
        if m.slope is not None and m.slope.freedom:
            noises.setdefault(m.key[0], []).append(m.slope.noise)
    return {quantity: median(values) for quantity, values in noises.items()}


def _judged(row: Row, top: Row, allowance: float) -> Row:
    if row.status != "agrees":
        return row
    if row.predicted is None:
        if row.slope is None:
            return row
        return replace(row, status="unpredicted", why="predicted to be exactly zero, and it is not")
    if top.slope is None and top.somewhere:
        return replace(row, status="undecided", why="too small for single precision at some sizes")
    if top.slope is None:
        return replace(row, status="missing", why="a size is predicted, and it is zero at every step")
    if row.slope is None:
        return row
    more = above(row.beside or row)
    if more is not None:
        return replace(row, status=more.status, why=more.why + (", beside its gradient" if row.beside else ""))
    return below(row, top, allowance)


def below(row: Row, top: Row, allowance: float) -> Row:
    """The row as it is or, if it is smaller than its size at every step (`top`: the largest), surely or perhaps not."""
    limit = TOLERANCE + allowance
    if min(-row.excess, -top.excess) <= limit or top.tends:
        return row
    when = "" if top is row or top.key == row.key else " at every step"
    said = f"smaller than predicted{when}, by {-top.excess:.2f}"
    heading = -top.excess - AHEAD * max(0.0, top.bend)
    if min(-row.excess - row.width, -top.excess - top.width, heading) > limit:
        return replace(row, status="wrong", why=said)
    if -top.excess < max(HALFWAY + allowance, top.chance):
        return row
    return replace(row, status="undecided", why=f"{said} ± {top.width:.2f}")


def above(row: Row) -> Row | None:
    """The row if it grows faster than predicted, surely or perhaps."""
    heading = row.excess + AHEAD * min(0.0, row.bend)
    if row.excess - row.width > TOLERANCE and heading > TOLERANCE:
        return replace(row, status="wrong", why=f"grows faster than predicted, by {row.excess:.2f} ± {row.width:.2f}")
    if row.excess < max(HALFWAY, row.chance):
        return None
    why = f"grows faster by {row.excess:.2f} ± {row.width:.2f}"
    if heading <= TOLERANCE:
        why += ", less so at larger sizes"
    return replace(row, status="undecided", why=why)


def warned(row: Row, climbing: Mapping[str, float]) -> Row:
    """The row, of which the rule itself says so where a parameter leaves a saddle: it grows by a factor a step."""
    parameter = row.node if row.quantity == "gradient" else row.parameter or ""
    later = row.quantity in ("gradient", "own") and row.step > 1 and not row.sure
    if later and parameter in climbing and 0 < row.excess < climbing[parameter] + TOLERANCE:
        return replace(row, status="warned", why=f"leaves a saddle, as the rule warns: {row.why}")
    return row


def milder(row: Row, other: Row) -> Row:
    """The one of two that is less surely off."""
    return min(row, other, key=lambda each: (not each.agrees, not each.sure))


def far_above(rows: Sequence[Row], more: float = 0.15) -> bool:
    """Whether something grows so much faster than predicted that more seeds could not change the verdict."""
    return sum(row.status == "wrong" and row.excess > TOLERANCE + row.width + more for row in rows) > 1

"""Moments of operations on Gaussian inputs, by numerical integration: what the `unit` gauge's constants come from.

Everything here is a plain number: a standard deviation of a result whose arguments are independent and Gaussian.
Integrals of smooth functions against a Gaussian converge exponentially in the spacing of a trapezoidal rule; a kink at
zero is met by Simpson's rule with zero between two panels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from scalerules.ops.functions import FUNCTIONS, Formula

REACH = 10.0
"""Standard deviations up to which is integrated: what lies beyond weighs 1e-23."""
PANELS = 1600
CLIFF = 1e-4
"""Step of the difference quotients that stand for derivatives."""


def expectation(f: Formula, std: float = 1.0) -> float:
    """The mean of `f(x)` for a Gaussian `x` of this standard deviation and mean 0."""
    step, total = 2 * REACH / PANELS, 0.0
    for i in range(PANELS + 1):
        z = -REACH + i * step
        weight = (1 if i in (0, PANELS) else 4 if i % 2 else 2) * step / 3
        total += weight * f(std * z) * math.exp(-z * z / 2)
    return total / math.sqrt(2 * math.pi)


@cache
def of_function(name: str, std: float = 1.0) -> tuple[float, float, float]:
    """(mean, std, root mean square of the derivative) of an elementwise function of a Gaussian argument."""
    f = FUNCTIONS[name].formula
    mean = expectation(f, std)
    variance = expectation(lambda x: (f(x) - mean) ** 2, std)

    def slope(x: float) -> float:
        ahead = (f(x + CLIFF) - f(x)) / CLIFF
        behind = (f(x) - f(x - CLIFF)) / CLIFF
        return (ahead**2 + behind**2) / 2  # at a kink the mean of both sides

    return mean, math.sqrt(variance), math.sqrt(expectation(slope, std))


@cache
def _softmax_tables(std: float, length: int) -> tuple[Sequence[float], Sequence[Sequence[float]], float]:
    """Over a grid of t: t, and E[exp(n x) exp(-t exp(x))] for n = 0..4; with the spacing of log t."""
    spacing, grid = 0.08, 0.08
    low, high = -math.log(length) - 14 - 4 * std, 8 + 6 * std
    z = [-9 + i * grid for i in range(int(18 / grid) + 1)]
    points = [(math.exp(std * x), math.exp(-x * x / 2) * grid / math.sqrt(2 * math.pi)) for x in z]
    ts = [math.exp(low + i * spacing) for i in range(int((high - low) / spacing) + 1)]
    rows: list[list[float]] = []
    for t in ts:
        row = [0.0] * 5
        for e, weight in points:
            part = weight * math.exp(-t * e)
            for n in range(5):
                row[n] += part
                part *= e
        rows.append(row)
    return ts, rows, spacing


def softmax_moments(std: float, length: int, causal: bool = False) -> tuple[float, float, float, float]:
    """The moments of the probabilities p of a softmax over `length` independent Gaussian scores:

    E[p^2], E[p^3], E[p^4] and E[p_j^2 p_k^2], all over the `length` places of a row. 1/S^n is the integral of
    t^(n-1) exp(-t S) / (n-1)!: the mean of a product over independent scores is a product of means under one integral.
    `causal`: the mean over rows of 1, 2, ..., `length` scores, zeros in the places behind.
    """
    ts, rows, spacing = _softmax_tables(std, length)
    total = [0.0] * 4
    for t, (zero, one, two, three, four) in zip(ts, rows, strict=True):
        del one
        for i, (n, moment, others) in enumerate(((2, two, 1), (3, three, 1), (4, four, 1), (4, two * two, 2))):
            total[i] += spacing * t**n / math.factorial(n - 1) * moment * _weight(zero, length, others, causal)
    return total[0], total[1], total[2], total[3]


def _weight(zero: float, length: int, others: int, causal: bool) -> float:
    """How often `others` places of a row occur, times the factor of all other scores, as a mean over places."""
    if not causal:
        return float(zero ** (length - others)) if length >= others else 0.0
    rows = range(others, length + 1)
    places = (k / length if others == 1 else k * (k - 1) / (length * max(1, length - 1)) for k in rows)
    return sum(share * zero ** (k - others) for share, k in zip(places, rows, strict=True)) / length


def softmax(std: float, length: int, causal: bool = False) -> tuple[float, float, float]:
    """(mean, std, root mean square of the gradient for a unit gradient) of the entries of a softmax."""
    square, cube, fourth, pair = softmax_moments(std, length, causal)
    mean = 1 / length  # every row adds up to 1
    gradient = square - 2 * cube + fourth + (length - 1) * pair
    return mean, math.sqrt(max(0.0, square - mean**2)), math.sqrt(max(0.0, gradient))


def attention(std: float, length: int, causal: bool = False) -> float:
    """The std of an average of unit Gaussian values, weighted by a softmax of scores of this std."""
    return math.sqrt(length * softmax_moments(std, length, causal)[0])


def cross_entropy(std: float, classes: int) -> float:
    """The root mean square of softmax(x) - one-hot for logits of this std and targets that do not know them."""
    square = softmax_moments(std, classes)[0]
    return math.sqrt((1 + classes * square - 2 / classes) / classes)


def residuals(branches: int, multiplier: float = 1.0) -> list[tuple[float, float]]:
    """The factors of stream and branch at each of so many sums that keep the stream at unit variance.

    The function is that of a plain stream of unit variance to which every branch adds `multiplier**2`.
    """
    factors: list[tuple[float, float]] = []
    variance = 1.0
    for _ in range(branches):
        after = variance + multiplier**2
        factors.append((math.sqrt(variance / after), multiplier / math.sqrt(after)))
        variance = after
    return factors

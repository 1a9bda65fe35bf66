"""Where the best learning rate lies, how sure that is, and how it drifts with the size.

Rates are taken by their logarithm to base 2. A point of a sweep is the loss averaged over seeds; a rate at which a run
diverged has an infinite loss, which bounds the optimum and is left out of the fit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

STEP = 0.5
"""The grid: a factor of sqrt(2), in doublings of the rate."""
REACH = 2.01 * STEP
"""The quadratic is fitted to the points within this distance of the lowest one."""
DRAWS = 200
"""Bootstrap samples of the seeds."""

Losses = Mapping[float, Mapping[int, float]]
"""Final losses by learning rate and seed; infinite where the run diverged."""


@dataclass(frozen=True)
class Optimum:
    """The minimum of the loss over the rate, at one size.

    `log2_lr` is the place in doublings and `error` its standard error; `located` is False where the lowest point is the
    first or the last of the grid (the optimum lies there or beyond), or where nothing was measured.
    """

    log2_lr: float
    error: float
    loss: float
    located: bool

    @property
    def lr(self) -> float:
        """The best learning rate."""
        return 2.0**self.log2_lr


@dataclass(frozen=True)
class Drift:
    """The grid steps of sqrt(2) by which the optimum moves when the size doubles, with their standard error."""

    steps: float
    error: float


def mean_losses(losses: Losses, seeds: Sequence[int]) -> dict[float, float]:
    """The loss averaged over these seeds (repeated ones count twice), for the rates at which all of them were run."""
    whole = {lr: by_seed for lr, by_seed in losses.items() if all(seed in by_seed for seed in seeds)}
    return {math.log2(lr): sum(whole[lr][seed] for seed in seeds) / len(seeds) for lr in sorted(whole)}


def lowest(means: Mapping[float, float]) -> tuple[float, float, bool]:
    """(place, loss, whether it has a neighbour on both sides) of the lowest point."""
    finite = {x: y for x, y in means.items() if math.isfinite(y)}
    if not finite:
        return math.nan, math.inf, False
    place = min(finite, key=lambda x: (finite[x], x))
    return place, finite[place], min(means) < place < max(means)


def vertex(means: Mapping[float, float]) -> tuple[float, float, float, bool]:
    """(place, standard error of the fit, loss, located) of the minimum: of a parabola through the points around it.

    The error is half a grid step over sqrt(3), as for a place anywhere between neighbours, where no parabola can be
    fitted or where it has its minimum elsewhere.
    """
    place, loss, located = lowest(means)
    coarse = STEP / math.sqrt(3)
    near = [(x - place, y) for x, y in means.items() if abs(x - place) <= REACH and math.isfinite(y)]
    if not located or len(near) < 3:
        return place, coarse, loss, located
    (a, b, c), error = parabola(near)
    if a <= 0 or not abs(b) <= 2 * a * STEP:
        return place, coarse, loss, True
    return place - b / (2 * a), error, c - b * b / (4 * a), True


def parabola(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float, float], float]:
    """The coefficients of `a x^2 + b x + c` by least squares, and the standard error of `-b / 2a`."""
    power = [sum(x**k for x, _ in points) for k in range(5)]
    right = [sum(y * x**k for x, y in points) for k in (2, 1, 0)]
    matrix = [[power[4], power[3], power[2]], [power[3], power[2], power[1]], [power[2], power[1], power[0]]]
    inverse = _inverse(matrix)
    a, b, c = (sum(row[k] * right[k] for k in range(3)) for row in inverse)
    free = len(points) - 3
    if free == 0 or a <= 0:
        return (a, b, c), 0.0
    variance = sum((y - a * x * x - b * x - c) ** 2 for x, y in points) / free
    to_a, to_b = b / (2 * a * a), -1 / (2 * a)  # the derivatives of -b / 2a
    spread = to_a**2 * inverse[0][0] + 2 * to_a * to_b * inverse[0][1] + to_b**2 * inverse[1][1]
    return (a, b, c), math.sqrt(max(0.0, variance * spread))


def _inverse(m: Sequence[Sequence[float]]) -> list[list[float]]:
    """The inverse of a 3 x 3 matrix, by cofactors."""

    def cofactor(i: int, j: int) -> float:
        r, s = [k for k in range(3) if k != i], [k for k in range(3) if k != j]
        return (-1) ** (i + j) * (m[r[0]][s[0]] * m[r[1]][s[1]] - m[r[0]][s[1]] * m[r[1]][s[0]])

    determinant = sum(m[0][j] * cofactor(0, j) for j in range(3))
    return [[cofactor(j, i) / determinant for j in range(3)] for i in range(3)]


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The slope of a straight line by least squares."""
    middle = sum(xs) / len(xs)
    return sum((x - middle) * y for x, y in zip(xs, ys, strict=True)) / sum((x - middle) ** 2 for x in xs)


def fit(sizes: Mapping[float, Losses], seeds: Sequence[int]) -> tuple[dict[float, Optimum], Drift | None]:
    """The optimum of every size, and the drift per doubling of the size over those that were located (two or more).

    Seeds are shared by all rates and sizes, so the bootstrap draws them once for all: what a seed has in common cancels
    in the drift. Its spread is enlarged by sqrt(n / (n - 1)) for n seeds and joined with the error of the fit.
    """
    minima = {size: vertex(mean_losses(losses, seeds)) for size, losses in sizes.items()}
    located = [size for size, (*_, good) in minima.items() if good]
    logs = [math.log2(size) for size in located]
    draws = _bootstrap(sizes, located, seeds)
    optima = {
        size: Optimum(place, math.hypot(error, _spread([d[size] for d in draws if size in d], seeds)), loss, good)
        for size, (place, error, loss, good) in minima.items()
    }
    if len(located) < 2:
        return optima, None
    rate = slope(logs, [minima[size][0] for size in located])
    slopes = [slope(logs, [d[size] for size in located]) for d in draws if len(d) == len(located)]
    middle = sum(logs) / len(logs)
    total = sum((x - middle) ** 2 for x in logs)
    of_fit = math.sqrt(sum((minima[s][1] * (x - middle) / total) ** 2 for s, x in zip(located, logs, strict=True)))
    return optima, Drift(rate / STEP, math.hypot(of_fit, _spread(slopes, seeds)) / STEP)


def _bootstrap(
    sizes: Mapping[float, Losses], located: Sequence[float], seeds: Sequence[int]
) -> list[dict[float, float]]:
    if len(seeds) < 2:
        return []
    draw, draws = random.Random(0), list[dict[float, float]]()
    for _ in range(DRAWS):
        chosen = draw.choices(seeds, k=len(seeds))
        places = {size: vertex(mean_losses(sizes[size], chosen)) for size in located}
        draws.append({size: place for size, (place, _, _, good) in places.items() if good})
    return draws


def _spread(values: Sequence[float], seeds: Sequence[int]) -> float:
    """The standard deviation of bootstrap samples, enlarged for the few seeds that they were drawn from."""
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    count = len(seeds)
    return math.sqrt(sum((x - mean) ** 2 for x in values) / (len(values) - 1) * count / (count - 1))

"""The words that laws are written in: the same formula on sizes, where rules are derived, and on tensors.

Each takes what a law is given (the gradient, the parameter, lengths of axes) and what was made of it. What is
said here of sizes holds for gradients of bounded rank: the number of samples does not grow.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Literal

Over = Literal["fan_in", "fan_out"] | None


class Damping:
    """A number that a law adds to what it divides by: its size is derived, that of what it is added to."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"damping({self.name!r})"


def damping(name: str) -> Damping:
    """A further number of this kind, listed by its name beside epsilon."""
    return Damping(name)


eps = Damping("eps")
"""Epsilon."""


def average(x: Any, beta: float = 0.9) -> Any:
    """The running mean over steps, without its bias (momentum, second moments): as large as what it averages."""
    return x.average(beta)


def sign(x: Any) -> Any:
    """The signs of the entries."""
    return x.sign()


def sqrt(x: Any) -> Any:
    """The root: of a number, a length, a size, or every entry."""
    return math.sqrt(x) if isinstance(x, (int, float, Fraction)) else x.sqrt()


def clip(x: Any, bound: float = 1.0) -> Any:
    """Every entry cut off at a fixed bound."""
    return x.clip(bound)


def maximum(*options: Any) -> Any:
    """The largest of numbers, lengths, sizes; with a damping, a floor that follows what it stands beside."""
    return _chosen(options, "maximum")


def minimum(*options: Any) -> Any:
    """The smallest of numbers, lengths, sizes."""
    return _chosen(options, "minimum")


def _chosen(options: tuple[Any, ...], kind: str) -> Any:
    quantities = [x for x in options if not isinstance(x, (int, float, Fraction, Damping))]
    if quantities:
        return getattr(quantities[0], kind)(*(x for x in options if x is not quantities[0]))
    return (max if kind == "maximum" else min)(options)


def rms(x: Any, over: Over = None) -> Any:
    """The root mean square of all entries; over one side, of each row (`fan_in`) or column (`fan_out`)."""
    return x.rms(over)


def norm(x: Any, over: Over = None) -> Any:
    """The root of the sum of squares of all entries (Frobenius), or of each row or column."""
    return x.norm(over)


def spectral(x: Any) -> Any:
    """The largest singular value of a matrix; the norm of anything else."""
    return x.spectral()


def orthogonal(x: Any) -> Any:
    """The nearest matrix whose singular values are one."""
    return x.orthogonal()


def low_rank(x: Any, rank: int) -> Any:
    """The nearest matrix of a fixed rank."""
    return x.low_rank(rank)


def left(x: Any) -> Any:
    """The Gram matrix `x x^T`, over fan-out."""
    return x.gram("left")


def right(x: Any) -> Any:
    """The Gram matrix `x^T x`, over fan-in."""
    return x.gram("right")


def inputs(gradient: Any) -> Any:
    """The covariance of what the parameter reads, over fan-in, summed over samples."""
    return gradient.covariance("read")


def outputs(gradient: Any) -> Any:
    """The covariance of the gradients behind the parameter, over fan-out, summed over samples."""
    return gradient.covariance("behind")


def power(matrix: Any, exponent: Fraction | float) -> Any:
    """A power of a Gram matrix or covariance, on the subspace where it is not zero; applied by `@`."""
    return matrix.power(exponent)


def inverse(matrix: Any) -> Any:
    """Its inverse."""
    return matrix.power(-1)


def trust(weight: Any, update: Any) -> Any:
    """The ratio of norms `|weight| / |update|`, and 1 where one of the two is zero (LARS, LAMB)."""
    return update.trusted(weight)


def decayed(x: Any) -> Any:
    """The place where coupled weight decay is added (by default to the gradient)."""
    return x.decayed()


def global_norm(gradient: Any) -> Any:
    """The norm of the gradients of all parameters together."""
    return gradient.global_norm()

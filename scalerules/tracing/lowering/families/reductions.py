"""Sums, means and the largest entries over dimensions; sizes and distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import cast

from scalerules.ops.functions import POINTS, SOME
from scalerules.sizes.arithmetic import ONE, power, product
from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import HOLD, Constant, Loss, Result, Stat, Value

from ..detached import detached, only_compared
from ..look_ups import at_places, places_along
from ..state import Lowering, as_length, number, operation
from ..table import lowers
from .arithmetic import pairwise
from .choices import choice
from .written_norms import raised


def dims_of(lowering: Lowering, given: object, rank: int) -> tuple[int, ...]:
    """The dimensions that an argument names; all of them where it names none."""
    if given is None or given == ():
        return tuple(range(rank))
    asked = cast("tuple[object, ...]", given) if isinstance(given, tuple) else (given,)
    return tuple(sorted(lowering.dim(d, rank) for d in asked))


def totalled(lowering: Lowering, value: Value, dims: Sequence[int], keep: bool, short: str) -> Value:
    """The sum over dimensions."""
    letters = [str(i) for i in range(len(value.dims))]
    plain = replace(value, curve=None, piece=None, stat=None)
    left = [letter for i, letter in enumerate(letters) if i not in dims]
    total = (
        lowering.sketch.combine("einsum", [(plain, letters)], left, short)
        if any(value.dims[d] for d in dims)
        else plain.at([dim for i, dim in enumerate(plain.dims) if i not in dims])
    )
    if not keep:
        return total
    rest = list(total.dims)
    return total.at([() if i in dims else rest.pop(0) for i in range(len(value.dims))])


def averaged(lowering: Lowering, value: Value, dims: Sequence[int], keep: bool, short: str = "mean") -> Value:
    """The mean over dimensions: a sum, divided by the number of entries, also where that is fixed: it may be large."""
    total = totalled(lowering, value, dims, keep, short)
    inverse = power(product(value.length(d) for d in dims), Fraction(-1))
    if inverse is None or inverse == ONE:
        return total
    return lowering.sketch.unary("scale", total, f"{short}_scale", factor=inverse)


def _asked(lowering: Lowering, call: Call, keepdim: int = 2) -> tuple[Value, tuple[int, ...], bool]:
    """What a reduction is of, over which dimensions, and whether these stay, which is its argument `keepdim`."""
    value = lowering.value(call, 0)
    dims = dims_of(lowering, lowering.arg(call, 1, "dim"), len(value.dims))
    return value, dims, bool(lowering.arg(call, keepdim, "keepdim", False))


@lowers("mean", "nanmean", "adaptive_avg_pool_all")
def mean(lowering: Lowering, call: Call) -> Result:
    """The mean over dimensions."""
    operand = lowering.arg(call, 0)
    if isinstance(operand, Loss):
        return operand
    value, dims, keep = _asked(lowering, call)
    average = averaged(lowering, value, dims, keep)
    if value.stat is not None and value.stat.kind == "squared":
        return replace(average, stat=Stat("square", value.stat.base, dims))
    if (size := size_of(value, dims)) is not None:
        return replace(average, stat=size)
    return replace(average, stat=Stat("mean", value, dims))


ABSOLUTE = tuple(abs(point) for point in POINTS)


def size_of(value: Value, dims: tuple[int, ...]) -> Stat | None:
    """The mean of absolute values, and the largest of them, as the root of a mean of squares, which is as large."""
    if value.curve is None or value.curve.samples != ABSOLUTE:
        return None
    return Stat("square", value.curve.base, dims, Fraction(1, 2))


@lowers("sum", "nansum")
def sum_(lowering: Lowering, call: Call) -> Result:
    """The sum over dimensions."""
    operand = lowering.arg(call, 0)
    if isinstance(operand, Loss):
        return operand
    value, dims, keep = _asked(lowering, call)
    total = totalled(lowering, value, dims, keep, "sum")
    if value.stat is not None and value.stat.kind == "squared":
        return replace(total, stat=Stat("sum", value.stat.base, dims))
    return total


@lowers("var", "std", "var_mean", "std_mean")
def var(lowering: Lowering, call: Call) -> Result:
    """The mean of squares of what is left without the mean."""
    value, dims, keep = _asked(lowering, call, keepdim=3)
    squares = replace(raised(lowering, value, Fraction(2)), stat=None)
    variance = replace(averaged(lowering, squares, dims, keep, "var"), stat=Stat("variance", value, dims))
    if operation(call.target).startswith("std"):
        variance = raised(lowering, variance, Fraction(1, 2))
    if len(call.shapes) == 1:
        return variance
    return variance, replace(averaged(lowering, value, dims, keep), stat=Stat("mean", value, dims))


@lowers("linalg_vector_norm", "norm", "linalg_norm", "frobenius_norm")
def norm(lowering: Lowering, call: Call) -> Result:
    """The root of a sum of squares; of order 1 the sum of absolute values, of order infinity the largest."""
    value = lowering.value(call, 0)
    asked = lowering.arg(call, 2, "dim")
    order = lowering.arg(call, 1, "ord", lowering.arg(call, 1, "p", 2))
    dims = dims_of(lowering, asked, len(value.dims))
    keep = bool(lowering.arg(call, 3, "keepdim", False))
    if number(order, 2.0) in (1.0, math.inf):
        entries = lowering.sketch.unary("abs", replace(value, curve=None, piece=None, stat=None))
        whole = number(order, 2.0) == 1.0
        return (
            totalled(lowering, entries, dims, keep, "sum")
            if whole
            else picked(lowering, entries, dims, keep, "largest")
        )
    if number(order, 2.0) != 2.0:
        raise lowering.unknown(f"a norm of order {order} is not known", "write it as (x.abs() ** p).sum() ** (1 / p)")
    squares = replace(raised(lowering, value, Fraction(2)), stat=None)
    total = totalled(lowering, squares, dims, keep, "squares")
    return raised(lowering, replace(total, stat=Stat("sum", value, dims)), Fraction(1, 2))


@lowers("cdist")
def distances(lowering: Lowering, call: Call) -> Result:
    """The lengths of the differences of every row of one value and every row of another."""
    order = lowering.arg(call, 2, "p", 2)
    if number(order, 2.0) != 2.0:
        raise lowering.unknown(f"a distance of order {order} is not known", "write it with the absolute differences")
    a, b = lowering.value(call, 0), lowering.value(call, 1)
    rows = [a.at([*a.dims[:-1], (), a.dims[-1]]), b.at([*b.dims[:-2], (), *b.dims[-2:]])]
    apart = pairwise(lowering, "add", rows, (*call.shape, a.length(len(a.dims) - 1)), "difference")
    squares = replace(raised(lowering, apart, Fraction(2)), stat=None)
    total = totalled(lowering, squares, [len(call.shape)], False, "squares")
    return raised(lowering, total, Fraction(1, 2))


@lowers("cosine_similarity")
def cosine_similarity(lowering: Lowering, call: Call) -> Result:
    """The sum of products of two values, each divided by the root of its sum of squares."""
    both = [lowering.value(call, i) for i in range(2)]
    rank = max(len(value.dims) for value in both)
    dim = lowering.dim(lowering.arg(call, 2, "dim", 1), rank)
    unit: list[tuple[Value, list[str]]] = []
    for value in both:
        own = dim - rank + len(value.dims)
        plain = replace(value, curve=None, piece=None, stat=None)
        direction = lowering.sketch.along("rms_norm", plain, own, "norm")
        root = power(value.length(own), Fraction(-1, 2))
        direction = lowering.sketch.scale(direction, root) if root is not None else direction
        unit.append((direction, _from_the_back(rank, value)))
    left = [str(i) for i in range(rank) if i != dim]
    return lowering.sketch.combine("einsum", unit, left, "similarity")


def _from_the_back(rank: int, value: Value) -> list[str]:
    return [str(rank - len(value.dims) + i) for i in range(len(value.dims))]


LARGEST = ("amax", "amin", "max", "min")
"""Of entries that grow in number these are larger than the entries by a root of a logarithm, no more."""


def picked(lowering: Lowering, value: Value, dims: Sequence[int], keep: bool, short: str) -> Value:
    """One of the entries along dimensions that grow, forward and backward: a look-up by the place of the largest.

    A layer that makes them is read one row at a time, like a readout. Of one through which no gradient goes (a
    quantiser's scale, which is detached) only the size counts: the mean of the sizes.
    """
    if (call := lowering.sketch.nodes.call) is not None and detached(lowering.record, call):
        return averaged(lowering, lowering.sketch.unary("abs", value), dims, keep, short)
    for dim in (d for d in dims if value.length(d).scales):
        value = at_places(lowering, value, places_along(lowering, value, dim, ONE), dim, short)
    return lowering.sketch.unary("abs", totalled(lowering, value, dims, keep, short))


@lowers("amax", "amin", "max", "min", "median", "logsumexp", "prod", "aminmax", "cummax", "mode", "kthvalue")
def extreme(lowering: Lowering, call: Call) -> Result:
    """The largest entry along dimensions: as large as the others, and, where these grow, of one sign."""
    name = operation(call.target)
    position = 2 if name == "kthvalue" else 1
    second = lowering.arg(call, position, "dim")
    if isinstance(second, (Value, Constant)):
        return choice(lowering, call)
    value = lowering.value(call, 0)
    dims = dims_of(lowering, second, len(value.dims))
    keep = bool(lowering.arg(call, position + 1, "keepdim", False)) or len(call.shape) == len(value.dims)
    if any(value.length(dim).scales for dim in dims):
        largest = _among_growing(lowering, call, value, dims, keep)
    else:
        largest = totalled(lowering, value, dims, keep, name)
        largest = lowering.sketch.unary(SOME, largest, name) if name == "logsumexp" else largest
    places = [Constant(shape, discrete=True) for shape in call.shapes[1:]]
    return (largest, *places) if len(call.shapes) > 1 else largest


def _among_growing(lowering: Lowering, call: Call, value: Value, dims: tuple[int, ...], keep: bool) -> Value | Constant:
    """The largest of entries that grow in number, the logarithm of the sum of their exponentials, or a threshold."""
    name, count = operation(call.target), next(value.length(dim) for dim in dims if value.length(dim).scales)
    if name == "logsumexp":  # the logarithm of their number, and that of a mean, whose gradient is a softmax
        lowering.notes.append(f"{call.source}: the logarithm of {count} is left out of the logsumexp")
        mean = averaged(lowering, lowering.sketch.unary("exp", value), dims, keep, name)
        logarithm = lowering.sketch.unary(SOME, mean, name)
        return replace(logarithm, stat=Stat("logsumexp", value, dims)) if len(dims) == 1 else logarithm
    which = as_length(lowering.arg(call, 1)) if name == "kthvalue" else None
    few = which is not None and not which.scales
    compared = only_compared(lowering.record, call)
    if compared and (few or name in LARGEST):
        said = f"one of {count} entries, which grow, is kept by a threshold"
        raise lowering.unknown(said, "put it among zeros: torch.zeros_like(h).scatter(-1, *h.topk(1)[::-1])")
    if name in LARGEST or few:
        said = f"{name} of {count} entries, which grow, is as large as they are"
        lowering.notes.append(f"{call.source}: {said}")
        largest = picked(lowering, replace(value, curve=None, piece=None, stat=None), dims, keep, name)
        return replace(largest, stat=size_of(value, dims))
    if compared:
        return Constant(call.shapes[0])
    hint = "take their mean: a gradient reaches one entry, which moves the median the less the more there are"
    said = f"{name} over an axis of {count} entries, which grows, is not known"
    raise lowering.unknown(said, hint if name in ("median", "kthvalue") else HOLD)

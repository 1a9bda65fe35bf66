"""Norms that are written out: a value divided by a root of the mean of its squares is one operation.

Hugging Face's RMS norm is `x * rsqrt(mean(x ** 2) + eps)`; others divide by `x.norm()` or `x.std()`.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from scalerules.ops.functions import SOME_THROUGH_ZERO
from scalerules.sizes.arithmetic import power, product
from scalerules.tracing.sketch.values import Curve, Stat, Value, same_source

from ..curves import finite
from ..state import Lowering
from .drawn import curve_of, drawn

POWERS = {Fraction(-1): "reciprocal", Fraction(1, 2): "sqrt", Fraction(-1, 2): "rsqrt"}

SIZES = ("square", "sum", "variance")
"""The statistics that say how large entries are: a value over a root of one of them is normalised."""


def raised(lowering: Lowering, value: Value, exponent: Fraction) -> Value:
    """A value to a fixed power."""
    if exponent == 1:
        return value
    if value.stat is not None and value.stat.kind in SIZES:
        powers = _power(lowering, replace(value, stat=None), exponent)
        return replace(powers, stat=replace(value.stat, power=value.stat.power * exponent))
    if exponent.denominator == 1 and exponent > 0:
        before = curve_of(value)
        samples = tuple(sample ** int(exponent) for sample in before.samples)
        powers = drawn(lowering, Curve(before.base, samples), "pow")
        return squared(lowering, powers, value) if exponent == 2 else powers
    return _power(lowering, value, exponent)


def squared(lowering: Lowering, squares: Value, value: Value) -> Value:
    """The squares of a value, remembered as such."""
    nodes = lowering.sketch.nodes
    if isinstance(squares.source, str) and squares.source != value.source:
        nodes.by_name[squares.source] = replace(nodes[squares.source], square_of=value.source)
    return replace(squares, stat=Stat("squared", value, ()))


def _power(lowering: Lowering, value: Value, exponent: Fraction) -> Value:
    plain = replace(value, curve=None, piece=None, stat=None)
    if exponent in POWERS:
        return lowering.sketch.unary(POWERS[exponent], plain)
    if exponent < 0:
        return _power(lowering, _power(lowering, value, -exponent), Fraction(-1))
    return lowering.sketch.unary(SOME_THROUGH_ZERO, plain, "pow")


def normalised(lowering: Lowering, value: Value, factor: Value) -> Value | None:
    """`value * factor`, where the factor is the inverse of the value's own size."""
    stat = factor.stat
    if stat is None or stat.power != Fraction(-1, 2):
        return None
    return _norm(lowering, value, stat)


def divided(lowering: Lowering, value: Value, by: Value) -> Value | None:
    """`value / by`, where `by` is the value's own size."""
    stat = by.stat
    if stat is None or stat.power != Fraction(1, 2):
        return None
    return _norm(lowering, value, stat)


def _norm(lowering: Lowering, value: Value, stat: Stat) -> Value | None:
    centred = value.stat is not None and value.stat.kind == "centred" and same_source(value.stat.base, stat.base)
    own = same_source(value, stat.base)
    if not (own or centred) or not stat.dims:
        return None
    base = value.stat.base if centred and value.stat is not None else value
    plain = replace(base, curve=None, piece=None, stat=None)
    growing = [dim for dim in stat.dims if plain.length(dim).scales] or stat.dims
    normed = lowering.sketch.along("layer_norm" if centred else "rms_norm", plain, growing[-1], "norm")
    if stat.kind == "sum":
        root = power(product(value.length(dim) for dim in growing), Fraction(-1, 2))
        normed = lowering.sketch.scale(normed, root) if root is not None else normed
    return normed


assert finite

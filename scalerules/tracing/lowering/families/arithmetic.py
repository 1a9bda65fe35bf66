"""Sums, products, quotients and powers, entry by entry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from scalerules.ops.functions import SOME
from scalerules.sizes.arithmetic import ONE, power
from scalerules.sizes.lengths import Length
from scalerules.tracing.additive_masks import OUTSIDE
from scalerules.tracing.record import Call, Shape
from scalerules.tracing.sketch.values import Constant, Curve, Loss, Operand, Result, Value, same_source

from ..curves import finite, safe
from ..fixed_entries import masks, root_mean_square
from ..noise import drawn_beside
from ..state import Lowering, as_length, number, operation
from ..table import lowers
from .drawn import curve_of, drawn
from .undone import undone
from .written_norms import SIZES, divided, normalised, raised, squared

TINY = 1e-2
"""A smaller number that is added is there against a division by zero."""


def _two(lowering: Lowering, call: Call) -> tuple[Operand | float | Length, Operand | float | Length]:
    a, b = lowering.arg(call, 0), lowering.arg(call, 1)
    return a, b


def letters_of(shape: Shape, value: Value) -> list[str]:
    """A letter for each dimension of a value: that of the shape's dimension, counted from the back."""
    rank = len(shape)
    return [str(i + rank - len(value.dims)) for i in range(len(value.dims))]


def pairwise(lowering: Lowering, op: str, values: Sequence[Value], shape: Shape, short: str) -> Value:
    """A sum or product entry by entry, dimensions of length 1 copied."""
    letters = [str(i) for i in range(len(shape))]
    operands = [(value, letters_of(shape, value)) for value in values]
    return lowering.widened(lowering.sketch.combine(op, operands, letters, short), shape)


def _same_base(a: Value, b: Value) -> Value | None:
    base = curve_of(a).base
    return base if same_source(base, curve_of(b).base) else None


@lowers("add", "sub", "rsub", "add_", "sub_", "subtract", "__add__")
def add(lowering: Lowering, call: Call) -> Result:
    """A sum or difference."""
    name = operation(call.target)
    if (left := undone(lowering, call)) is not None:
        return left
    a, b = _two(lowering, call)
    alpha = number(lowering.arg(call, 2, "alpha", 1), 1.0)
    sign = -alpha if "sub" in name and name != "rsub" else alpha
    if isinstance(a, Loss) or isinstance(b, Loss):
        return _losses(a, b)
    if name == "rsub":
        a, b, sign = b, a, -1.0
    return summed(lowering, call, a, b, sign)


def _losses(*operands: object) -> Loss:
    losses = [operand for operand in operands if isinstance(operand, Loss)]
    terms = [term for loss in losses for term in loss.terms] + [term for term in operands if isinstance(term, Value)]
    return Loss(tuple(s for loss in losses for s in loss.sources), losses[0].kind, tuple(terms))


def summed(lowering: Lowering, call: Call, a: object, b: object, sign: float) -> Result:
    """`a + sign * b`."""
    a, b = (lowering.as_matrix(each) for each in (a, b))
    if isinstance(a, Value) and isinstance(b, Value):
        if rotated(lowering, a, b):
            return replace(a, table="")
        base = _same_base(a, b)
        if base is not None and (a.curve is not None or b.curve is not None):
            pairs = zip(curve_of(a).samples, curve_of(b).samples, strict=True)
            return drawn(lowering, Curve(base, tuple(x + sign * y for x, y in pairs)), "add")
        total = pairwise(lowering, "add", [a, b], call.shape, "add")
        return normalised_mean(a, b, total, sign)
    value, constant, first = (a, b, True) if isinstance(a, Value) else (b, a, False)
    if not isinstance(value, Value):
        raise lowering.unknown("adds nothing that can be followed", "compute it in front of the module")
    factor = sign if first else 1.0
    if not first and sign < 0:
        before = curve_of(value)
        value = drawn(lowering, Curve(before.base, tuple(-s for s in before.samples)), "neg", piece=value.piece)
    return lowering.widened(shifted(lowering, value, constant, factor), call.shape)


ROTATION = 0.01
"""So far from 1 the mean squares of two tables may add up to, to be cosines and sines."""


def rotated(lowering: Lowering, a: Value, b: Value) -> bool:
    """Whether a sum rotates entries (`x * cos + rotate_half(x) * sin`): it is then as large as what is rotated.

    The graph reads halves that were exchanged as what they are halves of; added to itself it would be twice as large.
    """
    if not (a.table and b.table and same_source(a, b)) or a.curve is not None or b.curve is not None:
        return False
    roots = [root_mean_square(lowering.record, value.table) for value in (a, b)]
    return abs(sum(root**2 for root in roots) - 1) < ROTATION


def normalised_mean(a: Value, b: Value, difference: Value, sign: float) -> Value:
    """Entries less their mean are remembered as such: divided by their deviation they are a layer norm.

    So are those less the logarithm of the sum of their exponentials: their exponential is a softmax.
    """
    if sign < 0 and b.stat is not None and b.stat.kind == "mean" and same_source(b.stat.base, a):
        return replace(difference, stat=replace(b.stat, kind="centred"))
    if sign < 0 and b.stat is not None and b.stat.kind == "logsumexp" and same_source(b.stat.base, a):
        return replace(difference, stat=replace(b.stat, kind="log_softmax"))
    return difference


def shifted(lowering: Lowering, value: Value, constant: object, factor: float) -> Value:
    """A value plus fixed numbers."""
    given = constant.number if isinstance(constant, Constant) else constant
    length = as_length(given)
    if isinstance(constant, Constant) and constant.discrete:
        return value
    if isinstance(given, float) and not math.isfinite(given):  # a mask
        return value
    if length is not None and not length.scales:
        amount = factor * length.value({})
        if not math.isfinite(amount) or abs(amount) > OUTSIDE or amount == 0:
            return value
        if abs(amount) < TINY and (value.stat is not None or value.curve is None):
            return value
        before = curve_of(value)
        return drawn(lowering, Curve(before.base, tuple(s + amount for s in before.samples)), "shifted")
    if length is None and isinstance(constant, Constant) and constant.ref and masks(lowering.record, constant.ref):
        return value
    one = lowering.sketch.constant()
    if length is not None:
        one = lowering.sketch.scale(one, length)
    letters = [str(i) for i in range(len(value.dims))]
    return lowering.sketch.combine("add", [(value, letters), (one, [])], letters, "shifted")


@lowers("mul", "multiply", "mul_", "__mul__")
def mul(lowering: Lowering, call: Call) -> Result:
    """A product entry by entry."""
    a, b = _two(lowering, call)
    if isinstance(a, Loss) or isinstance(b, Loss):
        return a if isinstance(a, Loss) else b  # type: ignore[return-value]
    if 0 in (a, b):
        return Constant(call.shape, 0.0)
    return _noised(lowering, call, a, b) or multiplied(lowering, a, b, call.shape)


def _noised(lowering: Lowering, call: Call, a: object, b: object) -> Value | None:
    """What weights make, times noise of its shape: of a matrix a random one, behind a factor that is solved for.

    Noise has a size of its own, so no initial value of the weights makes up for a sum over what it multiplies.
    """
    value, noise = (a, b) if isinstance(a, Value) else (b, a)
    if not (isinstance(value, Value) and isinstance(noise, Constant) and drawn_beside(lowering.record, call)):
        return None
    shape = [length for length in noise.shape if length is not None]
    growing = any(length.scales for length in shape) and len(shape) == len(noise.shape) == len(value.dims)
    if not growing or value.is_weight or not lowering.of_weights(value):
        return None
    drawn = lowering.sketch.data(lowering.sketch.nodes.name_here("noise"), shape, fixed=True)
    product = pairwise(lowering, "einsum", [value, drawn], call.shape, "noisy")
    return lowering.sketch.unary("scale", product, "noise.scale", factor=ONE, free=True) if len(shape) > 1 else product


def multiplied(lowering: Lowering, a: object, b: object, shape: Shape) -> Value:
    """A product entry by entry; a value times the inverse of its own size is a norm."""
    a, b = (lowering.as_matrix(each) for each in (a, b))
    if isinstance(a, Value) and isinstance(b, Value):
        normed = normalised(lowering, a, b) or normalised(lowering, b, a)
        if normed is not None:
            return lowering.widened(normed, shape)
        base = _same_base(a, b)
        if base is not None and a.stat is None and b.stat is None:
            one, other = curve_of(a).samples, curve_of(b).samples
            square = drawn(lowering, Curve(base, tuple(x * y for x, y in zip(one, other, strict=True))), "mul")
            return squared(lowering, square, a) if one == other else square
        return pairwise(lowering, "einsum", [a, b], shape, "mul")
    value, constant = (a, b) if isinstance(a, Value) else (b, a)
    if not isinstance(value, Value):
        raise lowering.unknown("multiplies nothing that can be followed", "compute it in front of the module")
    if isinstance(constant, Constant) and _spread(value, constant):
        return pairwise(lowering, "einsum", [value, lowering.constant(constant)], shape, "mul")
    return lowering.widened(scaled(lowering, value, constant), shape)


def weighted(lowering: Lowering, value: Value, weights: object, short: str) -> Value:
    """A value whose entries are sums of a fixed number of products with these weights, each of which counts."""
    if not isinstance(weights, Value):
        return value
    letters = [str(i) for i in range(len(value.dims))]
    others = [f"of {i}" for i in range(len(weights.dims))]
    return lowering.sketch.combine("einsum", [(value, letters), (weights, others)], letters, short)


def _spread(value: Value, constant: Constant) -> bool:
    """Whether different fixed numbers stand along an axis that grows and that the value does not have."""
    if constant.number is not None or constant.discrete or not constant.ref:
        return False
    missing = [()] * (len(constant.shape) - len(value.dims))
    dims = [*missing, *value.dims][-len(constant.shape) :] if constant.shape else []
    return any(length is not None and length.scales and not d for d, length in zip(dims, constant.shape, strict=True))


def scaled(lowering: Lowering, value: Value, constant: object) -> Value:
    """A value times fixed numbers: only those that vary with the scales matter."""
    length = as_length(constant.number if isinstance(constant, Constant) else constant)
    if length is None:
        table = constant.ref if isinstance(constant, Constant) and not value.table and value.curve is None else ""
        return replace(value, curve=None, piece=None, stat=None, table=table)
    if length.scales:
        return lowering.sketch.scale(value, length)
    amount = length.value({})
    before = curve_of(value)
    piece = value.piece if abs(amount) == 1 else None
    sized = value.stat is not None and value.stat.kind in SIZES
    stat = value.stat if amount == 1 or sized else None
    curve = Curve(before.base, tuple(s * amount for s in before.samples))
    if amount == 0:
        return replace(value, curve=None, piece=None, stat=None)
    return replace(value, curve=curve, piece=piece, stat=stat)


@lowers("div", "true_divide", "divide", "div_")
def div(lowering: Lowering, call: Call) -> Result:
    """A quotient entry by entry."""
    if (left := undone(lowering, call)) is not None:
        return left
    a, b = _two(lowering, call)
    if isinstance(a, Loss):
        return a
    if isinstance(b, Value):
        if isinstance(a, Value):
            normed = divided(lowering, a, b)
            if normed is not None:
                return lowering.widened(normed, call.shape)
            base = _same_base(a, b)
            if base is not None and a.stat is None and b.stat is None:
                pairs = zip(curve_of(a).samples, curve_of(b).samples, strict=True)
                samples = tuple(safe(lambda q, x=x: x / q, y) for x, y in pairs)
                if finite(samples):
                    return drawn(lowering, Curve(base, samples), "div")
            return multiplied(lowering, a, raised(lowering, b, Fraction(-1)), call.shape)
        inverse = raised(lowering, b, Fraction(-1))
        return lowering.widened(scaled(lowering, inverse, a), call.shape)
    length = as_length(b)
    inverse = power(length, Fraction(-1)) if length is not None and (length.scales or length.value({})) else None
    return multiplied(lowering, a, inverse if inverse is not None else Constant(()), call.shape)


@lowers("addcmul", "addcdiv", "lerp")
def three(lowering: Lowering, call: Call) -> Result:
    """`a + b c`, or `a + w (b - a)`: sums and products entry by entry."""
    a, b, c = (lowering.arg(call, i) for i in range(3))
    if operation(call.target) == "lerp":
        values = [v for v in (a, b) if isinstance(v, Value)]
        if isinstance(c, Value):
            parts = [multiplied(lowering, v, c, call.shape) for v in values]
            return pairwise(lowering, "add", [*parts, *(v for v in (a,) if isinstance(v, Value))], call.shape, "add")
        return pairwise(lowering, "add", values, call.shape, "add") if len(values) > 1 else values[0]
    if operation(call.target) == "addcdiv" and isinstance(c, Value):
        c = raised(lowering, c, Fraction(-1))
    if isinstance(b, Value) or isinstance(c, Value):
        b = multiplied(lowering, b, c, call.shape)
    return summed(lowering, call, a, b, 1.0)


@lowers("pow", "float_power")
def pow_(lowering: Lowering, call: Call) -> Result:
    """A power, most often a fixed one."""
    a, b = _two(lowering, call)
    if isinstance(b, Value):
        return (
            lowering.sketch.unary(SOME, b, "pow")
            if not isinstance(a, Value)
            else pairwise(lowering, "einsum", [a, lowering.sketch.unary(SOME, b, "pow")], call.shape, "pow")
        )
    assert isinstance(a, Value)
    return raised(lowering, a, Fraction(number(b, 1.0)).limit_denominator(64))


@lowers("sqrt", "rsqrt", "reciprocal", "square")
def powers(lowering: Lowering, call: Call) -> Result:
    """Roots, inverses and squares."""
    exponents = {"sqrt": Fraction(1, 2), "rsqrt": Fraction(-1, 2), "reciprocal": Fraction(-1), "square": Fraction(2)}
    return raised(lowering, lowering.value(call, 0), exponents[operation(call.target)])

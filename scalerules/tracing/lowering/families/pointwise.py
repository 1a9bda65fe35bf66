"""Functions of one entry."""

from __future__ import annotations

import math
from dataclasses import replace

from scalerules.ops.functions import FUNCTIONS, SOME, SOME_THROUGH_ZERO
from scalerules.sizes.arithmetic import fixed, over
from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import Constant, Curve, Result, Value

from ..curves import UNARY, finite, safe
from ..state import Lowering, number, operation
from ..table import lowers
from .arithmetic import TINY, letters_of, pairwise
from .drawn import curve_of, drawn
from .slices import stretched

ELSEWHERE = frozenset({"identity", "square"})
"""Functions of one entry that are nothing at all, or a power."""


@lowers(*[name for name in UNARY if name not in ELSEWHERE],
        "elu_", "relu_", "silu_", "rrelu_with_noise", "hardswish_", "glu_jvp")  # fmt: skip
def unary(lowering: Lowering, call: Call) -> Result:
    """A function of every entry."""
    name = operation(call.target).rstrip("_").removeprefix("_").removesuffix("_kernel")
    value = lowering.value(call, 0)
    function = UNARY.get(name, UNARY["relu"])
    if name == "exp" and value.stat is not None and value.stat.kind == "log_softmax":
        base = replace(value.stat.base, curve=None, piece=None, stat=None)
        return lowering.sketch.along("softmax", base, value.stat.dims[0], "weights")
    before = curve_of(value)
    samples = tuple(safe(function, x) for x in before.samples)
    if value.curve is None and name in FUNCTIONS:
        result = drawn(lowering, Curve(value, samples), name, name)
    elif finite(samples):
        piece = value.piece if name == "neg" else None
        result = drawn(lowering, Curve(before.base, samples), name, piece=piece)
    else:
        result = lowering.sketch.unary(SOME_THROUGH_ZERO, value, name)
    return (result, Constant(call.shapes[1])) if len(call.shapes) > 1 else result


@lowers("prelu", "_prelu_kernel")
def prelu(lowering: Lowering, call: Call) -> Result:
    """What is positive of every entry, and slopes that are learnt, one or one a channel, times what is negative."""
    value, slopes = lowering.value(call, 0), lowering.value(call, 1)
    before = curve_of(value)
    positive = drawn(lowering, Curve(before.base, tuple(max(s, 0.0) for s in before.samples)), "prelu")
    negative = drawn(lowering, Curve(before.base, tuple(min(s, 0.0) for s in before.samples)), "negative")
    letters = [str(i) for i in range(len(value.dims))]
    channel = letters[1:2] if len(slopes.dims) == 1 else letters_of(call.shape, slopes)
    sloped = lowering.sketch.combine("einsum", [(negative, letters), (slopes, channel)], letters, "sloped")
    return pairwise(lowering, "add", [positive, sloped], call.shape, "prelu")


@lowers("clamp", "clamp_min", "clamp_max", "threshold", "hardtanh_", "clip", "nan_to_num", "hardshrink", "softshrink")
def clamp(lowering: Lowering, call: Call) -> Result:
    """Cut off above or below; a bound that is almost nothing only keeps a quotient finite."""
    value = lowering.value(call, 0)
    if value.stat is not None or operation(call.target) == "nan_to_num":
        return value
    bounds = [lowering.arg(call, 1, "min"), lowering.arg(call, 2, "max")]
    if learnt := [bound for bound in bounds if isinstance(bound, Value)]:
        return pairwise(lowering, "add", [value, *learnt], call.shape, "clamp")
    low, high = (None if bound is None else number(bound) for bound in bounds)
    if operation(call.target) == "clamp_max":
        low, high = None, low
    if (low is None or abs(low) > 1e4 or abs(low) < TINY) and (high is None or abs(high) > 1e4):
        if low == 0:
            return drawn(
                lowering, Curve(curve_of(value).base, tuple(max(s, 0.0) for s in curve_of(value).samples)), "clamp"
            )
        return value
    before = curve_of(value)
    cut = tuple(
        min(max(s, -math.inf if low is None else low), math.inf if high is None else high) for s in before.samples
    )
    return drawn(lowering, Curve(before.base, cut), "clamp")


@lowers("log", "log2", "log10", "logit", "digamma", "lgamma", "erfinv", "acos", "asin")
def generic(lowering: Lowering, call: Call) -> Result:
    """A function without symmetry."""
    return lowering.sketch.unary(SOME_THROUGH_ZERO, lowering.value(call, 0), operation(call.target))


@lowers("hypot")
def hypot(lowering: Lowering, call: Call) -> Result:
    """A length of two numbers: as large as both, whatever their signs."""
    lengths = [lowering.sketch.unary("abs", value, "abs") for value in _values(lowering, call)]
    return pairwise(lowering, "add", lengths, call.shape, "hypot")


@lowers("atan2", "arctan2")
def angle_of_two(lowering: Lowering, call: Call) -> Result:
    """The angle of two numbers: of size 0, and it moves with either."""
    either = pairwise(lowering, "add", _values(lowering, call), call.shape, "either")
    return lowering.sketch.unary(SOME, either, "angle")


@lowers("polar")
def polar(lowering: Lowering, call: Call) -> Result:
    """A complex number of a length and an angle: as large as the length, and the angle turns it."""
    length, angle = lowering.arg(call, 0, "abs"), lowering.arg(call, 1, "angle")
    factors = [length] if isinstance(length, Value) else []
    if isinstance(angle, Value):
        factors.append(lowering.sketch.unary(SOME, angle, "turned"))
    return pairwise(lowering, "einsum", factors, call.shape, "polar")


def _values(lowering: Lowering, call: Call) -> list[Value]:
    """The operands that are no constants."""
    return [each for each in lowering.operands((*call.args, *call.kwargs.values())) if isinstance(each, Value)]


@lowers("glu")
def glu(lowering: Lowering, call: Call) -> Result:
    """One half times the sigmoid of the other."""
    value = lowering.value(call, 0)
    dim = lowering.dim(lowering.arg(call, 1, "dim", -1), len(value.dims))
    half = over(value.length(dim), fixed(2))
    assert half is not None
    gate = lowering.sketch.unary("sigmoid", stretched(lowering, value, dim, half, half), "gate")
    return pairwise(lowering, "einsum", [stretched(lowering, value, dim, fixed(0), half), gate], call.shape, "glu")

"""Comparisons and choices: entries of one tensor or of another.

What is chosen between functions of one value by that value itself (a shrinkage, a leaky step, a Huber loss) is one
function of it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace

from scalerules.ops.functions import POINTS
from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import Constant, Curve, Loss, Result, Value, same_source

from ..detached import COMPARING
from ..state import Lowering, as_length, operation
from ..table import lowers
from .arithmetic import pairwise
from .drawn import curve_of, drawn

COMPARISONS: dict[str, Callable[[float, float], bool]] = {name: getattr(operator, name) for name in COMPARING}
CHOSEN: dict[str, Callable[[float, float], float]] = {"maximum": max, "minimum": min, "fmax": max, "fmin": min,
                                                           "max": max, "min": min}  # fmt: skip
"""The choices that the two operands themselves decide."""


@lowers(*COMPARISONS)
def compared(lowering: Lowering, call: Call) -> Result:
    """Truth values: they carry no size; compared with a number or with itself, a value decides them entry by entry."""
    pair = _on_one_value([lowering.arg(call, 0), lowering.arg(call, 1)])
    truth = None
    if pair is not None:
        base, (a, b) = pair
        compare = COMPARISONS[operation(call.target)]
        truth = Curve(base, tuple(float(compare(x, y)) for x, y in zip(a, b, strict=True)))
    return Constant(call.shape, discrete=True, truth=truth)


@lowers("where", "masked_fill", "masked_fill_", "copysign",
        "maximum", "minimum", "fmax", "fmin")  # fmt: skip
def choice(lowering: Lowering, call: Call) -> Result:
    """Entries of one or of the other: as large as either."""
    operands = list(lowering.operands((*call.args, *call.kwargs.values())))
    losses = [o for o in operands if isinstance(o, Loss)]
    if losses:
        return losses[0]
    if (one := _one_function(lowering, call)) is not None:
        return one
    values = [o for o in operands if isinstance(o, Value)]
    if len(values) == 1:
        return lowering.widened(replace(values[0], curve=None, piece=None), call.shape)
    return pairwise(lowering, "add", values, call.shape, operation(call.target))


def _one_function(lowering: Lowering, call: Call) -> Value | None:
    """The choice as a function of the one value that all of it depends on; None where there are several."""
    name = operation(call.target)
    arguments = [lowering.arg(call, position) for position in range(len(call.args))]
    if name in CHOSEN:
        pair = _on_one_value(arguments)
        samples = None if pair is None else map(CHOSEN[name], *pair[1])
    else:
        samples, pair = _decided(name, arguments)
    if pair is None or samples is None:
        return None
    return lowering.widened(drawn(lowering, Curve(pair[0], tuple(samples)), name), call.shape)


def _decided(name: str, arguments: list[object]) -> tuple[list[float] | None, OnOne | None]:
    """What `where(truth, a, b)` or `masked_fill(b, truth, a)` is at the points, and of which value."""
    if name not in ("where", "masked_fill", "masked_fill_") or len(arguments) != 3:
        return None, None
    truth, a, b = arguments if name == "where" else (arguments[1], arguments[2], arguments[0])
    if not isinstance(truth, Constant) or truth.truth is None:
        return None, None
    pair = _on_one_value([a, b])
    if pair is None or not same_source(pair[0], truth.truth.base):
        return None, None
    return [x if true else y for true, x, y in zip(truth.truth.samples, *pair[1], strict=True)], pair


OnOne = tuple[Value, list[tuple[float, ...]]]
"""A value, and what its functions are at the points."""


def _on_one_value(operands: list[object]) -> OnOne | None:
    """Functions of one value and plain numbers as functions of that value; None where they are none."""
    values = [operand for operand in operands if isinstance(operand, Value)]
    bases = [curve_of(value).base for value in values]
    if not bases or not all(same_source(base, bases[0]) for base in bases):
        return None
    samples: list[tuple[float, ...]] = []
    for operand in operands:
        if isinstance(operand, Value):
            samples.append(curve_of(operand).samples)
            continue
        length = as_length(operand)
        if length is None or length.scales:
            return None
        samples.append((length.value({}),) * len(POINTS))
    return bases[0], samples

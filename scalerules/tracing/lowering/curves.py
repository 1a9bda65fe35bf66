"""The elementwise functions that torch has, as functions of one number: each is known by its values at a few points.

A chain of elementwise operations on one value (an activation written out as products and powers) is one such function.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scalerules.ops.functions import FUNCTIONS, STAND_INS, Formula, softplus

UNARY: dict[str, Formula] = {
    **{name: function.formula for name, function in FUNCTIONS.items() if name not in STAND_INS},
    "rrelu": lambda x: x if x > 0 else 0.2 * x,
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "celu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.0507 * (x if x > 0 else 1.67326 * math.expm1(x)),
    "tan": math.tan,
    "atan": math.atan,
    "asinh": math.asinh,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "hardsigmoid": lambda x: min(max(x / 6 + 0.5, 0.0), 1.0),
    "hardswish": lambda x: x * min(max(x / 6 + 0.5, 0.0), 1.0),
    "hardtanh": lambda x: min(max(x, -1.0), 1.0),
    "log_sigmoid": lambda x: -softplus(-x),
    "log_sigmoid_forward": lambda x: -softplus(-x),
    "softsign": lambda x: x / (1 + abs(x)),
    "exp2": lambda x: 2.0**x,
    "expm1": math.expm1,
    "log1p": lambda x: math.log1p(x) if x > -1 else math.nan,
    "neg": lambda x: -x,
    "sign": lambda x: math.copysign(1.0, x) if x else 0.0,
    "round": round,
    "floor": math.floor,
    "ceil": math.ceil,
    "trunc": math.trunc,
    "frac": lambda x: x - math.trunc(x),
    "tanhshrink": lambda x: x - math.tanh(x),
}
"""Elementwise functions that are defined for every number."""


def finite(samples: tuple[float, ...]) -> bool:
    """Whether a function is defined at all points."""
    return all(math.isfinite(value) for value in samples)


def safe(function: Callable[[float], float], x: float) -> float:
    """The function there; not a number where it has no value."""
    try:
        return function(x)
    except (ValueError, OverflowError, ZeroDivisionError):
        return math.nan

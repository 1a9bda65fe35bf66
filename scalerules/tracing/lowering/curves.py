"""Functions of one entry, known by their values at a few points: what the calculus needs of them is read off there.

A chain of elementwise operations on one value (an activation written out as products and powers) is one such function.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scalerules.ops.elementwise import FUNCTIONS

POINTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)

Function = Callable[[float], float]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _softplus(x: float) -> float:
    return math.log1p(math.exp(x))


UNARY: dict[str, Function] = {
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "prelu": lambda x: x if x > 0 else 0.25 * x,
    "rrelu": lambda x: x if x > 0 else 0.2 * x,
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "silu": lambda x: x * _sigmoid(x),
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "celu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.0507 * (x if x > 0 else 1.67326 * math.expm1(x)),
    "mish": lambda x: x * math.tanh(_softplus(x)),
    "tanh": math.tanh,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "atan": math.atan,
    "asinh": math.asinh,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "erf": math.erf,
    "sigmoid": _sigmoid,
    "hardsigmoid": lambda x: min(max(x / 6 + 0.5, 0.0), 1.0),
    "hardswish": lambda x: x * min(max(x / 6 + 0.5, 0.0), 1.0),
    "hardtanh": lambda x: min(max(x, -1.0), 1.0),
    "log_sigmoid": lambda x: -_softplus(-x),
    "log_sigmoid_forward": lambda x: -_softplus(-x),
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + abs(x)),
    "exp": math.exp,
    "exp2": lambda x: 2.0**x,
    "expm1": math.expm1,
    "log1p": lambda x: math.log1p(x) if x > -1 else math.nan,
    "abs": abs,
    "neg": lambda x: -x,
    "square": lambda x: x * x,
    "sign": lambda x: math.copysign(1.0, x) if x else 0.0,
    "tanhshrink": lambda x: x - math.tanh(x),
}
"""Elementwise functions that are defined for every number."""

SMOOTH = {"clamp": "clamp", "clamp_min": "clamp", "clamp_max": "clamp", "threshold": "threshold"}


def close(a: float, b: float) -> bool:
    """Whether two numbers are equal up to rounding."""
    return abs(a - b) <= 1e-6 * max(1.0, abs(a), abs(b))


KNOWN: dict[str, Function] = {
    **{name: UNARY[name] for name in FUNCTIONS if name in UNARY},
    "negative_exp": lambda x: -math.exp(x),
    "relu_squared": lambda x: max(x, 0.0) ** 2,
}
"""The functions that the engine has under a name of their own (`identity` and `negative` are homogeneous and odd)."""


def _multiple_of(samples: tuple[float, ...], function: Function) -> bool:
    """Whether these are the values of `c f` with one c > 0."""
    values = [function(x) for x in POINTS]
    top = max(range(len(POINTS)), key=lambda i: abs(values[i]))
    factor = samples[top] / values[top]
    return factor > 0 and all(close(s, factor * v) for s, v in zip(samples, values, strict=True))


def kind_of(samples: tuple[float, ...]) -> str:
    """The operation of the engine that is the function up to a factor; if there is none, one that is like it.

    Like it: the same symmetry, zero and homogeneity; `identity` for a multiple of x.
    """
    for name, function in KNOWN.items():
        if _multiple_of(samples, function):
            return name
    at = dict(zip(POINTS, samples, strict=True))
    odd = all(close(at[x], -at[-x]) for x in (0.5, 1.0, 2.0)) and close(at[0.0], 0.0)
    even = all(close(at[x], at[-x]) for x in (0.5, 1.0, 2.0))
    vanishes = close(at[0.0], 0.0)
    homogeneous = all(close(2 * at[x / 2], at[x]) for x in (1.0, 2.0, -1.0, -2.0)) and vanishes
    if homogeneous:
        return "identity" if odd else "abs" if even else "relu"
    if odd:
        return "tanh"
    if even:
        return "square" if vanishes else "cos"
    twice = all(close(4 * at[x / 2], at[x]) for x in (1.0, 2.0, -1.0, -2.0)) and vanishes
    if twice:
        return "relu_squared"
    return "gelu" if vanishes else "sigmoid"


def finite(samples: tuple[float, ...]) -> bool:
    """Whether a function is defined at all points."""
    return all(math.isfinite(value) for value in samples)

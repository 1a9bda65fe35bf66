"""Functions of one entry: a row each, with its formula and its text in torch.

What the calculus needs of a function (parity, whether f(0) = 0, homogeneity) is read off the values of the formula at a
few points, here as for a function that a traced module has written out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Formula = Callable[[float], float]
Parity = Literal["odd", "even", "generic"]

POINTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Shape:
    """What the calculus needs to know of a function of one entry."""

    parity: Parity = "generic"
    vanishes: bool = True
    """f(0) = 0."""
    degree: int | None = None
    """The degree of a homogeneous function: f(c x) = c**degree f(x) for c > 0, degree 1 or 2."""
    exponential: bool = False
    """Turns an entry that grows like `log i` along an axis into one that grows like `i`."""

    @property
    def homogeneous(self) -> bool:
        """Whether the kink at 0 (or a plain multiple) decides what the function does to sums; x**2 is a product."""
        return self.degree == 1 or (self.degree == 2 and self.parity == "generic")

    @property
    def linear(self) -> bool:
        """Whether it is a plain multiple, whose derivative is a number."""
        return self.degree == 1 and self.parity == "odd"


def shape_of(values: Sequence[float]) -> Shape:
    """What the values of a function at `POINTS` say of it."""
    f = dict(zip(POINTS, values, strict=True))
    odd = all(close(f[x], -f[-x]) for x in (0.0, 0.5, 1.0, 2.0))
    even = all(close(f[x], f[-x]) for x in (0.5, 1.0, 2.0))
    vanishes = close(f[0.0], 0.0)
    degrees = [d for d in (1, 2) if all(close(2**d * f[x / 2], f[x]) for x in (1.0, 2.0, -1.0, -2.0)) and vanishes]
    exponential = not vanishes and all(close(f[x], f[0.0] * math.exp(x)) for x in POINTS)
    return Shape("odd" if odd else "even" if even else "generic", vanishes, next(iter(degrees), None), exponential)


def close(a: float, b: float) -> bool:
    """Whether two numbers are equal up to rounding."""
    return abs(a - b) <= 1e-6 * max(1.0, abs(a), abs(b))


@dataclass(frozen=True)
class Function:
    """A function of one entry: its formula, and what torch calls it (`{}` is the operand, `{x}` in parentheses)."""

    formula: Formula
    torch: str
    stops: bool = False
    """No gradient comes back through it."""

    @cached_property
    def values(self) -> tuple[float, ...]:
        """The values at `POINTS`."""
        return tuple(self.formula(x) for x in POINTS)

    @cached_property
    def shape(self) -> Shape:
        """What the calculus needs of it."""
        return shape_of(self.values)


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return (1 + math.tanh(x / 2)) / 2


def softplus(x: float) -> float:
    """log(1 + exp(x)), without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def gelu(x: float) -> float:
    """The Gaussian error linear unit: x times the normal distribution at x."""
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


FUNCTIONS: dict[str, Function] = {
    "identity": Function(lambda x: x, "{x}"),
    "stop_gradient": Function(lambda x: x, "{x}.detach()", stops=True),
    "negative": Function(lambda x: -x, "-{x}"),
    "abs": Function(abs, "torch.abs({})"),
    "relu": Function(lambda x: max(x, 0.0), "torch.relu({})"),
    "leaky_relu": Function(lambda x: max(x, 0.01 * x), "functional.leaky_relu({})"),
    "gelu": Function(gelu, "functional.gelu({})"),
    "silu": Function(lambda x: x * sigmoid(x), "functional.silu({})"),
    "elu": Function(lambda x: max(x, 0.0) + math.expm1(min(x, 0.0)), "functional.elu({})"),
    "mish": Function(lambda x: x * math.tanh(softplus(x)), "functional.mish({})"),
    "relu_squared": Function(lambda x: max(x, 0.0) ** 2, "torch.relu({}).square()"),
    "square": Function(lambda x: x * x, "torch.square({})"),
    "tanh": Function(math.tanh, "torch.tanh({})"),
    "sin": Function(math.sin, "torch.sin({})"),
    "cos": Function(math.cos, "torch.cos({})"),
    "erf": Function(math.erf, "torch.erf({})"),
    "sigmoid": Function(sigmoid, "torch.sigmoid({})"),
    "softplus": Function(softplus, "functional.softplus({})"),
    "exp": Function(math.exp, "torch.exp({})"),
    "negative_exp": Function(lambda x: -math.exp(x), "-torch.exp({})"),
    "some_function": Function(sigmoid, "torch.sigmoid({})"),
    "some_function_through_zero": Function(gelu, "functional.gelu({})"),
}
"""Every elementwise function by name; `negative_exp` is -exp(x), as in `A = -exp(A_log)`.

The last two stand for a function of which no more is known, without symmetry; where a graph is run without the module
that it was traced from, a sigmoid and a gelu are computed in their place.
"""

SOME, SOME_THROUGH_ZERO = STAND_INS = "some_function", "some_function_through_zero"


def named(values: Sequence[float]) -> str:
    """The function that has these values at `POINTS` up to a factor above 0; if there is none, one that is like it.

    Like it: of the same shape. A multiple of x, of whatever sign, is the `identity`: no size shows the sign.
    """
    shape = shape_of(values)
    if shape.linear:
        return "identity"
    for name, function in FUNCTIONS.items():
        if name not in STAND_INS and _multiple(values, function.values):
            return name
    if shape.degree == 2:
        return "square" if shape.parity == "even" else "relu_squared"
    if shape.degree == 1:
        return "abs" if shape.parity == "even" else "relu"
    if shape.parity == "odd":
        return "tanh"
    if shape.parity == "even":
        return "square" if shape.vanishes else "cos"
    return STAND_INS[shape.vanishes]


def _multiple(values: Sequence[float], of: Sequence[float]) -> bool:
    """Whether these are the values of `c f` with one c > 0."""
    top = max(range(len(POINTS)), key=lambda i: abs(of[i]))
    factor = values[top] / of[top]
    return factor > 0 and all(close(v, factor * w) for v, w in zip(values, of, strict=True))

"""Functions of one entry: what matters is parity, whether f(0) = 0, and whether f is homogeneous."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .registry import register, same_axes


@dataclass(frozen=True)
class Function:
    """What the calculus needs to know of an elementwise function.

    `parity` of the function itself; `vanishes`: f(0) = 0; `homogeneous`: f(c x) = c f(x) for c > 0.
    """

    parity: Literal["odd", "even", "generic"] = "generic"
    vanishes: bool = True
    homogeneous: bool = False


FUNCTIONS: dict[str, Function] = {
    "identity": Function("odd", homogeneous=True),
    "negative": Function("odd", homogeneous=True),
    "abs": Function("even", homogeneous=True),
    "relu": Function(homogeneous=True),
    "leaky_relu": Function(homogeneous=True),
    "gelu": Function(),
    "silu": Function(),
    "elu": Function(),
    "mish": Function(),
    "relu_squared": Function(),
    "square": Function("even"),
    "tanh": Function("odd"),
    "sin": Function("odd"),
    "cos": Function("even", vanishes=False),
    "erf": Function("odd"),
    "sigmoid": Function(vanishes=False),
    "softplus": Function(vanishes=False),
    "exp": Function(vanishes=False),
    "negative_exp": Function(vanishes=False),
}
"""Every elementwise function by name; `negative_exp` is -exp(x), as in `A = -exp(A_log)`."""


def _reason(name: str, function: Function) -> str:
    homogeneous = " and passes sizes through (it is homogeneous)" if function.homogeneous else ""
    zero = "f(0) = 0" if function.vanishes else "f(0) is not 0, so it has a constant part of size 0"
    kind = {"odd": "An odd function", "even": "An even function", "generic": "A function without symmetry"}
    kept = {"odd": "keeps odd products of its terms", "even": "keeps even products", "generic": "keeps all products"}
    return f"{kind[function.parity]} ({name}) {kept[function.parity]}{homogeneous}; {zero}."


for _name, _function in FUNCTIONS.items():
    register(_name, _reason(_name, _function), same_axes)

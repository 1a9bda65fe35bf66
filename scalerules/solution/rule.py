"""The parts of a solution as data: rules, explanations, constants, predicted sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from scalerules.sizes.exponents import Exponents

SIZES = ("init", "mult", "lr", "eps", "wd")


Quantity = Literal["value", "gradient", "own", "change"]


@dataclass(frozen=True)
class Explanation:
    """Why one size of a parameter (or a multiplier) is what it is, in a sentence."""

    quantity: str
    size: str
    equation: str


@dataclass(frozen=True)
class Rule:
    """The rule of one parameter: `shape` (axis names), exponents of init (std), mult, lr, eps and wd.

    `log` names the sizes that carry a logarithm; `dampings` are further numbers of the optimizer by name (K-FAC's).
    """

    shape: tuple[str, ...]
    init: Exponents
    mult: Exponents
    lr: Exponents
    eps: Exponents
    wd: Exponents
    log: tuple[str, ...] = ()
    dampings: Mapping[str, Exponents] = field(default_factory=dict[str, Exponents])


@dataclass(frozen=True)
class Constant:
    """What the `unit` gauge multiplies at a node: its result, and the gradient at every operand, to unit variance.

    `weights`: of a residual, the factors of stream and branch, block by block.
    """

    forward: float
    backward: Mapping[str, float]
    weights: tuple[tuple[float, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The constant as plain data."""
        data: dict[str, Any] = {"forward": self.forward, "backward": dict(self.backward)}
        return data | ({"weights": [list(pair) for pair in self.weights]} if self.weights else {})


@dataclass(frozen=True)
class Predicted:
    """The size of a quantity along the direction (root mean square of its entries); None: exactly zero.

    `lower`: a smaller size, which finite sizes may show instead. Of an initial value or a first gradient it is what is
    left without what is added up coherently (the rows of a tied table, a matrix and its transpose), without the initial
    values of biases and without the mean of all tokens, which may be small beside the rest; of an own contribution,
    what it is on values that have not moved yet, without these two.
    """

    quantity: Quantity
    node: str
    step: int
    size: Fraction | None
    parameter: str | None = None
    lower: Fraction | None = None


VERSION = 2

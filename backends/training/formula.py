"""A law on tensors: the words of `scalerules.optimizers.vocabulary` in numbers, so that a formula can train.

A matrix is given as (fan-out x fan-in). What remembers (running means) does so by the order in which it is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scalerules.errors import ScaleRulesError
from scalerules.optimizers.powers import READ
from scalerules.optimizers.symbolic import Place
from scalerules.optimizers.vocabulary import Damping

from .singular import kept, thin

SMALL = 1e-30


@dataclass
class Memory:
    """What a parameter remembers between steps, and its numbers: epsilon, relative damping, what it reads."""

    eps: float
    damping: float
    read: Tensor | None = None
    means: list[Any] = field(default_factory=list[Any])
    calls: int = 0

    def again(self) -> None:
        """Begins the next step."""
        self.calls = 0

    def mean(self, now: Tensor, beta: float) -> Tensor:
        """The running mean at this place of the formula, without its bias."""
        place, self.calls = self.calls, self.calls + 1
        if place == len(self.means):
            self.means.append((torch.zeros_like(now), 0))
        old, count = self.means[place]
        new = beta * old + (1 - beta) * now
        self.means[place] = (new, count + 1)
        return new / (1 - beta ** (count + 1))


@dataclass(eq=False)
class Value:
    """A tensor, or a number as one of no dimensions."""

    x: Tensor
    memory: Memory
    matrix: bool

    def _with(self, x: Any) -> Value:
        return Value(x if isinstance(x, Tensor) else torch.as_tensor(x), self.memory, self.matrix)

    def _by(self, other: Any, how: Callable[[Any, Any], Tensor]) -> Value:
        return self._with(how(self.x, other.x if isinstance(other, Value) else float(other)))

    def __mul__(self, other: Any) -> Value:
        return self._by(other, torch.mul)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Value:
        return self._by(other, lambda a, b: torch.nan_to_num(a / b, nan=0.0, posinf=0.0, neginf=0.0))

    def __rtruediv__(self, other: Any) -> Value:
        return self._with(torch.as_tensor(float(other), dtype=self.x.dtype)) / self

    def __pow__(self, exponent: Any) -> Value:
        return self._with(self.x ** float(exponent))

    def __add__(self, other: Any) -> Value:
        if isinstance(other, Damping):
            return self._with(self.x + (self.memory.eps if other.name == "eps" else SMALL))
        return self._by(other, torch.add)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Value:
        return self + (other * -1 if isinstance(other, Value) else -other)

    def __rsub__(self, other: Any) -> Value:
        return self * -1 + other

    def __neg__(self) -> Value:
        return self * -1

    def __abs__(self) -> Value:
        return self._with(self.x.abs())

    def __matmul__(self, other: Any) -> Value:
        return self._with(other.applied(self.x, behind=True))

    def abs(self) -> Value:
        return abs(self)

    def square(self) -> Value:
        return self**2

    def sqrt(self) -> Value:
        return self._with(self.x.sqrt())

    def sign(self) -> Value:
        return self._with(self.x.sign())

    def clip(self, bound: float) -> Value:
        return self._with(self.x.clamp(-bound, bound))

    def average(self, beta: float) -> Value:
        return self._with(self.memory.mean(self.x, beta))

    def maximum(self, *options: Any) -> Value:
        return self._among(options, torch.maximum, 1e-3)

    def minimum(self, *options: Any) -> Value:
        return self._among(options, torch.minimum, math.inf)

    def _among(self, options: tuple[Any, ...], choice: Callable[[Tensor, Tensor], Tensor], floor: float) -> Value:
        chosen = self.x
        for option in options:
            number = self.memory.eps if isinstance(option, Damping) and option.name == "eps" else option
            number = floor if isinstance(number, Damping) else number
            other = number.x if isinstance(number, Value) else torch.as_tensor(float(number), dtype=chosen.dtype)
            chosen = choice(chosen, other)
        return self._with(chosen)

    def _dims(self, over: str | None) -> list[int]:
        if over:
            return [-1] if over == "fan_in" else [-2]
        return [-2, -1] if self.matrix else list(range(self.x.ndim))

    def rms(self, over: str | None = None) -> Value:
        dims = self._dims(over)
        return self._with(self.x.square().mean(dims, keepdim=True).sqrt() if dims else self.x.abs())

    def norm(self, over: str | None = None) -> Value:
        dims = self._dims(over)
        return self._with(self.x.square().sum(dims, keepdim=True).sqrt() if dims else self.x.abs())

    def spectral(self) -> Value:
        return self._with(thin(self.x)[1][..., :1, None]) if self.matrix else self.norm()

    def orthogonal(self) -> Value:
        if not self.matrix:
            return self / self.norm()
        left, values, right = thin(self.x)
        return self._with((left * kept(values)[..., None, :]) @ right)

    def low_rank(self, rank: int) -> Value:
        if not self.matrix:
            return self
        left, values, right = thin(self.x)
        return self._with((left[..., :rank] * values[..., None, :rank]) @ right[..., :rank, :])

    def gram(self, side: str) -> Gram:
        matrix = self.x if self.matrix else self.x.reshape(-1, 1)
        left, values, right = thin(matrix)
        vectors = left if side == "left" else right.mT
        if not self.matrix and side == "right":  # one number: it stands for what would be a column
            vectors = left
        return Gram(vectors, values.square(), 0.0, side, self.memory, self.matrix)

    def covariance(self, side: str) -> Gram:
        if not self.matrix:
            return self.gram("left") if side != READ else Gram(None, None, 0.0, "right", self.memory, False)
        if side != READ or self.memory.read is None:
            text = "the formula needs what a parameter reads, which is not kept here"
            raise ScaleRulesError(text, hint="write a step of its own")
        _, values, right = thin(self.memory.read.to(self.x.dtype))
        return Gram(right.mT, values.square(), 0.0, "right", self.memory, True)

    def trusted(self, weight: Any) -> Value:
        norms = [x.norm() if x.x.ndim else x for x in (weight, self)]
        ratio = norms[0].x / norms[1].x
        return self._with(torch.where(ratio.isfinite() & (ratio > 0), ratio, torch.ones_like(ratio)))

    def decayed(self) -> Value:
        return self

    def global_norm(self) -> Value:
        raise ScaleRulesError("the norm of all gradients is not known to one parameter", hint="write a step of its own")


@dataclass(eq=False)
class Gram:
    """A Gram matrix by its eigenvectors and eigenvalues above zero, and what is added to all of them."""

    vectors: Tensor | None
    values: Tensor | None
    added: float | Tensor
    side: str
    memory: Memory
    matrix: bool
    exponent: float = 1.0

    def __add__(self, other: Any) -> Gram:
        if self.values is None:
            return self
        top = self.values[..., :1]
        return Gram(self.vectors, self.values, self.memory.damping * top, self.side, self.memory, self.matrix)

    __radd__ = __add__

    def __mul__(self, other: Any) -> Gram:
        raise ScaleRulesError("products of covariances are not followed in numbers", hint="write a step of its own")

    def average(self, beta: float) -> Gram:
        return self

    def power(self, exponent: float) -> Gram:
        return Gram(self.vectors, self.values, self.added, self.side, self.memory, self.matrix, float(exponent))

    def __matmul__(self, other: Value) -> Value:
        return Value(self.applied(other.x, behind=False), self.memory, self.matrix)

    def applied(self, x: Tensor, behind: bool) -> Tensor:
        """The power applied from its own side, on the range of the matrix."""
        if self.vectors is None or self.values is None:
            return x
        values = (self.values + self.added + SMALL) ** self.exponent * kept(self.values.sqrt())
        if not self.matrix:
            flat = x.reshape(-1, 1)
            return (self.vectors * values[..., None, :] @ (self.vectors.mT @ flat)).reshape(x.shape)
        if self.side == "left":
            return (self.vectors * values[..., None, :]) @ (self.vectors.mT @ x)
        return (x @ self.vectors * values[..., None, :]) @ self.vectors.mT


def place(facts: Any, shape: tuple[int, ...]) -> Place:
    """A parameter's place with its lengths in numbers."""
    sides = (shape[-1], shape[-2]) if facts.matrix else (1, 1)
    return Place(facts.name, facts.matrix, facts.first, facts.last, float(sides[0]), float(sides[1]),
                 float(math.prod(shape[-2:] if facts.matrix else shape)))  # fmt: skip


def direction(law: Any, g: Tensor, w: Tensor, where: Place, memory: Memory) -> Tensor:
    """What the rate multiplies, by the formula."""
    memory.again()
    return law(*(Value(x, memory, where.matrix) for x in (g, w)), where).x

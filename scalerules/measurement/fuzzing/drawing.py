"""A graph while it is drawn: what is picked by chance, and the pieces that everything drawn is made of.

`branches.py` and `weights.py` add larger pieces, `random_graphs.py` puts them together.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import TypeVar

from scalerules.architecture.builder import Builder

T = TypeVar("T")
AXES: dict[str, str | int] = {
    "batch": 4, "time": 4, "longer": 5, "one": 1, "in": 8, "vocab": 16, "out": 4, "taps": 3, "state": 8, "layers": 2,
    "n": "width", "wide": "2*width", "root": "8*width^(1/2)", "neck": 8,
    "heads": 4, "head": "width/4", "many": "width/16", "small": 16, "groups": 2, "experts": 4, "active": 2,
}  # fmt: skip
GROWN = {
    "time": "width/8", "vocab": "width/4", "out": "width/8", "state": "width/8", "neck": "2*width^(1/2)",
    "experts": "width/8", "small": "4*width^(1/2)", "layers": "width/32",
}  # fmt: skip
"""Axes that are fixed in most graphs, with what they grow like in some; in others they are a scale of their own."""
STREAMS = {"n": 12, "wide": 2, "root": 1}
"""Axes of the stream, and how often: `root` grows as the root of the width."""
INNER = {"n": 6, "wide": 4, "neck": 2, "root": 1}
"""Axes inside a branch; `neck` does not grow."""
FUNCTIONS = {
    "tanh": 4, "gelu": 4, "relu": 4, "silu": 3, "leaky_relu": 1, "elu": 1, "sigmoid": 1, "softplus": 1, "sin": 1,
    "abs": 1, "mish": 1, "cos": 1, "erf": 1, "relu_squared": 1,
}  # fmt: skip
FACTORS = ("6*{}^(-1/2)", "32/{}", "1/6*{}^(1/2)", "8", "1/8")
"""What a value may be multiplied with, in powers of an axis; near 1 at small widths, where else they hide the power."""


class Drawing:
    """A graph while it is drawn: every method adds nodes and returns the name of the last one."""

    def __init__(self, seed: int, loss: str, weights: Mapping[Piece, int]) -> None:
        self.rng, self.weights = random.Random(seed), weights
        axes, scales, sizes = self._axes()
        self.g = Builder(f"random{seed}", axes=axes, scales=scales, sizes=sizes, loss=loss)
        self.names = Counter[str]()
        self.matrices: list[tuple[str, str, str]] = []
        self.time, self.labels, self.mixed = "time", "b t", False
        """The axis of time, the labels of the axes of every value beside its own, and whether times were mixed."""

    def _axes(self) -> tuple[dict[str, str | int], dict[str, int | str | Fraction], dict[str, float]]:
        """Axes, growths and base sizes of scales: in some graphs one axis grows that is fixed in most."""
        axes, chosen = dict(AXES), self.rng.choice(list(GROWN))
        if self.chance(0.2):
            return axes | {chosen: GROWN[chosen]}, {"width": 1}, {"width": 64}
        if self.chance(0.2):
            growth = self.rng.choice(("1/2", "1"))
            return axes | {chosen: "second"}, {"width": 1, "second": growth}, {"width": 64, "second": int(axes[chosen])}
        return axes, {"width": 1}, {"width": 64}

    @property
    def fixed_time(self) -> bool:
        """Whether time does not grow, as windows and scans need it."""
        return isinstance(self.g.axes[self.time], int)

    def dense(self, x: str, to: str, axis: str, init: str = "normal", name: str = "") -> str:
        """A linear map with a matrix: its own, read before, the transpose of such a one, computed, or not trained."""
        straight = [matrix for matrix, o, i in self.matrices if (o, i) == (to, axis)]
        turned = [matrix for matrix, o, i in self.matrices if (o, i) == (axis, to)]
        if init == "normal" and not name and straight + turned and self.chance(0.12):
            tied = self.rng.choice(straight + turned)
            equation = f"{self.labels} i, o i -> {self.labels} o"
            equation = equation if tied in straight else equation.replace("o i ", "i o ")
            return self.g.einsum(self.name(f"{tied}.again"), equation, x, parameters=(tied,))
        name = name or self.name("W")
        if init == "normal" and self.chance(0.1):
            weight = self.pick(self.weights)(self, name, to, axis)
            return self.factor(self.g.einsum(name, f"{self.labels} i, o i -> {self.labels} o", x, weight), axis)
        if init == "normal":
            self.matrices.append((name, to, axis))
        self.g.parameter(name, f"{to} {axis}", init, trained=init == "zeros" or not self.chance(0.06))
        y = self.g.einsum(name, f"{self.labels} i, o i -> {self.labels} o", x, parameters=(name,))
        return self.factor(y, axis)

    def factor(self, x: str, axis: str, often: float = 0.08) -> str:
        """Sometimes a fixed number behind a value, a power of an axis; seldom a free one."""
        if not self.chance(often):
            return x
        if self.chance(0.2):
            return self.g.scale(self.name("free"), x, free=True)
        return self.g.scale(self.name("factor"), x, self.rng.choice(FACTORS).format(axis))

    def gain(self, x: str, axis: str) -> str:
        """A trained gain, ones at first or a small part of that."""
        factor = self.rng.choice((0.1, f"{axis}^(-1/2)")) if self.chance(0.1) else None
        return self.g.gain(self.name("gain"), x, axis, self.labels, factor)

    def constant(self, x: str, axis: str) -> str:
        """One learnt number times a value, a learnt vector that starts anywhere, or one learnt number beside it."""
        name, kind = self.name("learnt"), self.rng.choice(("times", "vector", "plus"))
        if kind == "times":
            self.g.parameter(name, "", "ones")
            return self.g.einsum(name, f"{self.labels} i, -> {self.labels} i", x, parameters=(name,))
        self.g.parameter(name, axis if kind == "vector" else "", self.rng.choice(("normal", "zeros", "ones")))
        return self.g.node(name, "add", x, parameters=(name,))

    def normed(self, x: str, axis: str) -> str:
        """A norm, seldom written out, often with a gain."""
        name = self.name("norm")
        if self.chance(0.1):
            square = self.g.mean(self.g.square(x, name=f"{name}.square"), axis=axis, name=f"{name}.mean")
            root = self.g.rsqrt(square, name=f"{name}.root")
            x = self.g.einsum(name, f"{self.labels} i, {self.labels} -> {self.labels} i", x, root)
        else:
            x = self.g.node(name, self.rng.choice(("rms_norm", "layer_norm")), x, axis=axis)
        return self.gain(x, axis) if self.chance(0.6) else x

    def function(self, x: str) -> str:
        """An elementwise function."""
        op = self.pick(FUNCTIONS)
        return self.g.node(self.name(op), op, x)

    @contextmanager
    def apart(self) -> Generator[None]:
        """Inside nothing is tied to what stands outside."""
        before, self.matrices = self.matrices, []
        yield
        self.matrices = before

    def pick(self, weights: Mapping[T, int]) -> T:
        """One of the keys, by weight."""
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def chance(self, probability: float) -> bool:
        """Whether it happens."""
        return self.rng.random() < probability

    def count(self, word: str) -> int:
        """How often it was asked for."""
        self.names[word] += 1
        return self.names[word]

    def name(self, word: str) -> str:
        """A new name that starts with the word."""
        return f"{word}{self.count(word)}"


Piece = Callable[[Drawing, str, str, str], str]
"""Adds the nodes of a piece, and returns the last one.

Of a branch: of a value, its axis, and the initial value of the last matrix. Of a computed matrix: of a name, and its
axes out and in.
"""

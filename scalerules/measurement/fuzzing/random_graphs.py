"""Draws small valid graphs at random: what `fuzz` derives and measures.

A graph reads tokens or numbers, with positions or a start token or without, passes a stream through one to three steps
(a residual branch, a repeated block, a map to another axis, a bare branch, a norm) and ends in an output for each time,
or in one of their mean or of the start token. The same seed draws the same graph.
"""

from __future__ import annotations

import random

from scalerules.architecture.graph import Graph

from .branches import BRANCHES, OVER_FIXED_TIME
from .drawing import STREAMS, Drawing
from .shrink import tidied
from .weights import WEIGHTS


def draw(seed: int) -> Graph:
    """The graph of a seed."""
    classes = random.Random(~seed).random()
    return _Whole(seed, tokens=classes < 0.4, loss="cross_entropy" if classes < 0.5 else "mse").graph()


class _Whole(Drawing):
    """A graph from its inputs to its outputs."""

    def __init__(self, seed: int, tokens: bool, loss: str) -> None:
        super().__init__(seed, loss, WEIGHTS)
        self.tokens, self.started = tokens, False

    def graph(self) -> Graph:
        """Input, one to three steps, output."""
        axis = "n" if self.tokens else self.pick(STREAMS)
        x = self.placed(self.first(axis), axis)
        for _ in range(self.rng.choice((1, 1, 1, 1, 2, 2, 3))):
            x, axis = self.step(x, axis)
        if self.chance(0.4):
            x = self.normed(x, axis)
        elif self.chance(0.5):
            x = self.function(x)
        return tidied(self.g.build(self.last(x, axis)).to_dict())

    def first(self, axis: str) -> str:
        """Data and the map to the stream."""
        if not self.tokens:
            return self.dense(self.g.input("x", "batch time in"), axis, "in", name="first")
        x = self.g.input("x", "batch time vocab", kind="tokens")
        self.g.parameter("first", "vocab n")
        embedded = self.g.einsum("embedding", "b t v, v n -> b t n", x, parameters=("first",))
        return self.factor(embedded, "n", 0.15)

    def placed(self, x: str, axis: str) -> str:
        """The stream, sometimes behind a start token, or with something added for each time."""
        if self.chance(0.12) and self.fixed_time:
            self.g.parameter("start", f"one {axis}")
            copied = self.g.node(
                "started", "rearrange", parameters=("start",), axes=f"batch one {axis}", equation="s n -> b s n"
            )
            x = self.g.node("with.start", "concat", copied, x, axis="longer")
            self.time, self.started = "longer", True
        if self.chance(0.25):
            if self.chance(0.7):
                self.g.parameter("where", f"{self.time} {axis}", self.rng.choice(("normal", "normal", "zeros")))
                return self.g.node("placed", "add", x, parameters=("where",))
            self.g.parameter("where", f"{axis} in")
            when = self.g.input("when", f"{self.time} in")
            times = self.g.einsum("where", "t i, o i -> t o", when, parameters=("where",))
            return self.g.node("placed", "add", x, times, equation="b t n, t n -> b t n")
        return x

    def last(self, x: str, axis: str) -> str:
        """The output: a matrix of its own, sometimes zero at first, or the embedding again."""
        if self.tokens and axis == "n" and self.chance(0.2):
            out = self.g.einsum("tied", "b t n, v n -> b t v", x, parameters=("first",))
            return self.g.scale("logits", out, "1/n", free=True)
        if self.started and self.mixed and self.chance(0.8):  # a start that saw nothing else would be all there is
            x, self.labels = self.g.node("of.start", "rearrange", x, axes=f"batch {axis}", equation="b t n -> b n"), "b"
        elif self.chance(0.12):
            x, self.labels = self.g.mean(x, axis=self.time, name="of.times"), "b"
        to = "vocab" if self.g.loss == "cross_entropy" else "out"
        if self.chance(0.1):
            return self.dense(x, to, axis, "zeros", name="last")
        return self.dense(x, to, axis, name="last")

    def step(self, x: str, axis: str) -> tuple[str, str]:
        """What comes next, and its axis."""
        kind = self.pick({"residual": 8, "map": 4, "bare": 3, "norm": 1, "constant": 1, "repeated": 1, "joined": 1})
        if kind == "map":
            to = self.pick(STREAMS)
            return self.dense(self.function(x), to, axis), to
        if kind == "norm":
            return self.normed(x, axis), axis
        if kind == "constant":
            return self.constant(x, axis), axis
        if kind == "bare":
            return self.branch(x, axis, False), axis
        if kind == "repeated":
            return self.repeated(x, axis), axis
        if kind == "joined" and axis == "n":
            return self.g.node(self.name("joined"), "concat", x, self.branch(x, axis, False), axis="wide"), "wide"
        return self.residual(x, axis), axis

    def residual(self, x: str, axis: str) -> str:
        """The stream and a branch, which may have a factor, free or fixed, or a gain or a number that starts small."""
        branch = self.branch(x, axis, True)
        kind = self.pick({"bare": 11, "free": 5, "fixed": 1, "gain": 1, "number": 1})
        if kind == "free":
            branch = self.g.scale(self.name("branch"), branch, free=True)
        if kind == "fixed":
            branch = self.factor(branch, axis, 1.0)
        if kind == "gain":
            branch = self.g.gain(self.name("gain"), branch, axis, self.labels, 0.1)
        if kind == "number":
            name = self.name("number")
            self.g.parameter(name, "", "zeros")
            branch = self.g.einsum(name, f"{self.labels} i, -> {self.labels} i", branch, parameters=(name,))
        return self.g.residual(self.name("stream"), x, branch)

    def repeated(self, x: str, axis: str) -> str:
        """A residual branch as a block that is repeated."""
        name = self.name("blocks")
        with self.apart(), self.g.repeat(name, x, "layers") as block:
            block.result = self.residual(block.stream, axis)
        return name

    def branch(self, x: str, axis: str, may_be_zero: bool) -> str:
        """Something that keeps the axis."""
        if self.chance(0.5):
            x = self.normed(x, axis)
        init = "zeros" if may_be_zero and self.chance(0.1) else "normal"
        kinds = {kind: n for kind, n in BRANCHES.items() if self.fixed_time or kind not in OVER_FIXED_TIME}
        return self.pick(kinds)(self, x, axis, init)

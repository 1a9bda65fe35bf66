"""Draws small valid graphs at random: what `fuzz` derives and measures.

A graph reads tokens or numbers, passes a stream through one to four steps (a residual branch, a map to another axis, a
bare branch, a norm) and ends in an output of fixed size. The same seed draws the same graph.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph

from .shrink import tidied

T = TypeVar("T")
AXES: dict[str, str | int] = {
    "batch": 4, "time": 4, "in": 8, "vocab": 16, "out": 4, "taps": 3, "state": 8,
    "n": "width", "wide": "width", "root": "8*width^(1/2)", "neck": 8,
    "heads": 4, "head": "width/4", "many": "width/16", "small": 16,
}  # fmt: skip
STREAMS = {"n": 12, "wide": 2, "root": 1}
"""Axes of the stream, and how often: `root` grows as the root of the width."""
INNER = {"n": 6, "wide": 4, "neck": 2, "root": 1}
"""Axes inside a branch; `neck` does not grow."""
FUNCTIONS = {
    "tanh": 4, "gelu": 4, "relu": 4, "silu": 3, "leaky_relu": 1, "elu": 1, "sigmoid": 1, "softplus": 1, "sin": 1,
    "abs": 1, "mish": 1,
}  # fmt: skip
SEQUENCE = "b t"
"""Labels of the axes that every value has: the batch and time."""
PROJECTION = "b t n, h d n -> b t h d"
"""What makes queries, keys and values."""


def draw(seed: int) -> Graph:
    """The graph of a seed."""
    return _Drawing(seed).graph()


class _Drawing:
    """A graph while it is drawn: every method adds nodes and returns the name of the last one."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.tokens = self.rng.random() < 0.4
        loss = "cross_entropy" if self.tokens else "mse"
        self.g = Builder(f"random{seed}", axes=dict(AXES), sizes={"width": 64}, loss=loss)
        self.names = Counter[str]()
        self.matrices: list[tuple[str, str, str]] = []

    def graph(self) -> Graph:
        """Input, one to four steps, output."""
        axis = "n" if self.tokens else self.pick(STREAMS)
        x = self.first(axis)
        for _ in range(self.rng.choice((1, 1, 2, 2, 3, 4))):
            x, axis = self.step(x, axis)
        if self.chance(0.4):
            x = self.normed(x, axis)
        elif self.chance(0.5):
            x = self.function(x)
        return tidied(self.g.build(self.last(x, axis)).to_dict())

    def first(self, axis: str) -> str:
        """Data and the map to the stream."""
        if not self.tokens:
            return self.g.dense("first", self.g.input("x", "batch time in"), f"{axis} in", SEQUENCE)
        x = self.g.input("x", "batch time vocab", kind="tokens")
        self.g.parameter("first", "vocab n")
        return self.g.einsum("embedding", "b t v, v n -> b t n", x, parameters=("first",))

    def last(self, x: str, axis: str) -> str:
        """The output: a matrix of its own, sometimes zero at first, or the embedding again."""
        if self.tokens and axis == "n" and self.chance(0.2):
            out = self.g.einsum("tied", "b t n, v n -> b t v", x, parameters=("first",))
            return self.g.scale("logits", out, "1/n", free=True)
        zero = "zeros" if self.chance(0.1) else "normal"
        return self.g.dense("last", x, f"{'vocab' if self.tokens else 'out'} {axis}", SEQUENCE, init=zero)

    def step(self, x: str, axis: str) -> tuple[str, str]:
        """What comes next, and its axis."""
        kind = self.pick({"residual": 6, "map": 3, "bare": 2, "norm": 1})
        if kind == "map":
            to = self.pick(STREAMS)
            return self.dense(self.function(x), to, axis), to
        if kind == "norm":
            return self.normed(x, axis), axis
        branch = self.branch(x, axis, kind == "residual")
        if kind == "bare":
            return branch, axis
        if self.chance(0.3):
            branch = self.g.scale(self.name("branch"), branch, free=True)
        return self.g.residual(self.name("stream"), x, branch), axis

    def branch(self, x: str, axis: str, may_be_zero: bool) -> str:
        """Something that keeps the axis."""
        if self.chance(0.5):
            x = self.normed(x, axis)
        init = "zeros" if may_be_zero and self.chance(0.1) else "normal"
        kinds: dict[Callable[[str, str, str], str], int] = {
            self.perceptron: 5, self.gated: 3, self.attention: 4, self.scanned: 2, self.convolved: 1, self.single: 2,
        }  # fmt: skip
        return self.pick(kinds)(x, axis, init)

    def perceptron(self, x: str, axis: str, init: str) -> str:
        """Up, a function, down."""
        inner = self.pick(INNER)
        up = self.dense(x, inner, axis)
        if self.chance(0.3):
            up = self.g.bias(self.name("bias"), up, inner)
        return self.dense(self.function(up), axis, inner, init)

    def single(self, x: str, axis: str, init: str) -> str:
        """One matrix behind a function."""
        return self.dense(self.function(x), axis, axis, init)

    def gated(self, x: str, axis: str, init: str) -> str:
        """A product of two maps, or of the stream with a map of it."""
        inner = axis if self.chance(0.4) else self.pick(INNER)
        value = x if inner == axis and self.chance(0.5) else self.dense(x, inner, axis)
        gate = self.function(self.dense(x, inner, axis))
        product = self.g.einsum(self.name("gated"), "b t i, b t i -> b t i", value, gate)
        return product if inner == axis and self.chance(0.3) else self.dense(product, axis, inner, init)

    def attention(self, x: str, axis: str, init: str) -> str:
        """Attention whose heads grow (behind a free multiplier: without one there is no answer), or get more."""
        grows = self.chance(0.5)
        heads, head = ("heads", "head") if grows else ("many", "small")
        number = self.count("attention")
        prefix = f"attention{number}"
        zero_query = self.chance(0.1)
        for letter in "QKV":
            start = "zeros" if letter == "Q" and zero_query else "normal"
            self.g.parameter(f"{prefix}.{letter}", f"{heads} {head} {axis}", start)
        q, k, v = (
            self.g.einsum(f"{prefix}.{letter.lower()}", PROJECTION, x, parameters=(f"{prefix}.{letter}",))
            for letter in "QKV"
        )
        if self.chance(0.15):
            q, k = (self.g.rms_norm(y, axis=head, name=f"{y}.norm") for y in (q, k))
        dots = self.g.einsum(f"{prefix}.dots", "b s h d, b t h d -> b h s t", q, k)
        scores = self.g.scale(f"{prefix}.scores", dots, f"{head}^(-1/2)", free=grows or self.chance(0.5))
        weights = self.g.softmax(scores, axis="time", causal=self.chance(0.5), name=f"{prefix}.weights")
        out = self.g.einsum(f"{prefix}.heads", "b h s t, b t h d -> b s h d", weights, v)
        self.g.parameter(f"{prefix}.O", f"{axis} {heads} {head}", init)
        return self.g.einsum(f"{prefix}.out", "b t h d, n h d -> b t n", out, parameters=(f"{prefix}.O",))

    def scanned(self, x: str, axis: str, init: str) -> str:
        """A selective scan of what a norm gives; its step, `B` and `C` come from the input or do not."""
        x = self.normed(x, axis)  # cubes of it have heavy tails that hide how they scale
        p = f"scan{self.count('scan')}"
        if self.chance(0.4):
            steps = self.g.dense(f"{p}.W_dt", x, f"{axis} {axis}", SEQUENCE)
            steps = self.g.softplus(self.g.bias(f"{p}.b_dt", steps, axis), name=f"{p}.dt")
        else:
            self.g.parameter(f"{p}.b_dt", axis)
            steps = self.g.softplus(parameters=(f"{p}.b_dt",), name=f"{p}.dt")
        self.g.parameter(f"{p}.A_log", f"{axis} state", "log_range")
        rate = self.g.negative_exp(parameters=(f"{p}.A_log",), name=f"{p}.A")
        b, c = (self.projected(f"{p}.{letter}", x, axis) for letter in "BC")
        y = self.g.node(p, "scan", x, steps, rate, b, c, discretisation=self.rng.choice(("zoh", "euler")))
        return self.dense(y, axis, axis, init) if self.chance(0.7) else y

    def projected(self, name: str, x: str, axis: str) -> str:
        """`B` or `C` of a scan."""
        if self.chance(0.6):
            return self.g.dense(name, x, f"state {axis}", SEQUENCE)
        self.g.parameter(name, f"{axis} state")
        return self.g.identity(parameters=(name,), name=f"{name}.fixed")

    def convolved(self, x: str, axis: str, init: str) -> str:
        """A causal convolution, a filter per channel, and a map."""
        name = self.name("convolution")
        taps = self.g.window(x, axis="taps", name=f"{name}.taps")
        self.g.parameter(name, f"taps {axis}")
        y = self.g.einsum(name, "b t k c, k c -> b t c", taps, parameters=(name,))
        return self.dense(self.function(y), axis, axis, init)

    def dense(self, x: str, to: str, axis: str, init: str = "normal") -> str:
        """A linear map; sometimes with a matrix that was read before, or its transpose."""
        straight = [name for name, o, i in self.matrices if (o, i) == (to, axis)]
        turned = [name for name, o, i in self.matrices if (o, i) == (axis, to)]
        if init == "normal" and straight + turned and self.chance(0.12):
            tied = self.rng.choice(straight + turned)
            equation = "b t i, o i -> b t o" if tied in straight else "b t i, i o -> b t o"
            return self.g.einsum(self.name(f"{tied}.again"), equation, x, parameters=(tied,))
        name = self.name("W")
        if init == "normal":
            self.matrices.append((name, to, axis))
        return self.g.dense(name, x, f"{to} {axis}", SEQUENCE, init=init)

    def normed(self, x: str, axis: str) -> str:
        """A norm, often with a gain."""
        number = self.count("norm")
        x = self.g.node(f"norm{number}", self.rng.choice(("rms_norm", "layer_norm")), x, axis=axis)
        return self.g.gain(f"gain{number}", x, axis, SEQUENCE) if self.chance(0.6) else x

    def function(self, x: str) -> str:
        """An elementwise function."""
        op = self.pick(FUNCTIONS)
        return self.g.node(self.name(op), op, x)

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

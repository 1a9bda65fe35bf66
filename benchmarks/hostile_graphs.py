"""Valid graphs as plain data, drawn at random over every operation and with names of any characters.

What is drawn here is read and derived, so that fuzzing reaches what lies behind the first check; `hostile_text.py` then
breaks some of it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from scalerules.ops.node import Node
from scalerules.ops.registry import OPS, like

from .hostile_text import shown

SCALES = ("1", "1/2", "0", "2", 1, 0.25, "1/3")
GROWING = (
    "width", "2*width", "width/4", "width^(1/2)", "8*width^(1/2)", "width*state", "state", "width + state",
    "width^(2/3)", "16*width", "width^2/8", "16*width/state",
)  # fmt: skip
FIXED = (1, 2, 3, 4, 7, 16, "5")
FACTORS = (0.5, 2, "1/2", -1, "width^(-1/2)", "width^-1", "state^(1/3)", "width/state", 1e-3, "3*width^(-1/2)", 1)
FUNCTIONS = [
    name for name in like(Node(op="", inputs=["x"]))
    if OPS[name].most in (1, None) and list(OPS[name].axes(Node(op=name), [("a", "b")], {}, "")) == ["a", "b"]
]  # fmt: skip
"""Operations that need one operand and nothing else, and keep its axes."""
Data = dict[str, Any]


def graph(rng: random.Random) -> Data:
    """A graph of two to ten steps."""
    return _Drawing(rng).drawn()


class _Drawing:
    """A graph while it is drawn: the axes of every value, and the nodes that the next one is put into."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.count, self.taken = rng, 0, {"stream", "batch", "time", "n"}
        scales = {name: rng.choice(SCALES) for name in ("width", "state")} | {"width": rng.choice(("1", "1/2", "2"))}
        self.axes: Data = {"batch": 4, "time": rng.choice((4, 5, 8)), "in": rng.choice(FIXED), "two": 2}
        self.axes["n"] = rng.choice(("width", "2*width", "width^(1/2)"))
        self.parameters: Data = {}
        self.nodes: Data = {}
        self.of: dict[str, list[str]] = {}
        self.data: Data = {"name": self.fresh("graph"), "scales": scales, "axes": self.axes,
                           "parameters": self.parameters, "nodes": self.nodes}  # fmt: skip
        if rng.random() < 0.6:
            self.data["sizes"] = {"width": rng.choice((16, 64, 100)), "state": rng.choice((4, 16))}
        if rng.random() < 0.3:
            self.data["loss"] = rng.choice(("mse", "cross_entropy"))

    def drawn(self) -> Data:
        """Data, a map to `n`, the steps, a map to an output of fixed size."""
        where = ["batch", "time", "in"] if self.chance(0.5) else ["batch", "in"]
        kind = {"kind": "tokens"} if self.chance(0.2) else {}
        x = self.node("input", where, axes=where if self.chance(0.5) else " ".join(where), **kind)
        x = self.mapped(x, "n")
        for _ in range(self.rng.choice((1, 1, 1, 2, 2, 3, 4, 8))):
            x = self.step(x)
        last = self.mapped(x, "in")
        self.data["outputs"] = [last] if self.chance(0.9) else [last, x]
        if self.chance(0.2):
            names = list(self.nodes)
            self.rng.shuffle(names)
            self.data["nodes"] = {each: self.nodes[each] for each in names}
        return self.data

    def step(self, x: str) -> str:
        """What comes next."""
        kinds = (
            self.function, self.function, self.mapped, self.mapped, self.weighted, self.summed, self.product,
            self.normed, self.factor, self.joined, self.arranged, self.repeated, self.moved, self.chosen, self.modes,
        )  # fmt: skip
        return self.rng.choice(kinds)(x)

    def node(self, op: str, shape: Sequence[str], *inputs: str, **fields: Any) -> str:
        """Adds a node with these axes; its name."""
        name = self.fresh(op)
        self.nodes[name] = {"op": op} | ({"inputs": list(inputs)} if inputs else {}) | fields
        self.of[name] = list(shape)
        return name

    def parameter(self, *axes: str) -> str:
        """Adds a parameter; its name."""
        name = self.fresh("W")
        self.parameters[name] = {"axes": list(axes) if self.chance(0.5) else " ".join(axes)}
        if self.chance(0.3):
            self.parameters[name]["init"] = self.rng.choice(("normal", "zeros", "ones", "range", "log_range"))
        elif self.chance(0.1):
            self.parameters[name]["density"] = self.rng.choice((0.5, "1/4", "state^(-1/2)/4"))
        if self.chance(0.1):
            self.parameters[name]["trained"] = False
        return name

    def axis(self, length: object = None) -> str:
        """Adds an axis, growing or not; its name."""
        name = self.fresh("axis", word=True)
        self.axes[name] = length or self.rng.choice(GROWING if self.chance(0.6) else FIXED)
        return name

    def function(self, x: str) -> str:
        """An operation on every entry."""
        return self.node(self.rng.choice(FUNCTIONS), self.of[x], x)

    def mapped(self, x: str, to: str | None = None) -> str:
        """A matrix."""
        *rest, axis = self.of[x]
        to = to or (self.rng.choice(["n", *self.axes]) if self.chance(0.4) else self.axis())
        turned, labels = self.chance(0.2), [f"a{i}" for i in range(len(rest))]
        weight = self.parameter(*((axis, to) if turned else (to, axis)))
        left = f"{' '.join([*labels, 'i'])}, {'i o' if turned else 'o i'}"
        equation = f"{left} -> {' '.join([*labels, 'o'])}"
        return self.node("einsum", [*rest, to], x, parameters=[weight], equation=equation)

    def weighted(self, x: str) -> str:
        """A gain or a bias along the last axis."""
        weight, labels = self.parameter(self.of[x][-1]), [f"a{i}" for i in range(len(self.of[x]))]
        equation = f"{' '.join(labels)}, {labels[-1]} -> {' '.join(labels)}"
        return self.node(self.rng.choice(("einsum", "add")), self.of[x], x, parameters=[weight], equation=equation)

    def summed(self, x: str) -> str:
        """A sum with something that has the same axes."""
        return self.node(self.rng.choice(("residual", "add")), self.of[x], *self.pair(x))

    def product(self, x: str) -> str:
        """A product with something that has the same axes."""
        labels = " ".join(f"a{i}" for i in range(len(self.of[x])))
        return self.node("einsum", self.of[x], *self.pair(x), equation=f"{labels}, {labels} -> {labels}")

    def pair(self, x: str) -> tuple[str, str]:
        """Something with the same axes, and this."""
        return self.rng.choice([name for name, axes in self.of.items() if axes == self.of[x]]), x

    def normed(self, x: str) -> str:
        """A norm, a softmax, a mean."""
        op = self.rng.choice(("rms_norm", "layer_norm", "softmax", "mean"))
        axes = self.of[x]
        if op == "mean" and len(axes) > 2:
            return self.node(op, [axes[0], axes[-1]], x, axis=axes[1])
        return self.node("rms_norm" if op == "mean" else op, axes, x, axis=axes[-1])

    def factor(self, x: str) -> str:
        """A constant factor, given, free or both."""
        fields: Data = {"factor": self.rng.choice(FACTORS)} if self.chance(0.7) else {"free": True}
        return self.node("scale", self.of[x], x, **(fields | ({"free": True} if self.chance(0.2) else {})))

    def joined(self, x: str) -> str:
        """Side by side with something, along the last axis; a part of it."""
        *rest, axis = self.of[x]
        if not axis.isidentifier():
            return self.function(x)
        both = self.axis(f"{axis} + {axis}")
        x = self.node("concat", [*rest, both], *self.pair(x), axis=both)
        return self.node("slice", [*rest, axis], x, axis=axis, **({"offset": axis} if self.chance(0.5) else {}))

    def arranged(self, x: str) -> str:
        """The axes in another order and back, or a copy along a new one, summed again."""
        axes = self.of[x]
        labels = [f"a{i}" for i in range(len(axes))]
        there, back = " ".join(labels), " ".join(reversed(labels))
        y = self.node("rearrange", axes[::-1], x, equation=f"{there} -> {back}", axes=axes[::-1])
        return self.node("rearrange", axes, y, equation=f"{back} -> {there}", axes=axes)

    def repeated(self, x: str) -> str:
        """A block along a depth that grows or does not."""
        axes, outside = self.of[x], (self.nodes, self.of)
        depth = self.axis(self.rng.choice((2, 3, "state", "width^(1/4)")))
        self.nodes, self.of = {}, {"stream": axes}
        y = "stream"
        for _ in range(self.rng.choice((1, 2))):
            y = self.rng.choice((self.function, self.weighted, self.normed, self.factor))(y)
            y = y if self.of[y] == axes else "stream"
        y = self.mapped(y, axes[-1])
        result = self.node("residual", axes, "stream", y)
        body, (self.nodes, self.of) = self.nodes, outside
        return self.node("repeat", axes, x, axis=depth, body=body, result=result)

    def moved(self, x: str) -> str:
        """Along time: one step back, or a window that a filter reads."""
        axes = self.of[x]
        if len(axes) != 3 or axes[1] != "time":
            return self.function(x)
        if self.chance(0.5):
            return self.node("shift", axes, x, axis="time")
        taps = self.axis(self.rng.choice((2, 3)))
        y = self.node("window", ["batch", "time", taps, axes[2]], x, axis=taps)
        equation = "b t k c, k c -> b t c"
        return self.node("einsum", axes, y, parameters=[self.parameter(taps, axes[2])], equation=equation)

    def chosen(self, x: str) -> str:
        """The largest entries of a few scores, as a value."""
        *rest, axis = self.of[x]
        active = self.axis(2)
        chosen = self.node("top_k", [*rest, active, axis], x, axes=[active, axis])
        labels = [f"a{i}" for i in range(len(rest))]
        equation = f"{' '.join([*labels, 'e'])}, {' '.join([*labels, 'k', 'e'])} -> {' '.join([*labels, 'e'])}"
        return self.node("einsum", self.of[x], x, chosen, equation=equation)

    def modes(self, x: str) -> str:
        """To the lowest Fourier modes along time and back."""
        axes = self.of[x]
        if len(axes) != 3 or axes[1] != "time":
            return self.function(x)
        modes = self.axis(2)
        y = self.node("rfft", ["batch", modes, axes[2], "two"], x, axis="time", axes=[modes, "two"])
        return self.node("irfft", axes, y, axis=modes, axes="time")

    def chance(self, probability: float) -> bool:
        """Whether it happens."""
        return self.rng.random() < probability

    def fresh(self, prefix: str, word: bool = False) -> str:
        """A new name, in one of six of any characters."""
        self.count += 1
        name = shown(self.rng, word) if self.chance(1 / 6) else f"{prefix}{self.count}"
        name = name if name not in self.taken else f"{name}{self.count}"
        self.taken.add(name)
        return name

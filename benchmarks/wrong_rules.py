"""Rules that were derived before the laws of judging, growing axes and initial values were mended, given to `verify`.

    python -m benchmarks.wrong_rules [WORD ...] [--factors 1,2,4,8] [--json FILE]

None of them clashed, and training agreed with what was predicted of most, for predictions were wrong in the same way.
So nothing is predicted here: what refutes them is what is wanted of any rule. What is derived today stands beside.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import scalerules as sr

Exponents = Mapping[str, Mapping[str, str | int]]
"""Wrong exponents by parameter; under `multipliers` those of free factors."""


@dataclass(frozen=True)
class Wrong:
    """A graph, how it is trained, and the exponents that were wrong."""

    graph: Callable[[], sr.Graph]
    optimizer: str
    exponents: Exponents
    scale: str = "width"

    def rule(self, solution: sr.Solution) -> sr.Solution:
        """The right rule with the wrong exponents in it, and without predictions."""
        for name, sizes in self.exponents.items():
            if name == "multipliers":
                factors = {node: {self.scale: size} for node, size in sizes.items()}
                solution = solution.changed(multipliers=factors)
            else:
                solution = solution.changed(name, **{size: {self.scale: e} for size, e in sizes.items()})
        return replace(solution, sizes=())


MLP = {"batch": 16, "in": 8, "n": "width", "out": 4}


def perceptron(behind: str | None = None, factor: str = "1/n") -> sr.Graph:
    """Three layers with a fixed factor behind one of them."""
    g = sr.Builder("perceptron", axes=MLP)

    def layer(name: str, x: str, axes: str) -> str:
        y = g.dense(name, x, axes)
        return g.scale(f"{name}.scaled", y, factor) if name == behind else y

    h = g.gelu(layer("W1", g.input("x", "batch in"), "n in"))
    h = g.gelu(layer("W2", h, "n n"), name="a2")
    return g.build(layer("W3", h, "out n"))


def mean_field() -> sr.Graph:
    """One hidden layer, the outputs a mean over it."""
    g = sr.Builder("mean-field", axes=MLP)
    h = g.relu(g.dense("W1", g.input("x", "batch in"), "n in"))
    return g.build(g.scale("mean", g.dense("a", h, "out n"), "1/n"))


def router() -> sr.Graph:
    """Four experts, weighted by a softmax of a router behind a free factor."""
    g = sr.Builder("router", axes={**MLP, "experts": 4})
    h = g.rms_norm(g.dense("W1", g.input("x", "batch in"), "n in"), axis="n", name="norm")
    scores = g.scale("scores", g.dense("W_router", h, "experts n"), free=True)
    weights = g.softmax(scores, axis="experts", name="weights")
    g.parameter("W_up", "experts n n")
    up = g.gelu(g.einsum("up", "b n, e f n -> b e f", h, parameters=("W_up",)), name="hidden")
    mixed = g.einsum("mixed", "b e f, b e -> b f", up, weights)
    return g.build(g.dense("W_out", mixed, "out n"))


def pooling() -> sr.Graph:
    """Tokens are averaged with weights that a vector scores, behind a free factor."""
    g = sr.Builder("pooling", axes={**MLP, "batch": 4, "time": 6})
    h = g.gelu(g.dense("W1", g.input("x", "batch time in"), "n in", "b t"))
    g.parameter("score", "n")
    dots = g.einsum("dots", "b t n, n -> b t", h, parameters=("score",))
    weights = g.softmax(g.scale("scores", dots, free=True), axis="time", name="weights")
    pooled = g.einsum("pooled", "b t n, b t -> b n", h, weights)
    return g.build(g.dense("W3", g.gelu(g.dense("W2", pooled, "n n")), "out n"))


def experts() -> sr.Graph:
    """As many experts as the width, each of a fixed inner width, averaged."""
    axes = {"batch": 8, "in": 8, "n": "width", "experts": "width", "f": 4, "out": 4}
    g = sr.Builder("experts", axes=axes)
    h = g.dense("W_in", g.input("x", "batch in"), "n in")
    normed = g.rms_norm(h, axis="n", name="norm")
    g.parameter("U", "experts f n")
    g.parameter("D", "experts n f")
    up = g.silu(g.einsum("up", "b n, e f n -> b e f", normed, parameters=("U",)), name="hidden")
    down = g.scale("mean", g.einsum("down", "b e f, e n f -> b n", up, parameters=("D",)), "1/experts")
    mixed = g.residual("sum", h, down)
    return g.build(g.dense("W_out", g.gelu(mixed, name="act"), "out n"))


def masked() -> sr.Graph:
    """BERT: a table that is read out again, positions beside it, a norm behind."""
    axes = {"batch": 4, "time": 6, "vocab": 16, "n": "width"}
    g = sr.Builder("masked", axes=axes, loss="cross_entropy")
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    g.parameter("positions", "time n")
    x = g.einsum("words", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    placed = g.node("placed", "add", x, parameters=("positions",), equation="b t n, t n -> b t n")
    h = g.relu(g.dense("mix", g.rms_norm(placed, axis="n", name="norm"), "n n", "b t"), name="act")
    dots = g.einsum("read", "b t n, v n -> b t v", h, parameters=("W_E",))
    return g.build(g.scale("logits", dots, free=True))


def start() -> sr.Graph:
    """A learnt vector of fixed size goes through the layer that reads the data, too."""
    g = sr.Builder("start", axes={"batch": 16, "in": 2, "n": "width", "out": 3})
    x = g.input("x", "batch in")
    g.parameter("start", "in")
    g.parameter("read", "n in")
    first = g.einsum("first", "i, n i -> n", parameters=("start", "read"))
    h = g.dense("mix", g.tanh(first, name="act"), "n n", "")
    seen = g.einsum("seen", "b i, n i -> b n", x, parameters=("read",))
    both = g.node("both", "add", seen, g.tanh(h, name="act2"), equation="b n, n -> b n")
    return g.build(g.dense("out", both, "out n"))


def vocabulary() -> sr.Graph:
    """The number of words grows, the width does not."""
    g = sr.Builder("vocabulary", axes={"batch": 8, "vocab": "width", "n": 64, "out": 4})
    tokens = g.input("tokens", "batch vocab", kind="tokens")
    g.parameter("E", "vocab n")
    h = g.einsum("embedding", "b v, v n -> b n", tokens, parameters=("E",))
    return g.build(g.dense("W3", g.gelu(g.dense("W2", h, "n n")), "out n"))


def channels() -> sr.Graph:
    """Attention over channels: the weights are as many as the channels of a head."""
    axes = {"batch": 2, "time": 8, "in": 8, "n": "width", "heads": 2, "head": "width/2", "key": "width/2", "out": 4}
    g = sr.Builder("channels", axes=axes)
    h = g.dense("W_in", g.input("x", "batch time in"), "n in", "b t")
    normed = g.rms_norm(h, axis="n", name="norm")
    for name, axis in (("Q", "head"), ("K", "key"), ("V", "key")):
        g.parameter(f"W_{name}", f"heads {axis} n")
    q, k, v = (g.einsum(name.lower(), "b t n, h d n -> b t h d", normed, parameters=(f"W_{name}",)) for name in "QKV")
    q, k = (g.rms_norm(value, axis="time", name=f"{value}.norm") for value in (q, k))
    w = g.softmax(g.einsum("dots", "b t h d, b t h e -> b h d e", q, k), axis="key", name="weights")
    o = g.einsum("mixed", "b h d e, b t h e -> b t h d", w, v)
    g.parameter("W_O", "n heads head")
    o = g.einsum("attention", "b t h d, n h d -> b t n", o, parameters=("W_O",))
    h = g.gelu(g.residual("sum", h, o), name="act")
    return g.build(g.dense("W_out", g.mean(h, axis="time", name="pool"), "out n"))


def tokens() -> sr.Graph:
    """Self-attention in which the number of tokens grows, and nothing else."""
    axes = {"batch": 4, "time": "width", "in": 8, "n": 32, "heads": 2, "head": 16, "out": 4}
    g = sr.Builder("tokens", axes=axes)
    h = g.dense("W_in", g.input("x", "batch time in"), "n in", "b t")
    normed = g.rms_norm(h, axis="n", name="norm")
    for letter in "QKV":
        g.parameter(f"W_{letter}", "heads head n")
    q, k, v = (g.einsum(c.lower(), "b t n, h d n -> b t h d", normed, parameters=(f"W_{c}",)) for c in "QKV")
    dots = g.einsum("dots", "b s h d, b t h d -> b h s t", q, k)
    w = g.softmax(g.scale("scores", dots, 0.25), axis="time", name="w")
    g.parameter("W_O", "n heads head")
    o = g.einsum("read", "b h s t, b t h d -> b s h d", w, v)
    o = g.einsum("attention", "b t h d, n h d -> b t n", o, parameters=("W_O",))
    h = g.gelu(g.residual("sum", h, o), name="act")
    return g.build(g.dense("W_out", g.mean(h, axis="time", name="pool"), "out n"))


CASES = {
    "readout over the width": Wrong(lambda: perceptron("W3", "1/n"), "adamw", {"W3": {"init": -1, "lr": -1}}),
    "layer behind n^-1/2": Wrong(
        lambda: perceptron("W2", "n^(-1/2)"), "adamw",
        {"W2": {"init": "-1/2", "lr": -1}, "W3": {"init": "-1/2", "lr": "-1/2"}},
    ),
    "mean field": Wrong(mean_field, "sgd", {"W1": {"lr": 2}, "a": {"init": -1, "lr": 0}}),
    "adapters over the rank": Wrong(
        lambda: sr.graph("lora", alpha="1/rank"), "adamw", {"B_1": {"lr": -1}, "B_2": {"lr": -1}}, "rank"
    ),
    "router behind a free factor": Wrong(router, "adamw", {"multipliers": {"scores": -1}}),
    "pooling behind a free factor": Wrong(
        pooling, "adamw", {"score": {"init": "-1/2", "lr": -1}, "multipliers": {"scores": -1}}
    ),
    "a mean over many experts": Wrong(experts, "adamw", {"D": {"init": "-1/2", "lr": -1}}),
    "word table beside positions": Wrong(
        masked, "adamw", {"W_E": {"init": -1, "lr": -1}, "multipliers": {"logits": 0}}
    ),
    "start vector": Wrong(start, "adamw", {"start": {"init": 1, "lr": 1}, "read": {"init": -1, "lr": -1}}),
    "growing vocabulary": Wrong(vocabulary, "adamw", {"E": {"init": "-1/2", "lr": -1}}),
    "attention over channels": Wrong(channels, "adamw", {"W_O": {"lr": 0}}),
    "growing number of tokens": Wrong(tokens, "adamw", {"W_O": {"init": 1, "lr": 1}}),
}  # fmt: skip


def main() -> int:
    """Prints a line for every rule; exit status 1 if a wrong one is not refuted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--factors", default="1,2,4,8", help="of the base size")
    parser.add_argument("--json", help="appends one line per rule")
    options = parser.parse_args()
    missed = 0
    for name, case in CASES.items():
        if options.words and not any(word in name for word in options.words):
            continue
        graph = case.graph()
        today = sr.derive(graph, optimizer=case.optimizer, scales={case.scale: 1})
        base = graph.base_sizes()[case.scale] if case.scale in graph.sizes else 64
        sizes = [base * float(factor) for factor in options.factors.split(",")]
        for kind, rule in (("wrong", case.rule(today)), ("today", replace(today, sizes=()))):
            began = time.process_time()
            report = sr.verify(graph, rule, sizes=sizes, progress=False)
            worst = report.failed[0] if report.failed else None
            where = f"{worst.row.quantity} {worst.row.node}: {worst.row.estimate:.2f}" if worst else ""
            row: dict[str, Any] = {
                "case": name, "kind": kind, "optimizer": case.optimizer, "conclusion": report.conclusion,
                "refuted": report.refuted, "furthest": where, "seconds": round(time.process_time() - began, 1),
            }  # fmt: skip
            missed += kind == "wrong" and not report.refuted
            refuted = ", ".join(report.refuted) or "-"
            print(f"{name:30} {kind:6} {case.optimizer:6} {refuted:26} {where:40} {row['seconds']} s", flush=True)
            if options.json:
                with open(options.json, "a") as file:
                    file.write(json.dumps(row) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

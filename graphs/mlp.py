"""A multilayer perceptron: `input`, hidden `h1`, `h2`, `output`."""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph


def build(activation: str = "relu", hidden: int = 2) -> Graph:
    """`hidden` square hidden layers of width `n` between a fixed input and a fixed output."""
    g = Builder("mlp", axes={"batch": 16, "in": 16, "n": "width", "out": 8})
    x = g.input("x", "batch in")
    h = g.dense("input", x, "n in")
    for layer in range(1, hidden + 1):
        h = g.dense(f"h{layer}", g.node(f"a{layer}", activation, h), "n n")
    return g.build(g.dense("output", g.node(f"a{hidden + 1}", activation, h), "out n"))

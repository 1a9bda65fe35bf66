"""A Fourier neural operator: linear maps of the lowest Fourier modes, beside a pointwise one.

Source: Li et al. 2021, "Fourier neural operator for parametric partial differential equations", arXiv 2010.08895
(section 4 and figure 2): `x <- gelu(W x + F^-1 (R F x))`, with complex R for every mode kept; lifting and projection
pointwise. R is written as its four real blocks, which a complex product ties in pairs: no size depends on that.
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph


def build(layers: int = 2) -> Graph:
    """`layers` Fourier layers of `width` channels on functions of one variable; `modes` modes of `points` points."""
    g = Builder(
        "fourier",
        axes={"batch": 16, "points": 16, "modes": 4, "parts": 2, "in": 2, "n": "width", "out": 1},
    )
    x = g.dense("W_in", g.input("function", "batch points in"), "n in", "b x")
    for layer in range(1, layers + 1):
        modes = g.rfft(x, axis="points", axes="modes parts", name=f"modes_{layer}")
        g.parameter(f"R_{layer}", "modes n parts n parts")
        mixed = g.einsum(f"R_{layer}", "b k i p, k o q i p -> b k o q", modes, parameters=(f"R_{layer}",))
        back = g.irfft(mixed, axis="modes", axes="points", name=f"back_{layer}")
        x = g.gelu(g.node(f"sum_{layer}", "add", back, g.dense(f"W_{layer}", x, "n n", "b x")), name=f"a_{layer}")
    return g.build(g.dense("W_head", x, "out n", "b x"))

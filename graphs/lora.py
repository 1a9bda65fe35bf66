"""Low-rank adapters on frozen matrices: `W x + B A x` with W frozen, A random and B zero at first.

Source: Hu et al. 2021, "LoRA: low-rank adaptation of large language models", arXiv 2106.09685 (section 4.1); for the
rates in the width Hayou, Ghosh and Yu 2024, "LoRA+", arXiv 2402.12354; for the factor in the rank Kalajdzievski 2023,
"A rank stabilization scaling factor", arXiv 2312.03732.
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph


def build(hidden: int = 2, alpha: str = "none", zero: str = "B") -> Graph:
    """A perceptron with `hidden` adapted matrices; only the adapters are trained. Scales: `width`, `rank`.

    `alpha` is the factor of the adapters: `none`, `1/rank` (as published), `rank^(-1/2)` or `free` (solved for); `zero`
    names the factor that starts at zero, `B` or `A`.
    """
    g = Builder(
        "lora",
        scales={"width": 1, "rank": 0},
        sizes={"width": 64, "rank": 4},
        axes={"batch": 16, "in": 16, "n": "width", "rank": "rank", "out": 8},
    )
    h = g.tanh(frozen(g, "W_in", g.input("x", "batch in"), "n in"), name="a_in")
    for layer in range(1, hidden + 1):
        base = frozen(g, f"W_{layer}", h, "n n")
        low = g.dense(f"A_{layer}", h, "rank n", init="zeros" if zero == "A" else "normal")
        adapted = g.dense(f"B_{layer}", low, "n rank", init="zeros" if zero == "B" else "normal")
        if alpha != "none":
            factor = None if alpha == "free" else alpha
            adapted = g.scale(f"adapter_{layer}", adapted, factor, free=alpha == "free")
        h = g.tanh(g.node(f"sum_{layer}", "add", base, adapted), name=f"a_{layer}")
    return g.build(frozen(g, "W_out", h, "out n"))


def frozen(g: Builder, name: str, x: str, axes: str) -> str:
    """A linear map with a matrix that is not trained."""
    g.parameter(name, axes, trained=False)
    return g.einsum(name, "b i, o i -> b o", x, parameters=(name,))

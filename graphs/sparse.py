"""A transformer whose hidden matrices are sparse: static random masks keep a part `density` of their entries.

Source: Dey et al. 2024, "Sparse maximal update parameterization: a holistic approach to sparse training dynamics",
arXiv 2405.15743 (section 3 and table 1): embedding, gains, biases and logits are dense.
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph

from . import transformer


def build(tied: bool = False, zero_query: bool = False, zero_output: bool = False) -> Graph:
    """The transformer of `transformer.py` with masked hidden matrices; scales `width`, `density` and `depth`."""
    g = Builder(
        "sparse",
        scales={"width": 1, "density": 0, "depth": 0},
        sizes={"width": 64, "density": 0.25, "depth": 2},
        axes=transformer.AXES,
        loss="cross_entropy",
    )
    return transformer.assembled(g, tied=tied, zero_query=zero_query, zero_output=zero_output, density="density")

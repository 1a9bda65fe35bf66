"""A hybrid: every block has a Mamba mixer, causal attention and a mixture of experts, one after the other.

Source: Lieber et al. 2024, "Jamba: a hybrid transformer-Mamba language model", arXiv 2403.19887 (section 2), with one
layer of each kind in a block instead of seven Mamba layers to one of attention: no size depends on that ratio.
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph

from .mamba import mixer
from .moe import experts
from .transformer import attention


def build(discretisation: str = "zoh") -> Graph:
    """`layers = depth` blocks; scales `width`, `state`, `experts`, `active`, `depth`; heads grow with the width."""
    g = Builder(
        "hybrid",
        scales={"width": 1, "state": 0, "experts": 0, "active": 0, "depth": 0},
        sizes={"width": 64, "state": 16, "experts": 4, "active": 2, "depth": 1},
        axes={
            "batch": 8, "time": 8, "vocab": 32, "taps": 4,
            "n": "width", "inner": "2*width", "state": "state", "rank": "width/16",
            "heads": 4, "head": "width/4", "experts": "experts", "active": "active", "ffn": "2*width",
            "layers": "depth",
        },
        loss="cross_entropy",
    )  # fmt: skip
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    with g.repeat("blocks", x, "layers") as block:
        h = g.gain("gain", g.rms_norm(block.stream, axis="n", name="norm"), "n", "b t")
        x = g.residual("mamba.stream", block.stream, mixer(g, h, discretisation))
        x = g.residual("attention.stream", x, attention(g, x))
        h = g.gain("experts.gain", g.rms_norm(x, axis="n", name="experts.norm"), "n", "b t")
        block.result = g.residual("experts.stream", x, g.scale("experts.branch", experts(g, h), free=True))
    x = g.gain("final_gain", g.rms_norm("blocks", axis="n", name="final_norm"), "n", "b t")
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b t n, v n -> b t v", x, parameters=("W_U",)))

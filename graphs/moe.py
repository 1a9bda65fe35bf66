"""Residual blocks whose perceptron is a mixture of a fixed number of experts, every expert weighted by a router.

Source: Jordan and Jacobs 1994, "Hierarchical mixtures of experts and the EM algorithm"; the layer as in Shazeer et al.
2017, arXiv 1701.06538 (softmax gating, section 2.1), without its choice of the top k: routing is dense.
"""

from scalerules.build import Builder
from scalerules.graph import Graph


def build() -> Graph:
    """`experts` perceptrons of growing width per block, `layers = depth` blocks between an embedding and logits."""
    g = Builder(
        "moe",
        scales={"width": 1, "depth": 0},
        sizes={"width": 64, "depth": 2},
        axes={
            "batch": 8, "time": 8, "vocab": 32, "experts": 4,
            "n": "width", "ffn": "2*width", "layers": "depth",
        },
        loss="cross_entropy",
    )
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    with g.repeat("blocks", x, "layers") as block:
        h = g.gain("gain", g.rms_norm(block.stream, axis="n", name="norm"), "n", "b t")
        weights = g.softmax(g.dense("W_router", h, "experts n", "b t"), axis="experts", name="weights")
        g.parameter("W_up", "experts ffn n")
        g.parameter("W_down", "experts n ffn")
        hidden = g.silu(g.einsum("W_up", "b t n, e f n -> b t e f", h, parameters=("W_up",)), name="hidden")
        answers = g.einsum("W_down", "b t e f, e n f -> b t e n", hidden, parameters=("W_down",))
        mixed = g.einsum("mixed", "b t e n, b t e -> b t n", answers, weights)
        block.result = g.residual("stream_out", block.stream, g.scale("branch", mixed, free=True))
    x = g.gain("final_gain", g.rms_norm("blocks", axis="n", name="final_norm"), "n", "b t")
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b t n, v n -> b t v", x, parameters=("W_U",)))

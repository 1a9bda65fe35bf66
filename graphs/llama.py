"""A Llama-like transformer: RMS norm, grouped queries, gated perceptron; heads get more, not larger.

Source: Touvron et al. 2023, arXiv 2302.13971 (section 2.2), and arXiv 2307.09288 for grouped queries. Rotary embeddings
are left out: they turn pairs of entries of a query or key by fixed angles and so change no size.
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph


def build() -> Graph:
    """`groups` queries share each key and value head: `groups * kv` heads of fixed size; `layers = depth` blocks."""
    g = Builder(
        "llama",
        scales={"width": 1, "depth": 0},
        sizes={"width": 64, "depth": 2},
        axes={
            "batch": 8,
            "time": 8,
            "vocab": 32,
            "n": "width",
            "head": 8,
            "groups": 2,
            "kv": "width/16",
            "ffn": "8*width/3",
            "layers": "depth",
        },
        loss="cross_entropy",
    )
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    with g.repeat("blocks", x, "layers") as block:
        h = g.gain("attention.gain", g.rms_norm(block.stream, axis="n", name="attention.norm"), "n", "b t")
        g.parameter("attention.W_Q", "kv groups head n")
        g.parameter("attention.W_K", "kv head n")
        g.parameter("attention.W_V", "kv head n")
        q = g.einsum("attention.q", "b t n, h g d n -> b t h g d", h, parameters=("attention.W_Q",))
        k = g.einsum("attention.k", "b t n, h d n -> b t h d", h, parameters=("attention.W_K",))
        v = g.einsum("attention.v", "b t n, h d n -> b t h d", h, parameters=("attention.W_V",))
        dots = g.einsum("attention.dots", "b s h g d, b t h d -> b h g s t", q, k)
        scores = g.scale("attention.scores", dots, "head^(-1/2)")
        weights = g.softmax(scores, axis="time", causal=True, name="attention.weights")
        heads = g.einsum("attention.heads", "b h g s t, b t h d -> b s h g d", weights, v)
        g.parameter("attention.W_O", "n kv groups head")
        branch = g.einsum("attention.out", "b t h g d, n h g d -> b t n", heads, parameters=("attention.W_O",))
        x = g.residual("attention.stream", block.stream, g.scale("attention.branch", branch, free=True))
        h = g.gain("mlp.gain", g.rms_norm(x, axis="n", name="mlp.norm"), "n", "b t")
        gate = g.silu(g.dense("mlp.W_gate", h, "ffn n", "b t"), name="mlp.gate")
        hidden = g.einsum("mlp.hidden", "b t f, b t f -> b t f", gate, g.dense("mlp.W_up", h, "ffn n", "b t"))
        branch = g.dense("mlp.W_down", hidden, "n ffn", "b t")
        block.result = g.residual("mlp.stream", x, g.scale("mlp.branch", branch, free=True))
    x = g.gain("final.gain", g.rms_norm("blocks", axis="n", name="final.norm"), "n", "b t")
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b t n, v n -> b t v", x, parameters=("W_U",)))

"""A GPT-like transformer whose head size grows with the width; the number of heads is fixed."""

from scalerules.build import Builder
from scalerules.graph import Graph


def build() -> Graph:
    """Pre-norm blocks of attention and a GELU perceptron, with gains and biases, `layers = depth` of them."""
    g = Builder(
        "transformer",
        scales={"width": 1, "depth": 0},
        sizes={"width": 64, "depth": 2},
        axes={
            "batch": 8, "time": 8, "vocab": 32,
            "n": "width", "heads": 4, "head": "width/4", "ffn": "4*width", "layers": "depth",
        },
        loss="cross_entropy",
    )
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    with g.repeat("blocks", x, "layers") as block:
        h = g.gain("attention.gain", g.layer_norm(block.stream, axis="n", name="attention.norm"), "n", "b t")
        for letter in "QKV":
            g.parameter(f"attention.W_{letter}", "heads head n")
        q, k, v = (
            g.einsum(f"attention.{letter.lower()}", "b t n, h d n -> b t h d", h, parameters=(f"attention.W_{letter}",))
            for letter in "QKV"
        )
        dots = g.einsum("attention.dots", "b s h d, b t h d -> b h s t", q, k)
        scores = g.scale("attention.scores", dots, "head^(-1/2)", free=True)
        weights = g.softmax(scores, axis="time", causal=True, name="attention.weights")
        heads = g.einsum("attention.heads", "b h s t, b t h d -> b s h d", weights, v)
        g.parameter("attention.W_O", "n heads head")
        branch = g.einsum("attention.out", "b t h d, n h d -> b t n", heads, parameters=("attention.W_O",))
        x = g.residual("attention.stream", block.stream, g.scale("attention.branch", branch, free=True))
        h = g.gain("mlp.gain", g.layer_norm(x, axis="n", name="mlp.norm"), "n", "b t")
        h = g.bias("mlp.b_up", g.dense("mlp.W_up", h, "ffn n", "b t"), "ffn")
        branch = g.dense("mlp.W_down", g.gelu(h, name="mlp.hidden"), "n ffn", "b t")
        block.result = g.residual("mlp.stream", x, g.scale("mlp.branch", branch, free=True))
    x = g.gain("final.gain", g.layer_norm("blocks", axis="n", name="final.norm"), "n", "b t")
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b t n, v n -> b t v", x, parameters=("W_U",)))

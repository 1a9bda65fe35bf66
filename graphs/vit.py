"""A vision transformer: patches and learned positions, pre-norm blocks, the mean over patches, a classifier.

Source: Dosovitskiy et al. 2020, arXiv 2010.11929; the mean over patches in place of a class token is Beyer et al. 2022,
arXiv 2205.01580. As from ViT-S to ViT-L, the heads have a fixed size and get more.
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph


def build() -> Graph:
    """Images come in as `patches` vectors of `pixels` numbers; attention sees all patches; `layers = depth` blocks."""
    g = Builder(
        "vit",
        scales={"width": 1, "depth": 0},
        sizes={"width": 64, "depth": 2},
        axes={
            "batch": 8,
            "patches": 9,
            "pixels": 48,
            "classes": 10,
            "n": "width",
            "head": 8,
            "heads": "width/8",
            "ffn": "4*width",
            "layers": "depth",
        },
        loss="cross_entropy",
    )
    image = g.input("image", "batch patches pixels")
    x = g.bias("b_patch", g.dense("W_patch", image, "n pixels", "b p"), "n")
    g.parameter("W_position", "patches n")
    x = g.node("embedding", "add", x, parameters=("W_position",))
    with g.repeat("blocks", x, "layers") as block:
        h = g.layer_norm(block.stream, axis="n", name="attention.norm")
        h = g.bias("attention.shift", g.gain("attention.gain", h, "n", "b p"), "n")
        for letter in "QKV":
            g.parameter(f"attention.W_{letter}", "heads head n")
        q, k, v = (
            g.einsum(f"attention.{letter.lower()}", "b p n, h d n -> b p h d", h, parameters=(f"attention.W_{letter}",))
            for letter in "QKV"
        )
        dots = g.einsum("attention.dots", "b s h d, b p h d -> b h s p", q, k)
        weights = g.softmax(g.scale("attention.scores", dots, "head^(-1/2)"), axis="patches", name="attention.weights")
        heads = g.einsum("attention.heads", "b h s p, b p h d -> b s h d", weights, v)
        g.parameter("attention.W_O", "n heads head")
        branch = g.einsum("attention.out", "b p h d, n h d -> b p n", heads, parameters=("attention.W_O",))
        x = g.residual("attention.stream", block.stream, g.scale("attention.branch", branch, free=True))
        h = g.layer_norm(x, axis="n", name="mlp.norm")
        h = g.bias("mlp.shift", g.gain("mlp.gain", h, "n", "b p"), "n")
        h = g.gelu(g.bias("mlp.b_up", g.dense("mlp.W_up", h, "ffn n", "b p"), "ffn"), name="mlp.hidden")
        branch = g.bias("mlp.b_down", g.dense("mlp.W_down", h, "n ffn", "b p"), "n")
        block.result = g.residual("mlp.stream", x, g.scale("mlp.branch", branch, free=True))
    x = g.gain("final.gain", g.layer_norm("blocks", axis="n", name="final.norm"), "n", "b p")
    return g.build(g.dense("W_head", g.mean(x, axis="patches", name="pooled"), "classes n"))

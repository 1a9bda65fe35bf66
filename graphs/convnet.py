"""A residual convolutional network on images: the channels grow, images and 3 x 3 windows do not.

Source: He et al. 2016, arXiv 1603.05027 (norm and activation before each convolution), at one resolution. The norm is
over the channels of each pixel (as in ConvNeXt, arXiv 2201.03545), for batch norm would mix the samples of a batch. A
window reaches up and left of its pixel, not around it: the graph knows causal windows, and no size depends on that.
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph


def build() -> Graph:
    """A convolution of the colours, `layers = depth` blocks of two convolutions, the mean over pixels, a classifier."""
    g = Builder(
        "convnet",
        scales={"width": 1, "depth": 0},
        sizes={"width": 64, "depth": 2},
        axes={
            "batch": 8,
            "rows": 4,
            "columns": 4,
            "up": 3,
            "left": 3,
            "colours": 3,
            "classes": 10,
            "n": "width",
            "layers": "depth",
        },
        loss="cross_entropy",
    )
    x = convolution(g, "W_in", g.input("image", "batch rows columns colours"), "n up left colours")
    with g.repeat("blocks", x, "layers") as block:
        h = block.stream
        for name in ("1", "2"):
            h = g.gain(f"gain_{name}", g.layer_norm(h, axis="n", name=f"norm_{name}"), "n", "b r c")
            h = g.relu(g.bias(f"shift_{name}", h, "n"), name=f"active_{name}")
            h = convolution(g, f"W_{name}", h, "n up left n")
        block.result = g.residual("stream_out", block.stream, g.scale("branch", h, free=True))
    h = g.gain("final_gain", g.layer_norm("blocks", axis="n", name="final_norm"), "n", "b r c")
    pooled = g.mean(g.mean(g.relu(h, name="final"), axis="columns", name="pooled_rows"), axis="rows", name="pooled")
    return g.build(g.dense("W_head", pooled, "classes n"))


def convolution(g: Builder, name: str, x: str, axes: str) -> str:
    """The 3 x 3 convolution with the parameter `name` of axes `"out up left in"` over `x` (batch rows columns in)."""
    g.parameter(name, axes)
    x = g.window(x, axis="left", name=f"{name}.left")
    x = g.einsum(f"{name}.turned", "b r c l i -> b c l r i", x)
    x = g.window(x, axis="up", name=f"{name}.windows")
    return g.einsum(name, "b c l r u i, o u l i -> b r c o", x, parameters=(name,))

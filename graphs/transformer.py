"""A GPT-like transformer whose head size grows with the width; the number of heads is fixed.

Source: Radford et al. 2019 (GPT-2): pre-norm blocks of causal attention and a GELU perceptron. The options are the
readout tied to the embedding (Press and Wolf 2017, arXiv 1608.05859), queries and output that start at zero
(Yang et al. 2022, arXiv 2203.03466, appendix D.2).
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph

AXES: dict[str, str | int] = {
    "batch": 8, "time": 8, "vocab": 32,
    "n": "width", "heads": 4, "head": "width/4", "ffn": "4*width", "layers": "depth",
}  # fmt: skip


def build(tied: bool = False, zero_query: bool = False, zero_output: bool = False) -> Graph:
    """Pre-norm blocks of attention and a GELU perceptron, with gains and biases, `layers = depth` of them.

    `tied`: the logits read the embedding, through a multiplier; `zero_query`, `zero_output`: the queries, and the
    logits, start at zero.
    """
    scales, sizes = {"width": 1, "depth": 0}, {"width": 64, "depth": 2}
    return assembled(
        Builder("transformer", scales=scales, sizes=sizes, axes=AXES, loss="cross_entropy"),
        tied=tied, zero_query=zero_query, zero_output=zero_output,
    )  # fmt: skip


def assembled(
    g: Builder,
    tied: bool = False,
    zero_query: bool = False,
    zero_output: bool = False,
    density: str | None = None,
) -> Graph:
    """The whole model in `g`, its hidden matrices with a static mask of this `density`."""
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    if tied:  # starts at 1/sqrt(64), being summed over at the logits too; the stream starts at one all the same
        x = g.scale("embedded", x, 8)
    with g.repeat("blocks", x, "layers") as block:
        x = g.residual("attention.stream", block.stream, attention(g, block.stream, zero_query, density))
        block.result = g.residual("mlp.stream", x, perceptron(g, x, density))
    x = g.gain("final.gain", g.layer_norm("blocks", axis="n", name="final.norm"), "n", "b t")
    return g.build(unembedding(g, x, tied, zero_output))


def attention(g: Builder, x: str, zero_query: bool = False, density: str | None = None) -> str:
    """Causal attention with `heads` heads of a growing size: the branch, behind its multiplier."""
    h = g.gain("attention.gain", g.layer_norm(x, axis="n", name="attention.norm"), "n", "b t")
    for letter in "QKV":
        zero = letter == "Q" and zero_query
        part = None if zero else density  # a mask is the pattern of an initial value
        g.parameter(f"attention.W_{letter}", "heads head n", "zeros" if zero else "normal", density=part)
    q, k, v = (
        g.einsum(f"attention.{letter.lower()}", "b t n, h d n -> b t h d", h, parameters=(f"attention.W_{letter}",))
        for letter in "QKV"
    )
    dots = g.einsum("attention.dots", "b s h d, b t h d -> b h s t", q, k)
    scores = g.scale("attention.scores", dots, "head^(-1/2)", free=True)
    weights = g.softmax(scores, axis="time", causal=True, name="attention.weights")
    heads = g.einsum("attention.heads", "b h s t, b t h d -> b s h d", weights, v)
    g.parameter("attention.W_O", "n heads head", density=density)
    branch = g.einsum("attention.out", "b t h d, n h d -> b t n", heads, parameters=("attention.W_O",))
    return g.scale("attention.branch", branch, free=True)


def perceptron(g: Builder, x: str, density: str | None = None) -> str:
    """A GELU perceptron four times as wide: the branch, behind its multiplier."""
    h = g.gain("mlp.gain", g.layer_norm(x, axis="n", name="mlp.norm"), "n", "b t")
    h = g.bias("mlp.b_up", g.dense("mlp.W_up", h, "ffn n", "b t", density=density), "ffn")
    branch = g.dense("mlp.W_down", g.gelu(h, name="mlp.hidden"), "n ffn", "b t", density=density)
    return g.scale("mlp.branch", branch, free=True)


def unembedding(g: Builder, x: str, tied: bool = False, zero: bool = False) -> str:
    """The logits: a matrix of their own, or the embedding's with a free multiplier behind it."""
    if not tied:
        g.parameter("W_U", "vocab n", "zeros" if zero else "normal")
    logits = "unscaled_logits" if tied else "logits"
    logits = g.einsum(logits, "b t n, v n -> b t v", x, parameters=("W_E" if tied else "W_U",))
    return g.scale("logits", logits, free=True) if tied else logits

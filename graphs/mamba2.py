"""Mamba-2: a selective state-space layer in heads, with one rate and one step per head.

Source: Dao and Gu 2024, "Transformers are SSMs", arXiv 2405.21060 (section 7): A is one number per head, B and C are
shared by all heads (one group) and convolved like the input, and a norm stands before the output projection.
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph

from .mamba import convolved


def build(discretisation: str = "euler") -> Graph:
    """`layers = depth` blocks; `discretisation` is `euler` (as published), `zoh` or `bilinear`.

    Scales: `width`; `state`; `head`, the size of a head, of which there are `2 width / head`; `depth`.
    """
    g = Builder(
        "mamba2",
        scales={"width": 1, "state": 0, "head": 0, "depth": 0},
        sizes={"width": 64, "state": 16, "head": 16, "depth": 1},
        axes={
            "batch": 8, "time": 8, "vocab": 32, "taps": 4,
            "n": "width", "inner": "2*width", "head": "head", "heads": "2*width/head", "state": "state",
            "layers": "depth",
        },
        loss="cross_entropy",
    )  # fmt: skip
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    with g.repeat("blocks", x, "layers") as block:
        h = g.gain("gain", g.rms_norm(block.stream, axis="n", name="norm"), "n", "b t")
        block.result = g.residual("stream_out", block.stream, mixer(g, h, discretisation))
    x = g.gain("final_gain", g.rms_norm("blocks", axis="n", name="final_norm"), "n", "b t")
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b t n, v n -> b t v", x, parameters=("W_U",)))


def mixer(g: Builder, h: str, discretisation: str = "euler") -> str:
    """The branch that mixes times, behind its multiplier."""
    z = g.silu(g.dense("W_z", h, "inner n", "b t"), name="gate")
    u = convolved(g, "u", g.dense("W_u", h, "inner n", "b t"), "inner")
    u = g.reshape(u, axes="batch time heads head", name="by_head")
    b, c = (convolved(g, name, g.dense(f"W_{name}", h, "state n", "b t"), "state") for name in "BC")
    dt = g.softplus(g.bias("b_dt", g.dense("W_dt", h, "heads n", "b t"), "heads"), name="dt")
    g.parameter("A_log", "heads")
    rate = g.negative_exp(parameters=("A_log",), name="A")
    y = g.node("ssm", "scan", u, dt, rate, b, c, discretisation=discretisation)
    g.parameter("D", "heads", init="ones")
    y = g.scale("ssm_factor", y, free=True)
    y = g.node("skip", "add", y, g.einsum("D", "b t h p, h -> b t h p", u, parameters=("D",)))
    y = g.einsum("gated", "b t c, b t c -> b t c", g.reshape(y, axes="batch time inner", name="joined"), z)
    y = g.gain("out_gain", g.rms_norm(y, axis="inner", name="out_norm"), "inner", "b t")
    return g.scale("branch", g.dense("W_out", y, "n inner", "b t"), free=True)

"""A Mamba block between an embedding and logits: selective state space, gate, causal convolution."""

from scalerules.build import Builder
from scalerules.graph import Graph


def build(discretisation: str = "zoh") -> Graph:
    """`discretisation` is `zoh` (zero-order hold) or `euler`; scales `width` (channels) and `state` (N_x)."""
    g = Builder(
        "mamba",
        scales={"width": 1, "state": 0, "depth": 0},
        sizes={"width": 64, "state": 16, "depth": 1},
        axes={
            "batch": 8, "time": 8, "vocab": 32, "taps": 4,
            "n": "width", "inner": "2*width", "state": "state", "rank": "width/16", "layers": "depth",
        },
        loss="cross_entropy",
    )
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    with g.repeat("blocks", x, "layers") as block:
        h = g.gain("gain", g.rms_norm(block.stream, axis="n", name="norm"), "n", "b t")
        z = g.dense("W_z", h, "inner n", "b t")
        u = g.dense("W_u", h, "inner n", "b t")
        g.parameter("W_conv", "taps inner")
        u = g.einsum("conv", "b t k c, k c -> b t c", g.window(u, axis="taps", name="taps"), parameters=("W_conv",))
        u = g.silu(g.bias("b_conv", u, "inner"), name="u")
        dt = g.bias("b_dt", g.dense("W_dt", g.dense("W_rank", u, "rank inner", "b t"), "inner rank", "b t"), "inner")
        g.parameter("A_log", "inner state", init="log_range")
        y = g.node(
            "ssm", "scan",
            u,
            g.softplus(dt, name="dt"),
            g.negative_exp(parameters=("A_log",), name="A"),
            g.dense("W_B", u, "state inner", "b t"),
            g.dense("W_C", u, "state inner", "b t"),
            discretisation=discretisation,
        )
        g.parameter("D", "inner", init="ones")
        y = g.node("skip", "add", y, g.einsum("D", "b t c, c -> b t c", u, parameters=("D",)))
        y = g.einsum("gated", "b t c, b t c -> b t c", y, g.silu(z, name="gate"))
        out = g.scale("branch", g.dense("W_out", y, "n inner", "b t"), free=True)
        block.result = g.residual("stream_out", block.stream, out)
    x = g.gain("final_gain", g.rms_norm("blocks", axis="n", name="final_norm"), "n", "b t")
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b t n, v n -> b t v", x, parameters=("W_U",)))

"""Mamba blocks between an embedding and logits: selective state space, gate, causal convolution.

Source: Gu and Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", arXiv 2312.00752 (sections
3.2 to 3.6, algorithm 2). The options take its selection away, one part at a time (table 7 there).
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph


def build(discretisation: str = "zoh", B: str = "selective", C: str = "selective", dt: str = "low_rank",
          A: str = "channel") -> Graph:  # fmt: skip
    """`discretisation` is `zoh` (zero-order hold), `euler` or `bilinear`; `B`, `C` are `selective` (from the input) or
    `fixed`; `dt` is `low_rank` (through a rank of width / 16), `full` or `fixed`; `A` is per `channel` or `shared`.

    Scales: `width` (channels), `state` (N_x, per channel), `depth`.
    """
    g = Builder(
        "mamba",
        scales={"width": 1, "state": 0, "depth": 0},
        sizes={"width": 64, "state": 16, "depth": 1},
        axes={
            "batch": 8, "time": 8, "vocab": 32, "taps": 4,
            "n": "width", "inner": "2*width", "state": "state", "rank": "width/16", "layers": "depth",
        },
        loss="cross_entropy",
    )  # fmt: skip
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    with g.repeat("blocks", x, "layers") as block:
        h = g.gain("gain", g.rms_norm(block.stream, axis="n", name="norm"), "n", "b t")
        out = mixer(g, h, discretisation, B, C, dt, A)
        block.result = g.residual("stream_out", block.stream, out)
    x = g.gain("final_gain", g.rms_norm("blocks", axis="n", name="final_norm"), "n", "b t")
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b t n, v n -> b t v", x, parameters=("W_U",)))


def mixer(g: Builder, h: str, discretisation: str = "zoh", B: str = "selective", C: str = "selective",
          dt: str = "low_rank", A: str = "channel") -> str:  # fmt: skip
    """The branch that mixes times, behind its multiplier."""
    z = g.dense("W_z", h, "inner n", "b t")
    u = convolved(g, "u", g.dense("W_u", h, "inner n", "b t"), "inner")
    steps = step_size(g, u, dt)
    g.parameter("A_log", "inner state" if A == "channel" else "state", init="log_range")
    rate = g.negative_exp(parameters=("A_log",), name="A")
    b, c = (projection(g, name, u, kind) for name, kind in (("W_B", B), ("W_C", C)))
    y = g.node("ssm", "scan", u, steps, rate, b, c, discretisation=discretisation)
    g.parameter("D", "inner", init="ones")
    y = g.node("skip", "add", y, g.einsum("D", "b t c, c -> b t c", u, parameters=("D",)))
    y = g.einsum("gated", "b t c, b t c -> b t c", y, g.silu(z, name="gate"))
    return g.scale("branch", g.dense("W_out", y, "n inner", "b t"), free=True)


def convolved(g: Builder, name: str, x: str, axis: str) -> str:
    """A causal convolution over time, one filter per channel, a bias, and SiLU."""
    filters, bias = ("W_conv", "b_conv") if name == "u" else (f"W_conv_{name}", f"b_conv_{name}")
    g.parameter(filters, f"taps {axis}")
    taps = g.window(x, axis="taps", name=f"{filters[2:]}.taps")
    y = g.einsum(filters[2:], "b t k c, k c -> b t c", taps, parameters=(filters,))
    return g.silu(g.bias(bias, y, axis), name=name)


def step_size(g: Builder, u: str, kind: str) -> str:
    """The step of every channel: from the input through a small rank or directly, or a number of its own."""
    if kind == "fixed":
        g.parameter("b_dt", "inner")
        return g.softplus(parameters=("b_dt",), name="dt")
    low = g.dense("W_rank", u, "rank inner", "b t") if kind == "low_rank" else u
    full = g.dense("W_dt", low, "inner rank" if kind == "low_rank" else "inner inner", "b t")
    return g.softplus(g.bias("b_dt", full, "inner"), name="dt")


def projection(g: Builder, name: str, u: str, kind: str) -> str:
    """`B` or `C`: a linear map of the input, the same for all channels, or a number per channel and state."""
    if kind == "selective":
        return g.dense(name, u, "state inner", "b t")
    g.parameter(name, "inner state")
    return g.identity(parameters=(name,), name=name)

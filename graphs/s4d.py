"""S4D: diagonal state-space layers whose A, B, C and step do not depend on their input, one small system per channel.

Source: Gu et al. 2022, "On the parameterization and initialization of diagonal state space models", arXiv 2206.11893:
S4D-Real has `A_n = -(n + 1)`, S4D-Lin `A_n = -1/2 + i pi n` (section 4.2; here `-1 + i pi n`), one step per channel,
everything trained; B starts at random or at ones. Behind it GELU and a linear map over the channels.
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph


def build(A: str = "real", B: str = "normal", discretisation: str = "zoh") -> Graph:
    """`layers = depth` blocks. `A` is `real` or `lin` (complex), `B` starts `normal` or at `ones`, `discretisation` is
    `zoh`, `bilinear` or `euler`; scales `width` (channels), `state` (per channel), `depth`.
    """
    g = Builder(
        "s4d",
        scales={"width": 1, "state": 0, "depth": 0},
        sizes={"width": 64, "state": 16, "depth": 1},
        axes={"batch": 8, "time": 8, "vocab": 32, "n": "width", "state": "state", "parts": 2, "layers": "depth"},
        loss="cross_entropy",
    )
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    with g.repeat("blocks", x, "layers") as block:
        u = g.gain("gain", g.rms_norm(block.stream, axis="n", name="norm"), "n", "b t")
        g.parameter("log_dt", "n")
        dt = g.exp(parameters=("log_dt",), name="dt")
        a = rates(g, A, "n state")
        y = g.node("ssm", "scan", u, dt, a, *projections(g, A, B), discretisation=discretisation)
        g.parameter("D", "n", init="ones")
        y = g.node("skip", "add", y, g.einsum("D", "b t c, c -> b t c", u, parameters=("D",)))
        out = g.dense("W_out", g.gelu(y, name="active"), "n n", "b t")
        block.result = g.residual("stream_out", block.stream, g.scale("branch", out, free=True))
    x = g.gain("final_gain", g.rms_norm("blocks", axis="n", name="final_norm"), "n", "b t")
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b t n, v n -> b t v", x, parameters=("W_U",)))


def rates(g: Builder, kind: str, axes: str) -> str:
    """`A` over `axes`: `real`, -1, -2, ..., or `lin`, -1 + i pi (1, 2, ...); the real part stays below zero."""
    g.parameter("A_log", axes, init="log_range" if kind == "real" else "zeros")
    real = g.negative_exp(parameters=("A_log",), name="A" if kind == "real" else "A_real")
    if kind == "real":
        return real
    g.parameter("A_imag", axes, init="range")
    return g.complex(real, g.node("A_imag", "scale", parameters=("A_imag",), factor=3.14159), name="A")


def projections(g: Builder, kind: str, start: str) -> list[str]:
    """`B` and `C` per channel, complex where `A` is."""
    found: list[str] = []
    for name, init in (("B", start), ("C", "normal")):
        g.parameter(name, "n state" if kind == "real" else "n state parts", init=init)
        found.append(g.node(name, "identity" if kind == "real" else "complex", parameters=(name,)))
    return found

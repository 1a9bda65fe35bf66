"""S5: one diagonal state-space model with many inputs and outputs per layer: every channel drives every state.

Source: Smith, Warrington and Linderman 2023, "Simplified state space layers for sequence modeling", arXiv 2208.04933
(section 3, appendix B): the transition starts as that of HiPPO-N, whose eigenvalues are -1/2 + i w with w about linear
in the index (S4D-Lin, arXiv 2206.11893, section 4.2; here -1 + i pi n); B, C complex, zero-order hold, one step per
state; behind it GELU and the gate `y * sigmoid(W y)`.
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph

from .s4d import rates


def build(A: str = "lin", discretisation: str = "zoh") -> Graph:
    """`layers = depth` blocks. `A` is `lin` (complex) or `real`, `discretisation` is `zoh`, `bilinear` or `euler`;
    scales `width` (channels), `state` (in all), `depth`.
    """
    g = Builder(
        "s5",
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
        driven = into_states(g, u)
        g.parameter("log_dt", "state")
        dt = g.exp(parameters=("log_dt",), name="dt")
        states = g.node("ssm", "scan", driven, dt, rates(g, A, "state"), discretisation=discretisation)
        y = g.gelu(g.node("skip", "add", out_of_states(g, states), direct(g, u)), name="active")
        gate = g.sigmoid(g.dense("W_gate", y, "n n", "b t"), name="gate")
        y = g.einsum("gated", "b t n, b t n -> b t n", y, gate)
        block.result = g.residual("stream_out", block.stream, g.scale("branch", y, free=True))
    x = g.gain("final_gain", g.rms_norm("blocks", axis="n", name="final_norm"), "n", "b t")
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b t n, v n -> b t v", x, parameters=("W_U",)))


def into_states(g: Builder, u: str) -> str:
    """`B u` with a complex B from all channels to all states."""
    g.parameter("B", "state parts n")
    return g.complex(g.einsum("B", "b t n, s p n -> b t s p", u, parameters=("B",)), name="driven")


def out_of_states(g: Builder, states: str) -> str:
    """The real part of `C x`, C complex, from all states to all channels (the sign of C's imaginary part is free)."""
    g.parameter("C", "n state parts")
    return g.einsum("C", "b t s p, n s p -> b t n", g.parts(states, axis="parts", name="parts"), parameters=("C",))


def direct(g: Builder, u: str) -> str:
    """`D u`, D diagonal."""
    g.parameter("D", "n", init="ones")
    return g.einsum("D", "b t n, n -> b t n", u, parameters=("D",))

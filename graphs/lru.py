"""The linear recurrent unit: a diagonal complex recurrence without a step, normalised by a trained gain.

Source: Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences", arXiv 2303.06349 (section 3):
`lambda = exp(-exp(nu_log) + i exp(theta_log))`, `x_t = lambda x_{t-1} + exp(gamma_log) B u_t`, `y = Re(C x) + D u`;
behind it GELU and a gated linear unit.
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph

from .s5 import direct, into_states, out_of_states


def build() -> Graph:
    """`layers = depth` blocks between an embedding and logits; scales `width` (channels), `state` (in all), `depth`."""
    g = Builder(
        "lru",
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
        for name in ("nu_log", "theta_log", "gamma_log"):
            g.parameter(name, "state")
        g.parameter("step", "state", init="ones", trained=False)
        radius = g.negative_exp(parameters=("nu_log",), name="nu")
        rate = g.node("log_lambda", "complex", radius, g.exp(parameters=("theta_log",), name="theta"))
        # the published gain starts at sqrt(1 - |lambda|^2), about this for radii near one
        gamma = g.scale("gamma", g.exp(parameters=("gamma_log",), name="gain_of_state"), "1/4")
        driven = g.einsum("normalised", "b t s, s -> b t s", into_states(g, u), gamma)
        one = g.identity(parameters=("step",), name="one")
        states = g.node("ssm", "scan", driven, one, rate, discretisation="euler")
        y = g.gelu(g.node("skip", "add", out_of_states(g, states), direct(g, u)), name="active")
        gate = g.sigmoid(g.dense("W_gate", y, "n n", "b t"), name="gate")
        y = g.einsum("gated", "b t n, b t n -> b t n", g.dense("W_value", y, "n n", "b t"), gate)
        block.result = g.residual("stream_out", block.stream, g.scale("branch", y, free=True))
    x = g.gain("final_gain", g.rms_norm("blocks", axis="n", name="final_norm"), "n", "b t")
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b t n, v n -> b t v", x, parameters=("W_U",)))

"""S4D-Real: a diagonal state-space layer whose A, B, C and step do not depend on its input.

Source: Gu et al. 2022, arXiv 2206.11893: `A_i = -(i + 1)` (S4D-Real), one step per channel, everything trained, then
GELU and a linear map over the channels. B starts normal like C; the paper also starts it at ones.
"""

from scalerules.build import Builder
from scalerules.graph import Graph


def build(layers: int = 1, discretisation: str = "zoh") -> Graph:
    """`layers` layers, `discretisation` is `zoh` or `bilinear`; scales `width` (channels) and `state` (per channel)."""
    g = Builder(
        "s4d",
        scales={"width": 1, "state": 0},
        sizes={"width": 64, "state": 16},
        axes={"batch": 8, "time": 8, "vocab": 32, "n": "width", "state": "state"},
        loss="cross_entropy",
    )
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    for layer in range(1, layers + 1):
        u = g.gain(f"gain_{layer}", g.rms_norm(x, axis="n", name=f"norm_{layer}"), "n", "b t")
        g.parameter(f"A_log_{layer}", "n state", init="log_range")
        g.parameter(f"B_{layer}", "n state")
        g.parameter(f"C_{layer}", "n state")
        g.parameter(f"D_{layer}", "n", init="ones")
        g.parameter(f"log_dt_{layer}", "n")
        # the same at every time: a one-hot vector sums to 1
        log_dt = g.einsum(f"step_{layer}", "b t v, c -> b t c", tokens, parameters=(f"log_dt_{layer}",))
        y = g.node(
            f"ssm_{layer}", "scan",
            u,
            g.exp(log_dt, name=f"dt_{layer}"),
            g.negative_exp(parameters=(f"A_log_{layer}",), name=f"A_{layer}"),
            g.identity(parameters=(f"B_{layer}",), name=f"into_{layer}"),
            g.identity(parameters=(f"C_{layer}",), name=f"out_of_{layer}"),
            discretisation=discretisation,
        )
        direct = g.einsum(f"direct_{layer}", "b t c, c -> b t c", u, parameters=(f"D_{layer}",))
        y = g.gelu(g.node(f"skip_{layer}", "add", y, direct), name=f"active_{layer}")
        x = g.residual(f"stream_{layer}", x, g.dense(f"W_out_{layer}", y, "n n", "b t"))
    x = g.gain("final_gain", g.rms_norm(x, axis="n", name="final_norm"), "n", "b t")
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b t n, v n -> b t v", x, parameters=("W_U",)))

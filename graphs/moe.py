"""Residual blocks whose perceptron is a mixture of experts: every token goes to the experts that a router chooses.

Source: Shazeer et al. 2017, arXiv 1701.06538 (section 2.1: top k of the router's scores, softmax over the chosen ones);
Dai et al. 2024, "DeepSeekMoE", arXiv 2401.06066, for shared experts and fine-grained ones: with `granularity` m every
expert is cut into m of 1/m of its width, and m times as many are active; DeepSeek-AI 2024, arXiv 2412.19437, for
sigmoid gates. Dense routing (`active` None, every expert
weighted by a softmax) is Jordan and Jacobs 1994, "Hierarchical mixtures of experts and the EM algorithm".
"""

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph


def build(routing: str = "top_k", gate: str = "softmax", shared: bool = True) -> Graph:
    """`layers = depth` blocks; `routing` is `top_k` or `dense`; `shared` adds an expert that all tokens go to.

    `gate` is a `softmax` over the chosen experts' scores, or the `sigmoid` of each divided by their number (with many
    active experts a softmax soon rests on a few of them).

    Scales: `width`, `experts` (in all), `active` (of them, per token), `granularity`, `depth`.
    """
    g = Builder(
        "moe",
        scales={"width": 1, "experts": 0, "active": 0, "granularity": 0, "depth": 0},
        sizes={"width": 64, "experts": 4, "active": 2, "granularity": 1, "depth": 2},
        axes={
            "batch": 8, "time": 8, "vocab": 32, "experts": "experts*granularity", "active": "active*granularity",
            "n": "width", "ffn": "2*width/granularity", "shared": "2*width", "layers": "depth",
        },
        loss="cross_entropy",
    )  # fmt: skip
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    with g.repeat("blocks", x, "layers") as block:
        h = g.gain("gain", g.rms_norm(block.stream, axis="n", name="norm"), "n", "b t")
        answer = experts(g, h, routing, gate)
        if shared:
            hidden = g.silu(g.dense("W_up_shared", h, "shared n", "b t"), name="hidden_shared")
            answer = g.node("answer", "add", answer, g.dense("W_down_shared", hidden, "n shared", "b t"))
        block.result = g.residual("stream_out", block.stream, g.scale("branch", answer, free=True))
    x = g.gain("final_gain", g.rms_norm("blocks", axis="n", name="final_norm"), "n", "b t")
    g.parameter("W_U", "vocab n")
    return g.build(g.einsum("logits", "b t n, v n -> b t v", x, parameters=("W_U",)))


def experts(g: Builder, h: str, routing: str = "top_k", gate: str = "softmax") -> str:
    """The weighted sum of the experts' answers, over the chosen ones or over all."""
    logits = g.dense("W_router", h, "experts n", "b t")
    g.parameter("W_up", "experts ffn n")
    g.parameter("W_down", "experts n ffn")
    if routing == "dense":
        weights = g.softmax(logits, axis="experts", name="weights")
        hidden = g.silu(g.einsum("W_up", "b t n, e f n -> b t e f", h, parameters=("W_up",)), name="hidden")
        answers = g.einsum("W_down", "b t e f, e n f -> b t e n", hidden, parameters=("W_down",))
        return g.einsum("mixed", "b t e n, b t e -> b t n", answers, weights)
    choice = g.node("choice", "top_k", logits, axes="active experts")
    scores = g.einsum("scores", "b t e, b t a e -> b t a", logits, choice)
    if gate == "sigmoid":
        weights = g.scale("weights", g.sigmoid(scores, name="gate"), "1/active")
    else:
        weights = g.softmax(scores, axis="active", name="weights")
    up = g.einsum("W_up", "b t n, b t a e, e f n -> b t a f", h, choice, parameters=("W_up",))
    hidden = g.silu(up, name="hidden")
    answers = g.einsum("W_down", "b t a f, b t a e, e n f -> b t a n", hidden, choice, parameters=("W_down",))
    return g.einsum("mixed", "b t a n, b t a -> b t n", answers, weights)

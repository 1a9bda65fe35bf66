"""The engine against answers that were known before it: published rules, and sizes worked out by hand and measured.

Sources: Tensor Programs V (arXiv 2203.03466) table 3 for the perceptron and the transformer; the spectral condition
(arXiv 2310.17813) for rectangular layers and for muon; the published rule for state-space models, by which width and
state grow in turn, for the scan with each parameter alone; Depth-muP (arXiv 2310.02244) for depth. What joint training
adds to them (attention, the scan) was worked out on paper and measured on small networks.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import pytest

import scalerules as sr
from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph
from scalerules.errors import Clash
from scalerules.sizes.exponents import Exponents
from scalerules.solution.solution import Solution

HALF = Fraction(1, 2)


@cache
def derived(
    name: str, optimizer: str, options: tuple = (), mode: str = "joint", scales: tuple | None = None
) -> Solution:
    graph = GRAPHS[name]() if name in GRAPHS else sr.graph(name, **dict(options))
    return sr.derive(graph, optimizer=optimizer, mode=mode, scales=dict(scales) if scales else None)


def power(**exponents: str | int) -> dict[str, Fraction]:
    return {scale: Fraction(exponent) for scale, exponent in exponents.items()}


def plain(exponents: Exponents) -> dict[str, Fraction]:
    """Exponents without the scales that do not occur."""
    return {scale: value for scale, value in exponents.fractions.items() if value}


def gradients(solution: Solution, step: int) -> dict[str, Fraction | None]:
    return {p.node: p.size for p in solution.sizes if p.quantity == "gradient" and p.step == step}


def assert_rules(solution: Solution, init: dict, lr: dict) -> None:
    """Exponents of one scale per parameter; what is not named has the exponent under ``""``."""
    for name, rule in solution.parameters.items():
        for size, wanted in (("init", init), ("lr", lr)):
            exponent = Fraction(wanted[name] if name in wanted else wanted[""])
            (found,) = getattr(rule, size).fractions.values()
            assert found == exponent, (name, size)


def assert_every_own_contribution_is_maximal_and_nothing_grows(solution: Solution, behind: str = "") -> None:
    """`behind` is a node that is read only through a multiplier: it is judged where the multiplier is."""
    reached = {p.parameter for p in solution.sizes if p.quantity == "own" and p.size == 0}
    assert reached == set(solution.parameters)
    changes = [p for p in solution.sizes if p.quantity == "change" and p.node != behind]
    assert changes and all(p.size is None or p.size <= 0 for p in changes)


# the multilayer perceptron

MLP_INIT = {"input": 0, "h1": "-1/2", "h2": "-1/2", "output": -1}
MLP_RATES = {
    "sgd": {"input": 1, "h1": 0, "h2": 0, "output": -1},
    "adam": {"input": 0, "h1": -1, "h2": -1, "output": -1},
    "muon": {"input": "1/2", "h1": 0, "h2": 0, "output": "-1/2"},
}


@pytest.mark.parametrize("optimizer", MLP_RATES)
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "silu", "sin", "leaky_relu"])
def test_perceptron(optimizer, activation):
    solution = derived("mlp", optimizer, (("activation", activation),))
    assert_rules(solution, MLP_INIT, MLP_RATES[optimizer])
    for step in (1, 2, 3):
        assert gradients(solution, step) == {"input": -1, "h1": -1, "h2": -1, "output": 0}
    assert_every_own_contribution_is_maximal_and_nothing_grows(solution)
    assert not solution.warnings and not solution.cone


def test_epsilon_follows_the_gradient_and_decay_keeps_its_time_scale():
    solution = derived("mlp", "adamw")
    for name, size in gradients(solution, 1).items():
        assert solution[name].eps["width"] == size
        assert solution[name].wd["width"] == -solution[name].lr["width"]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_output_at_one_over_the_root_of_the_width_is_unstable(optimizer):
    """The gradient passed through the output layer, so the hidden change is aligned with it."""
    found = sr.classify("mlp", {"output": {"init": "-1/2"}}, optimizer)
    assert found.regime == "unstable"
    assert [(u.quantity, u.node, u.step, u.size) for u in found.unstable] == [("change", "output", 1, HALF)]


# attention with a growing head size


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", -1), ("sgd", 0)])
def test_attention_is_divided_by_the_head_size(optimizer, rate):
    solution = derived("transformer", optimizer)
    assert plain(solution.multipliers["attention.scores"]) == power(width=-1)
    for letter in "QKVO":
        assert plain(solution[f"attention.W_{letter}"].init) == power(width="-1/2")
        assert plain(solution[f"attention.W_{letter}"].lr) == {s: v for s, v in power(width=rate).items() if v}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_queries_and_keys_have_a_smaller_gradient_at_first(optimizer):
    solution = derived("transformer", optimizer)
    for letter in "QK":
        sizes = [gradients(solution, step)[f"attention.W_{letter}"] for step in (1, 2, 3)]
        assert sizes == [Fraction(-3, 2), -1, -1]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_attention_by_the_root_of_the_head_size_is_unstable(optimizer):
    """The change of a query is a multiple of the keys, so their product adds up like the head size."""
    found = sr.classify("transformer", {"multipliers": {"attention.scores": "-1/2"}}, optimizer)
    assert [(u.node, u.step, u.size) for u in found.unstable] == [("attention.scores", 1, HALF)]


# two Llama-like blocks: the number of heads grows, the head size is fixed


def llama(tied: bool = False) -> Graph:
    axes = {"batch": 8, "time": 8, "vocab": 32, "n": "width", "heads": "width/16", "head": 16, "ffn": "2*width"}
    g = Builder("pair", axes=axes)
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    for i in "12":
        x = g.residual(f"mid{i}", x, attention(g, x, i))
        x = g.residual(f"end{i}", x, gated(g, x, i))
    x = g.gain("gain", g.rms_norm(x, axis="n", name="norm"), "n", "b t")
    if tied:
        return g.build(g.scale("logits", g.einsum("dots", "b t n, v n -> b t v", x, parameters=("W_E",)), free=True))
    return g.build(g.dense("W_U", x, "vocab n", "b t"))


def attention(g: Builder, x: str, i: str) -> str:
    h = g.gain(f"gain_a{i}", g.rms_norm(x, axis="n", name=f"norm_a{i}"), "n", "b t")
    for letter in "QKV":
        g.parameter(f"W_{letter}{i}", "heads head n")
    q, k, v = (
        g.einsum(f"{letter}{i}", "b t n, h d n -> b t h d", h, parameters=(f"W_{letter}{i}",)) for letter in "QKV"
    )
    scores = g.einsum(f"scores{i}", "b s h d, b t h d -> b h s t", q, k)
    weights = g.softmax(scores, axis="time", causal=True, name=f"weights{i}")
    heads = g.einsum(f"heads{i}", "b h s t, b t h d -> b s h d", weights, v)
    g.parameter(f"W_O{i}", "n heads head")
    return g.einsum(f"out{i}", "b t h d, n h d -> b t n", heads, parameters=(f"W_O{i}",))


def gated(g: Builder, x: str, i: str) -> str:
    h = g.gain(f"gain_m{i}", g.rms_norm(x, axis="n", name=f"norm_m{i}"), "n", "b t")
    gate = g.silu(g.dense(f"W_gate{i}", h, "ffn n", "b t"), name=f"gate{i}")
    product = g.einsum(f"gated{i}", "b t f, b t f -> b t f", gate, g.dense(f"W_up{i}", h, "ffn n", "b t"))
    return g.dense(f"W_down{i}", product, "n ffn", "b t")


@pytest.mark.parametrize(("optimizer", "hidden", "vector"), [("adam", -1, 0), ("sgd", 0, 1)])
@pytest.mark.parametrize("tied", [False, True])
def test_two_blocks_of_a_llama(optimizer, hidden, vector, tied):
    solution = derived("tied llama" if tied else "llama", optimizer)
    vectors = [name for name in solution.parameters if name.startswith("gain") or name == "W_E"]
    assert_rules(
        solution,
        {"": "-1/2", "W_U": -1, **dict.fromkeys(vectors, 0)},
        {"": hidden, "W_U": -1, **dict.fromkeys(vectors, vector)},
    )
    assert {node: plain(e) for node, e in solution.multipliers.items()} == ({"logits": power(width=-1)} if tied else {})
    for step in (1, 2, 3):
        assert gradients(solution, step) == {n: 0 if n == "W_U" else -1 for n in solution.parameters}
    assert_every_own_contribution_is_maximal_and_nothing_grows(solution, behind="dots" if tied else "")


# the selective scan


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", "-1/2"), ("adam", -1)])
def test_scan_with_each_parameter_alone(optimizer, rate):
    """The published rule for state-space models in the width."""
    solution = derived("mamba", optimizer, mode="isolated")
    for name in ("W_B", "W_C"):
        assert plain(solution[name].init) == power(width="-1/2")
        assert plain(solution[name].lr) == power(width=rate)


def test_scan_trained_jointly():
    solution = derived("mamba", "adam")
    for name in ("W_B", "W_C"):
        assert plain(solution[name].init) == power(width=-1)
        assert plain(solution[name].lr) == power(width=-1)
    assert not solution.warnings
    assert_every_own_contribution_is_maximal_and_nothing_grows(solution)


def test_scan_under_sgd_starts_at_a_saddle():
    solution = derived("mamba", "sgd")
    for name in ("W_B", "W_C"):
        assert plain(solution[name].init) == power(width=-1)
        assert any(f"{name!r} starts at a saddle" in w and "size -1/2" in w for w in solution.warnings)
        own = [p.size for p in solution.sizes if p.quantity == "own" and p.node == p.parameter == name]
        assert max(size for size in own if size is not None) == -HALF


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_scan_with_the_isolated_init_is_unstable_when_all_move(optimizer):
    """The gradient of what `W_B` and `W_C` read has passed through them."""
    found = sr.classify("mamba", {"W_B": {"init": "-1/2"}, "W_C": {"init": "-1/2"}}, optimizer)
    assert {(u.node, u.step, u.size) for u in found.unstable} == {("W_B", 1, HALF), ("W_C", 1, HALF)}


def test_scan_with_one_of_them_small_fails_at_the_second_step():
    found = sr.classify("mamba", {"W_B": {"init": "-1/2"}, "W_C": {"init": -1}}, "adam")
    assert {(u.node, u.step, u.size) for u in found.unstable} == {("W_B", 2, HALF)}


TWO_SCALES = (("width", 1), ("state", "1/4"))
ZERO_ORDER_HOLD = {
    "sgd": {"W_B": power(width="-1/2", state=1), "W_C": power(width="-1/2", state=-1)},
    "adam": {"W_B": power(width=-1, state="1/2"), "W_C": power(width=-1, state="-1/2")},
}


@pytest.mark.parametrize("optimizer", ZERO_ORDER_HOLD)
def test_scan_in_two_scales(optimizer):
    """Width first, then state, each parameter alone: with the zero-order hold the two demands on `W_B` agree."""
    solution = derived("mamba", optimizer, (), "isolated", TWO_SCALES)
    assert plain(solution["W_B"].init) == power(width="-1/2", state="1/2")
    assert plain(solution["W_C"].init) == power(width="-1/2", state="-1/2")
    assert {name: plain(solution[name].lr) for name in ("W_B", "W_C")} == ZERO_ORDER_HOLD[optimizer]
    sizes = {p.node: p.size for p in solution.sizes if p.quantity == "value"}
    assert sizes["ssm.state"] == sizes["ssm"] == 0


def test_the_adam_rate_of_the_scan_carries_a_logarithm():
    """A sign-like update levels the entries of `B`, and the output sums them with weights 1/i."""
    solution = derived("mamba", "adam", (), "isolated", TWO_SCALES)
    assert "lr" in solution["W_B"].log
    assert "lr" not in solution["W_z"].log


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", "width^(-1/2)"), ("adam", "width^-1 state^(-1/2)")])
def test_euler_has_no_rate_that_serves_state_and_output(optimizer, rate):
    """With the Euler rule the state would move at full size only at a rate at which the output grows."""
    with pytest.raises(Clash) as caught:
        derived("mamba", optimizer, (("discretisation", "euler"),), "isolated", TWO_SCALES)
    named = [text for text in caught.value.equations if "'W_B'" in text]
    assert any("'ssm.state'" in text and "size 0 at some step" in text for text in named)
    assert any("at 'ssm'" in text and "size at most 0" in text for text in named)
    assert any("'W_B'" in text and f"its lr is then {rate})" in text for text in caught.value.remedies)


# depth


def stack() -> Graph:
    """Residual blocks of one hidden layer, `layers = depth` of them."""
    g = Builder("stack", scales={"depth": 1}, axes={"batch": 8, "in": 8, "n": 16, "out": 4, "layers": "depth"})
    x = g.dense("input", g.input("x", "batch in"), "n in")
    with g.repeat("blocks", x, "layers") as block:
        h = g.tanh(g.dense("up", block.stream, "n n"), name="hidden")
        block.result = g.residual("stream_out", block.stream, g.scale("branch", g.dense("down", h, "n n"), free=True))
    return g.build(g.dense("output", "blocks", "out n"))


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", "-1/2"), ("sgd", 0)])
def test_depth_of_a_residual_stack(optimizer, rate):
    """L independent branches add up like the root of L, their changes like L: rates -1 - a (Adam), -1 - 2a (SGD)."""
    solution = derived("stack", optimizer)
    assert plain(solution.multipliers["branch"]) == power(depth="-1/2")
    assert_rules(solution, {"": 0}, {"": 0, "up": rate, "down": rate})


def test_depth_of_a_transformer():
    solution = derived("transformer", "adam", (), "joint", (("depth", 1),))
    for branch in ("attention.branch", "mlp.branch"):
        assert plain(solution.multipliers[branch]) == power(depth="-1/2")
    for name in (f"attention.W_{letter}" for letter in "QKVO"):
        assert plain(solution[name].lr) == power(depth="-1/2")
    for name in ("mlp.W_up", "mlp.W_down", "mlp.b_up", "mlp.gain", "attention.gain"):
        assert plain(solution[name].lr) == power(depth="-1/2")
        assert plain(solution[name].init) == {}
    for name in ("W_E", "W_U", "final.gain"):
        assert plain(solution[name].lr) == {}


# rectangular layers


def rectangular(square: bool = False) -> Graph:
    """A layer from `a` to `b`, behind the input layer or behind a square one."""
    g = Builder("rectangular", scales={"p": 1, "q": 1}, axes={"batch": 8, "in": 8, "a": "p", "b": "q", "out": 4})
    h = g.dense("input", g.input("x", "batch in"), "a in")
    if square:
        h = g.dense("square", g.relu(h), "a a")
    h = g.dense("layer", g.relu(h), "b a")
    return g.build(g.dense("output", g.relu(h), "out b"))


def there_and_back() -> Graph:
    """Layers from growth 1 to growth 2 and back, in one scale."""
    g = Builder("back", axes={"batch": 8, "in": 8, "n": "width", "wide": "width^2", "out": 4})
    h = g.dense("input", g.input("x", "batch in"), "n in")
    h = g.dense("up", g.relu(h), "wide n")
    h = g.dense("down", g.relu(h), "n wide")
    return g.build(g.dense("output", g.relu(h), "out n"))


RATES = {"sgd": power(p=-1, q=1), "adam": power(p=-1), "muon": power(p="-1/2", q="1/2")}


@pytest.mark.parametrize("optimizer", RATES)
@pytest.mark.parametrize("graph", ["rectangular", "rectangular behind a square"])
@pytest.mark.parametrize(
    ("p", "q", "init"),
    [
        (HALF, 1, power(p="-1/2")),
        (1, HALF, power(p=-1, q="1/2")),
        (1, 2, power(p="-1/2")),
        (2, 1, power(p=-1, q="1/2")),
    ],
)
def test_rectangular_layers_follow_the_spectral_condition(optimizer, graph, p, q, init):
    """Std min(1, sqrt(fan_out / fan_in)) / sqrt(fan_in); a rate that moves the output by size 0."""
    solution = derived(graph, optimizer, (), "joint", (("p", p), ("q", q)))
    assert plain(solution["layer"].init) == init
    assert plain(solution["layer"].lr) == RATES[optimizer]


@pytest.mark.parametrize(("optimizer", "up", "down"), [("sgd", 1, -1), ("adam", -1, -2)])
def test_a_layer_between_growths_one_and_two(optimizer, up, down):
    solution = derived("there and back", optimizer)
    assert plain(solution["up"].init) == power(width="-1/2")
    assert plain(solution["up"].lr) == power(width=up)
    assert plain(solution["down"].init) == power(width="-3/2")
    assert plain(solution["down"].lr) == power(width=down)


GRAPHS = {
    "llama": llama,
    "tied llama": lambda: llama(tied=True),
    "stack": stack,
    "rectangular": rectangular,
    "rectangular behind a square": lambda: rectangular(square=True),
    "there and back": there_and_back,
}

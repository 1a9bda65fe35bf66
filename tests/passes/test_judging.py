"""Where a size is judged (docs/theory.md): one map written in several ways has one rule."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

import scalerules as sr
from benchmarks.wrong_rules import MLP, perceptron
from scalerules.architecture.uses import fan_in, uses


def exponents(solution: sr.Solution, name: str, scale: str = "width") -> tuple[Fraction, Fraction]:
    rule = solution[name]
    return Fraction(str(rule.init[scale])), Fraction(str(rule.lr[scale]))


def gauged(init: Fraction, lr: Fraction, factor: Fraction, optimizer: str) -> tuple[Fraction, Fraction]:
    """What a factor `width^factor` behind a layer leaves to its initial size and its rate."""
    return init - factor, lr - (2 if optimizer == "sgd" else 1) * factor


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
@pytest.mark.parametrize("factor", ["1/n", "n^(-1/2)", "n^(1/2)"])
@pytest.mark.parametrize("layer", ["W1", "W2", "W3"])
def test_a_fixed_factor_behind_a_layer_is_a_gauge(layer: str, factor: str, optimizer: str) -> None:
    power = {"1/n": Fraction(-1), "n^(-1/2)": Fraction(-1, 2), "n^(1/2)": Fraction(1, 2)}[factor]
    plain = sr.derive(perceptron(), optimizer=optimizer)
    scaled = sr.derive(perceptron(layer, factor), optimizer=optimizer)
    for name in ("W1", "W2", "W3"):
        wanted = exponents(plain, name)
        assert exponents(scaled, name) == (gauged(*wanted, power, optimizer) if name == layer else wanted)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_a_fixed_factor_between_gains_and_a_matrix_is_the_matrixs(optimizer: str) -> None:
    """Gains start at one and cannot take it up; their rate, which could, is what it is without the factor."""

    def gained(where: str) -> sr.Graph:
        g = sr.Builder("gained", axes=MLP)
        h = g.dense("W1", g.input("x", "batch in"), "n in")
        h = g.gain("gain", g.rms_norm(h, axis="n", name="norm"), "n")
        h = g.scale("scaled", h, "n^(-1/2)") if where == "in front" else h
        h = g.dense("W2", h, "n n")
        h = g.scale("scaled", h, "n^(-1/2)") if where == "behind" else h
        return g.build(g.dense("W3", g.gelu(h), "out n"))

    plain, front, behind = (sr.derive(gained(where), optimizer=optimizer) for where in ("", "in front", "behind"))
    for name in ("W1", "gain", "W2", "W3"):
        assert exponents(front, name) == exponents(behind, name)
        wanted = exponents(plain, name)
        half = Fraction(-1, 2)
        assert exponents(front, name) == (gauged(*wanted, half, optimizer) if name == "W2" else wanted)


@pytest.mark.parametrize(("alpha", "rate"), [("none", -1), ("rank^(-1/2)", Fraction(-1, 2)), ("1/rank", 0)])
def test_the_factor_of_lora_divides_the_rate_of_b(alpha: str, rate: Fraction) -> None:
    solution = sr.derive(sr.graph("lora", alpha=alpha), optimizer="adamw", scales={"rank": 1})
    names = [name for name in solution.parameters if name.startswith("B_")]
    assert names
    assert all(solution[name].lr["rank"] == rate for name in names)


def attention_over_tokens() -> sr.Graph:
    """Self-attention of a fixed width over tokens whose number grows."""
    axes = {"batch": 4, "time": "width", "in": 8, "n": 32, "heads": 2, "head": 16, "out": 4}
    g = sr.Builder("tokens", axes=axes)
    h = g.dense("W_in", g.input("x", "batch time in"), "n in", "b t")
    normed = g.rms_norm(h, axis="n", name="norm")
    for letter in "QKV":
        g.parameter("W_" + letter, "heads head n")
    q, k, v = (g.einsum(c.lower(), "b t n, h d n -> b t h d", normed, parameters=("W_" + c,)) for c in "QKV")
    dots = g.einsum("dots", "b s h d, b t h d -> b h s t", q, k)
    weights = g.softmax(g.scale("scores", dots, 0.25), axis="time", name="weights")
    g.parameter("W_O", "n heads head")
    read = g.einsum("read", "b h s t, b t h d -> b s h d", weights, v)
    h = g.gelu(g.residual("r", h, g.einsum("attention", "b t h d, n h d -> b t n", read, parameters=("W_O",))))
    return g.build(g.dense("W_out", g.mean(h, axis="time", name="pool"), "out n"))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_softmax_runs_over_the_axis_that_it_is_told_not_over_every_axis_of_that_name(optimizer: str) -> None:
    assert exponents(sr.derive(attention_over_tokens(), optimizer=optimizer), "W_O") == (0, 0)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_a_look_up_reads_one_row_of_a_growing_vocabulary(optimizer: str) -> None:
    g = sr.Builder("vocabulary", axes={"batch": 8, "vocab": "width", "n": 64, "out": 4})
    g.parameter("E", "vocab n")
    tokens = g.input("tokens", "batch vocab", kind="tokens")
    h = g.einsum("embedding", "b v, v n -> b n", tokens, parameters=("E",))
    solution = sr.derive(g.build(g.dense("W3", g.gelu(g.dense("W2", h, "n n")), "out n")), optimizer=optimizer)
    assert exponents(solution, "E") == (0, 0)
    assert exponents(solution, "W2") == exponents(solution, "W3") == (0, 0)


def small_gain(factor: str | None) -> sr.Graph:
    """A gain behind a hidden layer that starts at a factor."""
    g = sr.Builder("small", axes=MLP)
    h = g.gelu(g.dense("W1", g.input("x", "batch in"), "n in"))
    h = g.gelu(g.gain("gain", g.dense("W2", h, "n n"), "n", factor=factor), name="a2")
    return g.build(g.dense("W3", h, "out n"))


@pytest.mark.parametrize(("optimizer", "lr", "gain"), [("adamw", "-1/2", "-1/2"), ("sgd", "1", "0")])
def test_a_constant_that_depends_on_a_size_is_made_up_for_by_the_layer_in_front(
    optimizer: str, lr: str, gain: str
) -> None:
    solution = sr.derive(small_gain("n^(-1/2)"), optimizer=optimizer)
    assert exponents(solution, "W2") == (0, Fraction(lr))
    assert exponents(solution, "gain") == (Fraction(-1, 2), Fraction(gain))
    plain = sr.derive(small_gain(None), optimizer=optimizer)
    assert exponents(solution, "W1") == exponents(plain, "W1")
    assert exponents(solution, "W3") == exponents(plain, "W3")


def test_a_constant_that_depends_on_a_size_is_trained_and_emitted_as_such() -> None:
    graph = sr.Graph.model_validate(small_gain("n^(-1/2)").to_dict())
    solution = sr.derive(graph, optimizer="adamw")
    assert sr.verify(graph, solution, sizes=[64, 128, 256], seeds=1, progress=False).verdict is not False
    namespace: dict[str, object] = {}
    exec(compile(sr.emit(solution), "emitted.py", "exec"), namespace)
    model = namespace["Model"](width=256)  # type: ignore[operator]
    namespace["init_"](model)  # type: ignore[operator]
    gain = dict(model.named_parameters())["gain"]
    assert gain.unique().tolist() == [1 / 16]


@pytest.mark.parametrize("init", ["normal", "zeros"])
def test_only_fixed_entries_have_a_factor(init: str) -> None:
    g = sr.Builder("wrong", axes=MLP)
    g.parameter("W", "out n", init, factor="n^(-1/2)")
    with pytest.raises(sr.ScaleRulesError, match="has a factor and init"):
        g.build(g.einsum("y", "b n, o n -> b o", g.input("x", "batch n"), parameters=("W",)))


def routed(free: bool, between: bool = False) -> sr.Graph:
    """A mixture of layers by a softmax, perhaps with a free factor behind its router, and an identity in between."""
    g = sr.Builder("routed", axes={**MLP, "experts": 4})
    h = g.gelu(g.dense("W1", g.input("x", "batch in"), "n in"))
    scores = g.dense("W_router", h, "experts n")
    scores = g.node("same", "identity", scores) if between else scores
    scores = g.scale("factor", scores, free=True) if free else scores
    g.parameter("W2", "experts n n")
    h = g.einsum("h2", "b n, b e, e m n -> b m", h, g.softmax(scores, axis="experts", name="w"), parameters=("W2",))
    return g.build(g.dense("W3", g.gelu(h, name="a2"), "out n"))


@pytest.mark.parametrize("between", [False, True])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_free_factor_behind_a_parameter_that_stands_alone_is_no_freedom(optimizer: str, between: bool) -> None:
    plain = sr.derive(routed(False), optimizer=optimizer)
    solution = sr.derive(routed(True, between), optimizer=optimizer)
    assert solution.multipliers["factor"]["width"] == 0
    assert [exponents(solution, n) for n in solution.parameters] == [exponents(plain, n) for n in plain.parameters]


def test_no_term_of_a_sum_is_left_behind_to_make_room_for_another() -> None:
    """A learnt vector of fixed size passes through the layer that reads the data, and both are added."""
    g = sr.Builder("start", axes=MLP)
    x = g.input("x", "batch in")
    g.parameter("start", "in")
    g.parameter("read", "n in")
    first = g.tanh(g.einsum("first", "i, o i -> o", parameters=("start", "read")), name="a1")
    data = g.einsum("data", "b i, o i -> b o", x, parameters=("read",))
    second = g.einsum("second", "i, o i -> o", first, parameters=(g.parameter("mix", "n n"),))
    both = g.node("both", "add", data, second, equation="b o, o -> b o")
    solution = sr.derive(g.build(g.dense("W3", g.tanh(both, name="a2"), "out n")), optimizer="adamw")
    assert exponents(solution, "start") == exponents(solution, "read") == (0, 0)


def test_a_tied_table_beside_positions_keeps_its_size_and_the_readout_has_the_factor() -> None:
    g = sr.Builder("masked", axes={"batch": 4, "time": 7, "words": 19, "n": "width"})
    tokens, places = g.input("tokens", "batch time words", "tokens"), g.input("places", "time time", "tokens")
    g.parameter("table", "words n")
    g.parameter("positions", "time n")
    words = g.einsum("word", "b t v, v n -> b t n", tokens, parameters=("table",))
    place = g.einsum("place", "t p, p n -> t n", places, parameters=("positions",))
    h = g.rms_norm(g.node("both", "add", words, place, equation="b t n, t n -> b t n"), axis="n", name="norm")
    h = g.relu(g.dense("mix", h, "n n", "b t"))
    logits = g.bias("b", g.einsum("read", "b t n, v n -> b t v", h, parameters=("table",)), "words")
    solution = sr.derive(g.build(g.scale("logits", logits, free=True)), optimizer="adamw")
    assert exponents(solution, "table") == exponents(solution, "positions") == (0, 0)
    assert solution.multipliers["logits"]["width"] == -1


def hidden(make: str) -> sr.Graph:
    """A perceptron whose hidden matrix is computed from parameters in one of several ways."""
    g = sr.Builder(make, axes={**MLP, "k": "width/4", "m": "width"})
    h = g.gelu(g.dense("W1", g.input("x", "batch in"), "n in"))
    if make == "product":
        g.parameter("L", "m k")
        g.parameter("R", "k n")
        w = g.einsum("W", "o k, k i -> o i", parameters=("L", "R"))
    elif make == "view":
        g.parameter("U", "n m")
        w = g.node("W", "rearrange", parameters=("U",), axes="m n", equation="i o -> o i")
    elif make == "gains":
        g.parameter("U", "m n")
        g.parameter("gain", "m", "ones")
        w = g.einsum("W", "o i, o -> o i", parameters=("U", "gain"))
    else:
        g.parameter("U", "m n")
        w = g.node("W", "rms_norm", parameters=("U",), axis="n")
    return g.build(g.dense("W3", g.gelu(g.einsum("h", "b i, o i -> b o", h, w), name="a2"), "out m"))


@pytest.mark.parametrize(
    ("make", "optimizer", "rules"),
    [
        ("product", "adamw", {"L": ("-1/2", -1), "R": ("-1/2", -1)}),
        ("product", "sgd", {"L": ("-1/2", 0), "R": ("-1/2", 0)}),
        ("view", "adamw", {"U": ("-1/2", -1)}),
        ("view", "sgd", {"U": ("-1/2", 0)}),
        ("gains", "adamw", {"U": ("-1/2", -1), "gain": (0, 0)}),
        ("gains", "sgd", {"U": ("-1/2", 0), "gain": (0, 1)}),
    ],
)
def test_a_weight_may_be_computed_before_data_meet_it(make: str, optimizer: str, rules: dict[str, tuple]) -> None:
    solution = sr.derive(hidden(make), optimizer=optimizer)
    assert {name: exponents(solution, name) for name in rules} == {
        name: (Fraction(init), Fraction(lr)) for name, (init, lr) in rules.items()
    }
    assert exponents(solution, "W1") == (0, 0 if optimizer == "adamw" else 1)
    assert exponents(solution, "W3") == (-1, -1)


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", "-3/2"), ("sgd", -1)])
def test_a_factor_in_front_of_a_layer_is_taken_up_by_it_however_large(optimizer: str, rate: str | int) -> None:
    g = sr.Builder("front", axes=MLP)
    h = g.gelu(g.dense("W1", g.input("x", "batch in"), "n in"))
    h = g.gelu(g.dense("W2", g.scale("larger", h, "n^(1/2)"), "n n"), name="a2")
    solution = sr.derive(g.build(g.dense("W3", h, "out n")), optimizer=optimizer)
    assert exponents(solution, "W2") == (-1, Fraction(rate))
    assert exponents(solution, "W1") == (0, 0 if optimizer == "adamw" else 1)


def test_a_matrix_that_is_read_twice_in_a_row_has_no_size_in_between() -> None:
    """`U U^T h` of fixed rank: at size 0 behind `U^T` alone, `h` would change by 1/n (by hand, and measured)."""
    g = sr.Builder("gram", axes={**MLP, "k": 4})
    h = g.gelu(g.dense("W1", g.input("x", "batch in"), "n in"))
    g.parameter("U", "n k")
    w = g.einsum("W", "o k, i k -> o i", parameters=("U", "U"))
    graph = g.build(g.dense("W3", g.gelu(g.einsum("h", "b i, o i -> b o", h, w), name="a2"), "out n"))
    assert exponents(sr.derive(graph, optimizer="adamw"), "U") == (Fraction(-1, 2), Fraction(-1, 2))


def test_what_a_function_reads_in_a_weight_is_no_larger_than_the_function_is_curved() -> None:
    """`V tanh(U)`: U, which only the product with V shows, does not grow to make room for V."""
    g = sr.Builder("made", axes={**MLP, "m": "width"})
    h = g.gelu(g.dense("W1", g.input("x", "batch in"), "n in"))
    g.parameter("U", "m n")
    g.parameter("V", "m m")
    w = g.einsum("W", "p i, o p -> o i", g.tanh(parameters=("U",), name="t"), parameters=("V",))
    graph = g.build(g.dense("W3", g.gelu(g.einsum("h", "b i, o i -> b o", h, w), name="a2"), "out m"))
    solution = sr.derive(graph, optimizer="adamw")
    assert exponents(solution, "U") == (0, Fraction(-1, 2)) and exponents(solution, "V") == (-1, Fraction(-3, 2))


def test_a_node_may_be_called_like_a_parameter_that_it_reads() -> None:
    """Traced graphs do: an einsum that reads the node `b` does not read the parameter `b`."""
    g = sr.Builder("names", axes=MLP)
    h = g.bias("b", g.dense("W1", g.input("x", "batch in"), "n in"), "n")
    graph = g.build(g.dense("W3", h, "out n"))
    assert uses(graph, "b") == []
    assert [use.node for use in uses(graph, "W3")] == ["W3"]
    assert fan_in(hidden("view"), "U", {"width": 64}) == 64


def attention(factor: str) -> sr.Graph:
    """One layer of attention whose factor at the scores is fixed."""
    g = sr.Builder("attention", axes={**MLP, "time": 6, "heads": 4, "head": "width/4"})
    x = g.rms_norm(g.dense("W1", g.input("x", "batch time in"), "n in", batch="b t"), axis="n", name="normed")
    for name in ("W_Q", "W_K", "W_V"):
        g.parameter(name, "heads head n")
    q, k, v = (g.einsum(name[-1], "b t n, h d n -> b h t d", x, parameters=(name,)) for name in ("W_Q", "W_K", "W_V"))
    scores = g.scale("scores", g.einsum("products", "b h t d, b h u d -> b h t u", q, k), factor)
    mixed = g.einsum("mixed", "b h t u, b h u d -> b t h d", g.softmax(scores, axis="time", name="weights"), v)
    g.parameter("W_O", "n heads head")
    y = g.einsum("read", "b t h d, n h d -> b t n", mixed, parameters=("W_O",))
    return g.build(g.dense("W3", g.add(x, y, name="sum"), "out n", batch="b t"))


@pytest.mark.parametrize("optimizer, power", [("adamw", 1), ("sgd", 2)])
def test_a_fixed_factor_behind_a_product_is_taken_up_by_its_factors(optimizer: str, power: int) -> None:
    right, rooted = (sr.derive(attention(factor), optimizer=optimizer) for factor in ("1/head", "head^(-1/2)"))
    for name in right:
        (init, lr), (other, rate) = exponents(right, name), exponents(rooted, name)
        moved = Fraction(-1, 2) if name == "W_K" else Fraction(0)
        assert (other, rate) == (init + moved, lr + power * moved), name


def test_a_named_start_is_found_behind_products_too() -> None:
    """What `mup` starts at, where an alignment is prescribed, is what is derived without one."""
    graph = attention("head^(-1/2)")
    plain = sr.derive(graph, optimizer="adamw")
    full = sr.derive(graph, optimizer="adamw", given="mup", alignment="full")
    assert {name: full[name].init for name in full} == {name: plain[name].init for name in plain}
    assert exponents(full, "W_K") == (-1, -1)


def chosen_matrix(made_by: str) -> sr.Graph:
    """A perceptron whose hidden matrix data choose: linear in other data, or a mixture of four matrices."""
    g = sr.Builder(made_by, axes={**MLP, "k": 4})
    h = g.gelu(g.dense("W1", g.input("x", "batch in"), "n in"))
    k = g.input("z", "batch k") if made_by == "data" else g.softmax(g.dense("router", h, "k n"), axis="k", name="mix")
    g.parameter("H", "k n n")
    w = g.einsum("W", "b k, k o i -> b o i", k, parameters=("H",))
    return g.build(g.dense("W3", g.gelu(g.einsum("y", "b i, b o i -> b o", h, w), name="a2"), "out n"))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("made_by", ["data", "router"])
def test_a_matrix_that_data_choose_has_the_rule_of_a_layer(made_by: str, optimizer: str) -> None:
    graph, plain = chosen_matrix(made_by), sr.derive(perceptron(), optimizer=optimizer)
    solution = sr.derive(graph, optimizer=optimizer)
    for name, layer in {"H": "W2", "W1": "W1", "W3": "W3"}.items():
        assert exponents(solution, name) == exponents(plain, layer), name
    report = sr.verify(graph, solution, sizes=[64, 128, 256], seeds=2, progress=False, jobs=1)
    assert not report.wrong


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_factor_that_makes_a_mean_of_a_sum_is_no_factor_of_the_layer_behind(optimizer):
    """A mean over growing tokens, written as a sum and a factor, in front of the readout: nothing scales."""
    nodes = {
        "x": {"op": "input", "axes": ["b", "t", "i"]},
        "h": {"op": "einsum", "inputs": ["x"], "parameters": ["W"], "equation": "b t i, n i -> b t n"},
        "a": {"op": "gelu", "inputs": ["h"]},
        "sum": {"op": "einsum", "inputs": ["a"], "equation": "b t n -> b n"},
        "mean": {"op": "scale", "inputs": ["sum"], "factor": "1/width"},
        "y": {"op": "einsum", "inputs": ["mean"], "parameters": ["V"], "equation": "b n, o n -> b o"},
    }
    axes = {"b": 4, "t": "width", "i": 8, "n": 32, "o": 4}
    parameters = {"W": {"axes": ["n", "i"]}, "V": {"axes": ["o", "n"]}}
    made = {"name": "pooled", "axes": axes, "nodes": nodes, "parameters": parameters, "outputs": ["y"]}
    solution = sr.derive(sr.Graph.model_validate(made), optimizer=optimizer)
    assert {rule.init.fractions["width"] for rule in solution.parameters.values()} == {0}


LEARNT_QUERY = """
name: pooled
axes: {batch: 8, s: 12, d: 8, n: width, out: 4}
scales: {width: 1}
parameters:
  E: {axes: [n, d]}
  seed: {axes: [n]}
  Q: {axes: [n, n]}
  b_Q: {axes: [n]}
  K: {axes: [n, n]}
  b_K: {axes: [n]}
  U: {axes: [out, n]}
nodes:
  x: {op: input, axes: [batch, s, d], kind: normal}
  h: {op: einsum, inputs: [x], parameters: [E], equation: 'b s d, n d -> b s n'}
  q: {op: einsum, parameters: [seed, Q], equation: 'n, m n -> m'}
  query: {op: add, inputs: [q], parameters: [b_Q], equation: 'm, m -> m'}
  k: {op: einsum, inputs: [h], parameters: [K], equation: 'b s n, m n -> b s m'}
  key: {op: add, inputs: [k], parameters: [b_K], equation: 'b s m, m -> b s m'}
"""
BEHIND = """
  dots: {op: einsum, inputs: [query, key], equation: 'm, b s m -> b s'}
  scores: {op: scale, inputs: [dots], factor: n^(-1/2), free: true}
"""
IN_FRONT = """
  scaled: {op: scale, inputs: [query], factor: n^(-1/2), free: true}
  scores: {op: einsum, inputs: [scaled, key], equation: 'm, b s m -> b s'}
"""
POOLED = """
  weights: {op: softmax, inputs: [scores], axis: s}
  pooled: {op: einsum, inputs: [weights, h], equation: 'b s, b s n -> b n'}
  o: {op: einsum, inputs: [pooled], parameters: [U], equation: 'b n, o n -> b o'}
outputs: [o]
"""


@pytest.mark.parametrize("scores", [BEHIND, IN_FRONT], ids=["behind", "in front"])
@pytest.mark.parametrize(("optimizer", "rates"), [("adamw", (0, -1, 0)), ("sgd", (1, 0, 1))])
def test_a_learnt_query_and_its_bias_are_of_the_size_of_a_query(
    scores: str, optimizer: str, rates: tuple[int, ...], tmp_path: Path
) -> None:
    """Attention that pools (a set transformer's, a perceiver's, object queries): wherever the free factor stands.

    The bias was held in front of the factor, so that it learned a whole power of the width too little.
    """
    (tmp_path / "pooled.yaml").write_text(LEARNT_QUERY + scores.strip("\n") + POOLED)
    solution = sr.derive(str(tmp_path / "pooled.yaml"), optimizer=optimizer)
    found = {name: exponents(solution, name) for name in ("seed", "Q", "b_Q")}
    assert found == {name: (init, rate) for (name, init), rate in
                     zip((("seed", 0), ("Q", Fraction(-1, 2)), ("b_Q", 0)), rates, strict=True)}  # fmt: skip
    assert [factor["width"] for factor in solution.multipliers.values()] == [-1]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_a_number_on_a_unit_vector_has_the_rate_of_a_number(optimizer: str) -> None:
    """The factor between a norm and a product with another value is the product's: no number makes up for it."""
    g = sr.Builder("cosine", axes={"batch": 16, "in": 8, "n": "width", "out": 4})
    h = g.rms_norm(g.dense("W1", g.input("x", "batch in"), "n in"), axis="n", name="norm")
    g.parameter("t", "", "ones")
    h = g.einsum("warm", "b i, -> b i", g.scale("unit", h, "n^(-1/2)"), parameters=("t",))
    k = g.rms_norm(g.dense("W2", g.input("y", "out in"), "n in"), axis="n", name="norm_y")
    solution = sr.derive(
        g.build(g.scale("cosine", g.einsum("dots", "b i, o i -> b o", h, k), free=True)), optimizer=optimizer
    )
    assert exponents(solution, "t") == (0, 0) and solution.multipliers["cosine"]["width"] == Fraction(-1, 2)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_only_a_norm_reads_what_standardised_weights_make(optimizer: str) -> None:
    """Weight standardisation: entries of size 0 make values of size 1/2, which no parameter could make smaller."""
    g = sr.Builder("standardised", axes={**MLP, "m": "width"})
    h = g.gelu(g.dense("W1", g.input("x", "batch in"), "n in"))
    g.parameter("W2", "m n")
    h = g.einsum("middle", "b i, o i -> b o", h, g.layer_norm(parameters=("W2",), axis="n", name="w"))
    h = g.gelu(g.layer_norm(h, axis="m", name="norm"))
    solution = sr.derive(g.build(g.dense("W3", h, "out m")), optimizer=optimizer)
    rates = (0, -1, -1) if optimizer == "adamw" else (1, 0, -1)
    assert [exponents(solution, name) for name in ("W1", "W2", "W3")] == [
        (0, rates[0]), (Fraction(-1, 2), rates[1]), (-1, rates[2])
    ]  # fmt: skip


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", "-1/2"), ("sgd", "0"), ("muon", "-1/2")])
def test_what_unit_vectors_change_by_is_held_against_their_size(optimizer: str, rate: str) -> None:
    """A state on the sphere takes learnt steps (nGPT, arXiv 2410.01131): no part of it can be of size 0."""
    g = sr.Builder("sphere", axes={"batch": 16, "in": 8, "n": "width", "m": "width", "out": 4})

    def unit(name: str, value: str) -> str:
        return g.scale(name, g.node(f"{name}.norm", "rms_norm", value, axis="n"), "n^(-1/2)")

    h = unit("h", g.dense("W1", g.input("x", "batch in"), "n in"))
    for name, axes in (("W2", "m n"), ("W3", "n m")):
        g.parameter(name, axes)
    rows = g.node("rows", "rms_norm", parameters=("W2",), axis="n")
    inner = g.gelu(g.scale("inner", g.einsum("dots", "b n, m n -> b m", h, rows), free=True))
    y = unit("y", g.einsum("outer", "b m, n m -> b n", inner, parameters=("W3",)))
    g.parameter("a", "n", "ones", factor="n^(-1/2)")
    alpha = g.scale("alpha", g.node("shown", "identity", parameters=("a",)), "n^(1/2)")
    way = g.add(y, g.node("back", "negative", h))
    h = unit("arrived", g.add(h, g.einsum("step", "b n, n -> b n", way, alpha)))
    solution = sr.derive(g.build(g.dense("W4", h, "out n")), optimizer=optimizer)
    assert (str(solution["a"].init["width"]), str(solution["a"].lr["width"])) == ("-1/2", rate)
    assert exponents(solution, "W1")[0] == 0 and solution.multipliers["inner"]["width"] == 0


@pytest.mark.parametrize("turn", ["cos", "sin", "sigmoid"])
def test_an_angle_between_unit_vectors_has_the_rate_of_a_number(turn: str) -> None:
    """What a function makes of a number that starts fixed is as given as the unit vector: it had a rate of 1/6."""
    g = sr.Builder("circle", axes={"batch": 16, "in": 8, "n": "width", "out": 4})

    def unit(name: str, value: str) -> str:
        return g.scale(name, g.node(f"{name}.norm", "rms_norm", value, axis="n"), "n^(-1/2)")

    u = unit("u", g.dense("W1", g.input("x", "batch in"), "n in"))
    v = unit("v", g.dense("W2", g.input("y", "batch in"), "n in"))
    g.parameter("a", "", "ones")
    part = g.einsum("part", "b n, -> b n", u, g.node("turned", turn, parameters=("a",)))
    h = g.node("arrived", "rms_norm", g.add(part, v), axis="n")
    solution = sr.derive(g.build(g.dense("W3", h, "out n")), optimizer="adamw")
    assert exponents(solution, "a") == (0, 0)


@pytest.mark.parametrize("axes", ["", "n"])
@pytest.mark.parametrize("function", ["exp", "softplus", "sigmoid"])
def test_what_a_function_makes_of_a_parameter_is_judged_where_it_is_made(axes: str, function: str) -> None:
    """A small factor behind it is no gauge: the rate was `width^(1/6)`.

    In plain torch, widths 64 to 4096, `exp` of a vector contributes to the outputs by -0.48 with a rate of 0, and moves
    them out of all bounds with one of 1/2.
    """
    g = sr.Builder("scaled", axes={"b": 16, "i": 8, "n": "width", "o": 4})
    h = g.gelu(g.dense("W1", g.input("x", "b i"), "n i"))
    y = g.dense("W2", h, "o n")
    g.parameter("a", axes, "zeros")
    made = g.node("made", function, parameters=("a",))
    part = g.einsum("part", "b n, n -> b" if axes else "b o, -> b o", h if axes else y, made)
    small = g.scale("small", g.scale("mean", part, "1/n") if axes else part, "n^(-1/2)")
    end = g.node("end", "add", y, small, equation="b o, b -> b o" if axes else "b o, b o -> b o")
    solution = sr.derive(g.build(end), optimizer="adamw")
    assert exponents(solution, "a") == (0, 0)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("mode", ["joint", "isolated"])
@pytest.mark.parametrize("number", ["in front", "behind"])
def test_a_number_beside_the_factor_of_a_mean_learns_alike_however_it_is_written(
    number: str, mode: str, optimizer: str
) -> None:
    """Identities in between change nothing, nor does the factor in two parts: a mean is what all together make of a sum."""

    def mean(way: str) -> sr.Solution:
        g = sr.Builder("mean", axes=MLP)
        g.parameter("W2", "n n")
        g.parameter("number", "", "ones")
        h = g.gelu(g.dense("W1", g.input("x", "batch in"), "n in"))
        h = g.einsum("sum", "b i, o i -> b o", h, g.tanh(parameters=("W2",), name="curved"))
        factors = ["n^(-1/2)", "n^(-1/2)"] if way == "in two parts" else ["1/n"]
        for place, factor in enumerate(["", *factors] if number == "in front" else [*factors, ""]):
            name = f"step{place}"
            h = g.scale(name, h, factor) if factor else g.einsum(name, "b o, -> b o", h, parameters=("number",))
            h = g.identity(h, name=f"same{place}") if way == "with identities" else h
        return sr.derive(g.build(g.dense("W3", h, "out n")), optimizer=optimizer, mode=mode)

    plain, *others = (mean(way) for way in ("", "with identities", "in two parts"))
    for other in others:
        for name in ("W1", "W2", "number", "W3"):
            assert exponents(other, name) == exponents(plain, name), name

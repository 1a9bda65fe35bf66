"""Where a size is judged (docs/theory.md): one map written in several ways has one rule."""

from __future__ import annotations

from fractions import Fraction

import pytest

import scalerules as sr

AXES = {"batch": 16, "in": 8, "n": "width", "out": 4}


def layers(behind: str | None = None, factor: str = "1/n") -> sr.Graph:
    """Three layers W1, W2, W3 with a fixed factor behind one of them."""
    g = sr.Builder("layers", axes=AXES)

    def layer(name: str, x: str, axes: str) -> str:
        y = g.dense(name, x, axes)
        return g.scale(f"{name}.scaled", y, factor) if name == behind else y

    h = g.gelu(layer("W1", g.input("x", "batch in"), "n in"))
    h = g.gelu(layer("W2", h, "n n"), name="a2")
    return g.build(layer("W3", h, "out n"))


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
    plain = sr.derive(layers(), optimizer=optimizer)
    scaled = sr.derive(layers(layer, factor), optimizer=optimizer)
    for name in ("W1", "W2", "W3"):
        wanted = exponents(plain, name)
        assert exponents(scaled, name) == (gauged(*wanted, power, optimizer) if name == layer else wanted)


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
    assert exponents(solution, "E") == (0, Fraction(1, 2) if optimizer == "muon" else 0)
    assert exponents(solution, "W2") == exponents(solution, "W3") == (0, 0)

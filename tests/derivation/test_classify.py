"""What a parametrization does, against the classification of Tensor Programs IV (Yang and Hu 2021, arXiv 2011.14522)."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction
from typing import Any

import pytest

import scalerules as sr
from scalerules.errors import UnknownName

HALF = Fraction(1, 2)

# named parametrizations


@pytest.mark.parametrize("hidden", [1, 2, 3])
@pytest.mark.parametrize(("name", "rate"), [("standard", -1), ("ntk", 0)])
def test_standard_and_ntk_are_in_the_kernel_regime(name, rate, hidden):
    found = sr.classify(sr.graph("mlp", hidden=hidden), name, "sgd")
    assert found.stable and found.regime == "kernel"
    assert found.rate == rate
    assert found.feature == -HALF
    assert set(found.lazy) == {"input", *(f"h{i + 1}" for i in range(hidden))}, "only the output layer learns"


def test_mean_field_learns_features_with_one_hidden_layer():
    found = sr.classify(sr.graph("mlp", hidden=0), "mean-field", "sgd")
    assert (found.regime, found.feature, found.rate, dict(found.lazy)) == ("feature learning", 0, 1, {})


@pytest.mark.parametrize("hidden", [0, 1, 2, 3])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon"])
def test_mup_learns_features_at_every_depth(hidden, optimizer):
    found = sr.classify(sr.graph("mlp", hidden=hidden), "mup", optimizer)
    assert (found.regime, found.feature, dict(found.lazy)) == ("feature learning", 0, {})


@pytest.mark.parametrize("name", ["standard", "ntk"])
def test_one_global_rate_under_adam_is_lazy_too(name):
    found = sr.classify("mlp", name, "adam")
    assert found.regime == "kernel" and found.feature == -HALF and {"h1", "h2"} <= set(found.lazy)


# every parametrization: multipliers a, stds b, one rate c, as width to the minus these


def written(a: list[Fraction], b: list[Fraction], c: Fraction) -> dict:
    names = ["input", *(f"h{i}" for i in range(1, len(a) - 1)), "output"]
    rules = zip(names, a, b, strict=True)
    return {name: {"mult": str(-x), "init": str(-y), "lr": str(-c)} for name, x, y in rules}


def theory(a: list[Fraction], b: list[Fraction], c: Fraction) -> tuple[bool, Fraction]:
    """Whether it is stable, and r: hidden values change by width**-r (theorems 3.2 and 3.3, SGD, tanh)."""
    out = a[-1] + b[-1]
    r = min(out, 2 * a[-1] + c) + c - 1 + min(2 * x + (1 if layer == 0 else 0) for layer, x in enumerate(a[:-1]))
    at_first = out >= HALF
    return at_first and r >= 0 and 2 * a[-1] + c >= 1 and out + r >= 1, r


GRID = list(
    itertools.product(
        [0, 1],  # hidden layers beside the input and the output layer
        [Fraction(-1, 2), Fraction(0)],  # multiplier of the input layer
        [Fraction(0), HALF],  # of hidden layers
        [Fraction(0), HALF, Fraction(1)],  # of the output layer
        [HALF, Fraction(1)],  # multiplier times std of the output layer
        [Fraction(-1), Fraction(0), HALF, Fraction(1)],  # rate
    )
)


@pytest.mark.parametrize("hidden", [0, 1])
@pytest.mark.parametrize("share", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_every_parametrization_as_classified(hidden, share):
    graph = sr.graph("mlp", hidden=hidden, activation="tanh")
    kinds = set()
    for _, first, inner, last, out, c in [point for point in GRID if point[0] == hidden][::share]:
        a = [first, *[inner] * hidden, last]
        b = [-first, *[HALF - inner] * hidden, out - last]
        stable, r = theory(a, b, c)
        found = sr.classify(graph, written(a, b, c), "sgd")
        assert found.stable == stable, (a, b, c)
        if stable:
            assert found.feature == -r, (a, b, c)
            assert found.regime == ("feature learning" if r == 0 else "kernel")
        kinds.add(found.regime)
    assert kinds == {"unstable", "feature learning", "kernel"}


# what it says


def test_says_where_when_and_by_how_much():
    found = sr.classify("mlp", {"h2": {"init": 0}}, "adam")
    assert [(u.quantity, u.node, u.step, u.size) for u in found.unstable] == [("value", "h2", 0, HALF)]
    assert "unstable: value of h2, at initialisation, +1/2" in str(found)
    data = json.loads(found.to_json())
    assert data["regime"] == "unstable" and data["stable"] is False
    assert data["unstable"] == [{"quantity": "value", "node": "h2", "step": 0, "size": "1/2"}]


def test_a_rate_too_large_and_one_too_small():
    found = sr.classify("mlp", {"h1": {"lr": "-1/2"}}, "adam")
    assert [(u.quantity, u.node, u.step, u.size) for u in found.unstable] == [("change", "h1", 1, HALF)]
    found = sr.classify("mlp", {"h1": {"lr": "-3/2"}}, "adam")
    assert found.stable and dict(found.lazy) == {"h1": -HALF}
    assert found.regime == "feature learning", "the other layers still learn"


def test_what_is_derived_is_stable_and_not_lazy():
    solution = sr.derive("mlp", optimizer="adam")
    given = {name: {"init": str(r.init["width"]), "lr": str(r.lr["width"])} for name, r in solution.parameters.items()}
    found = sr.classify("mlp", given, "adam")
    assert found.stable and not found.lazy


def bilinear() -> sr.Graph:
    """Two towers whose values a matrix multiplies: moving one tower moves the score through the matrix."""
    g = sr.Builder("bilinear", axes={"batch": 16, "in": 8, "n": "width", "m": "width", "out": 4})
    x = g.input("x", "batch in")
    a, b = g.gelu(g.dense("A", x, "n in"), name="a"), g.gelu(g.dense("B", x, "m in"), name="b")
    g.parameter("W", "out n m")
    return g.build(g.einsum("score", "b n, b m, o n m -> b o", a, b, parameters=("W",)))


def test_what_an_update_changes_in_the_loss_is_judged_as_in_deriving():
    graph = bilinear()
    rule = sr.derive(graph, optimizer="adamw")
    given: dict[str, dict[str, Any]] = {
        name: {"init": rule[name].init["width"], "lr": rule[name].lr["width"]} for name in rule.parameters
    }
    assert sr.classify(graph, given, "adamw").stable
    given["W"]["init"] = "-1"
    found = sr.classify(graph, given, "adamw")
    assert found.regime == "unstable" and {u.quantity for u in found.unstable} <= {"change", "loss"}


# what the loss forgives: arXiv 2505.22491, propositions 2 and 4 (two hidden layers, one rate width^-a, SGD)


def with_loss(loss: str) -> sr.Graph:
    return sr.Graph.model_validate(sr.graph("mlp", hidden=2, activation="tanh").to_dict() | {"loss": loss})


@pytest.mark.parametrize("a", [Fraction(5, 4), Fraction(1), Fraction(3, 4), HALF, Fraction(1, 4)])
def test_logits_may_diverge_under_cross_entropy(a):
    stds = {"input": "0", "h1": "-1/2", "h2": "-1/2", "output": "-1/2"}
    given = {name: {"init": std, "lr": str(-a)} for name, std in stds.items()}
    squares = sr.classify(with_loss("mse"), given, "sgd")
    assert squares.regime == ("kernel" if a >= 1 else "unstable")
    found = sr.classify(with_loss("cross_entropy"), given, "sgd")
    if a >= 1 or a < HALF:
        assert found.regime == ("kernel" if a >= 1 else "unstable") and not found.diverging
        return
    assert found.regime == "controlled divergence" and not found.stable and not found.unstable
    assert {u.node for u in found.diverging} == {"output"} and max(u.size for u in found.diverging) == 1 - a
    assert found.lazy["input"] == -HALF - a and found.feature == HALF - a


@pytest.mark.parametrize(("optimizer", "rate", "edge"), [("sgd", -1, -HALF), ("adam", Fraction(-3, 2), -1)])
def test_the_edge_of_controlled_divergence(optimizer, rate, edge):
    found = sr.classify(with_loss("cross_entropy"), "standard", optimizer)
    assert (found.rate, found.edge) == (rate, edge)
    assert f"up to the exponent {edge} the outputs alone diverge" in str(found)
    assert sr.classify(with_loss("mse"), "standard", optimizer).edge is None
    assert sr.classify(with_loss("cross_entropy"), "mup", optimizer).regime == "feature learning"


def test_an_unknown_parametrization_is_refused_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'standard'"):
        sr.classify("mlp", "standart")

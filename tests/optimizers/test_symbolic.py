"""What the words of a law make of sizes and signs, term by term, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from scalerules.errors import ScaleRulesError
from scalerules.optimizers import vocabulary
from scalerules.optimizers.form import arity, checked, form
from scalerules.optimizers.law import Optimizer
from scalerules.optimizers.powers import Powers, atom, largest, smallest
from scalerules.optimizers.symbolic import Facts, Quantity, given

VALUES = {
    "gradient": 3,
    "weight": 5,
    "fan_in": 7,
    "fan_out": 11,
    "entries": 18,
    "read": 13,
    "behind": 17,
    "together": 19,
}
"""Sizes at which a quantity is looked at: no two sums of few of them are equal."""
WORDS = {name: getattr(vocabulary, name) for name in dir(vocabulary)}


def size(powers: Powers) -> Fraction:
    return sum((p * VALUES[name] for name, p in powers.resolved(VALUES.__getitem__).items()), Fraction(0))


def quantity(text: str, matrix: bool = True, state: str = "there") -> Any:
    """What an expression of the gradient `g`, the parameter `w` and its place `p` gives."""
    g, w, p = given(Facts("W", matrix), state)
    return eval(text, {**WORDS, "g": g, "w": w, "p": p})


def told(x: Quantity) -> str:
    """Whose signs it carries (g, w, none of a tensor -, a number #), and its properties."""
    signs = "#" if x.signs is None else "".join(sorted(name[0] for name in x.signs)) or "-"
    return signs + "".join(" " + name for name in ("levelled", "whole", "zero", "dense") if getattr(x, name))


MATRICES: dict[str, tuple[float, str]] = {
    "g": (3, "g"), "2 * g * 3 / 4": (3, "g"), "-g + 0": (3, "g"), "average(g)": (3, "g"),
    "g * w": (8, "gw levelled dense"), "g * g": (6, "- levelled dense"), "g / w": (-2, "gw levelled dense"),
    "g * rms(w)": (8, "g"), "rms(w) * g": (8, "g"), "rms(w) * sign(g)": (5, "g levelled dense"), "1 / rms(w)": (-5, "# levelled dense"),
    "g ** 3": (9, "g levelled dense"), "g ** 2": (6, "- levelled dense"), "g ** -1": (-3, "g levelled dense"),
    "g ** 1": (3, "g dense"), "g ** 0.5": (1.5, "- levelled dense"), "g.square()": (6, "- levelled dense"),
    "rms(g) ** 2": (6, "# levelled dense"),
    "abs(g)": (3, "- dense"), "abs(rms(g))": (3, "#"), "sqrt(abs(g))": (1.5, "- dense"), "sqrt(g * g)": (3, "- levelled dense"),
    "sign(g)": (0, "g levelled dense"), "clip(g)": (0, "g levelled dense"), "clip(g ** -1)": (-3, "g levelled dense"),
    "maximum(rms(g), rms(w))": (5, "#"), "minimum(rms(g), rms(w))": (3, "#"), "maximum(rms(g), 1.0)": (3, "#"),
    "minimum(rms(g), 1.0)": (0, "#"), "maximum(1 / rms(g), 2)": (0, "# levelled dense"),
    "maximum(rms(g), eps)": (3, "#"), "minimum(rms(g), rms(w), 1.0)": (0, "#"),
    "maximum(1 / rms(g), 2, 1 / rms(w))": (0, "# levelled dense"),
    "rms(g)": (3, "#"), "rms(g, 'fan_in')": (3, "-"), "norm(g)": (12, "#"), "norm(g, 'fan_in')": (6.5, "-"),
    "norm(g, 'fan_out')": (8.5, "-"), "spectral(g)": (12, "#"), "spectral(w)": (10.5, "#"), "spectral(abs(g))": (8.5, "# dense"),
    "orthogonal(g)": (-9, "g levelled whole"), "low_rank(g, 2)": (3, "g whole"), "rms(low_rank(g, 2))": (3, "#"),
    "power(left(g), -1/4) @ g": (-3, "g levelled whole"), "inverse(right(g) + eps) @ g": (-21, "g levelled whole"),
    "g @ power(right(g), -1/4)": (-3, "g levelled whole"),
    "inverse(inputs(g)) @ g": (-10, "g levelled whole"), "inverse(outputs(g)) @ g": (-14, "g levelled whole"),
    "inverse(inputs(g) * outputs(g)) @ g": (-27, "g levelled whole"), "inverse(inputs(g) + outputs(g)) @ g": (-14, "g levelled whole"),
    "inverse(2 * inputs(g).average(0.9)) @ g": (-10, "g levelled whole"),
    "trust(w, g)": (2, "#"), "trust(w, g) * g": (5, "g"), "trust(norm(w), g)": (2, "#"), "global_norm(g)": (19, "#"),
    "g * norm(g) / p.fan_in": (8, "g"), "g * sqrt(p.fan_out)": (8.5, "g"), "g / p.entries": (-15, "g"),
    "rms(g) + rms(w)": (5, "#"), "rms(g) - rms(w)": (5, "#"), "1 - rms(g)": (3, "#"), "rms(g) + 1": (3, "#"), "rms(g) + 0.01": (3, "#"), "g + 0.0": (3, "g"), "1 / rms(g) + 1": (0, "# levelled dense"), "g - sign(g)": (3, "g dense"),
    "sign(g) + sign(g)": (0, "g levelled dense"), "low_rank(g, 1) + g": (3, "g whole"), "g + low_rank(g, 1)": (3, "g whole"),
    "g * rms(low_rank(g, 1))": (6, "g"), "low_rank(g, 1) * rms(w)": (8, "g whole"),
}  # fmt: skip


@pytest.mark.parametrize("text", MATRICES)
def test_what_words_make_of_a_matrix(text: str) -> None:
    found = quantity(text)
    assert (float(size(found.size)), told(found)) == MATRICES[text]
    assert found.bulk is None


VECTORS = {
    "spectral(g)": (12, "#"), "orthogonal(g)": (-9, "g levelled"), "low_rank(g, 1)": (3, "g"), "power(left(g), -1/4) @ g": (-3, "g levelled"),
    "inverse(inputs(g)) @ g": (3, "g levelled"), "inverse(outputs(g)) @ g": (-21, "g levelled"), "orthogonal(sign(g))": (-9, "g levelled"),
}  # fmt: skip


@pytest.mark.parametrize("text", VECTORS)
def test_what_words_make_of_a_vector(text: str) -> None:
    found = quantity(text, matrix=False)
    assert (float(size(found.size)), told(found)) == VECTORS[text]


FULL_RANK = {
    # the part along the gradient, all entries: most singular values of a matrix of full rank do not follow the gradient
    "orthogonal(sign(g))": (-9, -5.5), "orthogonal(sign(g)) * rms(w)": (-4, -0.5), "rms(w) * orthogonal(sign(g))": (-4, -0.5),
    "orthogonal(sign(g)) / rms(w)": (-14, -10.5), "g + orthogonal(sign(g)) * rms(w)": (3, 3),
    "abs(orthogonal(sign(g)))": (-5.5, -5.5), "orthogonal(sign(g)) ** 3": (-16.5, -16.5), "sign(orthogonal(sign(g)))": (0, 0),
    "rms(orthogonal(sign(g)))": (-5.5, -5.5), "spectral(orthogonal(sign(g)))": (0, 0), "spectral(orthogonal(sign(g)) * rms(w))": (5, 5),
    "orthogonal(sign(g)) * w": (-4, -0.5), "orthogonal(sign(g)) * g": (-2.5, -2.5), "g * orthogonal(sign(g))": (-2.5, -2.5), "w * orthogonal(sign(g))": (-4, -0.5),
    "abs(g) * orthogonal(sign(g))": (-6, -2.5), "g / orthogonal(sign(g))": (8.5, 8.5), "orthogonal(g) + orthogonal(sign(g))": (-9, -5.5),
    "orthogonal(orthogonal(sign(g)))": (-9, -9), "clip(orthogonal(sign(g)))": (-9, -9),
}  # fmt: skip


@pytest.mark.parametrize("text", FULL_RANK)
def test_of_a_matrix_of_full_rank_the_part_that_follows_the_gradient(text: str) -> None:
    found = quantity(text)
    assert (float(size(found.powers)), float(size(found.size))) == FULL_RANK[text]


STARTS: dict[tuple[str, str], tuple[float, str]] = {
    ("rms(w) + rms(g)", "zero"): (3, "#"), ("rms(g) + rms(w)", "zero"): (3, "#"), ("rms(w) * g", "zero"): (8, "g zero"),
    ("g * rms(w)", "zero"): (8, "g zero"), ("maximum(rms(w), eps) * g", "zero"): (3, "g"), ("maximum(rms(w), eps) * g", "late"): (3, "g"),
    ("maximum(rms(w), eps) * g", "there"): (8, "g"), ("maximum(rms(w), rms(g))", "zero"): (3, "#"), ("maximum(rms(w), 0.0)", "zero"): (0, "#"),
    ("minimum(rms(w), rms(g))", "zero"): (3, "# zero"), ("maximum(rms(w), norm(w))", "zero"): (5, "# zero"), ("trust(w, g)", "zero"): (0, "#"),
    ("trust(g, w)", "zero"): (0, "#"), ("trust(w, g)", "late"): (2, "#"), ("rms(w) + 1", "zero"): (5, "#"),
    ("sign(w)", "zero"): (0, "w levelled dense"), ("g * rms(w)", "late"): (8, "g"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "state"), STARTS)
def test_a_parameter_that_starts_at_zero(text: str, state: str) -> None:
    found = quantity(text, state=state)
    assert (float(size(found.size)), told(found)) == STARTS[text, state]


REFUSED = {
    "g / (abs(g) - eps)": "subtracts a damping", "eps - abs(g)": "subtracts a damping",
    "g ** g": "a power needs a fixed exponent, not a tensor", "g ** float('inf')": "a power needs a fixed exponent",
    "g ** rms(g)": "not a size", "g + rms(g)": "adds a number to a tensor", "g + w": "weight decay is no part of a law",
    "w + g * w": "such as m / (sqrt(v) + eps)", "g + abs(g)": "such as m / (sqrt(v) + eps)", "g * w + g": "weight decay is no part of a law",
    "g + 0.5": "adds the fixed number 0.5 to a tensor", "rms(g) + 1e-8": "adds the fixed number 1e-08 to a size", "rms(g) - 1e-3": "to a size",
    "g @ g": "products of matrices are not followed", "g @ 3": "cannot calculate with an int here", "sqrt(g)": "takes the root of a tensor with signs",
    "sign(rms(g))": "sign() is of a tensor, not of a number", "rms(rms(g))": "rms() is of a tensor", "orthogonal(w)": "orthogonal() is of the gradient",
    "inputs(sign(g))": "inputs() is of the gradient alone", "outputs(abs(g))": "outputs() is of the gradient alone", "global_norm(sign(g))": "global_norm() is of the gradients alone",
    "global_norm(rms(g))": "global_norm() is of the gradients alone", "rms(g, 'fan')": "side 'fan'", "g < 3": "a law is read without numbers", "bool(g)": "without numbers",
    "float(rms(g))": "without numbers", "g.foo": "operation 'foo'", "left(g) + 1.0": "adds the fixed number 1 to a matrix", "left(g) + g": "cannot calculate with a tensor here",
    "left(g) * g": "cannot calculate with a tensor here", "left(g).norm": "norm() is not of a Gram matrix", "g * left(g)": "cannot calculate with a Gram matrix here",
    "g * power(left(g), 1)": "cannot calculate with a power of a Gram matrix", "power(left(g), -1/2) @ w": "@() is of the gradient", "g * None": "cannot calculate with nothing here",
    "g * eps": "cannot calculate with a damping here", "p.foo": "fact 'foo'", "power(left(g), 'x')": "a power needs a fixed exponent, not a str",
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ScaleRulesError) as caught:
        quantity(text)
    assert REFUSED[text] in str(caught.value)


def test_what_is_refused_of_some_parameters_only() -> None:
    with pytest.raises(ScaleRulesError, match="divides by the size of a parameter that starts at zero"):
        quantity("g / rms(w)", state="zero")
    with pytest.raises(ScaleRulesError, match="'W'.*no rows and columns"):
        quantity("rms(g, 'fan_in')", matrix=False)


def test_the_larger_and_the_smaller_of_numbers() -> None:
    """In a law that is made for a number that a user gives."""
    assert (vocabulary.maximum(2, 3.0), vocabulary.minimum(2, Fraction(1, 2)), vocabulary.sqrt(4)) == (
        3,
        Fraction(1, 2),
        2,
    )


def test_a_damping_is_as_large_as_what_it_is_first_added_to() -> None:
    g, w, _ = given(Facts("W", True), "there")
    _ = (abs(g) + vocabulary.eps, vocabulary.norm(w) + vocabulary.eps, vocabulary.left(g) + vocabulary.damping("L"))
    _ = vocabulary.maximum(vocabulary.rms(w), vocabulary.damping("floor"))
    assert {name: size(powers) for name, powers in g.notes.dampings.items()} == {"eps": 3, "L": 24, "floor": 5}
    assert size(g.notes.decayed) == 3
    vocabulary.decayed(vocabulary.sign(g) * vocabulary.rms(w))
    assert size(g.notes.decayed) == 5


@pytest.mark.parametrize(
    ("law", "count"),
    [
        (lambda g: g, 1), (lambda g, w: g, 2), (lambda g, w, p: g, 3), (lambda g, beta=0.9: g, 1), (lambda *x: x[0], 3),
        (lambda g, *, beta=0.9: g, 1), (lambda g, w, **more: g, 2),
    ],
)  # fmt: skip
def test_how_many_arguments_a_law_takes(law: Callable[..., Any], count: int) -> None:
    assert arity(law) == count


@pytest.mark.parametrize("law", [lambda: 0, lambda g, w, p, x: g, lambda g, *, beta: g])
def test_what_takes_other_arguments_is_no_law(law: Callable[..., Any]) -> None:
    with pytest.raises(ScaleRulesError, match="takes . arguments"):
        arity(law)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3", "returns an int, not an update"), ("rms(g)", "returns a number"), ("g * g", "returns squares"),
        ("w", "the parameter's own signs"), ("g * w", "the parameter's own signs"),
    ],
)  # fmt: skip
def test_what_is_no_update(text: str, said: str) -> None:
    with pytest.raises(ScaleRulesError, match=said):
        checked(quantity(text))
    assert checked(zero := quantity("g * w * 1", state="zero")) is zero, "what does not move follows anything"


def test_the_form_of_a_law() -> None:
    found = form(lambda g, w: g * vocabulary.rms(w), Facts("W", True))
    assert found.moves and size(found.powers) == 8 and not found.normalised and not found.whole
    assert not form(lambda g, w: g * vocabulary.rms(w), Facts("W", True), "zero").moves
    assert form(lambda g: vocabulary.orthogonal(g), Facts("W", True)).whole
    for law, normalised in (
        (lambda g: vocabulary.sign(g), True), (lambda g: vocabulary.orthogonal(g), True), (lambda g, w: vocabulary.sign(g) * vocabulary.rms(w), False),
        (lambda g, w, p: vocabulary.sign(g) * vocabulary.maximum(p.fan_in, p.fan_out), True),
        (lambda g, w, p: vocabulary.sign(g) * vocabulary.maximum(p.fan_in, vocabulary.rms(w)), False),
    ):  # fmt: skip
        assert form(law, Facts("W", True)).normalised == normalised


def test_a_law_is_normalised_if_it_is_for_every_kind_of_parameter() -> None:
    def mixed(g: Any, w: Any, p: Any) -> Any:
        return vocabulary.sign(g) if p.matrix else g

    def steady(g: Any, w: Any, p: Any) -> Any:
        return vocabulary.orthogonal(g) if p.matrix else vocabulary.sign(g)

    assert [Optimizer("own", "", "", law).normalised() for law in (mixed, steady)] == [False, True]


def test_powers_of_choices() -> None:
    either = largest(atom("fan_in"), atom("fan_out", 2))
    assert (size(either), size(either.to(-1)), size(smallest(atom("fan_in"), atom("fan_out", 2)))) == (22, -22, 7)
    assert size(either.times(either, -1)) == 0 and either.times(atom("read"), 0) == either
    assert largest(atom("read"), atom("read")) == atom("read")
    assert either.reads("fan_out") and not either.reads("entries") and atom("read").reads("behind", "read")
    assert (
        atom("read", Fraction(1, 6)).times(largest(atom("fan_in", Fraction(1, 4)), Powers()), Fraction(1, 3))
    ).grain == 12

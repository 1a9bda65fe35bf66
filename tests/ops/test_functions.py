"""What is read off the values of a function: parity, f(0) = 0, homogeneity, and which known function is like it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from scalerules.ops.functions import FUNCTIONS, POINTS, Shape, close, named, shape_of

SHAPES: dict[str, Shape] = {
    "identity": Shape("odd", True, 1),
    "negative": Shape("odd", True, 1),
    "stop_gradient": Shape("odd", True, 1),
    "abs": Shape("even", True, 1),
    "relu": Shape("generic", True, 1),
    "leaky_relu": Shape("generic", True, 1),
    "relu_squared": Shape("generic", True, 2),
    "square": Shape("even", True, 2),
    "cos": Shape("even", False),
    "exp": Shape("generic", False, None, True),
    "negative_exp": Shape("generic", False, None, True),
}
SHAPES |= {name: Shape("odd", True) for name in ("tanh", "sin", "erf")}
SHAPES |= {name: Shape("generic", True) for name in ("gelu", "silu", "elu", "mish", "some_function_through_zero")}
SHAPES |= {name: Shape("generic", False) for name in ("sigmoid", "softplus", "some_function")}


def test_the_shape_of_every_function():
    assert {name: function.shape for name, function in FUNCTIONS.items()} == SHAPES
    assert {name for name, shape in SHAPES.items() if shape.homogeneous} == {
        "identity", "negative", "stop_gradient", "abs", "relu", "leaky_relu", "relu_squared",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x: -3 * x, "identity"),
        (lambda x: 3 * abs(x), "abs"), (lambda x: -abs(x), "abs"), (lambda x: abs(x) + x / 2, "relu"),
        (lambda x: 2 * max(x, 0), "relu"), (lambda x: max(-x, 0), "relu"), (lambda x: max(x, x / 100) / 3, "leaky_relu"),
        (lambda x: 2 * x * x, "square"), (lambda x: -x * x, "square"), (lambda x: 5 * max(x, 0) ** 2, "relu_squared"),
        (lambda x: x * abs(x), "relu_squared"), (lambda x: x * x + x * abs(x) / 2, "relu_squared"),
        (lambda x: math.tanh(x) / 7, "tanh"), (lambda x: -math.tanh(x), "tanh"), (lambda x: x**3, "tanh"),
        (lambda x: x**4, "square"), (lambda x: 1 / (1 + x * x), "cos"), (lambda x: x**2 + abs(x), "square"),
        (lambda x: 2 * math.exp(x), "exp"), (lambda x: -2 * math.exp(x), "negative_exp"),
        (lambda x: math.exp(2 * x), "some_function"), (lambda x: 1 + x, "some_function"),
        (lambda x: x + x * x, "some_function_through_zero"), (lambda x: 3 / (1 + math.exp(-x)), "sigmoid"),
        (lambda x: abs(x - 1) - 1, "some_function_through_zero"), (lambda x: x + 1e-9, "identity"),
        (lambda x: x if abs(x) < 1.5 else 2 * x, "tanh"), (lambda x: x * x if x < 1.5 else 5 * x, "some_function_through_zero"),
    ],
)  # fmt: skip
def test_a_function_is_called_like_the_one_that_it_is_or_resembles(f: Callable[[float], float], name: str):
    assert named([f(x) for x in POINTS]) == name


@pytest.mark.parametrize("wrong", POINTS)
def test_a_symmetry_holds_at_every_point(wrong: float):
    for name, parity in (("tanh", "odd"), ("cos", "even")):
        values = [value + (x == wrong) for x, value in zip(POINTS, FUNCTIONS[name].values, strict=True)]
        assert (shape_of(values).parity == parity) == (wrong == 0 and parity == "even")


@pytest.mark.parametrize("wrong", POINTS)
def test_a_degree_and_an_exponential_hold_at_every_point(wrong: float):
    def changed(name: str) -> Shape:
        return shape_of([f + (x == wrong) for x, f in zip(POINTS, FUNCTIONS[name].values, strict=True)])

    assert changed("relu").degree is None and changed("square").degree is None and not changed("exp").exponential


def test_equal_is_meant_up_to_rounding():
    assert close(1e9, 1e9 + 100) and not close(1e9, 1e9 + 1e4) and close(0.0, 1e-7) and not close(0.0, 1e-5)
    assert close(-1e9, -1e9 - 100) and not close(1.0, -1.0) and not close(1e9, 0.0) and not close(0.0, 1e9)


@pytest.mark.parametrize(
    ("name", "below", "above"),
    [("softplus", 0.3132617, 1.3132617), ("sigmoid", 0.2689414, 0.7310586), ("gelu", -0.1586553, 0.8413447), ("silu", -0.2689414, 0.7310586),
     ("identity", -1, 1), ("negative", 1, -1), ("stop_gradient", -1, 1), ("abs", 1, 1), ("square", 1, 1), ("relu", 0, 1), ("relu_squared", 0, 1),
     ("negative_exp", -0.3678794, -2.7182818), ("elu", -0.6321206, 1.0), ("mish", -0.3034015, 0.8650984), ("leaky_relu", -0.01, 1.0)],
)  # fmt: skip
def test_values_at_minus_one_and_one(name: str, below: float, above: float):
    f = FUNCTIONS[name].formula
    assert (f(-1.0), f(1.0)) == pytest.approx((below, above), abs=1e-6)
    assert name == "negative_exp" or (math.isfinite(f(800.0)) and math.isfinite(f(-800.0)))

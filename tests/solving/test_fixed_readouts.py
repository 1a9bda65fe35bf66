"""Readouts whose rows have a length that nothing makes up for: what stands in front of them is smaller, where it may."""

from __future__ import annotations

import pytest

import scalerules as sr
from scalerules.errors import Clash


def graph(body: str, factor: str | None = "n^(-1/2)") -> sr.Graph:
    """A layer of data, a body, and outputs by rows of mean square 1 times a factor."""
    g = sr.Builder(body, axes={"batch": 16, "in": 8, "n": "width", "out": 4}, sizes={"width": 64})
    x = g.dense("first", g.input("x", "batch in"), "n in")
    if body == "relu":
        x = g.relu(x)
    elif body == "residual":
        x = g.node("sum", "add", x, g.dense("W2", g.relu(g.dense("W1", x, "n n")), "n n"))
    elif body == "norm beside":
        x = g.node("sum", "add", x, g.dense("W1", g.rms_norm(x, axis="n", name="norm"), "n n"))
    elif body == "behind tanh":
        x = g.dense("W1", g.tanh(x), "n n")
    elif body == "tanh":
        x = g.tanh(x)
    elif body == "norm":
        x = g.rms_norm(x, axis="n", name="norm")
    g.parameter("last", "out n")
    rows = g.rms_norm(parameters=("last",), axis="n", name="rows")
    return g.build(g.einsum("y", "b i, o i -> b o", x, g.scale("scaled", rows, factor) if factor else rows))


RULES = [
    ("linear", "n^(-1/2)", {"first": ("-1/2", "-1/2"), "last": ("-1/2", "-1/2")}),
    ("relu", "n^(-1/2)", {"first": ("-1/2", "-1/2"), "last": ("-1/2", "-1/2")}),
    ("behind tanh", "n^(-1/2)", {"first": ("0", "0"), "W1": ("-1", "-3/2"), "last": ("-1/2", "-1/2")}),
    ("norm beside", "n^(-1/2)", {"first": ("-1/2", "-1/2"), "W1": ("-1", "-3/2"), "last": ("-1/2", "-1/2")}),
    ("residual", "n^(-1/2)",
     {"first": ("-1/2", "-1/2"), "W1": ("0", "-1/2"), "W2": ("-1", "-3/2"), "last": ("-1/2", "-1/2")}),
    ("residual", None, {"first": ("-1", "-1"), "W1": ("1/2", "0"), "W2": ("-3/2", "-2"), "last": ("-1/2", "-1/2")}),
]  # fmt: skip
"""By hand: aligned with a row, values add up to `n^(1/2)` (without the factor `n`) times their size, and start and move
as much smaller; all that reads them is homogeneous, so beside its size each moves by size 0. The layers that
functions read make up for what they read."""


@pytest.mark.parametrize("mode", ["joint", "isolated"])
@pytest.mark.parametrize(("body", "factor", "rules"), RULES)
def test_values_in_front_are_smaller_where_only_homogeneous_operations_read_them(body, factor, rules, mode):
    """Each was a clash, but the linear one, of which the layer moved by `n^(-1/2)` of its size."""
    solution = sr.derive(graph(body, factor), optimizer="adamw", mode=mode)
    assert {name: (str(solution[name].init["width"]), str(solution[name].lr["width"])) for name in rules} == rules
    solution.check()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_training_agrees(optimizer):
    """Sizes as derived, and the goals, which do not ask the engine. Outputs start below their targets."""
    for body in ("relu", "norm beside"):
        drawn = graph(body, "1/8*n^(-1/2)")
        report = sr.verify(drawn, sr.derive(drawn, optimizer=optimizer), sizes=[64, 128, 256], seeds=2)
        assert report.verdict is True, [row for row in report.rows if not row.sure]


@pytest.mark.parametrize("body", ["tanh", "norm"])
@pytest.mark.parametrize("mode", ["joint", "isolated"])
def test_what_a_function_or_a_norm_gives_is_no_smaller(body, mode):
    """Its entries move by size 0, all along a row: the outputs by `n^(1/2)`, whatever is chosen. A factor behind helps."""
    with pytest.raises(Clash, match="put a free multiplier behind 'y'"):
        sr.derive(graph(body), optimizer="adamw", mode=mode)
    assert sr.derive(graph(body, "1/n"), optimizer="adamw", mode=mode)["first"].init["width"] == 0

"""Values whose size no operation sees: factors in front of a layer that is read twice, products that only layers or norms read.

Measured in plain torch without the engine (Adam, widths 64 to 512, 3 seeds, four steps): the slope of what the outputs
change when one parameter alone is trained.
"""

from __future__ import annotations

import pytest

import scalerules as sr

AXES = {"batch": 8, "in": 8, "n": "width", "m": 2, "out": 3}


def sizes(solution: sr.Solution, *names: str) -> list[tuple[str, str]]:
    return [(str(solution[name].init["width"]), str(solution[name].lr["width"])) for name in names]


def routed(times: int, alike: bool = True) -> sr.Graph:
    """Router scores of a normed value behind gains and `1/n`, once or twice; `alike`: behind the factor at both places."""
    g = sr.Builder("routed", axes=AXES)
    h = g.tanh(g.dense("e", g.input("x", "batch in"), "n in"))
    g.parameter("gain", "n", init="ones")
    g.parameter("router", "m n")
    for turn in range(times):
        normed = g.rms_norm(h, axis="n", name=f"norm{turn}")
        scaled = g.einsum(f"gained{turn}", "b n, n -> b n", normed, parameters=("gain",))
        if alike or not turn:
            scaled = g.scale(f"scaled{turn}", scaled, "1/n")
        scores = g.einsum(f"scores{turn}", "b n, m n -> b m", scaled, parameters=("router",))
        chosen = g.dense(f"mix{turn}", g.tanh(scores, name=f"routed{turn}"), "n m")
        h = g.einsum(
            f"gated{turn}", "b n, b n -> b n", g.tanh(g.dense(f"w{turn}", h, "n n"), name=f"act{turn}"), chosen
        )
    return g.build(g.dense("o", h, "out n"))


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", "0"), ("sgd", "1")])
@pytest.mark.parametrize("times", [1, 2])
def test_a_layer_takes_a_factor_up_that_stands_in_front_of_all_its_readings(
    times: int, optimizer: str, rate: str
) -> None:
    """Gemma-3n's router, read twice: gains of rate 1 left its scores at -1.65 and what it contributes at -1.63 (now -0.65, -0.63)."""
    solution = sr.derive(routed(times), optimizer=optimizer)
    assert sizes(solution, "gain", "router") == [("0", rate), ("0", rate)]


def test_a_layer_that_is_read_without_the_factor_too_cannot_take_it_up() -> None:
    assert sizes(sr.derive(routed(2, alike=False), optimizer="adamw"), "router") == [("-1", "-1")]


def gated(gate: str, behind: str) -> sr.Graph:
    """A layer `v` times a gate that is as small as the width is long, and what reads the product."""
    g = sr.Builder("gated", axes=AXES)
    h = g.tanh(g.dense("e", g.input("x", "batch in"), "n in"))
    scores, v = g.dense("a", h, "n n"), g.dense("v", h, "n n")
    if gate == "softmax":
        small = g.softmax(scores, axis="n", name="weights")
    else:
        small = g.scale("weights", g.sigmoid(scores, name="sigmoid"), "1/n")
    product = g.einsum("product", "b n, b n -> b n", small, v)
    read = {"layer": lambda: product, "norm": lambda: g.rms_norm(product, axis="n", name="norm")}[behind]()
    return g.build(g.dense("o", read, "out n"))


@pytest.mark.parametrize("gate", ["softmax", "factor"])
@pytest.mark.parametrize(("behind", "readout"), [("layer", "0"), ("norm", "-1")])
def test_a_small_product_that_only_layers_or_norms_read_is_no_smaller_than_it_looks(
    gate: str, behind: str, readout: str
) -> None:
    """The rate of `v` was 0 beside a start of -1/2: it moved by the width, its start was lost.

    Behind a softmax, each parameter alone then went like -1.04 (e), -1.07 (a), -0.99 (o); now all within -0.09 and 0.01.
    """
    solution = sr.derive(gated(gate, behind), optimizer="adamw")
    assert sizes(solution, "v", "a", "o") == [("-1/2", "-1"), ("-1/2", "-1"), (readout, readout)]


def test_a_weight_with_one_bias_for_all_its_rows_is_read_as_it_is() -> None:
    """Rows that a layer makes of codes, `W = z G^T + 1 b^T`: a sum of which one operand lacks an axis is no product."""
    g = sr.Builder("rows", axes={"batch": 8, "in": 8, "n": "width", "m": "width", "k": 5, "out": 3})
    h = g.tanh(g.dense("e", g.input("x", "batch in"), "n in"))
    for name, axes in (("z", "m k"), ("G", "n k"), ("b", "n")):
        g.parameter(name, axes)
    made = g.einsum("made", "m k, n k -> m n", parameters=("z", "G"))
    rows = g.node("rows", "add", made, parameters=("b",), equation="m n, n -> m n")
    solution = sr.derive(
        g.build(g.dense("o", g.tanh(g.einsum("y", "b n, m n -> b m", h, rows)), "out m")), optimizer="adamw"
    )
    assert sizes(solution, "b", "o") == [("-1", "-1"), ("-1", "-1")]
    z, matrix = (solution[name].lr["width"] for name in ("z", "G"))
    assert z + matrix == -1 and solution["z"].init["width"] + solution["G"].init["width"] == -1

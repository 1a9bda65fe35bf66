"""A norm behind what starts at zero: its epsilon, a number, is the size that it divides by, and training sets in."""

from __future__ import annotations

import pytest

import scalerules as sr


def gated(through: str) -> sr.Graph:
    """A residual branch behind a gain that starts at zero, as the inputs of every layer of Gemma-3n, normed at its end."""
    g = sr.Builder("gated", axes={"batch": 8, "in": 4, "n": "width", "m": "width", "out": 4})
    h = g.dense("first", g.input("x", "batch in"), "n in")
    g.parameter("scale", "n", init="zeros")
    inner = g.dense("inner", g.einsum("scaled", "b n, n -> b n", h, parameters=("scale",)), "m n")
    inner = inner if through == "linear" else g.gelu(inner)
    branch = g.rms_norm(g.dense("back", inner, "n m"), axis="n", name="normed")
    return g.build(g.dense("last", g.node("sum", "add", h, branch), "out n"))


@pytest.mark.parametrize("through", ["linear", "gelu"])
@pytest.mark.parametrize(("optimizer", "hidden", "gain"), [("adamw", "-1", "0"), ("sgd", "0", "1"), ("muon", "0", "0")])
def test_layers_behind_a_gain_of_zeros_learn_although_a_norm_reads_them(
    through: str, optimizer: str, hidden: str, gain: str
) -> None:
    solution = sr.derive(gated(through), optimizer=optimizer)
    solution.check()
    assert all(str(solution[name].init["width"]) == "-1/2" for name in ("inner", "back"))
    assert {str(solution[name].lr["width"]) for name in ("inner", "back")} == {hidden}
    assert str(solution["scale"].lr["width"]) == gain

"""Each parameter alone: what two of them change together is no part of a rule in the mode `isolated`."""

from __future__ import annotations

import pytest

import scalerules as sr
from scalerules.errors import Clash

AXES = {"batch": 4, "in": 8, "out": 4, "n": "width"}


def readout_with_a_number(**axes: str) -> sr.Graph:
    """A readout whose entries are multiplied with a learnt number; `time` grows where it is among the axes."""
    scales = {"width": 1, "second": "1/2"} if axes else {"width": 1}
    rows, words = ("b t", "batch time in") if axes else ("b", "batch in")
    g = sr.Builder("mini", scales=scales, sizes=dict.fromkeys(scales, 16), axes={**AXES, **axes})
    h = g.tanh(g.dense("first", g.input("x", words), "n in", rows))
    g.parameter("entries", "out n")
    g.parameter("number", "", "ones")
    times = g.einsum("times", "o i, -> o i", parameters=("entries", "number"))
    return g.build(g.einsum("last", f"{rows} i, o i -> {rows} o", h, times))


@pytest.mark.parametrize("axes", [{}, {"time": "second"}], ids=["fixed", "growing-time"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_a_factor_of_a_readout_does_not_take_part_in_what_the_readout_contributes(optimizer, axes):
    """The number reads logits of size -1/2 and moves by as much as makes up for that; the readout does not see it.

    Times that grow count data: logits at all of them are logits, and may start below size 0.
    """
    solution = sr.derive(readout_with_a_number(**axes), optimizer=optimizer, mode="isolated", progress=False)
    readout, number = solution.parameters["entries"], solution.parameters["number"]
    assert (str(readout.init), str(readout.lr), str(number.lr)) == ("width^-1", "width^-1", "width^(1/2)")


def test_normed_rows_alone_cannot_make_up_for_a_factor_that_is_too_small():
    """Rows of size 1 over a fan-in of n, times n^(-1/2) and 1/n: replaced as a whole they change the value by n^(-1/2).

    That their learnt sizes move too was counted as a contribution of the rows.
    """
    g = sr.Builder("rows", axes=AXES)
    h = g.dense("first", g.input("x", "batch in"), "n in")
    g.parameter("entries", "n n")
    g.parameter("sizes", "n", "ones", factor="n^(-1/2)")
    rows = g.node("rows", "rms_norm", parameters=("entries",), axis="n")
    sized = g.einsum("sized", "o i, o -> o i", rows, parameters=("sizes",))
    branch = g.scale("branch", g.einsum("layer", "b i, o i -> b o", h, sized), "1/n")
    graph = g.build(g.dense("last", g.residual("sum", h, branch), "out n"))
    with pytest.raises(Clash, match="contribution of 'entries' stay at size -1/2"):
        sr.derive(graph, optimizer="adamw", mode="isolated", progress=False)

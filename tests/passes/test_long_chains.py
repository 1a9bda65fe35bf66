"""Graphs that are long and whose paths are many: what says of a site what its inputs say asks each of them once."""

from __future__ import annotations

from fractions import Fraction

from scalerules.architecture.builder import Builder
from scalerules.passes.propagate import start


def test_a_chain_as_long_as_may_be_and_a_stream_of_many_paths_are_unfolded():
    g = Builder("chain", axes={"batch": 4, "in": 3, "n": "width", "out": 2})
    x = g.dense("first", g.input("x", "batch in"), "n in")
    for layer in range(1200):
        x = g.relu(x, name=f"a{layer}")
    for block in range(60):
        x = g.residual(f"joined{block}", x, g.relu(x, name=f"b{block}"))
    plan = start(g.build(g.dense("output", x, "out n")), {"width": Fraction(1)})
    assert len(plan.sites) == 1 + 1 + 1200 + 120 + 1

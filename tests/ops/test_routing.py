"""What is read through a choice: the chosen entries alone, in the places of all or in their own order."""

from __future__ import annotations

import pytest

import scalerules as sr
from scalerules.architecture.builder import Builder
from scalerules.errors import GraphError

MASK, GATHERED, BOTH = "b e, b k e -> b e", "b e, b k e -> b k", "b e, b k e -> b k e"


def routed(equation: str, after: str, active: str | int, joined: bool = False) -> sr.Graph:
    """Scores of experts, a choice of them, an equation that reads both, and an output of its axis `after`."""
    axes: dict[str, str | int] = {"batch": 4, "in": 3, "experts": "4*width", "active": active, "both": "8*width"}
    g = Builder("routed", axes=axes)
    scores = g.dense("router", g.input("x", "batch in"), "experts in", "b")
    read = g.einsum("read", equation, scores, g.node("choice", "top_k", scores, axes="active experts"))
    if joined:
        read, after = g.node("sides", "concat", read, read, axis="both"), "both"
    if equation == BOTH:
        read = g.einsum("summed", "b k e -> b e", read)
    return g.build(g.dense("output", read, f"in {after}", "b"))


@pytest.mark.parametrize("active", [2, "width"])
def test_a_mask_of_the_chosen_has_the_rules_of_the_chosen(active):
    mask = sr.derive(routed(MASK, "experts", active), "adam")
    gathered = sr.derive(routed(GATHERED, "active", active), "adam")
    for name in ("router", "output"):
        rules = [(s[name].init, s[name].lr, s[name].mult) for s in (mask, gathered)]
        assert rules[0] == rules[1]


def test_what_a_choice_does_not_go_with_is_told():
    with pytest.raises(
        GraphError, match="node 'read': 'b e, b k e -> b k e' keeps both axes of a choice .sum over 'e'"
    ):
        sr.derive(routed(BOTH, "experts", 2))
    with pytest.raises(GraphError, match="node 'sides': does not go with a choice along 'experts': the parts have"):
        sr.derive(routed(MASK, "experts", 2, joined=True))

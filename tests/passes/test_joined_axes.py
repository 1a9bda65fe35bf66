"""Values of parts that grow and parts that do not (content and positions of attention), behind one factor."""

from __future__ import annotations

from fractions import Fraction

import pytest

import scalerules as sr

HALF = Fraction(-1, 2)


def scores(written: str, factor: str | None = None) -> sr.Graph:
    """Attention whose queries and keys have content that grows and 8 positions: side by side, or as two products."""
    axes = {"batch": 8, "time": 6, "in": 16, "n": "width", "r": 8, "both": "width+8", "out": 8}
    g = sr.Builder("positions", axes=axes)
    h = g.gelu(g.dense("first", g.input("x", "batch time in"), "n in", "b t"))
    q, k, v, q_r, k_r = (g.dense(name, h, f"{'r' if '_' in name else 'n'} n", "b t") for name in ("q", "k", "v", "q_r", "k_r"))  # fmt: skip
    product = "b t d, b s d -> b t s"
    if written == "side by side":
        q, k = g.concat(q, q_r, axis="both", name="queries"), g.concat(k, k_r, axis="both", name="keys")
        dots = g.einsum("dots", product, q, k)
    else:
        dots = g.add(g.einsum("content", product, q, k), g.einsum("place", product, q_r, k_r), name="dots")
    weights = g.softmax(g.scale("scores", dots, factor, free=factor is None), axis="time", name="weights")
    h = g.residual("sum", h, g.dense("o", g.einsum("heads", "b t s, b s d -> b t d", weights, v), "n n", "b t"))
    return g.build(g.dense("last", h, "out n", "b t"))


@pytest.mark.parametrize(("optimizer", "content", "position"), [("adamw", -1, HALF), ("sgd", 0, 0), ("muon", 0, 0)])
@pytest.mark.parametrize("factor", [None, "1/width"])
@pytest.mark.parametrize("written", ["side by side", "added"])
def test_positions_are_larger_than_content_behind_one_factor(
    written: str, factor: str | None, optimizer: str, content: Fraction, position: Fraction
) -> None:
    """Their products add up over 8 entries and not over the width: each of the two makes up for half of it."""
    solution = sr.derive(scores(written, factor), optimizer=optimizer)
    for name, rate in {"q": content, "k": content, "q_r": position, "k_r": position}.items():
        assert (solution[name].init["width"], solution[name].lr["width"]) == (HALF, rate), name
    assert factor or solution.multipliers["scores"]["width"] == -1


def test_every_position_counts() -> None:
    graph = scores("side by side")
    solution = sr.derive(graph, optimizer="adamw")
    sizes = [32, 64, 128, 256]
    assert sr.verify(graph, solution, sizes=sizes, progress=False).verdict is True
    as_content = solution.changed("q_r", lr={"width": -1}).changed("k_r", lr={"width": -1})
    assert "counts" in sr.verify(graph, as_content, sizes=sizes, progress=False).refuted

"""Experts of which only the sum is read, and experts in a deep graph (docs/theory.md)."""

from __future__ import annotations

from fractions import Fraction

import pytest

import scalerules as sr


def fine_grained(router: bool) -> sr.Graph:
    """As many experts as the network is wide, each of a fixed inner width, and their mean."""
    axes = {"batch": 16, "in": 8, "n": "width", "experts": "width", "f": 8, "out": 4}
    g = sr.Builder("fine", axes=axes)
    h = g.dense("W_in", g.input("x", "batch in"), "n in")
    g.parameter("W_up", "experts f n")
    g.parameter("W_down", "experts n f")
    each = g.gelu(g.einsum("up", "b n, e f n -> b e f", h, parameters=("W_up",)), name="hidden")
    if router:
        weights = g.sigmoid(g.dense("W_router", h, "experts n"), name="weights")
        both = g.einsum("down", "b e f, b e, e n f -> b n", each, weights, parameters=("W_down",))
    else:
        both = g.einsum("down", "b e f, e n f -> b n", each, parameters=("W_down",))
    h = g.gelu(g.residual("sum", h, g.scale("mean", both, "1/experts")), name="last")
    return g.build(g.dense("W_out", h, "out n"))


@pytest.mark.parametrize("router", [False, True])
@pytest.mark.parametrize(
    ("optimizer", "rates"),
    [
        ("adamw", {"W_in": 0, "W_router": -1, "W_up": -1, "W_down": 0, "W_out": -1}),
        ("sgd", {"W_in": 1, "W_router": 0, "W_up": 0, "W_down": 2, "W_out": -1}),
    ],
)
def test_only_the_sum_of_fine_grained_experts_is_read(optimizer: str, rates: dict[str, int], router: bool) -> None:
    """arXiv 2605.14200, regime II (N = M): the last matrix of an expert starts at M^(1/2), and the sum at size 0."""
    graph = fine_grained(router)
    solution = sr.derive(graph, optimizer=optimizer)
    starts = {"W_in": 0, "W_router": "-1/2", "W_up": "-1/2", "W_down": "1/2", "W_out": -1}
    for name, rule in solution.parameters.items():
        assert (rule.init["width"], rule.lr["width"]) == (Fraction(starts[name]), rates[name])
    if optimizer == "adamw":
        epsilons = {"W_in": -1, "W_router": -1, "W_up": -1, "W_down": -2, "W_out": 0}
        assert all(rule.eps["width"] == epsilons[name] for name, rule in solution.parameters.items())
    report = sr.verify(graph, solution, sizes=[32, 64, 128, 256], progress=False)
    assert report.verdict is True, (report.wrong, report.failed)
    mean = [row.estimate for row in report.rows if row.node == "mean" and row.quantity in ("value", "change")]
    assert mean and all(abs(slope or 0) < 0.15 for slope in mean)


def test_the_first_start_of_the_paper_leaves_the_sum_behind() -> None:
    """`W_down` at size 0: the mean of the experts starts and moves at M^(-1/2) (-0.48 and -0.28 in the paper)."""
    graph = fine_grained(router=False)
    small = sr.derive(graph, optimizer="adamw").changed("W_down", init={"width": "0"})
    report = sr.verify(graph, small, sizes=[32, 64, 128, 256], progress=False)
    (start,) = [row for row in report.rows if (row.quantity, row.node) == ("value", "mean")]
    assert abs((start.estimate or 0) + 0.5) < 0.1


def deep() -> sr.Graph:
    """Routed experts whose inner width is a scale of its own, in a repeated block behind a free factor."""
    g = sr.Builder(
        "experts", scales={"width": 1, "ffn": 1, "depth": 1}, sizes={"width": 64, "ffn": 64, "depth": 2},
        axes={"batch": 16, "in": 8, "out": 4, "experts": 4, "active": 2, "n": "width", "ffn": "ffn", "layers": "depth"},
    )  # fmt: skip
    x = g.dense("W_in", g.input("x", "batch in"), "n in")
    with g.repeat("blocks", x, "layers") as block:
        h = g.gain("gain", g.rms_norm(block.stream, axis="n", name="norm"), "n")
        logits = g.dense("W_router", h, "experts n")
        g.parameter("W_up", "experts ffn n")
        g.parameter("W_down", "experts n ffn")
        choice = g.node("choice", "top_k", logits, axes="active experts")
        scores = g.sigmoid(g.einsum("chosen", "b e, b a e -> b a", logits, choice), name="gate")
        up = g.silu(g.einsum("up", "b n, b a e, e f n -> b a f", h, choice, parameters=("W_up",)), name="hidden")
        down = g.einsum("down", "b a f, b a e, e n f -> b a n", up, choice, parameters=("W_down",))
        mixed = g.einsum("mixed", "b a n, b a -> b n", down, g.scale("weights", scores, "1/active"))
        block.result = g.residual("sum", block.stream, g.scale("branch", mixed, free=True))
    return g.build(g.dense("W_out", "blocks", "out n"))


@pytest.mark.parametrize("direction", [{"width": 1, "depth": 1}, {"width": 1, "ffn": 1, "depth": "1/2"}])
def test_depth_is_no_way_to_a_larger_router(direction: dict[str, object]) -> None:
    """The factor behind the branch is 1/depth, whatever the width: the router starts where it does without depth."""
    solution = sr.derive(deep(), optimizer="adamw", scales=direction, nonlazy=True)
    branch = solution.multipliers["branch"]
    assert {scale: branch[scale] for scale in direction} == {scale: -(scale == "depth") for scale in direction}
    assert solution["W_router"].init["width"] == solution["W_router"].lr["width"] == -1

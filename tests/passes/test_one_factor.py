"""One factor of a layer, written in four ways, trains alike: the rules differ by the gauge alone."""

from __future__ import annotations

import pytest

import scalerules as sr

pytest.importorskip("torch")
from scalerules.backends.training.measure import Trial, losses  # noqa: E402
from scalerules.backends.training.program import Program  # noqa: E402

WAYS = ("in the initial value", "in front", "behind", "on the weight")
FACTOR = "width^(-1/2)"
BASE, SIZE = {"width": 1.0}, {"width": 8.0}


def written(way: str, layer: str) -> sr.Graph:
    """A perceptron of width `16 width` with a factor, 1 at the base size, at one of its layers."""
    g = sr.Builder("four", sizes={"width": 1}, axes={"batch": 16, "in": 8, "n": "16*width", "m": "16*width", "out": 4})

    def dense(name: str, x: str, axes: str) -> str:
        if name != layer or way == "in the initial value":
            return g.dense(name, x, axes)
        if way == "behind":
            return g.scale("factor", g.dense(name, x, axes), FACTOR)
        if way == "in front":
            return g.dense(name, g.scale("factor", x, FACTOR), axes)
        out, into = axes.split()
        g.parameter(name, axes)
        weight = g.scale("factor", g.node("weight", "identity", parameters=(name,)), FACTOR)
        return g.einsum("read", f"b {into}, {out} {into} -> b {out}", x, weight)

    h = g.gelu(dense("W1", g.input("x", "batch in"), "n in"))
    h = g.gelu(dense("W2", h, "m n"), name="a2")
    return g.build(g.node("y", "identity", dense("W3", h, "out m")))  # targets are drawn by the name of the output


@pytest.mark.parametrize("layer", ["W1", "W2", "W3"])
@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 0.005), ("sgd", 0.05), ("muon", 0.02)])
def test_four_ways_to_write_one_factor_train_alike(optimizer: str, rate: float, layer: str) -> None:
    histories: list[list[float]] = []
    for way in WAYS:
        graph = written(way, layer)
        program = Program(graph, sr.derive(graph, optimizer=optimizer), SIZE, BASE)
        histories.append(losses(program, Trial(rate, steps=20)))
    plain = histories[0]
    assert len(plain) == 21 and plain[-1] < 0.7 * plain[0]
    apart = max(abs(a - b) for history in histories[1:] for a, b in zip(plain, history, strict=True))
    assert apart < 1e-5, apart

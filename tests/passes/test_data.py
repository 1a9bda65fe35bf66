"""What a mean over growing times leaves of data: of numbers their fluctuation, of tokens how often each kind occurs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import scalerules as sr


def pooled(kind: str, vocab: int | str) -> sr.Graph:
    """The embedding of every time, its mean over as many times as there are channels, and a layer."""
    axes = {"batch": 8, "time": "width", "vocab": vocab, "n": "width", "out": 4}
    g = sr.Builder("pooled", axes=axes, sizes={"width": 64}, loss="cross_entropy")
    x = g.input("x", "batch time vocab", kind=kind)
    h = g.mean(g.dense("embedding", x, "n vocab", "b t"), axis="time", name="mean")
    return g.build(g.dense("last", g.tanh(g.dense("layer", h, "n n"), name="act"), "out n"))


@pytest.mark.parametrize(
    ("kind", "vocab", "size"), [("tokens", 16, 0), ("tokens", "width", "-1/2"), ("normal", 16, "-1/2")]
)
def test_a_mean_over_times(kind: str, vocab: int | str, size: int | str) -> None:
    solution = sr.derive(pooled(kind, vocab), optimizer="adamw", progress=False)
    sizes = {p.node: p for p in solution.sizes if p.quantity == "value"}
    assert sizes["embedding"].size == 0 and sizes["mean"].size == Fraction(size)
    # over fewer times than kinds the mean still falls
    assert sizes["mean"].lower == (Fraction(-1, 2) if size == 0 else None)


@pytest.mark.parametrize(("grows", "power"), [(False, 0.0), (True, -0.5)])
def test_the_mean_embedding_of_random_tokens(grows: bool, power: float) -> None:
    """Drawn: of 16 kinds the mean stays as large, of as many kinds as times it falls like the root."""
    rng = np.random.default_rng(0)
    sizes, drawn = [64, 256, 1024], []
    for n in sizes:
        tokens = rng.integers(n if grows else 16, size=(8, n))
        embedding = rng.standard_normal((n if grows else 16, 64))
        drawn.append(np.sqrt((embedding[tokens].mean(axis=1) ** 2).mean()))
    slope = np.polyfit(np.log(sizes), np.log(drawn), 1)[0]
    assert slope == pytest.approx(power, abs=0.05)

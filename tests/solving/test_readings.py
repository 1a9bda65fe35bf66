"""A parameter that several nodes read counts at each of them where that can be, and else the rule says where not."""

from __future__ import annotations

from fractions import Fraction

import pytest

import scalerules as sr

OPTIMIZERS = {"adamw": ("0", "-1"), "sgd": ("1", "-1"), "muon": ("1/2", "-1")}
"""The rate of the table below, and the factor behind it, by hand."""


def one_table() -> sr.Graph:
    """A table that encodes and decodes; nothing else is trained, so nothing else holds the factor."""
    g = sr.Builder("one table", axes={"batch": 4, "time": 4, "vocab": 16, "n": "width"}, sizes={"width": 64},
                   loss="cross_entropy")  # fmt: skip
    x = g.input("x", "batch time vocab", kind="tokens")
    g.parameter("table", "vocab n")
    g.parameter("W", "n n", trained=False)
    embedded = g.einsum("embedded", "b t v, v n -> b t n", x, parameters=("table",))
    hidden = g.tanh(g.einsum("W", "b t i, o i -> b t o", g.relu(embedded), parameters=("W",)))
    tied = g.einsum("tied", "b t n, v n -> b t v", hidden, parameters=("table",))
    return g.build(g.scale("logits", tied, "1/n", free=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_table_counts_where_it_encodes_and_where_it_decodes(optimizer: str) -> None:
    """Held at the decoder alone the factor was `n^(-1/2)`, and the embedding moved by `n^(-1/2)`, unsaid."""
    graph = one_table()
    solution = sr.derive(graph, optimizer=optimizer)
    rate, factor = OPTIMIZERS[optimizer]
    assert str(solution["table"].init["width"]) == "0" and str(solution["table"].lr["width"]) == rate
    assert str(solution.multipliers["logits"]["width"]) == factor and not solution.warnings
    solution.check()
    report = sr.verify(graph, solution, sizes=[64, 128, 256], seeds=2)
    assert not report.wrong and not report.refuted, [row for row in report.rows if not row.sure]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_decoder_that_cannot_count_is_said(optimizer: str) -> None:
    """From `n` to `n^(1/2)` and back by one matrix: a rate at which the way back counts is `n^(1/2)` too much there."""
    g = sr.Builder("there and back", sizes={"width": 64},
                   axes={"batch": 16, "in": 8, "n": "width", "root": "8*width^(1/2)", "out": 4})  # fmt: skip
    x = g.tanh(g.dense("first", g.input("x", "batch in"), "n in"))
    g.parameter("W", "root n")
    there = g.tanh(g.einsum("there", "b n, r n -> b r", x, parameters=("W",)))
    back = g.tanh(g.einsum("back", "b r, r n -> b n", there, parameters=("W",)))
    solution = sr.derive(g.build(g.dense("last", back, "out n")), optimizer=optimizer)
    said = "'W' is left behind where 'back' reads it: its own contribution there stays at size -1/2"
    assert said in solution.warnings
    sizes = {p.size for p in solution.sizes if (p.quantity, p.node, p.parameter) == ("own", "back", "W")}
    if optimizer != "sgd":
        assert max(size for size in sizes if size is not None) == Fraction(-1, 2)


def test_a_tied_transformer_needs_no_warning() -> None:
    """Its table counts at both places under each optimizer."""
    for optimizer in OPTIMIZERS:
        assert not sr.derive(sr.graph("transformer", tied=True), optimizer=optimizer).warnings


def read_back(gated: bool) -> sr.Graph:
    """A matrix to a neck, a function or its product with another map, the same matrix back, a norm."""
    g = sr.Builder("read back", axes={"batch": 16, "in": 8, "n": "width", "neck": 8, "out": 4}, sizes={"width": 64})
    h = g.rms_norm(g.dense("first", g.input("x", "batch in"), "n in"), axis="n", name="norm")
    g.parameter("W", "neck n")
    bent = g.node("cos", "cos", g.einsum("there", "b n, k n -> b k", h, parameters=("W",)))
    if gated:
        bent = g.einsum("gated", "b k, b k -> b k", g.dense("V", h, "neck n"), bent)
    back = g.einsum("back", "b k, k n -> b n", bent, parameters=("W",))
    return g.build(g.dense("last", g.rms_norm(back, axis="n", name="last.norm"), "out n"))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_in_front_of_a_norm_a_matrix_counts_beside_the_value(optimizer: str) -> None:
    """Seed 100010: asked to move what a norm reads by size 0, the matrix would move the neck by `n^(1/2)`: a clash.

    What it makes starts at `n^(-3/2)` and moves by `1/n`, all of what the norm then sees.
    """
    solution = sr.derive(read_back(True), optimizer=optimizer)
    assert [str(solution[name].init["width"]) for name in ("first", "W", "V", "last")] == ["0", "-1", "-1", "-1"]
    solution.check()
    if optimizer == "adamw":
        assert [str(solution[name].lr["width"]) for name in ("first", "W", "V", "last")] == ["0", "-1", "-1", "-1"]
        report = sr.verify(read_back(True), solution, sizes=[64, 128, 256, 512], seeds=2)
        assert not report.wrong and not report.refuted, [row for row in report.rows if not row.sure]


def test_what_counts_beside_the_value_is_not_left_behind() -> None:
    """There the matrix moves `1/n` by `1/n`, and the norm sees all of it (measured: its part has slope -0.1)."""
    assert not sr.derive(read_back(False), optimizer="adamw").warnings

"""Weights that start as the identity, and fixed ones: a sum along their diagonal has one term."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from scalerules.backends.training.program import Program

import scalerules as sr

SIZES = (64, 128, 256, 512)
HIDDEN = {"adamw": ("0", "-1"), "sgd": ("0", "0"), "lamb": ("0", "-1/2")}
"""Initial size and rate of a matrix in front of a function that starts as the identity."""


def between(kind: str) -> sr.Graph:
    """`relu(h W)` between two layers, W made in one of several ways of an identity I and other weights."""
    g = sr.Builder(kind, axes={"batch": 16, "in": 8, "n": "width", "m": "2*width", "out": 4, "taps": 3})
    h = g.relu(g.dense("first", g.input("x", "batch in"), "n in"), name="h")
    g.parameter("I", "m n" if kind == "longer" else "n n", "identity", trained=kind in ("plain", "longer", "twice"))
    if kind in ("plain", "longer"):
        y = g.einsum("y", "b i, j i -> b j", h, parameters=("I",))
    elif kind == "twice":
        g.parameter("V", "n n", "identity")
        y = g.einsum("y", "b i, j i, j k -> b k", h, parameters=("I", "V"))
    elif kind == "sum":
        g.parameter("A", "n n")
        made = g.add(g.identity(parameters=("I",), name="one"), g.identity(parameters=("A",), name="other"))
        y = g.einsum("y", "b i, j i -> b j", h, made)
    else:
        g.parameter("A", "n" if kind == "diagonal" else "n n", "ones" if kind == "diagonal" else "normal")
        made = g.einsum("made", "i j, i -> i j" if kind == "diagonal" else "i j, i j -> i j", parameters=("I", "A"))
        y = g.einsum("y", "b i, j i -> b j", h, made)
    return g.build(g.dense("last", g.relu(y, name="behind"), "out m" if kind == "longer" else "out n"))


def size(solution: sr.Solution, name: str) -> tuple[str, str]:
    """Initial size and rate along the width."""
    rule = solution[name]
    return str(rule.init["width"]), str(rule.lr["width"])


@pytest.mark.parametrize("optimizer", HIDDEN)
@pytest.mark.parametrize("kind", ["plain", "longer", "twice"])
def test_a_matrix_that_starts_as_the_identity_passes_values_on(kind: str, optimizer: str) -> None:
    solution = sr.derive(between(kind), optimizer=optimizer)
    assert size(solution, "I") == HIDDEN[optimizer]
    assert solution["first"].init["width"] == 0 and solution["last"].init["width"] == -1
    if kind == "twice":
        assert size(solution, "V") == HIDDEN[optimizer]


def test_beside_an_identity_a_matrix_has_the_rule_of_a_layer() -> None:
    assert size(sr.derive(between("sum"), optimizer="adamw"), "A") == ("-1/2", "-1")
    assert size(sr.derive(between("sum"), optimizer="sgd"), "A") == ("-1/2", "0")


@pytest.mark.parametrize("kind", ["diagonal", "mask"])
def test_of_a_diagonal_matrix_every_entry_is_a_gain(kind: str) -> None:
    assert size(sr.derive(between(kind), optimizer="adamw"), "A") == ("0", "0")
    assert size(sr.derive(between(kind), optimizer="sgd"), "A") == ("0", "1")


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("kind", ["plain", "longer", "sum", "mask"])
def test_training_agrees(kind: str, optimizer: str) -> None:
    graph = between(kind)
    report = sr.verify(graph, sr.derive(graph, optimizer=optimizer), sizes=SIZES, seeds=2, progress=False)
    assert report.conclusion == "agrees", [row for row in report.rows if not row.agrees]


def test_one_axis_of_the_identity_grows() -> None:
    """Of a width only the first entries are read: they are a share of the data that vanishes, and nothing is summed."""
    g = sr.Builder("short", axes={"batch": 16, "in": 8, "n": "width", "k": 8, "out": 4})
    h = g.relu(g.dense("first", g.input("x", "batch in"), "n in"), name="h")
    g.parameter("I", "k n", "identity", trained=False)
    y = g.einsum("y", "b i, j i -> b j", h, parameters=("I",))
    solution = sr.derive(g.build(g.dense("last", g.relu(y, name="behind"), "out k")), optimizer="adamw")
    assert size(solution, "first") == ("0", "0") and size(solution, "last") == ("0", "0")


def repeated() -> sr.Graph:
    """A convolution in every block that starts as the identity."""
    axes: dict[str, int | str] = {"batch": 4, "in": 8, "n": "width", "taps": 3, "layers": "depth", "out": 4}
    g = sr.Builder("deep", scales={"width": 1, "depth": 0}, axes=axes)
    h = g.dense("first", g.input("x", "batch in"), "n in")
    g.parameter("W", "n n taps", "identity", factor=2)
    with g.repeat("blocks", h, "layers") as block:
        normed = g.rms_norm(block.stream, axis="n", name="norm")
        branch = g.einsum("branch", "b i, j i t -> b j", normed, parameters=("W",))
        block.result = g.residual("joined", block.stream, g.tanh(branch, name="bent"))
    return g.build(g.dense("last", g.rms_norm("blocks", axis="n", name="end"), "out n"))


def test_blocks_whose_convolutions_start_as_the_identity(tmp_path: Path) -> None:
    """In the rule, in the interpreter and in the emitted file."""
    graph = repeated()
    solution = sr.derive(graph, optimizer="adamw", scales={"width": 1})
    assert size(solution, "W") == ("0", "-1")
    sizes = {"width": 8.0, "depth": 3.0}
    here = Program(graph, solution, sizes=sizes, base=sizes).initial(0)["W"]
    expected = torch.zeros(3, 8, 8, 3)
    expected[:, range(8), range(8), 1] = 2.0
    assert torch.equal(here, expected)
    file = tmp_path / "emitted.py"
    file.write_text(sr.emit(solution, graph=graph))
    emitted = runpy.run_path(str(file))
    model = emitted["Model"](width=8, depth=3)
    emitted["init_"](model)
    assert torch.equal(dict(model.named_parameters())["W"], expected)


def test_a_graph_says_what_an_identity_takes() -> None:
    with pytest.raises(sr.ScaleRulesError, match="an identity has two axes or more"):
        g = sr.Builder("g", axes={"batch": 4, "n": "width"})
        g.parameter("I", "n", "identity")
        g.build(g.einsum("y", "b i, i -> b i", g.input("x", "batch n"), parameters=("I",)))

"""Cross-entropy over a growing number of classes: one label per example (docs/theory.md)."""

from __future__ import annotations

from fractions import Fraction

import pytest

import scalerules as sr

torch = pytest.importorskip("torch")
from scalerules.backends.training.program import Program  # noqa: E402


def classifier(width: str = "width") -> sr.Graph:
    axes = {"batch": 8, "in": 8, "n": width, "out": "width"}
    g = sr.Builder("classes", axes=axes, loss="cross_entropy")
    h = g.gelu(g.dense("W1", g.input("x", "batch in"), "n in"))
    h = g.gelu(g.dense("W2", h, "n n"), name="a2")
    return g.build(g.bias("b", g.dense("W_out", h, "out n"), "out"))


@pytest.mark.parametrize(
    ("width", "optimizer", "rules"),
    [
        ("width", "adamw", {"W1": (0, 0), "W2": ("-1/2", -1), "W_out": (-1, -1), "b": (0, 0)}),
        ("width", "sgd", {"W1": (0, 1), "W2": ("-1/2", 0), "W_out": (-1, -1), "b": (0, 0)}),
        ("64", "adamw", {"W1": (0, 0), "W2": (0, 0), "W_out": (0, 0), "b": (0, 0)}),
        ("64", "sgd", {"W1": (0, 0), "W2": (0, 0), "W_out": (0, 0), "b": (0, 0)}),
    ],
)
def test_what_counts_of_growing_classes_is_the_entry_of_the_label(width: str, optimizer: str, rules: dict) -> None:
    """By hand: the row of the label sends back its own entries, and moves along them, so that W_out starts at 1/n.

    SGD moves it as the readout of a fixed number of classes, and hidden layers as before it.
    """
    graph = classifier(width)
    solution = sr.derive(graph, optimizer=optimizer)
    wanted = {name: (Fraction(init), Fraction(lr)) for name, (init, lr) in rules.items()}
    assert {name: (solution[name].init["width"], solution[name].lr["width"]) for name in wanted} == wanted
    solution.check()
    report = sr.verify(graph, solution, sizes=[64, 128, 256, 512], progress=False)
    assert report.verdict is True, (report.wrong, report.open)
    sizes = {(p.quantity, p.node, p.step): p.size for p in solution.sizes}
    assert sizes["gradient", "b", 1] == Fraction(-1, 2), "one entry of size 0 among n"


def test_the_graph_training_and_the_emitted_code_have_one_loss() -> None:
    graph = classifier()
    solution = sr.derive(graph, optimizer="adamw")
    program = Program(graph, solution, {"width": 128.0}, {"width": 64.0})
    data = program.data(0)
    run = program.forward(program.initial(0), data)
    (logits,), (target,) = program.outputs(run), data.targets
    emitted = torch.nn.functional.cross_entropy(logits.flatten(0, -2), target.argmax(-1).flatten())
    assert torch.allclose(program.loss(run, data), emitted)
    assert "functional.cross_entropy(" in sr.emit(solution)


def test_of_chosen_classes_one_is_there():
    """An output whose growing classes are a choice of fixed length has no growing axis, so nothing is picked from one."""
    nodes = {
        "x": {"op": "input", "axes": ["b", "i"]},
        "h": {"op": "einsum", "inputs": ["x"], "parameters": ["W"], "equation": "b i, n i -> b n"},
        "best": {"op": "top_k", "inputs": ["h"], "axes": ["two", "n"]},
        "y": {"op": "einsum", "inputs": ["h", "best"], "equation": "b n, b k n -> b n"},
    }
    made = {"name": "chosen", "axes": {"b": 4, "i": 5, "two": 2, "n": "width"}, "nodes": nodes, "outputs": ["y"]}
    graph = sr.Graph.model_validate({**made, "parameters": {"W": {"axes": ["n", "i"]}}, "loss": "cross_entropy"})
    assert str(sr.derive(graph, optimizer="adamw")["W"].init) == "1"

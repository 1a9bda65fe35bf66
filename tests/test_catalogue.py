"""Every graph of the catalogue: it derives, its rule is the one that is known, and what it predicts is measured."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import pytest

import scalerules as sr
from scalerules.lookup import catalogue
from scalerules.solution import Solution

SMALL = [32, 64, 128, 256]
OUTPUTS = {"W_U", "W_head", "output", "W_router", "W_B", "W_C"}
"""Matrices from a growing axis to a fixed one: logits, and what weighs experts or drives a selective scan."""


@cache
def derived(name: str, optimizer: str) -> Solution:
    return sr.derive(sr.graph(name), optimizer=optimizer)


def width_exponents(solution: Solution, size: str) -> dict[str, Fraction]:
    return {name: getattr(rule, size).fractions["width"] for name, rule in solution.parameters.items()}


def growing(name: str) -> dict[str, int]:
    """How many axes of every parameter grow with the width."""
    graph = sr.graph(name)
    grows = {axis for axis, length in graph.lengths.items() if "width" in length.scales}
    return {p: sum(axis in grows for axis in data.axes) for p, data in graph.parameters.items()}


@pytest.mark.parametrize("name", catalogue())
def test_every_graph_derives_and_every_parameter_learns(name):
    solution = derived(name, "adam")
    assert set(solution.parameters) == set(sr.graph(name).parameters)
    reached = {p.parameter for p in solution.sizes if p.quantity == "own" and p.size == 0}
    assert reached == set(solution.parameters)
    graph = sr.graph(name)
    stable = {*graph.outputs, *(node for node, data in graph.walk() if data.op == "residual")}
    changes = [p.size for p in solution.sizes if p.quantity == "change" and p.node in stable]
    assert changes and all(size is None or size <= 0 for size in changes)


@pytest.mark.parametrize("name", catalogue())
def test_in_width_vectors_hidden_matrices_and_outputs_have_the_rates_of_mup(name):
    """Tensor Programs V (arXiv 2203.03466), table 3, by the number of axes that grow; the scan's rule is the joint one."""
    init, lr = (width_exponents(derived(name, "adam"), size) for size in ("init", "lr"))
    for parameter, axes in growing(name).items():
        output, hidden = parameter in OUTPUTS, axes > 1
        assert lr[parameter] == (-1 if output or hidden else 0), parameter
        assert init[parameter] == (-1 if output else Fraction(-1, 2) if hidden else 0), parameter


@pytest.mark.parametrize(("optimizer", "rates"), [("adam", (0, -1, -1)), ("sgd", (1, 0, -1))])
def test_llama_is_what_the_calculus_says(optimizer, rates):
    """Two Llama-like blocks, worked out apart (theory, worked answers): gains and embedding, hidden, unembedding."""
    solution = derived("llama", optimizer)
    init, lr = (width_exponents(solution, size) for size in ("init", "lr"))
    for parameter in solution.parameters:
        vector = parameter == "W_E" or parameter.endswith("gain")
        kind = 0 if vector else 2 if parameter == "W_U" else 1
        assert init[parameter] == (0, Fraction(-1, 2), -1)[kind], parameter
        assert lr[parameter] == rates[kind], parameter
    assert {m.fractions["width"] for m in solution.multipliers.values()} == {0}


def test_heads_that_get_more_need_no_scores_that_get_smaller_and_heads_that_get_larger_do():
    assert not [name for name in derived("llama", "adam").multipliers if "scores" in name]
    assert derived("transformer", "adam").multipliers["attention.scores"].fractions["width"] == -1


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("name", catalogue())
def test_what_a_graph_predicts_is_measured(name, optimizer):
    report = sr.verify(sr.graph(name), derived(name, optimizer), sizes=SMALL, progress=False)
    assert report.verdict, [(r.key, r.predicted, r.estimate, r.why) for r in report.wrong]

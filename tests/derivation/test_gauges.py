"""Gauges against the tables of Tensor Programs V (arXiv 2203.03466): where a factor stands changes nothing else."""

from __future__ import annotations

import functools
from fractions import Fraction

import pytest

import scalerules as sr
from scalerules.derivation.gauges.gauge import GAUGES
from scalerules.errors import UnknownName

H = Fraction(1, 2)
LAYERS = ("input", "h1", "h2", "output")

# Exponents of the input layer, hidden layers, output layer. Tables 3, 8 and 9 of the paper list variances and rates;
# here stand standard deviations.
TABLES = {
    ("plain", "sgd"): {"mult": (0, 0, 0), "init": (0, -H, -1), "lr": (1, 0, -1)},
    ("plain", "adam"): {"mult": (0, 0, 0), "init": (0, -H, -1), "lr": (0, -1, -1)},
    ("table8", "sgd"): {"mult": (0, 0, -1), "init": (0, -H, 0), "lr": (1, 0, 1)},
    ("table8", "adam"): {"mult": (0, 0, -1), "init": (0, -H, 0), "lr": (0, -1, 0)},
    ("table9", "sgd"): {"mult": (H, 0, -H), "init": (-H, -H, -H), "lr": (0, 0, 0)},
    ("table9", "adam"): {"mult": (H, 0, -H), "init": (-H, -H, -H), "lr": (-H, -1, -H)},
    ("ntk", "sgd"): {"mult": (0, -H, -1), "init": (0, 0, 0), "lr": (1, 1, 1)},
    ("ntk", "adam"): {"mult": (0, -H, -1), "init": (0, 0, 0), "lr": (0, -H, 0)},
}


@pytest.mark.parametrize(("gauge", "optimizer"), TABLES)
def test_tables(gauge, optimizer):
    solution = sr.derive("mlp", optimizer=optimizer, gauge=gauge)
    assert solution.gauge == gauge
    for size, (first, inner, last) in TABLES[gauge, optimizer].items():
        found = tuple(getattr(solution[name], size).fractions["width"] for name in LAYERS)
        assert found == (first, inner, inner, last), size


@pytest.mark.parametrize("optimizer", ["adam", "sgd(clip=fixed)", "kfac"])
def test_another_gauge_is_written_from_the_same_solution(optimizer):
    plain = sr.derive("mlp", optimizer=optimizer)
    for gauge in GAUGES:
        again = sr.derive("mlp", optimizer=optimizer, gauge=gauge)
        here = plain.in_gauge(gauge)
        assert here == again and here.to_dict() == again.to_dict()
        assert here.derivation is plain.derivation, "the search and its story do not depend on where factors stand"
    with pytest.raises(sr.ScaleRulesError, match="derive with gauge='ntk'"):
        sr.Solution.from_json(plain.to_json()).in_gauge("ntk")


@functools.cache
def derived(graph: str, optimizer: str, gauge: str = "plain") -> sr.Solution:
    return sr.derive(graph, optimizer=optimizer, gauge=gauge)


CASES = [("mlp", optimizer, gauge) for optimizer in ("sgd", "adam", "muon") for gauge in GAUGES]
CASES += [("transformer", "adam", gauge) for gauge in ("table8", "table9", "ntk")]


@pytest.mark.parametrize(("graph", "optimizer", "gauge"), CASES)
def test_a_gauge_moves_factors_and_nothing_else(graph, optimizer, gauge):
    """The product of multiplier and std, the change per step, the place of epsilon, and the decay per step stay."""
    solution, plain = derived(graph, optimizer, gauge), derived(graph, optimizer)
    assert solution.multipliers == plain.multipliers and solution.sizes == plain.sizes
    for name, rule in solution.parameters.items():
        was, (t,) = plain[name], rule.mult.fractions.values()
        assert rule.mult.plus(rule.init) == was.init
        assert rule.lr.plus(rule.mult, 2 if optimizer == "sgd" else 1) == was.lr
        assert rule.lr.plus(rule.wd) == was.lr.plus(was.wd)
        assert rule.eps == (was.eps if optimizer == "sgd" else was.eps.plus(rule.mult))
        if sr.graph(graph).parameters[name].init != "normal":
            assert t == 0, "what does not start at random has no std to trade"


@pytest.mark.parametrize("gauge", GAUGES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_gauge_read_back_is_the_same_parametrization(gauge, optimizer):
    """`classify` reads multipliers: what was derived in any gauge is stable, and no layer is lazy."""
    solution = sr.derive("mlp", optimizer=optimizer, gauge=gauge)
    rules = solution.parameters.items()
    given = {n: {size: str(getattr(r, size)["width"]) for size in ("mult", "init", "lr")} for n, r in rules}
    found = sr.classify("mlp", given, optimizer)
    assert (found.regime, found.feature, dict(found.lazy)) == ("feature learning", 0, {})


def test_every_gauge_has_a_reason_and_a_source():
    for name, gauge in GAUGES.items():
        assert gauge.name == name and gauge.reason.endswith(".") and gauge.source
    with pytest.raises(UnknownName, match="did you mean 'table9'"):
        sr.derive("mlp", gauge="table99")

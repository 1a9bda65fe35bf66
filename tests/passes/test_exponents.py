"""Rates of decay that grow along the heads: an exponential leaves nothing of all but the first."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import scalerules as sr
from scalerules.measurement.verification.reading import Reading

torch = pytest.importorskip("torch")
HEAD = 8


class Heads(torch.nn.Module):
    """A selective recurrence with a rate and a step for each head, over two steps; the rates are 1, 2, 3, ..."""

    def __init__(self, width: int, rates: str = "range") -> None:
        super().__init__()
        heads = width // HEAD
        self.first, self.norm = torch.nn.Linear(5, width), torch.nn.LayerNorm(width)
        self.drive, self.step = torch.nn.Linear(width, width), torch.nn.Linear(width, heads)
        index = torch.arange(1.0, heads + 1)
        self.A_log = torch.nn.Parameter(torch.log(index) if rates == "range" else torch.randn(heads))
        self.last = torch.nn.Linear(width, 3)

    def forward(self, x: Any) -> Any:
        h = self.norm(self.first(x))
        driven = self.drive(h).unflatten(-1, (-1, HEAD))
        decay = torch.exp(-torch.exp(self.A_log) * torch.nn.functional.softplus(self.step(h)))[..., None]
        state = driven[:, 0]
        state = decay[:, 1] * state + driven[:, 1]
        return self.last(state.flatten(-2))


@functools.cache
def traced(rates: str = "range") -> sr.Graph:
    return sr.trace(
        lambda width: Heads(width, rates), scales={"width": (32, 48, 64)}, inputs=lambda width: torch.ones(4, 2, 5)
    )


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_rates_that_grow_along_the_heads_have_the_rule_of_those_that_do_not(optimizer: str) -> None:
    grown, level = (sr.derive(traced(rates), optimizer=optimizer) for rates in ("range", "normal"))
    grown.check()
    for name in level.parameters:
        assert grown[name].lr == level[name].lr, name
        assert grown[name].init == level[name].init or name == "A_log", name


@pytest.mark.parametrize("optimizer", ["adamw", *(pytest.param(o, marks=pytest.mark.slow) for o in ("sgd", "muon"))])
def test_the_scan_of_a_graph_agrees_with_the_loop_that_is_written_out(optimizer: str) -> None:
    graph = sr.graph("mamba2")
    data = graph.model_dump()
    data["parameters"]["A_log"]["init"] = "log_range"
    solution = sr.derive(type(graph).model_validate(data), optimizer=optimizer)
    level = sr.derive(graph, optimizer=optimizer)
    solution.check()
    assert {name: rule.lr for name, rule in solution.parameters.items()} == {
        name: rule.lr for name, rule in level.parameters.items()
    }


def test_what_falls_exponentially_is_asked_of_its_first_entries() -> None:
    solution = sr.derive(sr.graph("s5"), optimizer="sgd", scales={"state": 1})
    solution.check()
    sizes = {name: (str(solution[name].init["state"]), str(solution[name].lr["state"])) for name in ("B", "C")}
    assert sizes == {"B": ("1/2", "1"), "C": ("-1/2", "-1")}
    assert all(solution[name].lr["state"] == 0 for name in ("log_dt", "A_log", "A_imag"))


def test_what_grows_is_as_large_as_all_its_entries_where_another_function_reads_it() -> None:
    g = sr.Builder("plain", axes={"batch": 4, "in": 3, "n": "width", "out": 2})
    h = g.dense("first", g.input("x", "batch in"), "n in")
    g.parameter("rate", "n", init="range")
    h = g.einsum("grown", "b n, n -> b n", h, parameters=("rate",))
    graph = g.build(g.dense("last", g.tanh(h), "out n"))
    assert sr.derive(graph, optimizer="adamw")["first"].init["width"] == -1


def test_a_measurement_does_not_ask_exponents_to_stay_small() -> None:
    reading = Reading(traced())
    falling = {name for name in reading.judged if reading.falls(name)}
    assert len(falling) == 1
    assert not any(Reading(traced("normal")).falls(name) for name in reading.judged)

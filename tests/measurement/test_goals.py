"""What is wanted of any rule, and where a graph is read by what is not linear: neither asks what was derived."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph
from scalerules.catalogue.graphs import graph as catalogue
from scalerules.derivation.derive import derive
from scalerules.measurement.verification.goals import Table, judge_goals
from scalerules.measurement.verification.reading import Reading
from scalerules.measurement.verification.verify import verify

pytest.importorskip("torch")
SIZES = [32, 64, 128, 256]


def unpredicted(graph: Graph, optimizer: str = "adamw", **wrong: dict[str, int | str]) -> Any:
    """A rule of which nothing is predicted: what refutes it is what is wanted of any rule."""
    solution = derive(graph, optimizer=optimizer)
    for name, sizes in wrong.items():
        solution = solution.changed(name, **{size: {"width": exponent} for size, exponent in sizes.items()})
    return replace(solution, sizes=())


@pytest.mark.parametrize(
    ("wrong", "refuted"),
    [
        ({}, set()),
        ({"output": {"init": -2, "lr": -2}}, {"learning", "counts"}),  # nothing is learnt as the width grows
        ({"h1": {"lr": -2}}, {"counts"}),  # one layer stays behind
        ({"h2": {"lr": "-1/2"}}, {"stable"}),
        ({"h1": {"init": 0}}, {"stable"}),
        ({"input": {"lr": "-1/2"}}, {"counts"}),
    ],
)
def test_what_is_wanted_of_any_rule_is_measured_without_a_prediction(wrong, refuted) -> None:
    graph = catalogue("mlp")
    report = verify(graph, unpredicted(graph, **wrong), sizes=SIZES, seeds=2, progress=False)
    assert not report.rows and refuted <= set(report.refuted) and (not refuted) == (not report.refuted)
    assert report.verdict is (not refuted)
    if refuted:
        assert "every prediction holds" in report.headline and sorted(refuted)[0] in report.headline


@pytest.mark.slow
def test_nothing_is_left_on_the_table_where_that_is_asked() -> None:
    """The output could start half a power larger: all else is reached either way."""
    graph = catalogue("mlp")
    small = unpredicted(graph, output={"init": "-3/2"})
    assert verify(graph, small, sizes=SIZES, seeds=2, progress=False).refuted == []
    report = verify(graph, small, sizes=SIZES, seeds=2, progress=False, maximal=True)
    assert report.refuted == ["maximal"] and [(g.row.quantity, g.row.node) for g in report.failed] == [
        ("init", "output")
    ]
    assert verify(graph, unpredicted(graph), sizes=SIZES, seeds=2, progress=False, maximal=True).refuted == []


def test_where_a_graph_is_read_by_what_is_not_linear() -> None:
    reading = Reading(catalogue("transformer"))
    assert reading.judged == {"embedding", "attention.scores", "attention.stream", "mlp.b_up", "mlp.stream", "logits"}
    assert {n for n in reading.judged if reading.beside_itself(n)} == {"embedding", "attention.stream", "mlp.stream"}
    assert reading.frozen["attention.W_V"] == {"attention.stream"} and reading.frozen["W_U"] == {"logits"}
    assert reading.first_judged("attention.v") == ({"attention.stream"}, True)
    assert Reading(catalogue("mamba")).frozen["A_log"] == {"stream_out"}  # a weight until the scan reads it


def test_what_powers_and_homogeneous_functions_read_counts_beside_itself() -> None:
    """A mean square in front of its inverse root, and what `relu` reads, may be of any size; what `tanh` reads not."""
    g = Builder("any size", axes={"batch": 16, "in": 8, "n": "width", "out": 4}, sizes={"width": 64})
    h = g.relu(g.dense("first", g.input("x", "batch in"), "n in"), name="relu")
    root = g.rsqrt(g.mean(g.square(h, name="square"), axis="n", name="mean"), name="root")
    normed = g.einsum("normed", "b n, b -> b n", h, root)
    read = g.tanh(g.dense("second", normed, "n n"), name="tanh")
    reading = Reading(g.build(g.dense("last", read, "out n")))
    assert {n for n in reading.judged if reading.any_size(n)} == {"first", "relu", "mean"}
    assert not reading.any_size("second") and not reading.any_size("last")


def test_a_parameter_that_the_rule_says_stays_behind_is_named_and_does_not_refute_it() -> None:
    """LoRA under SGD: the second B starts at a saddle, which is derived, warned of, and measured."""
    graph = catalogue("lora")
    solution = derive(graph, optimizer="sgd")
    report = verify(graph, solution, sizes=[64, 128, 256, 512], seeds=2, progress=False)
    assert report.verdict is not False and report.refuted == [] and report.warned == ["B_2"]
    if report.verdict:
        assert "(but B_2: left behind at first, as the rule warns)" in report.headline
    silent = verify(graph, replace(solution, warnings=()), sizes=[64, 128, 256, 512], seeds=2, progress=False)
    assert silent.refuted == ["counts"] and not silent.warned


def test_what_parameters_at_a_saddle_feed_learns_late() -> None:
    """What they make moves by less at first, as the rule warns; a rule that warns of others is refuted by it."""
    g = Builder("late", axes={"batch": 4, "in": 3, "n": "width", "out": 2})
    h = g.relu(g.dense("W", g.input("x", "batch in"), "n in"))
    reading, sizes = Reading(g.build(g.dense("V", h, "out n"))), (64, 128, 256, 512)
    key = "learning", ("change", "W", 1, None)
    runs = [SimpleNamespace(rms={key[1]: seed / size}) for seed in (1.0, 1.1) for size in sizes]
    table = Table([runs[:4], runs[4:]], [math.log(size) for size in sizes], 1, ())
    said = {
        warned: [
            goal.row.status
            for goal in judge_goals(reading, replace(table, warned=dict.fromkeys(warned, math.inf)))
            if goal.key == key
        ]
        for warned in ((), ("V",), ("W",))
    }
    assert said == {(): ["wrong"], ("V",): ["wrong"], ("W",): ["warned"]}


def test_a_contribution_beside_a_value_of_any_size_is_stable_where_it_is_as_large_at_every_size() -> None:
    """What `relu` reads starts at `width^(-1/2)` and is moved by 1: its share grows up to 1, which is no growth of it."""
    g = Builder("share", axes={"batch": 4, "in": 3, "n": "width", "out": 2})
    h = g.relu(g.dense("W", g.input("x", "batch in"), "n in"))
    reading, sizes = Reading(g.build(g.dense("V", h, "out n"))), (64, 128, 256, 512)

    def stable(power: float) -> list[str]:
        rms = {("gradient", "W", 1, None): 1.0}
        runs = [
            SimpleNamespace(rms={**rms, ("value", "W", 0, None): seed / size, ("counts", "W", 1, "W"): seed * size**power})
            for seed in (0.001, 0.0011) for size in sizes
        ]  # fmt: skip
        table = Table([runs[:4], runs[4:]], [math.log(size) for size in sizes], 1, ())
        key = "stable", ("counts", "W", 1, "W")
        return [goal.row.status for goal in judge_goals(reading, table) if goal.key == key]

    assert (stable(0), stable(1)) == (["agrees"], ["wrong"])

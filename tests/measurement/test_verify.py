"""A verification agrees with the right rules, and with none of the wrong ones that have been published or tried."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph
from scalerules.catalogue.graphs import graph as catalogue
from scalerules.derivation.derive import derive
from scalerules.errors import MissingExtra, ScaleRulesError
from scalerules.measurement.verification.judge import judge, measured
from scalerules.measurement.verification.predicted import late_names, slow_names
from scalerules.measurement.verification.report import Report
from scalerules.measurement.verification.runs import few_samples
from scalerules.measurement.verification.verify import verify
from scalerules.ops.node import Node
from scalerules.tracing import trace

pytest.importorskip("torch")
SIZES = [32, 64, 128, 256]


class Power(dict[str, Fraction]):
    def change(self, ratios):
        return math.prod(ratios[scale] ** float(power) for scale, power in self.items())


@dataclass(frozen=True)
class Size:
    quantity: str
    node: str
    step: int
    size: Fraction | None
    parameter: str | None = None
    lower: Fraction | None = None


def power(text: str | int) -> Power:
    return Power(width=Fraction(text))


def by_hand(graph: Graph, hidden: str, output: str, free: str = "") -> Any:
    """What the calculus gives under Adam, written down: init 0, -1/2, -1, rate 0, -1, -1; every change 0."""
    parameters = {}
    for name in graph.parameters:
        kind = "output" if name in output.split() else "hidden" if name in hidden.split() else "input"
        init, lr = {"input": (0, 0), "hidden": ("-1/2", -1), "output": (-1, -1)}[kind]
        numbers = {"init": init, "lr": lr, "mult": 0, "wd": 0, "eps": 0 if kind == "output" else -1}
        parameters[name] = SimpleNamespace(**{key: power(value) for key, value in numbers.items()}, dampings={})
    sizes = []
    for node, spec in graph.walk():
        for step in (1, 2, 3):
            if spec.op != "input" and node != "attention.dots":
                sizes.append(Size("change", node, step, Fraction(0)))
            sizes += [Size("own", node, step, Fraction(0), name) for name in spec.parameters]
    if "ssm" in dict(graph.walk()):
        sizes += [Size("change", "ssm.state", step, Fraction(0)) for step in (1, 2, 3)]
    return SimpleNamespace(
        optimizer="adam", direction={"width": Fraction(1)}, parameters=parameters, sizes=sizes,
        multipliers={free: power(-1)} if free else {},
    )  # fmt: skip


def perceptron() -> tuple[Graph, Any]:
    graph = catalogue("mlp")
    return graph, by_hand(graph, "h1 h2", "output")


def attention() -> tuple[Graph, Any]:
    graph = catalogue("transformer")
    hidden = "attention.W_Q attention.W_K attention.W_V attention.W_O mlp.W_up mlp.W_down"
    return graph, by_hand(graph, hidden, "W_U", "attention.scores")


def selective() -> tuple[Graph, Any]:
    graph = catalogue("mamba")
    return graph, by_hand(graph, "W_z W_u W_rank W_dt W_out", "W_B W_C W_U")


def tied() -> tuple[Graph, Any]:
    g = Builder("tied", axes={"batch": 2, "time": 8, "vocab": 16, "n": "width"}, loss="cross_entropy")
    tokens = g.input("tokens", "batch time vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b t v, v n -> b t n", tokens, parameters=("W_E",))
    h = g.dense("h", g.rms_norm(x, axis="n", name="norm"), "n n", "b t")
    h = g.residual("joined", "norm", g.gelu(h, name="act"))
    h = g.rms_norm(h, axis="n", name="final")
    y = g.einsum("read", "b t n, v n -> b t v", h, parameters=("W_E",))
    graph = g.build(g.scale("logits", y, free=True))
    solution = by_hand(graph, "h", "", "logits")
    solution.sizes = [s for s in solution.sizes if s.node != "read"]  # judged behind its multiplier
    return graph, solution


def said(report: Report) -> list[tuple[object, ...]]:
    return [(r.key, r.estimate, r.why) for r in report.wrong + report.open]


def test_right_rules_agree() -> None:
    report = verify(*perceptron(), sizes=SIZES, progress=False)
    assert report.verdict is True, said(report)
    assert report.typical is not None and report.typical < 0.5
    assert report.rate.stable and report.rate.value == pytest.approx(0.4 * report.rate.stable)
    assert report.seeds_used == 4 and not any(report.rose.values())


def _standard(solution: SimpleNamespace) -> None:
    for rule in solution.parameters.values():
        rule.lr = power(0)
    solution.parameters["output"].init = power("-1/2")


def _one_rate(solution: SimpleNamespace) -> None:
    for rule in solution.parameters.values():
        rule.lr = power(0)


def _output(solution: SimpleNamespace) -> None:
    solution.parameters["output"].init = power("-1/2")


def _unscaled(solution: SimpleNamespace) -> None:
    solution.parameters["h1"].lr = power(0)


def _slow(solution: SimpleNamespace) -> None:
    solution.parameters["h2"].lr = power("-3/2")


@pytest.mark.parametrize("fault", [_standard, _one_rate, _output, _unscaled, _slow])
def test_faults_of_a_perceptron_disagree(fault) -> None:
    graph, solution = perceptron()
    fault(solution)
    report = verify(graph, solution, progress=False)
    assert report.verdict is False
    assert all(r.status == "wrong" and r.why for r in report.wrong)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [attention, selective, tied])
def test_right_rules_of_larger_graphs_agree(architecture) -> None:
    report = verify(*architecture(), progress=False)
    assert report.verdict is not False, said(report)


@pytest.mark.slow
def test_attention_over_the_root_of_the_head_size_disagrees() -> None:
    graph, solution = attention()
    data = graph.to_dict()
    body = data["nodes"]["blocks"]["body"]
    del body["attention.scores"]["free"]
    report = verify(Graph.model_validate(data), solution, progress=False)
    assert report.verdict is False
    assert {r.node for r in report.wrong} <= {"attention.scores", "attention.weights"}


@pytest.mark.slow
def test_isolated_rule_of_the_selective_scan_disagrees_when_all_train() -> None:
    graph, solution = selective()
    for name in ("W_B", "W_C"):
        solution.parameters[name].init = power("-1/2")
    report = verify(graph, solution, progress=False)
    assert report.verdict is False
    assert any(r.excess > 0.3 for r in report.wrong)


@pytest.mark.slow
def test_tied_output_without_its_multiplier_disagrees() -> None:
    graph, solution = tied()
    solution.multipliers = {"logits": power(0)}
    assert verify(graph, solution, progress=False).verdict is False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "optimizer"),
    # not Mamba with Muon: its rank is width/16, and below the number of samples an update's rank grows with it
    [*((n, o) for n in ("mlp", "transformer", "mamba") for o in ("adamw", "sgd", "lion")), ("transformer", "muon")],
)
def test_what_is_derived_is_measured(name: str, optimizer: str) -> None:
    graph = catalogue(name)
    sizes = None if optimizer != "muon" else [64, 128, 256]  # singular value decompositions take their time
    solution = derive(graph, optimizer=optimizer)
    report = verify(graph, solution, sizes=sizes, progress=False)
    assert report.verdict is not False, said(report)
    assert len(report.open) <= 0.05 * len(report.rows), said(report)
    assert len(report.rows) == len(solution.sizes)  # nothing that is predicted goes unmeasured


def test_report_is_what_the_interface_says(tmp_path) -> None:
    graph, solution = perceptron()
    report = verify(graph, solution, sizes=[32, 64], seeds=2, steps=1, lr=0.01, progress=False)
    data = json.loads(report.to_json())
    assert {"graph", "optimizer", "sizes", "seeds", "rows", "verdict"} <= set(data)
    assert data["sizes"] == [32, 64] and data["seeds"] == 2 and data["verdict"] is report.verdict
    row = data["rows"][0]
    assert {"quantity", "node", "step", "predicted", "slope", "stderr", "agrees"} <= set(row)
    assert row["predicted"] == "0" and isinstance(row["slope"], float)
    assert "(given)" in data["learning_rate_note"]
    report.plot(str(tmp_path / "figure.png"))
    assert (tmp_path / "figure.png").stat().st_size > 1000
    assert {"refuted", "goals", "headline"} <= set(data) and data["refuted"] == report.refuted
    kinds = len({r.quantity for r in report.rows}) + len({g.goal for g in report.goals})
    assert report.to_table().row_count == len(report.wrong) + len(report.open) + kinds
    assert report.to_table(every=True).row_count == len(report.rows) + len(report.goals) + kinds


def test_same_seeds_same_slopes_in_processes_too() -> None:
    graph, solution = perceptron()
    here, there = (
        verify(graph, solution, sizes=[16, 32], seeds=2, steps=1, lr=0.01, progress=False, jobs=jobs) for jobs in (1, 2)
    )
    for a, b in zip(here.rows, there.rows, strict=True):
        assert a.key == b.key and a.status == b.status and a.slope == pytest.approx(b.slope, abs=1e-5)


def test_interruption_leaves_the_sizes_that_were_measured(monkeypatch) -> None:
    module = sys.modules["scalerules.measurement.verification.runs"]
    real, calls = module.measure, []

    def measure(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "measure", measure)
    report = verify(*perceptron(), sizes=SIZES, lr=0.01, progress=False)
    assert report.interrupted and report.measured_sizes == SIZES[:3] and report.rows and report.verdict is None
    data = json.loads(report.to_json())
    assert data["interrupted"] is True and data["verdict"] is None and "let it finish" in data["advice"]


def test_interruption_before_anything_is_an_empty_report(monkeypatch) -> None:
    def measure(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["scalerules.measurement.verification.runs"], "measure", measure)
    report = verify(*perceptron(), sizes=SIZES, lr=0.01, progress=False)
    assert report.rows == [] and report.verdict is None
    assert report.to_table().row_count == 0


def test_a_value_that_only_a_bias_carries_may_start_small() -> None:
    g = Builder("head", axes={"batch": 8, "in": 4, "n": "width", "out": 3})
    g.parameter("b", "out")
    dots = g.dense("W", g.tanh(g.dense("first", g.input("x", "batch in"), "n in")), "out n")
    graph = g.build(g.node("y", "add", dots, parameters=("b",), equation="b o, o -> b o"))
    assert slow_names(graph, derive(graph, optimizer="adamw"), {}) == {("value", "y", None): 0.5}
    square = graph.to_dict()
    square["nodes"]["squared"] = {"op": "square", "inputs": ["y"]}
    graph = Graph.model_validate(square | {"outputs": ["squared"]})
    assert slow_names(graph, derive(graph, optimizer="adamw"), {})["value", "squared", None] == 1.0


def test_so_may_products_of_such_values_and_the_gradients_behind_them() -> None:
    """Two heads of few outputs that choose what a gate reads (the `B` and `C` of a selective scan)."""
    g = Builder("gated", axes={"batch": 8, "in": 4, "n": "width", "few": 3, "out": 2})
    h = g.tanh(g.dense("first", g.input("x", "batch in"), "n in"))
    for bias in ("b_B", "b_C"):
        g.parameter(bias, "few")
    heads = [
        g.node(f"{name}+b", "add", g.dense(name, h, "few n"), parameters=(f"b_{name}",), equation="b f, f -> b f")
        for name in ("B", "C")
    ]
    product = g.einsum("product", "b f, b f -> b f", *heads)
    moved = g.node("moved", "rearrange", product, equation="b f -> b f", axes=["batch", "few"])
    gated = g.einsum("gated", "b n, b f -> b n", g.dense("value", h, "n n"), moved)
    graph = g.build(g.dense("last", gated, "out n"))
    sizes = {(p.quantity, p.node): (p.size, p.lower) for p in derive(graph, optimizer="sgd").sizes if p.step < 2}
    assert sizes["value", "moved"] == (0, -1) and sizes["value", "value"] == (0, None)
    size, lower = sizes["gradient", "B"]
    assert size is not None and lower == size - Fraction(1, 2)


def test_a_weight_that_is_a_view_of_a_parameter_is_measured() -> None:
    g = Builder("view", axes={"batch": 16, "in": 8, "n": "width", "m": "width", "out": 4})
    h = g.gelu(g.dense("W1", g.input("x", "batch in"), "n in"))
    g.parameter("U", "n m")
    turned = g.node("turned", "rearrange", parameters=("U",), axes="m n", equation="i o -> o i")
    graph = g.build(g.dense("W3", g.gelu(g.einsum("h", "b i, o i -> b o", h, turned), name="a2"), "out m"))
    report = verify(graph, derive(graph, optimizer="adamw"), sizes=SIZES, seeds=2, progress=False)
    assert report.verdict is True, said(report)
    assert ("counts", "turned", 3, "U") in {goal.row.key for goal in report.goals}


def test_the_report_begins_with_the_verdict_and_then_says_what_is_off_in_few_lines() -> None:
    graph = catalogue("mlp")
    wrong = derive(graph, optimizer="adamw").changed("h1", lr={"width": "1/2"})
    report = verify(graph, wrong, sizes=SIZES, seeds=2, progress=False)
    table = report.to_table()
    assert table.title.splitlines()[1].startswith("does not agree. Not reached: stable; ")
    first, kinds = list(table.columns[0].cells), ["goal stable", "goal learning", "goal counts", "all values"]
    start = first.index("goal stable")
    assert first[start : start + 4] == kinds and "stable: change" in first[:start] and "own" in first[:start]
    shown = list(zip(first, table.columns[1].cells, strict=True))[:start]
    assert len(shown) == len(set(shown)) <= 25 < len(list(report.to_table(every=True).columns[0].cells))


def test_what_was_looked_at_twice_says_so() -> None:
    graph, solution = perceptron()
    report = verify(graph, solution, sizes=[32, 64, 128], seeds=2, lr=0.01, progress=False)
    report.looks, report.seeds_used = 2, 4
    assert report.to_table().title.startswith("mlp, adam: sizes 32, 64, 128; 2 seeds, looked at twice (4 seeds in all)")
    report.looks = 1
    assert "; 2 seeds, 3 steps" in report.to_table().title


def test_what_is_too_blunt_is_undecided_and_says_what_it_needs() -> None:
    report = verify(*perceptron(), sizes=[16, 24], seeds=1, lr=0.01, progress=False)
    assert report.verdict is None and report.blunt and report.conclusion == "undecided"
    assert "--seeds" in report.advice and "--sizes 16,24,48" in report.advice


def test_fewer_seeds_at_larger_sizes() -> None:
    report = verify(*perceptron(), sizes=SIZES, seeds=[8, 4, 2, 2], progress=False)
    assert report.verdict is True, said(report)
    assert report.seeds_by_size == [8, 4, 2, 2]
    key = ("change", "h1", 1, None)
    assert [sum(x is not None for x in column) for column in zip(*report.samples[key], strict=True)] == [8, 4, 2, 2]


def test_a_fault_shows_with_fewer_seeds_at_larger_sizes() -> None:
    graph, solution = perceptron()
    _unscaled(solution)
    assert verify(graph, solution, sizes=SIZES, seeds=[4, 2, 2, 1], progress=False).verdict is False


@pytest.mark.parametrize(
    ("name", "optimizer"), [*(("mlp", o) for o in ("sgd", "momentum", "muon")), ("transformer", "adamw")]
)
def test_stacked_copies_are_single_runs(name: str, optimizer: str) -> None:
    from scalerules.backends.training import ensemble
    from scalerules.backends.training import measure as training
    from scalerules.backends.training.program import Program

    graph = few_samples(catalogue(name))
    solution = derive(graph, optimizer=optimizer)
    base = graph.base_sizes()
    program = Program(graph, solution, base | {"width": 32}, base)
    own = {(p.node, p.parameter) for p in solution.sizes if p.quantity == "own" and p.parameter}
    trials = [training.Trial(0.01, 2, seed) for seed in range(3)]
    assert ensemble.at_once(program, 3) == 3
    for trial, found in zip(trials, ensemble.measure(program, trials, own), strict=True):
        single = training.measure(program, trial, own)
        assert found.losses == pytest.approx(single.losses, rel=1e-5)
        assert set(found.rms) == set(single.rms)
        for key, size in single.rms.items():
            assert found.rms[key] == pytest.approx(size, rel=2e-3, abs=1e-7), key


def test_what_is_learned_does_not_count_as_small_gradients() -> None:
    """Gradients are proportional to that at the outputs; what is left of it is measured, and never above 1."""
    from scalerules.backends.training import measure as training
    from scalerules.backends.training.program import Program

    graph, solution = perceptron()
    base = graph.base_sizes()
    found = training.measure(Program(graph, solution, base, base), training.Trial(0.02, 6)).rms
    pulls = [found["pull", "", step, None] for step in range(1, 7)]
    assert pulls[0] == 1 and 0 < pulls[-1] < 0.5 and max(pulls) == 1
    raw = [found["gradient", "h1", step, None] for step in range(1, 7)]
    assert raw[-1] < 0.6 * raw[0] and raw[-1] / pulls[-1] > 0.6 * raw[0]


def test_rates_at_once_find_the_edge_that_single_runs_find() -> None:
    from scalerules.backends.training import ensemble
    from scalerules.backends.training import measure as training
    from scalerules.backends.training.program import Program

    graph, solution = perceptron()
    base = graph.base_sizes()
    program = Program(graph, solution, base, base)
    trials = [training.Trial(2.0**power, 6, seed) for power in (-6, -5, -4) for seed in (0, 1)]
    for trial, losses in zip(trials, ensemble.losses(program, trials), strict=True):
        assert losses == pytest.approx(training.losses(program, trial), rel=1e-4)


@pytest.mark.parametrize(("optimizer", "powers"), [("adam", (-7, -6, -5, -4, -3)), ("sgd", (-12, -7, -3, 0, 5, 19))])
def test_the_edge_is_found_wherever_it_lies(optimizer, powers) -> None:
    from scalerules.measurement.verification.edge import edge_of

    for edge in powers:
        assert edge_of(lambda asked, edge=edge: [power <= edge for power in asked]) == edge
    assert edge_of(lambda asked: [True for _ in asked]) == 20
    assert edge_of(lambda asked: [False for _ in asked]) is None


def test_a_rate_at_which_bounded_outputs_saturate_is_no_stable_rate() -> None:
    from scalerules.measurement.verification.edge import rises, stable_rate

    assert rises([1.0, 0.7, 0.7, 0.7, 0.7]) and not rises([1.0, 1.0, 1.0, 1.0]) and not rises([1.0, 0.8, 0.7, 0.65])
    graph = catalogue("mlp")
    nodes = {**graph.nodes, "bounded": Node(op="sigmoid", inputs=list(graph.outputs))}
    bounded = Graph.model_validate(graph.model_dump(exclude_none=True) | {"nodes": nodes, "outputs": ["bounded"]})
    stable = stable_rate(bounded, derive(bounded, optimizer="adamw"), bounded.base_sizes()).stable
    assert stable is not None and stable < 2


def test_figures(tmp_path) -> None:
    graph, solution = perceptron()
    _unscaled(solution)
    report = verify(graph, solution, sizes=[32, 64, 128], seeds=2, lr=0.01, progress=False)
    for name in ("figure.png", "figure.svg", "page.html"):
        report.plot(str(tmp_path / name))
        assert (tmp_path / name).stat().st_size > 1000
    page = (tmp_path / "page.html").read_text()
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")  # nothing is loaded from anywhere
    data = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    assert data["sizes"] == [32, 64, 128] and len(data["rows"]) == len(report.rows)


def test_zero_where_a_size_is_predicted_is_missing_and_the_reverse_unpredicted() -> None:
    graph, solution = perceptron()
    del solution.parameters["h1"]  # h1 stays where it is
    solution.sizes.append(Size("change", "x", 1, None))
    solution.sizes = [s if s.node != "a1" else Size(s.quantity, "a1", s.step, None) for s in solution.sizes]
    report = verify(graph, solution, sizes=SIZES, seeds=2, progress=False, lr=0.01)
    status = {(r.quantity, r.node, r.step): r.status for r in report.rows}
    assert status["own", "h1", 1] == "missing"
    assert status["change", "a1", 1] == "unpredicted"
    assert status["change", "x", 1] == "agrees"


def test_what_vanishes_at_some_sizes_only_is_open() -> None:
    """Below the resolution of single precision at one size: nothing is known, and it is not said to be missing."""
    rows = [[1e-6, 1e-6, 0.0], [1e-6, 0.0, 0.0]]
    found = measured(("own", "h", 1, "h"), Fraction(0), [0.0, 0.7, 1.4], rows)
    (row,) = judge([found], {("own", "h", "h"): found})
    assert row.status == "undecided" and "too small" in row.why
    none = measured(("own", "h", 1, "h"), Fraction(0), [0.0, 0.7, 1.4], [[0.0] * 3] * 2)
    assert judge([none], {("own", "h", "h"): none})[0].status == "missing"


@pytest.mark.slow
def test_queries_that_start_at_zero_agree_under_sgd() -> None:
    """The keys wait for the queries: both have a small constant, and one stands behind the other."""
    graph = catalogue("transformer", zero_query=True)
    report = verify(graph, derive(graph, optimizer="sgd"), sizes=[64, 128, 256, 512], progress=False)
    assert report.verdict is True, report.wrong
    assert late_names({("own", "k", 2, "K"): Fraction(-1, 2), ("own", "k", 3, "K"): Fraction(0)}) == [("own", "k", "K")]
    assert late_names({("own", "k", 1, "K"): Fraction(-1, 2), ("own", "k", 3, "K"): Fraction(0)}) == []


def test_divergence_is_wrong_and_no_crash() -> None:
    report = verify(*perceptron(), sizes=[32, 64], seeds=2, lr=1e9, progress=False)
    assert report.verdict is False
    assert any("not finite" in r.why for r in report.wrong)
    json.loads(report.to_json())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sizes": [64]}, "sizes [64]: at least 2 different numbers are needed"),
        ({"seeds": 0}, "seeds 0 is not a whole number from 1 to 10000"),
        ({"seeds": [4, 2]}, "2 numbers of seeds for 4 sizes (one number for all, or one for each size)"),
        (
            {"seeds": [1, 1, 2, 4]},
            "more seeds at a larger size: [1, 1, 2, 4] (the same number, or fewer, such as 8,4,2,2)",
        ),
    ],
)
def test_mistakes_are_messages(options, text) -> None:
    with pytest.raises(ScaleRulesError) as error:
        verify(*perceptron(), **options)
    assert str(error.value) == text


def test_nodes_of_one_number_for_each_copy_are_measured() -> None:
    """A bias of one entry, and a mean over all axes, have no axis but that of the copies."""
    nodes = {
        "x": {"op": "input", "axes": ["t", "i"]},
        "h": {"op": "einsum", "inputs": ["x"], "parameters": ["first"], "equation": "t i, n i -> t n"},
        "r": {"op": "relu", "inputs": ["h"]},
        "o": {"op": "einsum", "inputs": ["r"], "parameters": ["last"], "equation": "t n, n -> t"},
        "m": {"op": "mean", "inputs": ["o"], "axis": "t"},
        "y": {"op": "add", "inputs": ["m"], "parameters": ["offset"], "equation": ", -> "},
    }
    shapes = {"first": ["n", "i"], "last": ["n"], "offset": []}
    parameters = {name: {"axes": axes} for name, axes in shapes.items()}
    axes = {"n": "width", "t": 4, "i": 5}
    made = {"name": "one", "axes": axes, "outputs": ["y"], "parameters": parameters, "nodes": nodes}
    graph = Graph.model_validate(made)
    report = verify(graph, derive(graph, optimizer="adamw"), sizes=[16, 32, 64, 128], seeds=4, progress=False)
    assert {row.node for row in report.rows if row.quantity == "gradient"} >= {"last", "offset"}
    assert not report.wrong


def test_a_module_with_one_output_and_a_bias_agrees() -> None:
    """A weight of one entry has no standard deviation: it keeps its own size."""
    import torch
    from torch import nn

    graph = trace(
        lambda width: nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, 1)),
        scales={"width": (32, 48, 64)}, inputs=lambda width: torch.randn(8, 5),
    )  # fmt: skip
    report = verify(graph, derive(graph, optimizer="adamw"), sizes=SIZES, seeds=2, progress=False)
    assert report.verdict is True, said(report)


def test_a_product_of_data_is_measured_behind_the_factor_that_it_is_given() -> None:
    """The module has no factor there: the call is multiplied, so what it returns stands behind it."""
    import torch
    from torch import nn

    class Towers(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(5, width), nn.Linear(4, width)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return torch.einsum("b n, c n -> b c", torch.tanh(self.a(x)), torch.tanh(self.b(y)))

    def inputs(width: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn(6, 5), torch.randn(6, 4)

    graph = trace(Towers, scales={"width": (32, 48, 64)}, inputs=inputs)
    assert graph.live is not None
    assert "einsum.factor" in graph.live.nodes and "einsum" not in graph.live.nodes
    report = verify(graph, derive(graph, optimizer="adamw"), sizes=SIZES, seeds=2, progress=False)
    assert not report.wrong and not report.refuted, said(report)


def test_a_module_that_returns_a_variational_loss_is_measured() -> None:
    """What is drawn inside is an input; the divergence is a part of the loss that the graph ends in."""
    import torch
    from torch import Tensor, nn

    class Autoencoder(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.read, self.mean, self.spread = nn.Linear(6, width), nn.Linear(width, 3), nn.Linear(width, 3)
            self.write, self.out = nn.Linear(3, width), nn.Linear(width, 6)

        def forward(self, x: Tensor, noise: Tensor) -> Tensor:
            h = torch.tanh(self.read(x))
            mean, log_variance = self.mean(h), self.spread(h)
            y = self.out(torch.tanh(self.write(mean + noise * torch.exp(log_variance / 2))))
            divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(-1)
            return (y - x).square().sum(-1).mean() + divergence.mean()

    def inputs(width: int) -> tuple[Tensor, Tensor]:
        return torch.randn(8, 6), torch.randn(8, 3)

    graph = trace(Autoencoder, scales={"width": (16, 24, 32)}, inputs=inputs)
    report = verify(graph, derive(graph, optimizer="adamw"), sizes=[16, 32, 64], seeds=1, looks=1, progress=False)
    assert not report.wrong and not report.refuted, said(report)
    assert {goal.row.parameter for goal in report.goals if goal.goal == "counts"} >= {"spread.weight", "mean.weight"}


def test_what_torch_refuses_is_a_message_about_the_node() -> None:
    graph = Graph.model_validate(
        {
            "name": "bad", "axes": {"n": "width", "t": 4}, "outputs": ["y"],
            "parameters": {"w": {"axes": ["t", "n"]}},
            "nodes": {
                "x": {"op": "input", "axes": ["t"]},
                "h": {"op": "einsum", "inputs": ["x"], "parameters": ["w"], "equation": "t, t n -> n"},
                "y": {"op": "add", "inputs": ["h"], "parameters": ["w"], "equation": "n, t n -> n"},
            },
        }
    )  # fmt: skip
    with pytest.raises(ScaleRulesError, match="node 'y': add cannot be computed at width="):
        verify(graph, derive(graph, optimizer="adamw"), sizes=[16, 32], progress=False)


def test_without_torch_it_says_what_to_install(monkeypatch) -> None:
    for name in list(sys.modules):
        if name.startswith("scalerules.backends."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match="training a graph needs the extra 'torch'"):
        verify(*perceptron())


def test_a_batch_is_cut_and_nothing_else() -> None:
    graph = few_samples(catalogue("transformer"))
    assert graph.axes == catalogue("transformer").axes | {"batch": 2}
    assert few_samples(catalogue("mlp")) == catalogue("mlp")


def test_what_a_shell_shows_is_short():
    graph = catalogue("mlp")
    solution = derive(graph, optimizer="adamw")
    assert repr(solution) == "<rules of mlp, adamw, growing width: 4 parameters>"
    assert str(solution) == solution.to_table()
    report = verify(graph, solution, sizes=[32, 64], seeds=1)
    assert repr(report).startswith("<verification of mlp, adamw, sizes 32, 64: 53 rows, 0 disagree, ")


def test_a_direction_that_is_not_the_solutions_is_refused() -> None:
    graph = catalogue("s5")
    solution = derive(graph, optimizer="adamw")
    with pytest.raises(ScaleRulesError, match="the solution is along width = 1, not along state = 1"):
        verify(graph, solution, scales={"state": 1}, progress=False)


def test_what_single_precision_rounds_away_is_measured_in_double():
    """Steps of 1e-8 are less than what single precision resolves beside weights of size one: nothing seemed to move."""
    graph = catalogue("mlp")
    solution = derive(graph, optimizer="adamw")
    report = verify(graph, solution, sizes=[32, 64, 128], seeds=2, steps=1, lr=1e-8, progress=False, looks=1)
    assert report.rows and all(row.sure and row.slope is not None for row in report.rows)
    assert not report.failed and all(goal.row.slope is not None for goal in report.goals)

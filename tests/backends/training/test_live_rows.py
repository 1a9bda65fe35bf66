"""A module that picks rows by values: after a step a router picks others, and what stands there is not compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from scalerules.backends.training import measure as training
from scalerules.backends.training.module_program import LiveProgram, measure
from torch import Tensor, nn

import scalerules as sr

WIDTHS, BASE = {"width": (32, 48, 64)}, {"width": 32.0}
EXPERTS = 2


class Experts(nn.Module):
    """Each row goes through the expert that the router chooses, in every block; `pick` says how rows are picked."""

    def __init__(self, width: int, pick: Callable[[Tensor], Any], blocks: int = 1, head: bool = False) -> None:
        super().__init__()
        self.pick, self.head = pick, head
        self.stem, self.last = nn.Linear(16, width, bias=False), nn.Linear(width, 4)
        self.routers = nn.ModuleList(nn.Linear(width, EXPERTS, bias=False) for _ in range(blocks))
        self.experts = nn.ModuleList(
            nn.ModuleList(nn.Linear(width, width) for _ in range(EXPERTS)) for _ in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.stem(x))
        for router, experts in zip(self.routers, self.experts, strict=True):
            weights, chosen = router(h).softmax(-1).max(-1)
            y = torch.zeros_like(h)
            for i, expert in enumerate(experts):  # pyright: ignore[reportArgumentType]
                rows = self.pick(chosen == i)
                y[rows] = torch.tanh(expert(h[rows])) * weights[rows][:, None]
            h = h + y
        return self.last(h[chosen == 0] if self.head else h)  # pyright: ignore[reportPossiblyUnboundVariable]


PICKS: dict[str, Callable[[Tensor], Any]] = {
    "mask": lambda mask: mask,
    "places": lambda mask: mask.nonzero()[:, 0],
    "where": lambda mask: torch.where(mask)[0],
}


@cache
def routed(pick: str, **more: Any) -> sr.Graph:
    """The graph of experts, traced once for all tests."""
    inputs = lambda **_: torch.ones(24, 16)  # noqa: E731
    return sr.trace(lambda width: Experts(width, PICKS[pick], **more), WIDTHS, inputs, measure=False, progress=False)


def program(graph: sr.Graph, **dtype: Any) -> LiveProgram:
    return LiveProgram(graph, sr.derive(graph, "adam"), {"width": 64.0}, BASE, **dtype)


def measured(live: LiveProgram, seeds: int = 2) -> list[training.Measurement]:
    nodes = list(live.graph.nodes)
    watched = training.Watched({name: nodes for name in live.graph.parameters}, nodes)
    own = {(node, name) for name in live.graph.parameters for node in live.readers(name)}
    return list(measure(live, [training.Trial(0.05, 3, seed) for seed in range(seeds)], own, watched=watched))


@pytest.mark.parametrize(
    "pick", ["mask", *(pytest.param(way, marks=pytest.mark.slow) for way in PICKS if way != "mask")]
)
def test_rows_that_a_router_chooses_are_not_compared(pick: str) -> None:
    live = program(routed(pick))
    inside = {node for node in live.live.nodes if live.live.nodes[node][0].startswith("tanh_")}
    assert len(inside) == EXPERTS and inside <= set(live.chosen)
    assert not {"tanh", "last.bias", *live.graph.outputs} & set(live.chosen)
    for run in measured(live):
        assert not any(q in ("change", "counts", "data") and node in live.chosen for q, node, _, _ in run.rms)
        assert all(("value", node, 0, None) in run.rms for node in inside)  # their size is measured
        assert {p for q, node, _, p in run.rms if q == "own" and node in live.chosen} >= {
            f"experts.0.{i}.weight" for i in range(EXPERTS)
        }
        assert run.rms["change", live.graph.outputs[0], 3, None] > 0
        assert not any(map(math.isnan, run.rms.values()))


@pytest.mark.slow
def test_blocks_choose_different_numbers_of_rows() -> None:
    live = program(routed("mask", blocks=2))
    for run in measured(live):
        assert not any(q == "change" and node in live.chosen for q, node, _, _ in run.rms)
        assert run.rms["data", live.graph.outputs[0], 3, None] > 0


def test_an_output_whose_rows_weights_choose_is_told() -> None:
    live = program(routed("mask", head=True))
    with pytest.raises(sr.ScaleRulesError, match="weights choose its rows"):
        live.data(0)


class Masked(nn.Module):
    """Logits at some places alone: a mask that the inputs bring."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.last = nn.Linear(16, width), nn.Linear(width, 4)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.last(torch.relu(self.stem(x))[mask > 0])


@cache
def masked(whole: bool) -> sr.Graph:
    mask = torch.arange(24) % 3
    inputs = torch.ones(24, 16), mask if whole else mask * 1.0
    return sr.trace(Masked, WIDTHS, lambda **_: inputs, measure=False, progress=False)


@pytest.mark.parametrize("whole", [True, False])
def test_rows_that_an_input_chooses_stay_and_are_compared(whole: bool) -> None:
    """Whole numbers are given; real ones are drawn anew for other inputs, which choose other rows."""
    live = program(masked(whole))
    (output,), (run,) = live.graph.outputs, measured(live, 1)
    assert live.chosen == [] and run.rms["change", output, 3, None] > 0
    assert run.rms["counts", output, 3, "stem.weight"] > 0
    assert (("data", output, 3, None) in run.rms) is whole


def test_a_report_names_them() -> None:
    graph = routed("mask")
    report = sr.verify(graph, sr.derive(graph, "adam"), sizes=[32, 64], seeds=1, looks=1, progress=False)
    assert report.chosen and not set(report.chosen) & {row.node for row in report.rows if row.quantity == "change"}
    assert "rows chosen by values" in str(report.to_table().caption) and '"chosen"' in report.to_json()


def test_inputs_are_drawn_in_the_precision_of_the_run() -> None:
    live = program(masked(True), dtype=torch.float64)
    (output,), data = live.graph.outputs, live.data(0)
    assert data.inputs["0"].dtype == torch.float64 and measured(live, 1)[0].rms["value", output, 0, None] > 0

"""Weights that are read in parts: data of a fixed length beside a state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import scalerules as sr

torch.set_num_threads(1)


class Cell(nn.Module):
    """One layer for inputs and state side by side, over and over."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cell, self.inner, self.out = nn.Linear(6 + width, width), nn.Linear(width, width), nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), self.inner.in_features)
        for step in range(x.shape[1]):
            h = torch.tanh(self.inner(torch.nn.functional.silu(self.cell(torch.cat([x[:, step], h], 1)))))
        return self.out(h)


def test_columns_that_read_a_state_are_not_held_against_those_of_the_inputs() -> None:
    """They sum more, and are other weights: no factor stands behind them, where it had been width^(-3/2)."""
    solution = sr.derive(sr.trace(Cell, {"width": (32, 48, 64)}, torch.ones(2, 4, 6)), optimizer="adamw")
    found = {name: (str(rule.init["width"]), str(rule.lr["width"])) for name, rule in solution.parameters.items()}
    assert found["cell.weight[:, 0:6]"] == ("0", "0")
    assert found["cell.weight[:, 6:6 + width]"] == found["inner.weight"] == ("-1/2", "-1")
    assert not solution.multipliers


class StartUnlike(nn.Module):
    """A residual whose two shares start at 1 and 0, and a fused layer of which one third starts at zeros."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(12, width)
        self.shares = nn.Parameter(torch.tensor([1.0, 0.0]))
        self.fused = nn.Linear(width, 3 * width)
        nn.init.zeros_(self.fused.weight[width : 2 * width])
        self.last = nn.Linear(width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.first(x))
        one, two, three = self.fused(x).chunk(3, -1)
        y = torch.tanh(one) * torch.sigmoid(two) + three
        return self.last(self.shares[0] * y + self.shares[1] * x)


def test_parts_of_a_weight_start_as_each_of_them_does() -> None:
    graph = sr.trace(lambda width: StartUnlike(width), {"width": (32, 64, 128)}, torch.randn(5, 12), progress=False)
    starts = {name: parameter.init for name, parameter in graph.parameters.items()}
    assert starts["shares[0:1]"] == "ones" and starts["shares[1:2]"] == "zeros"
    assert [starts[f"fused.weight[{part}, :]"] for part in ("0:width", "width:2*width", "2*width:3*width")] == [
        "normal",
        "zeros",
        "normal",
    ]
    solution = sr.derive(graph, optimizer="adamw")
    assert sr.verify(graph, solution, sizes=[32, 64, 128], seeds=2, progress=False, jobs=1).verdict is not False

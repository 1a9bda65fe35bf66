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

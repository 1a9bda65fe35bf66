"""Queries that weights alone make, through functions or through layers that data read too."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

import scalerules as sr

torch.set_num_threads(1)
WIDTH = {"width": (16, 24, 32)}


class Pooled(nn.Module):
    """Rows that are averaged by how near they are to one query; `how` that is made."""

    def __init__(self, width: int, how: str) -> None:
        super().__init__()
        self.first, self.layer, self.out = nn.Linear(6, width), nn.Linear(width, width), nn.Linear(width, 3)
        self.query, self.how = nn.Parameter(torch.randn(width)), how

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        h = h if self.how == "a layer and a function" else torch.tanh(self.layer(h))
        query = self.layer(self.query)
        scores = (h * (query if self.how == "a layer that data read" else query.tanh())).sum(-1)
        scores = scores * len(query) ** -0.5 if self.how == "behind a root" else scores
        return self.out((scores.softmax(-1)[..., None] * h).sum(1))


HOW = ("a layer and a function", "a layer that data read", "both", "behind a root")


@pytest.mark.parametrize("how", HOW)
def test_a_query_that_no_initial_value_makes_small_has_a_factor(how: str) -> None:
    """All but one were clashes; the layer that data read too started at 1/width, and so the values that it makes."""
    solution = sr.derive(sr.trace(partial(Pooled, how=how), WIDTH, torch.ones(3, 5, 6)), optimizer="adamw")
    assert [str(factor) for factor in solution.multipliers.values()] == ["width^-1"]
    found = {name: (str(rule.init["width"]), str(rule.lr["width"])) for name, rule in solution.parameters.items()}
    assert (found["layer.weight"], found["query"], found["out.weight"]) == (("-1/2", "-1"), ("0", "0"), ("-1", "-1"))


class SetToSet(nn.Module):
    """A cell that reads a set again and again, from a state of zeros on (1511.06391): its first query is a bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.cell, self.out = nn.Linear(6, width), nn.Linear(2 * width, width), nn.Linear(2 * width, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.first(x)
        both = rows.new_zeros(len(x), 2 * rows.shape[-1])
        for _ in range(2):
            query = torch.tanh(self.cell(both))
            scores = torch.einsum("btn,bn->bt", rows, query).softmax(-1)
            both = torch.cat([query, torch.einsum("bt,btn->bn", scores, rows)], -1)
        return self.out(both)


def test_the_first_query_of_a_cell_has_a_factor_as_the_next_has() -> None:
    """Without one the rows were made as small as that first product asks, in silence: outputs change by -0.45.

    Plain torch, AdamW, widths 64 to 512, three seeds: -0.00 now, the layers contribute -0.08 to 0.01 (-0.59 to -0.85).
    """
    solution = sr.derive(sr.trace(SetToSet, WIDTH, torch.ones(3, 5, 6)), optimizer="adamw")
    assert [str(factor) for factor in solution.multipliers.values()] == ["width^-1", "width^-1"]
    found = {name: (str(rule.init["width"]), str(rule.lr["width"])) for name, rule in solution.parameters.items()}
    assert found["first.weight"] == ("0", "0") and found["cell.weight"] == ("-1/2", "-1")

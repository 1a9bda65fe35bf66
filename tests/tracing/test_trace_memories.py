"""What is read from a memory that grows: means over its entries, and what their logarithms say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import scalerules as sr

torch.set_num_threads(1)
WIDTH = {"width": (16, 24, 32)}


class Reading(nn.Module):
    """Two layers around something that reads a matrix of as many rows as columns."""

    def __init__(self, width: int, between: Any) -> None:
        super().__init__()
        self.a, self.c, self.between = nn.Linear(8, width), nn.Linear(width, 3), between
        self.book = nn.Parameter(torch.randn(width, width) / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.relu(self.between(F.relu(self.a(x)), self.book)))


def derived(between: Any) -> sr.Solution:
    graph = sr.trace(lambda width: Reading(width, between), WIDTH, lambda **_: torch.ones(4, 8))
    return sr.derive(graph, optimizer="adamw")


def sizes(solution: sr.Solution, name: str) -> tuple[str, str]:
    return str(solution[name].init["width"]), str(solution[name].lr["width"])


@pytest.mark.parametrize(
    "read",
    [lambda x, book: x + F.softmax(x @ book.T, -1) @ book, lambda x, book: F.softmax(x @ book.T, -1) @ book],
    ids=["beside", "alone"],
)
def test_a_book_whose_entries_are_averaged_has_a_factor_at_its_scores(read: Any) -> None:
    """Its other reading is a mean, not a sum: with one initial size for both nothing of the book was left beside `x`.

    Plain torch, AdamW, widths 64 to 512: the book's own part of the outputs went by -1.03 (-1.02); with the factor by
    -0.04 (-0.03), with SGD by -0.02 (-0.03).
    """
    solution = derived(read)
    assert sizes(solution, "book") == ("1/2", "0")
    assert {name: str(factor) for name, factor in solution.multipliers.items()} == {"matmul.factor": "width^-1"}


def test_a_logsumexp_over_an_axis_that_grows_is_the_logarithm_of_a_mean() -> None:
    """It was not known. Plain torch, AdamW, widths 64 to 512: own parts go by 0.05, 0.07 and 0.01, changes by 0.08."""
    solution = derived(lambda x, book: x @ book.T + torch.logsumexp(x @ book.T, -1, keepdim=True))
    assert sizes(solution, "book") == ("-1/2", "-1")
    assert sizes(solution, "c.weight") == ("-1", "-1")

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


class Matched(nn.Module):
    """Rows that add up to one as weights, by a softmax or by logarithms; `sinkhorn`: columns first, then rows, twice."""

    def __init__(self, width: int, how: str) -> None:
        super().__init__()
        self.how, self.first, self.last = how, nn.Linear(5, width), nn.Linear(width, 3)
        self.scores = nn.Parameter(torch.randn(width, width))

    def forward(self, x: Tensor) -> Tensor:
        a = self.scores
        if self.how == "softmax":
            return self.last((self.first(x).relu() @ a.softmax(-1).t()).relu())
        for dim in (0, 1, 0, 1) if self.how == "sinkhorn" else (1,):
            a = a - a.logsumexp(dim, keepdim=True)
        return self.last((self.first(x).relu() @ a.exp().t()).relu())


@pytest.mark.parametrize("how", ["logarithms", "sinkhorn"])
def test_an_exponential_of_what_is_less_its_logsumexp_is_a_softmax(how: str) -> None:
    """It had clashed: the logarithm of the width is left out of a logsumexp, and counts behind an exponential.

    Rows that add up to one are a mean of what they multiply: scores of size 0, with a rate of size 0.
    """
    shown = []
    for form in ("softmax", how):
        graph = sr.trace(lambda width, form=form: Matched(width, form), {"width": (16, 24, 32)}, torch.ones(4, 5))
        rules = sr.derive(graph, optimizer="adamw").parameters
        shown.append({name: (str(rule.init), str(rule.lr)) for name, rule in rules.items()})
    assert shown[0] == shown[1] and shown[0]["scores"] == ("1", "1")


class Plastic(nn.Module):
    """A fast weight of outer products, each entry of which has a learnt coefficient (arXiv 1804.02464)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 3)
        self.plastic = nn.Parameter(torch.randn(width, width) / width)

    def forward(self, x: Tensor) -> Tensor:
        u = F.relu(self.a(x))
        y = torch.tanh(self.b(u))
        trace = torch.einsum("bj,bi->bji", y, u)
        return self.c(torch.tanh(self.b(u) + torch.einsum("bi,ji,bji->bj", u, self.plastic, trace)))


def test_weights_in_a_product_of_two_values_make_up_for_its_sum() -> None:
    """A factor besides was solved for, once for each time it is read: with `width^(-3/2)` the weights started at `width`.

    Plain torch, widths 64 to 512: their own part of the outputs goes by 0.03 (AdamW), changes by 0.00 and 0.09 (SGD).
    """
    solution = sr.derive(sr.trace(Plastic, WIDTH, lambda **_: torch.ones(4, 8)), optimizer="adamw")
    assert not solution.multipliers
    assert sizes(solution, "plastic") == ("-1/2", "-1")

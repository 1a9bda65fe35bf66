"""Factors that stand elsewhere in the graph than in the module: what they are there, and where they are measured."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import scalerules as sr

WIDTH = {"width": (16, 24, 32)}


class Towers(nn.Module):
    """Points that are compared with one another: every unit vector is read twice by one product."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.hidden = nn.Linear(12, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        z = F.normalize(self.hidden(torch.relu(self.first(x))), dim=-1)
        return z @ z.T


class Neighbours(nn.Module):
    """Weights of the nearest keys, by distances whose squares a mean is made of behind the call."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.query, self.last = nn.Linear(12, width), nn.Linear(width, width), nn.Linear(width, 4)
        self.keys, self.values = nn.Parameter(torch.randn(16, width)), nn.Parameter(torch.randn(16, width))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        query = self.query(h)
        weights = torch.softmax(-(torch.cdist(query, self.keys) ** 2) / query.shape[-1], -1)
        return self.last(h + weights @ self.values)


def test_a_product_that_reads_a_factor_twice_has_it_twice() -> None:
    graph = sr.trace(Towers, WIDTH, lambda **_: torch.ones(8, 12), progress=False)
    solution = sr.derive(graph, "adamw")
    assert graph.nodes["scale"].factor == "width^-1" and str(solution.multipliers["scale"]["width"]) == "-1"
    found = sr.verify(graph, solution, sizes=[32, 64, 128], seeds=2, progress=False, jobs=1)
    assert not found.wrong and not found.failed


def test_what_a_parameter_contributes_is_not_read_off_a_call_that_returns_another_size() -> None:
    graph = sr.trace(Neighbours, WIDTH, lambda **_: torch.ones(8, 12), progress=False)
    solution = sr.derive(graph, "adamw")
    assert (str(solution["keys"].init["width"]), str(solution["keys"].lr["width"])) == ("0", "0")
    found = sr.verify(graph, solution, sizes=[32, 64, 128], seeds=2, progress=False, jobs=1)
    assert not found.wrong and not found.failed

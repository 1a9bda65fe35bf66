"""A weight that is read entry by entry first, and as a matrix behind that, is a matrix to every part of the product."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import scalerules as sr
from scalerules.architecture.uses import matrix

torch.set_num_threads(1)


class Distances(nn.Module):
    """Squared distances from data to learnt points, written out; `crossed`: with the product of the two."""

    def __init__(self, width: int, crossed: bool) -> None:
        super().__init__()
        self.points, self.waves, self.last = (
            nn.Parameter(torch.rand(width, 2)),
            nn.Linear(2, width),
            nn.Linear(width, 1),
        )
        self.crossed = crossed

    def forward(self, x: Tensor) -> Tensor:
        squares = x.square().sum(-1, keepdim=True) + self.points.square().sum(-1)
        distances = squares - 2 * x @ self.points.T if self.crossed else squares
        return self.last(torch.sin(self.waves(x)) * torch.exp(-distances / 2))


@pytest.mark.parametrize("crossed", [True, False])
def test_the_rule_and_the_measurement_agree_on_what_is_a_matrix(crossed: bool) -> None:
    """Derived as a vector and moved as a matrix, the points contributed `width^(-1/2)` of what was predicted."""
    graph = sr.trace(
        lambda width: Distances(width, crossed), {"width": (32, 64, 128)}, torch.randn(6, 2), progress=False
    )
    solution = sr.derive(graph, optimizer="muon")
    assert (matrix(graph, "points") is not None) is crossed
    assert str(solution["points"].lr["width"]) == ("1/2" if crossed else "0")
    found = sr.verify(graph, solution, sizes=[32, 64, 128], seeds=2, progress=False, jobs=1)
    assert found.verdict is not False and not found.wrong

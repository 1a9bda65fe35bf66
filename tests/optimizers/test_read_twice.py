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


class Queries(nn.Module):
    """A layer that a learnt vector passes, and what comes of it is held against data: it has no other fan-out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, width), nn.Linear(width, 4)
        self.learnt, self.query = nn.Parameter(torch.randn(width)), nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        seen = h @ self.query(nn.functional.rms_norm(self.learnt, self.learnt.shape)) / h.shape[-1]
        return self.last(h * torch.sigmoid(seen)[..., None])


def test_a_layer_that_makes_a_query_of_a_learnt_vector_is_a_matrix() -> None:
    """Both of its axes were taken for its fan-in: under Muon `verify` gave it a vector's step (slot attention)."""
    graph = sr.trace(Queries, {"width": (32, 64, 128)}, torch.randn(6, 5, 12), progress=False)
    use = matrix(graph, "query.weight")
    assert use is not None and (use.summed, use.brought) == ((1,), (0,))
    found = sr.verify(graph, sr.derive(graph, "muon"), sizes=[32, 64, 128], seeds=2, progress=False, jobs=1)
    assert found.verdict is not False and not found.wrong

"""What is taken off again, a term of a sum or a factor of a product, is not there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import scalerules as sr


class Undoing(nn.Module):
    """A value `g` that is put on `h` and, if `undo` says so, taken off again."""

    def __init__(self, width: int, undo: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.undo = undo
        self.a, self.b, self.c = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.a(x))
        return self.c(torch.relu(self.undo(h, torch.sigmoid(self.b(h)))))


def written(undo: Callable[[Tensor, Tensor], Tensor]) -> str:
    """The graph of it."""
    graph = sr.trace(lambda width: Undoing(width, undo), {"width": (16, 24, 32)}, lambda **_: torch.ones(6, 5))
    return graph.to_yaml()


WITHOUT_G = [
    lambda h, g: (h + g) - g,
    lambda h, g: (g + h) - g,
    lambda h, g: (h * g) / g,
    lambda h, g: (g * h) / g,
]
WITH_BOTH = [
    lambda h, g: (h + g) - 2 * g,
    lambda h, g: (h - g) + g.detach(),
    lambda h, g: (h + g).flip(-1) - g,
    lambda h, g: (h + g) / g,
    lambda h, g: (h * g) - g,
]


@pytest.mark.parametrize("undo", WITHOUT_G)
def test_what_is_taken_off_again_is_not_in_the_graph(undo: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert "b.weight" not in written(undo).partition("nodes:")[2]


@pytest.mark.parametrize("undo", WITH_BOTH)
def test_what_is_not_all_taken_off_stays(undo: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert "b.weight" in written(undo).partition("nodes:")[2]


def test_a_sample_less_its_mean_does_not_change_with_the_mean() -> None:
    def noise(h: Tensor, g: Tensor) -> Tensor:
        return h + ((g + torch.randn_like(g)) - g)

    assert "b.weight" not in written(noise).partition("nodes:")[2]

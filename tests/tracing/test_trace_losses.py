"""Losses that a module computes beside that of its prediction."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import scalerules as sr

WIDTH = {"width": (8, 12, 16)}


class Divergence(nn.Module):
    """A variational autoencoder with as many latent numbers as it is wide."""

    def __init__(self, width: int, how: str) -> None:
        super().__init__()
        self.up, self.mean, self.spread, self.down = (
            nn.Linear(i, o) for i, o in ((6, width), (width, width), (width, width), (width, 6))
        )
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.up(x))
        mean, spread = self.mean(h), self.spread(h)
        y = self.down(torch.tanh(mean + torch.randn_like(mean) * torch.exp(spread / 2)))
        each = -0.5 * (1 + spread - mean.pow(2) - spread.exp())
        beside = {"sum": each.sum(-1).mean(), "half of the sum": 0.5 * each.sum(), "mean": each.mean()}
        return F.mse_loss(y, x) + beside[self.how]


@pytest.mark.parametrize(("how", "count"), [("sum", "width"), ("half of the sum", "4*width"), ("mean", None)])
def test_a_sum_over_the_width_beside_the_loss_is_said(how: str, count: str | None) -> None:
    """Its gradient at every latent number is `width` times the prediction's: the rates of SGD are not of it."""
    graph = sr.trace(lambda width: Divergence(width, how), WIDTH, torch.ones(4, 6))
    said = [note for note in graph.notes if "beside the prediction" in note]
    assert len(said) == (count is not None) and all(f"a sum of {count} numbers" in note for note in said)

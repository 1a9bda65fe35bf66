"""Masks that are added to scores: zeros, and numbers outside of all others where nothing is to be left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import scalerules as sr

torch.set_num_threads(1)

BELOW = torch.triu(torch.ones(6, 6, dtype=torch.bool), 1)
MASKS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "buffer": lambda held, _: held,
    "part of a buffer": lambda held, x: held[None, : x.shape[1], : x.shape[1]],
    "made": lambda _, x: torch.triu(torch.full((x.shape[1], x.shape[1]), float("-inf")), 1),
    "filled": lambda _, x: torch.zeros(6, 6).masked_fill(BELOW, torch.finfo(x.dtype).min),
    "chosen": lambda *_: torch.where(torch.arange(6)[:, None] >= torch.arange(6), 0.0, float("-inf")),
    "product": lambda *_: (1 - torch.tril(torch.ones(6, 6))) * -1e9,
}


class Attention(nn.Module):
    held: Tensor

    def __init__(self, width: int, mask: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.query, self.last = nn.Linear(12, width), nn.Linear(width, width), nn.Linear(width, 4)
        self.register_buffer("held", torch.zeros(6, 6).masked_fill(BELOW, float("-inf")))
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        scores = self.query(h) @ h.transpose(1, 2) / h.shape[-1] + self.mask(self.held, x)
        return self.last(h + torch.softmax(scores, -1) @ h)


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_that_is_added_to_scores_is_no_number_of_theirs(name: str) -> None:
    """A buffer with infinite entries ended in a traceback, and scores behind a mask were `not finite` to `verify`."""
    graph = sr.trace(
        lambda width: Attention(width, MASKS[name]), {"width": (32, 48, 64)}, torch.randn(5, 6, 12), progress=False
    )
    assert not any(node.op == "constant" for node in graph.nodes.values())
    weights = next(node for node in graph.nodes.values() if node.op == "softmax")
    assert graph.nodes[weights.inputs[0]].op == "scale"


def test_scores_behind_an_infinite_mask_are_measured() -> None:
    graph = sr.trace(
        lambda width: Attention(width, MASKS["made"]), {"width": (32, 64, 128)}, torch.randn(5, 6, 12), progress=False
    )
    found = sr.verify(graph, sr.derive(graph, "adamw"), sizes=[32, 64, 128], seeds=2, progress=False, jobs=1)
    assert found.verdict is not False and not found.failed


def test_a_buffer_whose_memory_was_not_written_is_unknown() -> None:
    class Made(nn.Module):
        scale: Tensor

        def __init__(self, width: int) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(12, width), nn.Linear(width, 4)
            self.register_buffer("scale", torch.full((width,), float("nan")))

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.tanh(self.first(x)) * self.scale)

    graph = sr.trace(Made, {"width": (32, 48, 64)}, torch.randn(5, 12), progress=False)
    assert graph.record is not None
    held = next(weight for weight in graph.record.weights if weight.name == "scale")
    assert (held.initial.kind, held.initial.note) == ("unknown", "not all of its entries are finite")

"""Blocks whose sums stand in a loop of the parent, over one list or several that go in step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import scalerules as sr

torch.set_num_threads(1)
SCALES = {"width": (16, 24, 32), "depth": (2, 3, 4)}


class Branches(nn.Module):
    """The sum and a product in front of each member stand in `forward`."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)
        self.layers = nn.ModuleList(nn.Sequential(nn.RMSNorm(width), nn.Linear(width, width)) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        for layer in self.layers:
            h = h + torch.tanh(layer(2 * h))
        return self.last(h)


class Lists(nn.Module):
    """Norms, layers and plain matrices in lists of their own."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)
        self.norms, self.ups = nn.ModuleList(), nn.ModuleList()
        self.downs = nn.ParameterList(nn.Parameter(torch.randn(width, 2 * width)) for _ in range(depth))
        for _ in range(depth):
            self.norms.append(nn.RMSNorm(width))
            self.ups.append(nn.Linear(width, 2 * width))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        for norm, up, down in zip(self.norms, self.ups, self.downs, strict=True):
            h = h + torch.relu(up(norm(h))) @ down.T
        return self.last(h)


class Pairs(nn.Module):
    """`[attention, feed-forward]` pairs as members of one list."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)
        self.layers = nn.ModuleList(
            nn.ModuleList([nn.MultiheadAttention(width, 2, batch_first=True), nn.Linear(width, width)])
            for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        for attention, feed in self.layers:  # pyright: ignore[reportGeneralTypeIssues]
            h = h + attention(h, h, h, need_weights=False)[0]
            h = h + torch.tanh(feed(h))
        return self.last(h)


@pytest.mark.parametrize(
    ("model", "shape", "names"),
    [
        (Branches, (4, 5), {"layers.*.1.weight"}),
        (Lists, (4, 5), {"norms.*.weight", "ups.*.weight", "downs.*"}),
        (Pairs, (2, 6, 5), {"layers.*.0.out_proj.weight", "layers.*.1.weight"}),
    ],
)
def test_turns_of_a_loop_are_one_block(model: Any, shape: tuple[int, ...], names: set[str]) -> None:
    graph = sr.trace(model, SCALES, lambda **_: torch.ones(shape))
    assert names <= set(graph.parameters)
    solution = sr.derive(graph, optimizer="adamw", scales={"width": 1, "depth": 1})
    matrices = [solution[name] for name in names if "norm" not in name]
    assert {str(rule.lr) for rule in matrices} <= {"width^-1 depth^(-1/2)", "width^-1", "width^-1 depth^-1"}
    sizes = {"width": 32, "depth": 5}
    reference = model(16, 2)
    groups = sr.apply(
        model(**sizes), solution, base={"width": 16, "depth": 2}, sizes=sizes, lr=1.0, reference=reference
    )
    grouped = {name for group in groups for name in group["names"]}
    assert grouped == {name for name, _ in model(**sizes).named_parameters()}


class Scaled(nn.Module):
    """Branches with a power of their number in front, as it is written by hand."""

    def __init__(self, width: int, depth: int, power: float) -> None:
        super().__init__()
        self.first, self.last, self.factor = nn.Linear(5, width), nn.Linear(width, 3), depth**-power
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width, bias=False))
            for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        for layer in self.layers:
            h = h + layer(h) * self.factor
        return self.last(h)


@pytest.mark.parametrize(("power", "rate"), [(0.5, "width^-1 depth^(-1/2)"), (1.0, "width^-1")])
def test_a_power_of_the_depth_in_front_of_branches_counts_once(power: float, rate: str) -> None:
    """What the branch contributes behind its factor was asked to make up for the factor once more: a clash.

    Plain torch, Adam, depths 4 to 64, width 64, 3 seeds, 4 steps: outputs change by 0.01 and 0.03, the layers of all blocks
    contribute -0.09 and -0.08 (with the root), 0.03 and 0.04.
    """
    make: Any = lambda width, depth: Scaled(width, depth, power)  # noqa: E731
    graph = sr.trace(make, SCALES, lambda **_: torch.ones(4, 5))
    solution = sr.derive(graph, optimizer="adamw", scales={"width": 1, "depth": 1})
    for layer in ("1", "3"):
        rule = solution[f"layers.*.{layer}.weight"]
        assert (str(rule.init), str(rule.lr)) == ("width^(-1/2)", rate)


class TwoStreams(nn.Module):
    """Blocks that hand on a velocity beside their stream (momentum residual networks, 2102.07870)."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        velocity = torch.zeros_like(h)
        for layer in self.layers:
            velocity = 0.9 * velocity + 0.1 * torch.tanh(layer(h))
            h = h + velocity
        return self.last(h)


def test_a_rule_along_a_scale_that_nothing_depends_on_says_so() -> None:
    """Blocks that are not folded are as many as were traced: a rule without a depth was given for all depths."""
    graph = sr.trace(TwoStreams, SCALES, lambda **_: torch.ones(4, 5))
    assert any("not folded" in note for note in graph.notes)
    warned = sr.derive(graph, optimizer="adamw", scales={"width": 1, "depth": 1}).warnings
    assert warned == ("no axis or factor of the graph grows with 'depth': the rule says nothing of it",)
    assert not sr.derive(graph, optimizer="adamw").warnings

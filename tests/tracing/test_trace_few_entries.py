"""Resampling and transforms along features, a few of them read, blocks along a diagonal, heads that are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import scalerules as sr
from scalerules.tracing.traced import Traced

torch.set_num_threads(1)
WIDTH = {"width": (32, 48, 64)}


class Between(nn.Module):
    """Two layers, something along the features, and a readout."""

    def __init__(self, width: int, along: Callable[[Tensor], Tensor], out: int) -> None:
        super().__init__()
        self.a, self.b, self.o = nn.Linear(6, width), nn.Linear(width, width), nn.Linear(out, 3)
        self.along = along

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.along(self.b(F.relu(self.a(x)))))


def resampled(size: int) -> Callable[[Tensor], Tensor]:
    return lambda h: F.interpolate(h[:, None], size, mode="linear", align_corners=True)[:, 0]


def between(along: Callable[[int], Callable[[Tensor], Tensor]], out: Callable[[int], int]) -> Traced:
    return sr.trace(lambda width: Between(width, along(width), out(width)), WIDTH, torch.ones(4, 6))


def rules(graph: sr.Graph) -> dict[str, tuple[str, str]]:
    solution = sr.derive(graph, optimizer="adamw")
    return {name: (str(rule.init["width"]), str(rule.lr["width"])) for name, rule in solution.parameters.items()}


HIDDEN, READOUT, VECTOR = ("-1/2", "-1"), ("-1", "-1"), ("0", "0")


@pytest.mark.parametrize("factor", [2, 0.5])
def test_more_or_fewer_features_are_as_large(factor: float) -> None:
    found = rules(between(lambda width: resampled(int(factor * width)), lambda width: int(factor * width)))
    assert (found["a.weight"], found["b.weight"], found["o.weight"]) == (VECTOR, HIDDEN, READOUT)


def test_of_a_fixed_number_of_features_the_layer_that_makes_them_is_the_readout() -> None:
    found = rules(between(lambda _: resampled(8), lambda _: 8))
    assert (found["a.weight"], found["b.weight"], found["o.weight"]) == (VECTOR, READOUT, VECTOR)
    assert (found["b.bias"], found["o.bias"]) == (VECTOR, VECTOR)


def test_a_few_normalised_features_are_made_as_the_outputs_of_a_readout() -> None:
    """In plain torch (widths 64 to 512, three seeds) what `a` changes in them grows like width^0.49 where `b` is hidden.

    As a readout (its bias is what is normalised at first) it lets all parameters count: no goal fails from 64 to 512.
    """
    graph = between(lambda width: lambda h: F.layer_norm(h, (width,))[:, :8], lambda _: 8)
    found = rules(graph)
    assert (found["a.weight"], found["b.weight"], found["o.weight"]) == (VECTOR, READOUT, VECTOR)
    solution = sr.derive(graph, optimizer="adamw")
    assert not sr.verify(graph, solution, sizes=[32, 64, 128], seeds=2, progress=False, jobs=1).refuted


def test_a_transform_of_features_is_a_fixed_random_matrix() -> None:
    """In plain torch (widths 64 to 512, three seeds) outputs change by width^0.00, all parameters within 0.15."""
    graph = between(lambda _: lambda h: h + torch.fft.fft(h, norm="ortho").real, lambda width: width)
    found = rules(graph)
    assert (found["a.weight"], found["b.weight"], found["o.weight"]) == (VECTOR, HIDDEN, READOUT)
    assert any("counts as a fixed random matrix" in note for note in graph.notes)


class Blocks(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.o = nn.Linear(6, width), nn.Linear(width, 3)
        self.w = nn.ParameterList([torch.randn(width // 2, width // 2) / (width / 2) ** 0.5 for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        return self.o(F.relu(F.relu(self.a(x)) @ torch.block_diag(*self.w)))


def test_blocks_along_a_diagonal_are_hidden_matrices() -> None:
    """In plain torch (widths 64 to 512, three seeds) every parameter contributes within 0.15 of size 0."""
    found = rules(sr.trace(Blocks, WIDTH, torch.ones(4, 6)))
    assert (found["a.weight"], found["w.0"], found["w.1"], found["o.weight"]) == (VECTOR, HIDDEN, HIDDEN, READOUT)


class LowRank(nn.Linear):
    """A frozen weight and an update of low rank, over the length of its rows (DoRA, arXiv 2402.09353)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after)
        self.weight.requires_grad_(False)
        self.down, self.up = nn.Parameter(torch.randn(4, before) / before**0.5), nn.Parameter(torch.zeros(after, 4))
        self.length = nn.Parameter(torch.ones(after))

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight + self.up @ self.down
        return F.linear(input, weight) * (self.length / weight.norm(dim=1)) + self.bias


def test_a_weight_of_which_the_rows_are_measured_is_a_weight() -> None:
    def make(width: int) -> nn.Module:
        return nn.Sequential(LowRank(6, width), nn.ReLU(), LowRank(width, width), nn.ReLU(), nn.Linear(width, 3))

    solution = sr.derive(sr.trace(make, WIDTH, torch.ones(4, 6)), optimizer="adamw")
    down, up, length = (solution[f"2.{name}"] for name in ("down", "up", "length"))
    started, moved = (size["width"] + up.lr["width"] for size in (down.init, down.lr))  # `up` starts at zero
    assert (started, moved, length.lr["width"]) == (-1, -1, 0)
    assert [solution[name].lr["width"] for name in ("0.down", "0.up", "4.weight")] == [0, 0, -1]


class Exits(nn.Module):
    """Heads behind both layers, of which a call takes one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, width), nn.Linear(width, width)
        self.exits = nn.ModuleList([nn.Linear(width, 3) for _ in range(2)])

    def forward(self, x: Tensor, early: bool = False) -> Tensor:
        h = F.relu(self.a(x))
        return self.exits[0](h) if early else self.exits[1](F.relu(self.b(h)))


def test_a_head_that_the_traced_call_does_not_reach_is_named() -> None:
    graph = sr.trace(Exits, WIDTH, torch.ones(4, 6))
    assert graph.notes[-1].startswith("exits.0.weight, exits.0.bias: trained, and no output depends on them as traced")

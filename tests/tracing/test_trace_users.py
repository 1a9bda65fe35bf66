"""What code of users showed: choices by a value itself, complex numbers in parts, blocks that stand in no list, gains
behind normalised queries, distances, rounding, learnt queries.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import scalerules as sr

torch.set_num_threads(1)
WIDTH = {"width": (16, 24, 32)}


class Shrunk(nn.Module):
    """A shrinkage, a leaky step by `maximum`, and a mask that zeroes what is negative."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second, self.third, self.last = (
            nn.Linear(5, width, bias=False),
            nn.Linear(width, width, bias=False),
            nn.Linear(width, width, bias=False),
            nn.Linear(width, 3, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        h = self.second(torch.where(h.abs() > 0.1, h - 0.1 * h.sign(), 0 * h))
        h = self.third(torch.maximum(h, 0.1 * h))
        return self.last(h.masked_fill(h < 0, 0.0))


def test_a_choice_between_functions_of_one_value_is_one_function_of_it() -> None:
    graph = sr.trace(Shrunk, WIDTH, torch.ones(4, 5), measure=False)
    functions = [node.op for node in graph.nodes.values() if node.op not in ("input", "einsum")]
    assert functions == ["tanh", "relu", "relu"]


class Modes(nn.Module):
    """Weights on the real and imaginary parts of modes, as the Fourier mixing of SiMBA and AFNO has them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)
        self.w = nn.Parameter(torch.randn(2, width, width) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        f = torch.fft.rfft(self.first(x), dim=1, norm="ortho")
        real = F.relu(f.real @ self.w[0] - f.imag @ self.w[1])
        imaginary = F.relu(f.real @ self.w[1] + f.imag @ self.w[0])
        z = torch.view_as_complex(torch.stack([real, imaginary], -1))
        return self.last(torch.fft.irfft(z, n=x.shape[1], dim=1, norm="ortho"))


def test_real_and_imaginary_parts_of_modes_are_as_large_as_the_modes() -> None:
    solution = sr.derive(sr.trace(Modes, WIDTH, torch.ones(2, 6, 5)), optimizer="adamw")
    rules = {name: (str(rule.init), str(rule.lr)) for name, rule in solution.parameters.items()}
    assert rules["w[0:1, :, :]"] == rules["w[1:2, :, :]"] == ("width^(-1/2)", "width^-1")
    assert rules["last.weight"] == ("width^-1", "width^-1")


class CalledAlike(nn.Module):
    """Blocks `block0`, `block1`, ... that are attributes, not members of a list."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.stem, self.head, self.depth = nn.Linear(5, width), nn.Linear(width, 2), depth
        for k in range(depth):
            self.add_module(f"block{k}", nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU()))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for k in range(self.depth):
            x = x + self.get_submodule(f"block{k}")(x)
        return self.head(x)


def test_blocks_that_are_called_alike_are_repeated_blocks() -> None:
    graph = sr.trace(CalledAlike, {**WIDTH, "depth": (2, 3, 4)}, torch.ones(4, 5))
    solution = sr.derive(graph, optimizer="adamw", scales={"width": 1, "depth": 1})
    rule = solution["block1.1.weight"]
    assert "block*.1.weight" in graph.parameters and str(rule.lr) == "width^-1 depth^-1"
    groups = sr.apply(CalledAlike(32, 5), solution, base={"width": 16, "depth": 2}, sizes={"width": 32, "depth": 5},
                      lr=1e-2, reference=CalledAlike(16, 2))  # fmt: skip
    rates = {name: group["lr"] for group in groups for name in group["names"]}
    assert len({rates[f"block{k}.1.weight"] for k in range(5)}) == 1
    assert rates["block4.1.weight"] < rates["block4.1.bias"]


class Normalised(nn.Module):
    """Attention with queries and keys of length 1 (times the root of their size, if `whole`) and a gain on each."""

    def __init__(self, width: int, whole: bool) -> None:
        super().__init__()
        self.q, self.k, self.o = nn.Linear(5, width), nn.Linear(5, width), nn.Linear(width, 3)
        self.gains, self.root = nn.Parameter(torch.ones(2, width)), width**0.5 if whole else 1.0

    def forward(self, x: Tensor) -> Tensor:
        q, k = F.normalize(self.q(x), dim=-1) * self.root, F.normalize(self.k(x), dim=-1) * self.root
        scores = (q * self.gains[0]) @ (k * self.gains[1]).mT
        return self.o(scores.softmax(-1) @ k)


@pytest.mark.parametrize(("whole", "factors"), [(False, 2), (True, 1)])
def test_a_factor_in_front_of_a_gain_stands_behind_the_product(whole: bool, factors: int) -> None:
    graph = sr.trace(lambda width: Normalised(width, whole), WIDTH, torch.ones(2, 6, 5))
    solution = sr.derive(graph, optimizer="adamw")
    assert len(solution.multipliers) == factors
    assert sum(factor["width"] for factor in solution.multipliers.values()) == -1
    gains = [rule.lr["width"] for name, rule in solution.parameters.items() if name.startswith("gains")]
    assert gains == [0, 0]


class Near(nn.Module):
    """Distances of rounded features, whose gradient is passed straight through."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, width)

    def features(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.last(h + ((4 * h).round() / 4 - h).detach())

    def forward(self, a: Tensor, p: Tensor, n: Tensor) -> Tensor:
        return F.triplet_margin_loss(self.features(a), self.features(p), self.features(n))


def test_distances_of_rounded_features_derive() -> None:
    solution = sr.derive(sr.trace(Near, WIDTH, (torch.ones(4, 5),) * 3), optimizer="adamw")
    assert all(-2 <= rule.lr["width"] <= 0 for rule in solution.parameters.values())


class Queried(nn.Module):
    """Learnt queries through `nn.MultiheadAttention`, as object queries and latents are read."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.last = nn.Linear(5, width), nn.Linear(width, 3)
        self.queries, self.attention = nn.Parameter(torch.randn(6, width)), nn.MultiheadAttention(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        return self.last(self.attention(self.queries[:, None].expand(-1, x.shape[1], -1), h, h)[0])


def test_a_matrix_that_learnt_queries_are_read_through_is_a_hidden_one() -> None:
    solution = sr.derive(sr.trace(Queried, WIDTH, torch.ones(7, 2, 5)), optimizer="adamw")
    rule = solution["attention.in_proj_weight[0:width, :]"]
    assert (str(rule.init), str(rule.lr)) == ("width^(-1/2)", "width^-1")
    assert [factor["width"] for factor in solution.multipliers.values()] == [-1]


class Scaled(nn.Module):
    """Activations over their largest entry, as they are before they are quantised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.last((h * (127 / h.abs().amax(-1, keepdim=True))).round() / 127)


def test_the_largest_of_entries_that_grow_is_as_large_as_they_are() -> None:
    graph = sr.trace(Scaled, WIDTH, torch.ones(4, 5))
    rule = sr.derive(graph, optimizer="adamw")["last.weight"]
    assert (str(rule.init), str(rule.lr)) == ("width^-1", "width^-1")
    assert any("amax" in note for note in graph.notes)


class Largest(nn.Module):
    """A value and its largest entry, which is a scale where `detached`."""

    def __init__(self, width: int, largest: Callable[[Tensor], Tensor], detached: bool = False) -> None:
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 3)
        self.largest, self.detached = largest, detached

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(torch.relu(self.first(x)))
        largest = self.largest(h)
        if self.detached:
            return self.last(torch.relu(h) / largest.detach())
        return self.last(torch.relu(h)) + largest


def _norm(h: Tensor) -> Tensor:
    return torch.linalg.vector_norm(h, float("inf"), -1, keepdim=True)


LARGEST: dict[str, Callable[[Tensor], Tensor]] = {
    "amax": lambda h: h.amax(-1, keepdim=True),
    "abs amax": lambda h: h.abs().amax(-1, keepdim=True),
    "abs max": lambda h: h.abs().max(-1, keepdim=True).values,
    "squares": lambda h: h.pow(2).amax(-1, keepdim=True).sqrt(),
    "relu": lambda h: torch.relu(h).amax(-1, keepdim=True),
    "norm": _norm,
}


@pytest.mark.parametrize("how", LARGEST)
def test_the_largest_entry_is_looked_up_and_its_layer_starts_like_a_readout(how: str) -> None:
    """Behind `abs` it had counted as a mean.

    Plain torch (one step towards larger values, widths 64 to 1024, 3 seeds): what the first layer changes in the largest
    of absolute values goes like +0.48 with a start at width^-1/2, -0.19 with 1/width. Where no gradient goes through it,
    only its size counts.
    """
    for detached, init in ((False, "-1"), (True, "-1/2")):
        graph = sr.trace(partial(Largest, largest=LARGEST[how], detached=detached), WIDTH, torch.ones(4, 5))
        for optimizer, rate in (("adamw", "-1"), ("sgd", "0" if detached else "-1")):
            rule = sr.derive(graph, optimizer=optimizer)["inner.weight"]
            assert (str(rule.init["width"]), str(rule.lr["width"])) == (init, rate)


class UnitNorm(nn.Module):
    """A norm written as a direction, a gain, and the root of the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)
        self.gain, self.root = nn.Parameter(torch.ones(width)), width**0.5

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.normalize(self.first(x), dim=-1) * self.gain * self.root)


def test_a_gain_between_two_factors_that_cancel_is_that_of_a_norm() -> None:
    graph = sr.trace(UnitNorm, WIDTH, torch.ones(4, 5))
    solution = sr.derive(graph, optimizer="adamw")
    assert (str(solution["gain"].lr), str(solution["last.weight"].init)) == ("1", "width^-1")
    assert not solution.multipliers and sr.verify(graph, solution, sizes=[16, 32, 64, 128], progress=False).verdict

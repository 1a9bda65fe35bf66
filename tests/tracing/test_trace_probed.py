"""Modules that are in no list, with the rules that hold for them by hand; what was measured stands beside each.

Measured in plain torch without the engine (widths 64 to 512, 3 seeds, four steps at the derived initial sizes and rates):
the slope, in the logarithm of the width, of what the outputs change when one parameter alone is trained.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import scalerules as sr

torch.set_num_threads(1)


class Probed(nn.Module):
    """A layer that reads the data, what a class puts behind it, and a readout."""

    entries = (8, 8)

    def __init__(self, width: int, read: int | None = None) -> None:
        super().__init__()
        self.e, self.o = nn.Linear(8, width), nn.Linear(width if read is None else read, 3)

    def first(self, x: Tensor) -> Tensor:
        return torch.tanh(self.e(x))


class ManyPieces(Probed):
    """Maxout over a growing number of pieces: a row of `a` is read at a time, as a readout is.

    With the rule of a mean of sizes (`a` -1/2, -1) `e` alone moved the outputs like 0.45 under Adam, `a` under SGD like 0.94,
    under Muon like 0.48; now `e` 0.00 and `a` 0.02 (Adam).
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, 4)
        self.a = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.a(self.first(x)).view(8, 4, -1).amax(-1))


class LargestBeside(Probed):
    """The largest entry of a value that a readout reads, too."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)
        self.a, self.r = nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(self.first(x))
        return self.o(h.amax(-1, keepdim=True)) + self.r(torch.tanh(h))


class Sloped(Probed):
    """A trained slope of negative entries, one number: -0.05 to 0.05, the slope itself -0.49 and -0.11 beside the others."""

    def __init__(self, width: int, each: bool = False) -> None:
        super().__init__(width)
        self.a, self.p = nn.Linear(width, width), nn.PReLU(width if each else 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.p(self.a(self.first(x))))


class SlopedEach(Sloped):
    """A slope for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__(width, each=True)


class Pictures(nn.Module):
    """A slope for each channel of pictures."""

    entries = (4, 3, 4, 4)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.e, self.p, self.o = nn.Conv2d(3, width, 3), nn.PReLU(width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.p(self.e(x)).mean((2, 3)))


MUON_READ = ("-1", "-1/2")
RULES: list[tuple[type[nn.Module], str, dict[str, tuple[str, str]]]] = [
    (ManyPieces, "adamw", {"e.weight": ("0", "0"), "a.weight": ("-1", "-1"), "a.bias": ("0", "0")}),
    (ManyPieces, "sgd", {"e.weight": ("0", "1"), "a.weight": ("-1", "-1"), "a.bias": ("0", "0")}),
    (ManyPieces, "muon", {"e.weight": ("0", "1/2"), "a.weight": MUON_READ, "a.bias": ("0", "0")}),
    (LargestBeside, "adamw", {"a.weight": ("-1", "-1"), "e.weight": ("0", "0")}),
    (Sloped, "adamw", {"p.weight": ("0", "0"), "a.weight": ("-1/2", "-1")}),
    (Sloped, "sgd", {"p.weight": ("0", "0"), "a.weight": ("-1/2", "0")}),
    (SlopedEach, "adamw", {"p.weight": ("0", "0")}),
    (SlopedEach, "sgd", {"p.weight": ("0", "1")}),
    (Pictures, "sgd", {"p.weight": ("0", "1"), "e.weight": ("0", "1")}),
]


@pytest.mark.parametrize(("module", "optimizer", "rules"), RULES)
def test_the_rule_is_that_by_hand(module: type[nn.Module], optimizer: str, rules: dict[str, tuple[str, str]]) -> None:
    graph = sr.trace(module, {"width": (16, 24, 32)}, lambda **_: torch.ones(*module.entries))  # type: ignore[call-overload]
    solution = sr.derive(graph, optimizer=optimizer)
    assert set(solution.parameters) == {name for name, _ in module(16).named_parameters()}
    assert {n: (str(solution[n].init["width"]), str(solution[n].lr["width"])) for n in rules} == rules

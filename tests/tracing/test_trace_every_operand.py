"""Whatever operand of an operation is trained has a rule: positions, bounds, weights of a sum, windows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import scalerules as sr

WIDTH = {"width": (16, 24, 32)}


class Shifted(nn.Module):
    """Pictures whose entries are looked up at positions that a layer says."""

    entries = (2, 3, 8, 8)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.offsets = nn.Conv2d(3, width, 1), nn.Conv2d(width, 2, 1)
        self.mixed, self.last = nn.Conv2d(width, width, 1), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        rows, columns = torch.meshgrid(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 8), indexing="ij")
        places = torch.stack([columns, rows], -1) + 0.1 * torch.tanh(self.offsets(h)).permute(0, 2, 3, 1)
        return self.last(torch.relu(self.mixed(F.grid_sample(h, places, align_corners=True))).mean((2, 3)))


class Turned(nn.Module):
    """A spatial transformer: the positions are those of a matrix that a network makes."""

    entries = (2, 3, 8, 8)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.matrix = nn.Linear(192, width), nn.Linear(width, 6)
        self.conv, self.last = nn.Conv2d(3, width, 3, padding=1), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        matrices = self.matrix(torch.relu(self.first(x.flatten(1)))).view(-1, 2, 3)
        x = F.grid_sample(x, F.affine_grid(matrices, list(x.shape), align_corners=False), align_corners=False)
        return self.last(torch.relu(self.conv(x)).mean((2, 3)))


class Bounded(nn.Module):
    """Activations that are cut off at a number that is learnt."""

    entries = (6, 5)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.hidden, self.last = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 4)
        self.bound = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        h = self.hidden(torch.relu(self.first(x)))
        return self.last(torch.clamp(h, min=torch.zeros(()), max=self.bound))


class Weighed(nn.Module):
    """A bag of words, each with a weight."""

    entries = (3, 4)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table, self.last = nn.EmbeddingBag(11, width, mode="sum"), nn.Linear(width, 4)
        self.bound = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        words = torch.arange(12).view(3, 4) % 11
        return self.last(torch.relu(self.table(words, per_sample_weights=x * self.bound)))


class Windowed(nn.Module):
    """Spectra behind a window that is learnt."""

    entries = (2, 32)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(9, width), nn.Linear(width, 4)
        self.bound = nn.Parameter(torch.hann_window(16) + 0.1)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.stft(x, 16, 8, window=self.bound, return_complex=True).abs()
        return self.last(torch.relu(self.first(spectrum.transpose(1, 2))))


CASES = [
    (Shifted, "offsets.weight", ("-1", "-1")),
    (Turned, "matrix.weight", ("-1", "-1")),
    (Bounded, "bound", ("0", "0")),
    (Weighed, "bound", ("0", "0")),
    (Windowed, "bound", ("0", "0")),
]


@pytest.mark.parametrize(("kind", "name", "rule"), CASES)
def test_its_rule_is_that_by_hand(kind: type[nn.Module], name: str, rule: tuple[str, str]) -> None:
    """Positions are two numbers, as a readout's are; what is one number for all widths keeps its rate."""
    graph = sr.trace(kind, WIDTH, lambda **_: torch.ones(*kind.entries), progress=False)  # type: ignore[attr-defined]
    solution = sr.derive(graph, "adamw")
    assert {trained for trained, _ in kind(16).named_parameters()} == set(solution.parameters)
    assert (str(solution[name].init["width"]), str(solution[name].lr["width"])) == rule
    found = sr.verify(graph, solution, sizes=[32, 64, 128], seeds=2, progress=False, jobs=1)
    assert not found.wrong and not found.failed and name in {row.node for row in found.rows}


def test_entries_that_are_only_looked_up_do_not_change_with_their_positions() -> None:
    class Looked(Shifted):
        def forward(self, x: Tensor) -> Tensor:
            h = torch.relu(self.first(x))
            places = torch.tanh(self.offsets(h)).permute(0, 2, 3, 1)
            h = F.grid_sample(h, places, mode="nearest", align_corners=True)
            return self.last(torch.relu(self.mixed(h)).mean((2, 3)))

    graph = sr.trace(Looked, WIDTH, lambda **_: torch.ones(2, 3, 8, 8), progress=False)
    assert "offsets.weight" not in sr.derive(graph, "adamw").parameters


def numbers(h: Tensor) -> Tensor:
    """Pairs of neighbouring features as complex numbers."""
    return torch.view_as_complex(h.unflatten(-1, (-1, 2)))


OF_TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "atan2": torch.atan2,
    "hypot": torch.hypot,
    "angle of polar numbers": lambda h, p: torch.polar(h.exp(), p.expand_as(h)).real,
    "learnt length of polar numbers": lambda h, p: torch.polar(p.exp().expand_as(h), h).imag,
    "angle": lambda h, p: torch.angle(torch.complex(h, p.expand_as(h))),
    "real part of a product": lambda h, p: (numbers(h) * numbers(p)).real.repeat(1, 2),
    "imaginary part of a product": lambda h, p: (numbers(h) * numbers(p).conj()).imag.repeat(1, 2),
    "length of a product": lambda h, p: (numbers(h) * numbers(p)).abs().repeat(1, 2),
}


@pytest.mark.parametrize("name", OF_TWO)
def test_a_function_of_two_values_moves_with_either(name: str) -> None:
    class Net(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.first, self.hidden, self.last = nn.Linear(12, width), nn.Linear(width, width), nn.Linear(width, 4)
            self.other = nn.Parameter(torch.randn(width))

        def forward(self, x: Tensor) -> Tensor:
            h = OF_TWO[name](torch.tanh(self.first(x)), self.other)
            return self.last(torch.tanh(self.hidden(h)))

    graph = sr.trace(Net, WIDTH, lambda **_: torch.ones(8, 12), progress=False)
    solution = sr.derive(graph, "adamw")
    assert {trained for trained, _ in Net(16).named_parameters()} == set(solution.parameters)
    rules = {name: (str(rule.init["width"]), str(rule.lr["width"])) for name, rule in solution.parameters.items()}
    assert rules["first.weight"] == rules["other"] == ("0", "0")
    assert rules["hidden.weight"] == ("-1/2", "-1") and rules["last.weight"] == ("-1", "-1")

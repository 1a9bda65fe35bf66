"""Matrices that a network makes as one long row and shows as a matrix: fresh, as if they had been made as such."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import scalerules as sr

WIDTH = {"width": (8, 12, 16)}
HIDDEN = ("-1/2", "-1")


class Made(nn.Module):
    """A hidden layer, or two, whose matrices a linear layer makes of a code of 12 numbers."""

    def __init__(self, width: int, form: str) -> None:
        super().__init__()
        self.n, self.form, count = width, form, 2 if form in ("chunks", "one view of two") else 1
        self.first, self.last = nn.Linear(6, width, bias=False), nn.Linear(width, 3, bias=False)
        self.made = nn.Linear(12, count * width * width, bias=form == "with a bias")
        self.code, self.of_data = nn.Parameter(torch.randn(12)), nn.Linear(6, 12)

    def forward(self, x: Tensor) -> Tensor:
        n, h = self.n, torch.relu(self.first(x))
        if self.form == "of every example":
            return self.last(torch.relu(torch.bmm(self.made(self.of_data(x)).view(-1, n, n), h[..., None])[..., 0]))
        made = self.made(self.code)
        match self.form:
            case "chunks":
                matrices = [each.view(n, n) for each in made.chunk(2)]
            case "one view of two":
                matrices = list(made.view(2, n, n).unbind(0))
            case "reshape":
                matrices = [made.reshape(n, n).mT]
            case "unflatten":
                matrices = [made.unflatten(-1, (n, n))]
            case _:
                matrices = [made.view(n, n)]
        for matrix in matrices:
            h = torch.relu(F.linear(h, matrix))
        return self.last(h)


@pytest.mark.parametrize(
    "form",
    ["view", "reshape", "unflatten", "with a bias", "chunks", "one view of two", "of every example"],
)
def test_a_row_that_is_shown_as_a_matrix_is_fresh(form: str) -> None:
    """As `einsum("bi,kij,k->bj")` of a weight of three axes is: read as a row it started at `width^-1`."""
    solution = sr.derive(sr.trace(lambda width: Made(width, form), WIDTH, torch.ones(4, 6)), optimizer="adamw")
    made = {name: rule for name, rule in solution.parameters.items() if name.startswith("made") and rule.init}
    assert made and all((str(rule.init["width"]), str(rule.lr["width"])) == HIDDEN for rule in made.values())


class Cut(nn.Module):
    """One row that is cut in a matrix and its bias, or in two matrices that are no squares."""

    def __init__(self, width: int, form: str) -> None:
        super().__init__()
        self.n, self.form = width, form
        self.first, self.last = nn.Linear(6, width), nn.Linear(width, 3)
        count = width * width + width if form == "with its bias" else 4 * width * width
        self.made, self.code = nn.Linear(12, count, bias=False), nn.Parameter(torch.randn(12))

    def forward(self, x: Tensor) -> Tensor:
        n, h, made = self.n, torch.relu(self.first(x)), self.made(self.code)
        if self.form == "with its bias":
            return self.last(torch.relu(F.linear(h, made[: n * n].view(n, n), made[n * n :])))
        up, down = made[: 2 * n * n].view(2 * n, n), made[2 * n * n :].view(n, 2 * n)
        return self.last(torch.relu(F.linear(torch.relu(F.linear(h, up)), down)))


@pytest.mark.parametrize("form", ["with its bias", "rectangles"])
def test_parts_of_one_row_are_matrices_of_their_own(form: str) -> None:
    solution = sr.derive(sr.trace(lambda width: Cut(width, form), WIDTH, torch.ones(4, 6)), optimizer="adamw")
    made = [(str(solution[name].init["width"]), str(solution[name].lr["width"])) for name in solution if "made" in name]
    assert made == [HIDDEN, ("0", "0") if form == "with its bias" else HIDDEN]


class Hyper(nn.Module):
    """A network with a hidden layer makes the matrix, of a code that is learnt or read."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.n, self.code = width, nn.Parameter(torch.randn(12))
        self.inner, self.made = nn.Linear(12, 16), nn.Linear(16, width * width)
        self.first, self.last = nn.Linear(6, width), nn.Linear(width, 3)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        matrix = self.made(torch.relu(self.inner(self.code if code is None else code))).view(self.n, self.n)
        return self.last(torch.relu(F.linear(torch.relu(self.first(x)), matrix)))


@pytest.mark.parametrize("inputs", [(torch.ones(4, 6),), (torch.ones(4, 6), torch.ones(12))], ids=["learnt", "read"])
def test_a_hidden_layer_of_what_makes_weights_starts_like_any_other(inputs: tuple[Tensor, ...]) -> None:
    """Its bias started at `width` beside the code's product of size 0, and the readout at `width^-2`."""
    solution = sr.derive(sr.trace(Hyper, WIDTH, inputs), optimizer="adamw")
    small = [name for name in solution.parameters if name.startswith(("inner", "code"))]
    assert all((str(solution[n].init["width"]), str(solution[n].lr["width"])) == ("0", "0") for n in small)
    for name, sizes in {"made.weight": HIDDEN, "made.bias": HIDDEN, "last.weight": ("-1", "-1")}.items():
        assert (str(solution[name].init["width"]), str(solution[name].lr["width"])) == sizes


class Noisy(nn.Module):
    """Variational dropout: noise on a matrix, as large as it is times what is learnt of every entry."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, width), nn.Linear(width, 3)
        self.weight = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.log_alpha = nn.Parameter(torch.full((width, width), -3.0))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.exp(self.log_alpha) * torch.randn(self.weight.shape) * self.weight
        return self.last(torch.relu(F.linear(torch.relu(self.first(x)), self.weight + noise)))


def test_noise_that_multiplies_a_matrix_twice_is_no_second_matrix() -> None:
    """What moves along the gradient meets the noise and the matrix again; both had been taken for new ones, a clash.

    Plain torch, AdamW, widths 64 to 512, rates 0.3 for the logarithms and 0.005: the own part of the logarithms at the
    outputs goes by -0.05 and -0.02, all changes by 0.00.
    """
    solution = sr.derive(sr.trace(Noisy, WIDTH, torch.ones(4, 6)), optimizer="adamw")
    rule = solution["log_alpha"]
    assert (str(rule.init["width"]), str(rule.lr["width"])) == ("0", "-1/2")
    assert (str(solution["weight"].init["width"]), str(solution["weight"].lr["width"])) == HIDDEN
    assert str(solution.multipliers["noise.scale"]) == "1"

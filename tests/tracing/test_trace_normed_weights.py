"""Weights that are normed before data meets them: their lengths are as open as they are, their own size is not seen."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

import scalerules as sr
from scalerules.errors import Clash

torch.set_num_threads(1)
WIDTH = {"width": (16, 24, 32)}


def rows(**_: int) -> Tensor:
    return torch.ones(4, 8)


class Perceptron(nn.Module):
    """Three layers, each under a norm; `std`: what the weights are drawn with, None for torch's own."""

    def __init__(self, width: int, norm: Any, std: float | None = None) -> None:
        super().__init__()
        layers = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 3)
        for layer in layers if std else ():
            nn.init.normal_(layer.weight, std=std or 0.0)
        self.a, self.b, self.c = (norm(layer) for layer in layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.relu(self.b(F.relu(self.a(x)))))


def derived(make: Any, optimizer: str = "adamw") -> sr.Solution:
    return sr.derive(sr.trace(make, WIDTH, rows), optimizer=optimizer)


def size(solution: sr.Solution, name: str) -> tuple[str, str]:
    rule = solution[name]
    return str(rule.init["width"]), str(rule.lr["width"])


@pytest.mark.parametrize("std", [None, 0.02])
def test_the_length_of_a_readout_makes_it_small(std: float | None) -> None:
    """However the weights are drawn: with a std of 0.02 the lengths of rows grow as the root of the width."""
    solution = derived(lambda width: Perceptron(width, weight_norm, std))
    length, direction = "c.parametrizations.weight.original0", "c.parametrizations.weight.original1"
    assert size(solution, length) == ("-1/2", "-1/2")
    assert size(solution, direction) == ("-1/2", "-1/2")
    assert size(solution, "b.parametrizations.weight.original0") == ("0", "0")
    assert size(solution, "b.parametrizations.weight.original1") == ("-1/2", "-1")
    assert not solution.multipliers


def test_a_weight_norm_trains_as_its_rule_says() -> None:
    graph = sr.trace(lambda width: Perceptron(width, weight_norm), WIDTH, rows)
    report = sr.verify(graph, sr.derive(graph, optimizer="adamw"), sizes=[32, 64, 128, 256], progress=False)
    assert report.verdict and not report.wrong


def test_lengths_that_are_measured_by_hand_are_as_open() -> None:
    class Lengths(nn.Module):
        """The readout's direction and length, as DoRA keeps them."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.a, self.c = nn.Linear(8, width), nn.Linear(width, 3, bias=False)
            self.length = nn.Parameter(self.c.weight.detach().norm(dim=1, keepdim=True))

        def forward(self, x: Tensor) -> Tensor:
            weight = self.c.weight
            return F.linear(F.relu(self.a(x)), self.length * weight / weight.norm(dim=1, keepdim=True))

    assert size(derived(Lengths), "length") == ("-1/2", "-1/2")


def test_a_spectral_norm_is_a_computation_on_weights() -> None:
    """What its power iteration starts from is fixed, and no data: nothing of it has a free factor."""

    class Middle(nn.Module):
        def __init__(self, width: int, norm: Any) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(8, width), norm(nn.Linear(width, width)), nn.Linear(width, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(F.relu(self.b(F.relu(self.a(x)))))

    normed = derived(lambda width: Middle(width, spectral_norm))
    plain = derived(lambda width: Middle(width, lambda layer: layer))
    assert not normed.multipliers
    assert size(normed, "b.parametrizations.weight.original") == size(plain, "b.weight")
    assert size(normed, "c.weight") == size(plain, "c.weight")


@pytest.mark.parametrize("rows_out", [1, 3])
def test_a_readout_of_norm_one_is_what_a_clash_speaks_of(rows_out: int) -> None:
    """Not a reciprocal on the way to it, which data never meet; without a length it cannot start at -1."""

    class Normed(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.a, self.c = nn.Linear(8, width), spectral_norm(nn.Linear(width, rows_out))

        def forward(self, x: Tensor) -> Tensor:
            return self.c(F.relu(self.a(x)))

    with pytest.raises(Clash) as clash:
        derived(Normed)
    assert "reciprocal' at" not in str(clash.value)
    assert "free multiplier behind 'c.einsum': multiply it by width**(-1/2) at " in str(clash.value)


class Standardised(nn.Module):
    """A convolution whose filters are less their mean, over their deviation (arXiv 1903.10520)."""

    def __init__(self, width: int, bias: bool, norm: bool, gain: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.norm, self.c = nn.GroupNorm(4, width) if norm else None, nn.Linear(width, 3)
        self.gain = nn.Parameter(torch.ones(width, 1, 1, 1)) if gain else None

    def forward(self, x: Tensor) -> Tensor:
        weight = self.b.weight - self.b.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
        weight = weight if self.gain is None else weight * self.gain
        h = F.conv2d(F.relu(self.a(x)), weight, self.b.bias, padding=1)
        return self.c(F.relu(h if self.norm is None else self.norm(h)).mean((2, 3)))


@pytest.mark.parametrize(("bias", "norm", "gain"), [(1, 1, 0), (1, 0, 0), (0, 0, 1), (1, 1, 1), (0, 1, 0)])
def test_standardised_filters_have_a_factor_where_more_than_a_norm_reads_what_they_make(
    bias: bool, norm: bool, gain: bool
) -> None:
    """In plain torch, widths 64 to 512, outputs change by -0.02 with it, and by 0.44 without a norm and without it.

    With a norm and without it a bias of rate 0 contributes by -0.54.
    """
    graph = sr.trace(lambda width: Standardised(width, bias, norm, gain), WIDTH, torch.ones(2, 3, 8, 8))
    solution = sr.derive(graph, optimizer="adamw")
    factors = {name: str(factor["width"]) for name, factor in solution.multipliers.items()}
    assert factors == ({} if norm and not bias and not gain else {"conv.factor": "-1/2"})
    assert size(solution, "b.weight") == ("-1/2", "-1")
    assert not bias or size(solution, "b.bias") == ("0", "0")


class Cosine(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.w = nn.Linear(8, width), nn.Parameter(torch.randn(3, width))
        self.t = nn.Parameter(torch.tensor(10.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.t * F.normalize(torch.relu(self.a(x)), dim=-1) @ F.normalize(self.w, dim=-1).T


@pytest.fixture(scope="module")
def cosine() -> sr.Graph:
    return sr.trace(Cosine, WIDTH, rows)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_the_temperature_of_a_cosine_has_the_rate_of_a_number(cosine: sr.Graph, optimizer: str) -> None:
    """The cosine starts at -1/2 and is of size 0 after a step; entries of the unit vector are smaller, and not judged."""
    solution = sr.derive(cosine, optimizer=optimizer)
    assert size(solution, "t") == ("0", "0")
    assert size(solution, "w")[0] == "-1/2"
    assert (
        sum(factor["width"] for factor in solution.multipliers.values()) == -1
    )  # of entries of size 0, in place of 1/|x|


class Quotient(nn.Module):
    """A product of values and rows of a weight over lengths, as `quotient` writes it."""

    def __init__(self, width: int, quotient: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.w, self.quotient = nn.Linear(8, width), nn.Parameter(torch.randn(3, width)), quotient
        self.t = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.t.exp() * self.quotient(torch.relu(self.a(x)), self.w)


def of_rows(x: Tensor) -> Tensor:
    return x.norm(dim=-1)


COSINES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "both at once": lambda h, w: h @ w.T / (of_rows(h)[:, None] * of_rows(w)),
    "two steps": lambda h, w: h @ w.T / of_rows(h)[:, None] / of_rows(w).clamp_min(1e-8),
    "outer": lambda h, w: torch.einsum("bi,oi->bo", h, w) / (torch.outer(of_rows(h), of_rows(w)) + 1e-8),
    "squares": lambda h, w: h @ w.T * ((h * h).sum(-1, keepdim=True) * w.pow(2).sum(-1)).rsqrt(),
    "means": lambda h, w: h @ w.T / h.shape[1] / (h.square().mean(-1, keepdim=True) * w.square().mean(-1)).sqrt(),
}


@pytest.mark.parametrize("quotient", [pytest.param(each, id=name) for name, each in COSINES.items()])
def test_a_cosine_by_hand_is_that_of_unit_vectors(quotient: Callable[[Tensor, Tensor], Tensor]) -> None:
    """In plain torch, widths 64 to 1024, the outputs change by -0.04 to 0.00 and the weight contributes 0.01."""
    solution = sr.derive(sr.trace(lambda width: Quotient(width, quotient), WIDTH, rows), optimizer="adamw")
    assert size(solution, "t")[1] == "0"
    assert (size(solution, "a.weight"), size(solution, "w")) == (("0", "0"), ("-1/2", "-1/2"))
    assert sum(factor["width"] for factor in solution.multipliers.values()) == -1


def test_a_product_over_the_length_of_a_weight_is_that_with_its_direction() -> None:
    """Without a factor the outputs change by `width^0.44` in plain torch, with it by -0.04: it is solved for."""
    for quotient in (lambda h, w: h @ w.T / of_rows(w), lambda h, w: h @ F.normalize(w, dim=-1).T):
        solution = sr.derive(sr.trace(lambda width, q=quotient: Quotient(width, q), WIDTH, rows), optimizer="adamw")
        assert size(solution, "w") == ("-1/2", "-1/2")
        assert sum(factor["width"] for factor in solution.multipliers.values()) == -1


def test_a_number_that_a_module_holds_once_is_no_law_of_its_size() -> None:
    """A pair of modules is drawn once each: the single bias of a readout is another number, and no power of the width."""

    def module(width: int) -> nn.Module:
        torch.manual_seed(width)
        return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 1))

    solution = sr.derive(sr.trace((module(16), module(32)), inputs=torch.ones(4, 8)), optimizer="adamw")
    assert size(solution, "2.bias") == ("0", "0")


class Coded(nn.Module):
    """A code book that the nearest rows are looked up in, a decoder, and the two losses of the code."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.codes, self.d = nn.Linear(8, width), nn.Embedding(16, width), nn.Linear(width, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = self.a(x)
        q = self.codes(torch.cdist(z, self.codes.weight).argmin(-1))
        decoded = self.d(F.relu(z + (q - z).detach()))
        return decoded, F.mse_loss(q, z.detach()), F.mse_loss(z, q.detach())


def test_a_prediction_beside_losses_is_an_output() -> None:
    solution = derived(Coded)
    assert size(solution, "d.weight") == ("-1", "-1") and size(solution, "codes.weight") == ("0", "0")


def test_distances_of_rows_are_roots_of_sums() -> None:
    class Nearest(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.a, self.rows = nn.Linear(8, width), nn.Parameter(torch.randn(5, width))

        def forward(self, x: Tensor) -> Tensor:
            return torch.cdist(torch.relu(self.a(x)), self.rows)

    assert [str(factor["width"]) for factor in derived(Nearest).multipliers.values()] == ["-1"]


class Written(nn.Module):
    """A layer whose weight is a direction times a length, written by hand, or one of three values at a scale."""

    def __init__(self, fan_in: int, fan_out: int, how: str) -> None:
        super().__init__()
        self.how, self.V = how, nn.Parameter(torch.randn(fan_out, fan_in) * fan_in**-0.5)
        if how not in ("mean", "ternary", "signs"):
            self.m = nn.Parameter(self.V.detach().norm(dim=1, keepdim=True))
        if how == "adapted":
            self.A, self.B = nn.Parameter(torch.randn(2, fan_in)), nn.Parameter(torch.zeros(fan_out, 2))

    def weight(self) -> Tensor:
        V, scale = self.V, self.V.abs().mean()
        match self.how:
            case "gain first":
                return self.m * V / V.norm(dim=1, keepdim=True)
            case "norm first":
                return self.m * (V / V.norm(dim=1, keepdim=True))
            case "normalize":
                return F.normalize(V, dim=1) * self.m
            case "rsqrt":
                return self.m * V * torch.rsqrt(V.pow(2).sum(1, keepdim=True) + 1e-6)
            case "detached":
                return self.m * V / V.norm(dim=1, keepdim=True).detach()
            case "adapted":
                U = V + self.B @ self.A
                return self.m * U / U.norm(dim=1, keepdim=True)
            case "mean":
                return V / scale * V.shape[1] ** -0.5
            case "signs":
                return V + (V.sign() * scale - V).detach()
            case _:
                return V + ((V / scale.clamp(min=1e-5)).round().clamp(-1, 1) * scale - V).detach()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight())


class WrittenOut(nn.Module):
    """A perceptron with such layers behind the first; a readout of a mean has no factor that makes it small."""

    def __init__(self, width: int, how: str) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, width), Written(width, width, how)
        self.c = nn.Linear(width, 3, bias=False) if how == "mean" else Written(width, 3, how)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.relu(self.b(F.relu(self.a(x)))))


@cache
def written_out(how: str) -> sr.Graph:
    return sr.trace(lambda width: WrittenOut(width, how), WIDTH, rows)


DIRECTIONS = ["gain first", "norm first", "normalize", "rsqrt", "detached", "adapted"]


@pytest.mark.parametrize(("optimizer", "direction", "length"), [("adamw", "-1/2", "-1/2"), ("sgd", "0", "-1")])
@pytest.mark.parametrize("how", DIRECTIONS)
def test_a_direction_written_out_has_the_rule_of_a_weight_norm(
    how: str, optimizer: str, direction: str, length: str
) -> None:
    """A weight of degree 0 in what it is made of: that is drawn as it passes sizes on, whatever stands in front."""
    solution = sr.derive(written_out(how), optimizer=optimizer)
    assert size(solution, "c.m") == ("-1/2", length)
    assert size(solution, "b.m") == ("0", "0" if optimizer == "adamw" else "1")
    assert size(solution, "c.V") == ("-1/2", direction)
    assert size(solution, "b.V") == ("-1/2", "-1" if optimizer == "adamw" else "0")


@pytest.mark.parametrize("how", ["mean", "ternary", "signs"])
def test_a_weight_at_the_scale_of_its_mean_absolute_value(how: str) -> None:
    """BitNet's weights (arXiv 2402.17764): what is scaled back has the rule of a plain matrix.

    What only products read on the way is a gauge, and a reciprocal of something small is no size to complain of.
    """
    solution = sr.derive(written_out(how), optimizer="adamw")
    assert size(solution, "b.V") == ("-1/2", "-1")
    assert size(solution, "c.weight" if how == "mean" else "c.V") == ("-1", "-1")


@pytest.mark.parametrize("dim", [0, 1, 2, None])
def test_a_weight_norm_along_any_axis_is_a_gauge(dim: Any) -> None:
    """One length for each row, column, place of the kernel, or for all: what is normed moves as a hidden matrix does."""

    class Kernels(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.a, self.c = nn.Conv1d(8, width, 1), nn.Conv1d(width, 3, 1)
            self.b = weight_norm(nn.Conv1d(width, width, 3, padding=1, bias=False), dim=dim)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(F.relu(self.b(F.relu(self.a(x)))))

    solution = sr.derive(sr.trace(Kernels, WIDTH, torch.ones(2, 8, 5)), optimizer="adamw")
    length = ("0", "0") if dim in (0, 1) else ("1/2", "1/2")
    assert size(solution, "b.parametrizations.weight.original1") == ("-1/2", "-1")
    assert size(solution, "b.parametrizations.weight.original0") == length

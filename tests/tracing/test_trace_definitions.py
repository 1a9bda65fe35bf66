"""Operators that torch defines with others, products with several weights, and roots of what a factor multiplies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import scalerules as sr

WIDTH = {"width": (16, 24, 32)}
Two = Callable[[Tensor, Tensor], Tensor]


class Net(nn.Module):
    """A perceptron with a function of its hidden values and of a vector in the middle."""

    def __init__(self, width: int, function: Two) -> None:
        super().__init__()
        self.first, self.hidden, self.last = nn.Linear(12, width), nn.Linear(width, width), nn.Linear(width, 4)
        self.other, self.function = nn.Parameter(torch.randn(width)), function

    def forward(self, x: Tensor) -> Tensor:
        h = self.function(torch.tanh(self.first(x)), self.other)
        return self.last(torch.tanh(self.hidden(h)))


def rules(function: Two) -> dict[str, tuple[str, str]]:
    graph = sr.trace(lambda width: Net(width, function), WIDTH, lambda **_: torch.ones(8, 12), progress=False)
    solution = sr.derive(graph, "adamw")
    factors = {name: (str(size["width"]), "") for name, size in solution.multipliers.items()}
    return factors | {n: (str(r.init["width"]), str(r.lr["width"])) for n, r in solution.parameters.items()}


DEFINED: dict[str, Two] = {
    "logaddexp": torch.logaddexp,
    "xlogy": lambda h, p: torch.xlogy(h, F.softplus(p)),
    "sinc": lambda h, p: torch.sinc(h * p),
    "heaviside": lambda h, p: h * p * torch.heaviside(h.detach(), torch.zeros(())),
    "diff": lambda h, p: torch.diff(torch.stack([h, h * p]), dim=0)[0],
    "trapezoid": lambda h, p: torch.trapezoid(torch.stack([h, h * p]), dim=0),
    "special": lambda h, p: torch.special.expit(h) * torch.special.entr(torch.sigmoid(p)),
}


@pytest.mark.parametrize("name", DEFINED)
def test_what_torch_defines_with_known_operators_is_known(name: str) -> None:
    found = rules(DEFINED[name])
    assert found["first.weight"] == found["other"] == ("0", "0")
    assert found["hidden.weight"] == ("-1/2", "-1") and found["last.weight"] == ("-1", "-1")


def test_a_layer_does_not_start_larger_to_make_up_for_the_root_of_a_factor() -> None:
    """Behind a distance the layer started at `width`, and the squares were multiplied by `width^-4`."""
    found = rules(lambda h, p: F.pairwise_distance(h, p, keepdim=True) * h)
    assert found["hidden.weight"] == ("-1/2", "-1") and found["squares.factor"] == ("-1", "")


class Polynomial(nn.Module):
    """A product of two layers and the matrix behind it, as one einsum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, width), nn.Linear(width, 4)
        self.u, self.v, self.w = (nn.Parameter(torch.randn(width, width)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.last(torch.einsum("bi,ir,bj,jr,kr->bk", h, self.u, h, self.v, self.w))


def test_a_product_with_several_weights_is_taken_with_one_after_the_other() -> None:
    """Only their product had a size: two matrices started at `width`, the third at `width^(-7/2)`."""
    graph = sr.trace(Polynomial, WIDTH, lambda **_: torch.ones(8, 12), progress=False)
    solution = sr.derive(graph, "adamw")
    for name in ("u", "v", "w"):
        assert (str(solution[name].init["width"]), str(solution[name].lr["width"])) == ("-1/2", "-1")


@pytest.mark.parametrize(
    "function",
    [
        torch.special.i0e,
        torch.special.erfcx,
        torch.special.bessel_j0,
        lambda h: torch.fmod(h, 1.0),
        lambda h: h % 1.0,
        lambda h: torch.polygamma(1, h.exp()),
        lambda h: torch.remainder(h, h.exp()),
        lambda h: torch.special.gammainc(h.exp(), h.exp()),
        lambda h: torch.fake_quantize_per_tensor_affine(h, 0.1, 0, -128, 127),
    ],
)
def test_functions_of_each_entry_that_no_law_names(function: Callable[[Tensor], Tensor]) -> None:
    """Torch itself says what they are at a few points: the layers around have the rules of hidden ones."""

    found = rules(lambda h, _: function(h))
    assert found["hidden.weight"] == ("-1/2", "-1") and found["last.weight"] == ("-1", "-1")
    assert found["first.weight"] == ("0", "0")


def test_a_function_with_steps_is_not_taken_for_what_it_is_at_whole_numbers() -> None:
    """`x % 1` is the same at 1, 2 and -1, and as large at -1/2 as at 1/2."""
    from scalerules.tracing.lowering.of_each_entry import BETWEEN, _parity

    assert _parity(lambda xs: tuple(x % 1 for x in xs), BETWEEN) == (False, False)

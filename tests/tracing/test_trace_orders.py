"""Features in order, the largest of them, what is kept by a threshold, and logarithms of a softmax over them."""

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
HIDDEN, READOUT, VECTOR = ("-1/2", "-1"), ("-1", "-1"), ("0", "0")


class Behind(nn.Module):
    """Two layers, something along the features, and a readout."""

    def __init__(self, width: int, along: Callable[[Tensor], Tensor], out: int | None = None) -> None:
        super().__init__()
        self.a, self.b, self.o = nn.Linear(6, width), nn.Linear(width, width), nn.Linear(out or width, 3)
        self.along = along

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.along(self.b(F.relu(self.a(x)))))


def behind(along: Callable[[Tensor], Tensor], out: int | None = None) -> Traced:
    return sr.trace(lambda width: Behind(width, along, out), WIDTH, torch.ones(4, 6))


def rules(graph: sr.Graph) -> list[tuple[str, str]]:
    solution = sr.derive(graph, optimizer="adamw")
    sizes = {name: (str(rule.init["width"]), str(rule.lr["width"])) for name, rule in solution.parameters.items()}
    return [sizes[f"{name}.weight"] for name in "abo"]


def many(h: Tensor) -> int:
    return h.shape[-1] // 4


def kept(h: Tensor, k: int) -> Tensor:
    values, places = h.topk(k)
    return torch.zeros_like(h).scatter(-1, places, F.relu(values))


ALL = {
    "in order": lambda h: h.sort(-1).values,
    "by their order": lambda h: h.gather(-1, h.argsort(-1)),
    "above the median": lambda h: h * (h >= h.median(-1, keepdim=True).values),
    "a quarter": lambda h: torch.where(h >= h.topk(many(h)).values[..., -1:], h, 0.0),
    "a mask of a quarter": lambda h: h * torch.zeros_like(h).scatter(-1, h.topk(many(h)).indices, 1.0),
    "log_softmax": lambda h: F.log_softmax(h, -1),
}
FEW = {
    "the largest": (lambda h: h.topk(5).values, VECTOR),
    "picked": (lambda h: h.tanh().gather(-1, h.topk(5).indices), VECTOR),
    "put back": (lambda h: kept(h, 5), VECTOR),
    "a function of them": (lambda h: F.gelu(kept(h, 5)), VECTOR),
    "the largest put back": (lambda h: torch.zeros_like(h).scatter(-1, *h.topk(1)[::-1]), VECTOR),
}


@pytest.mark.parametrize("along", [pytest.param(along, id=name) for name, along in ALL.items()])
def test_all_features_in_another_form_are_a_hidden_value(along: Callable[[Tensor], Tensor]) -> None:
    """In plain torch (widths 64 to 512) outputs change by -0.12 to 0.02, what is behind contributes within 0.13."""
    assert rules(behind(along)) == [VECTOR, HIDDEN, READOUT]


@pytest.mark.parametrize(("along", "last"), [pytest.param(*row, id=name) for name, row in FEW.items()])
def test_of_the_largest_the_layer_that_makes_them_is_the_readout(
    along: Callable[[Tensor], Tensor], last: tuple[str, str]
) -> None:
    """A sparse autoencoder: in plain torch (widths 64 to 2048) outputs change by -0.04, with a hidden matrix by 0.20."""
    out = None if along(torch.ones(2, 32)).shape[-1] == 32 else 5
    assert rules(behind(along, out)) == [VECTOR, READOUT, last]


@pytest.mark.parametrize(
    ("along", "said"),
    [
        (lambda h: h * h.median(-1, keepdim=True).values, "take their mean"),
        (lambda h: h * (h >= h.topk(5).values[..., -1:]), "put them among zeros"),
        (lambda h: h * (h >= h.amax(-1, keepdim=True)), "put it among zeros"),
        (lambda h: h * torch.zeros_like(h).scatter(-1, h.topk(5).indices, 1.0), "put the entries themselves there"),
        (lambda h: h * h.topk(many(h)).values.mean(-1, keepdim=True), "leave them in their places"),
    ],
)
def test_what_is_not_known_says_what_to_write_instead(along: Callable[[Tensor], Tensor], said: str) -> None:
    """What a median changes by falls like `width^-0.9` in plain torch: a gradient reaches one entry of each row."""
    with pytest.raises(sr.ScaleRulesError, match=said):
        behind(along)


class Classes(nn.Module):
    """As many classes as features, and the logarithms of their likelihoods."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.a, self.o = nn.Linear(6, width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.o(F.relu(self.a(x))), -1)


def test_logarithms_of_likelihoods_are_logits_under_a_cross_entropy() -> None:
    for classes in (lambda width: width, lambda _: 7):
        graph = sr.trace(lambda width, k=classes: Classes(width, k(width)), WIDTH, torch.ones(4, 6))
        solution = sr.derive(graph, optimizer="adamw")
        assert graph.loss == "cross_entropy"
        assert (str(solution["o.weight"].init["width"]), str(solution["o.weight"].lr["width"])) == READOUT

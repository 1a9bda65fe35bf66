"""Against the package `mup` 1.0.0 on the same plain models, parameter by parameter and without regard to the gauge.

Compared is what does not depend on where a factor stands: init + mult, and lr + mult (Adam) or lr + 2 mult (SGD). mup's
exponents are measured through its own functions. Where the two differ, the test says by how much and why.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import mup
import mup.init
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import scalerules as sr

torch.set_num_threads(1)
BASE, WIDE = 32, 512
SHARES = {"adam": 1, "sgd": 2}
"""By how much the rate falls with a factor in front of a parameter."""


class Perceptron(nn.Module):
    def __init__(self, width: int, readout: type[nn.Linear] = nn.Linear) -> None:
        super().__init__()
        self.input, self.h1, self.h2 = nn.Linear(6, width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.output = readout(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.input, self.h1, self.h2):
            x = functional.gelu(layer(x))
        return self.output(x)


class Transformer(nn.Module):
    """Two blocks with four heads whose size grows, scores over the head size, as mup asks its users to write them."""

    def __init__(self, width: int, readout: type[nn.Linear] = nn.Linear) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, width)
        self.norm, self.last = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.head = readout(width, 11, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        h = self.norm(x)
        q, k, v = (layer(h).unflatten(-1, (4, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        y = functional.scaled_dot_product_attention(q, k, v, scale=1 / q.shape[-1])
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return self.head(self.last(x + self.down(functional.gelu(self.up(x)))))


class Tied(nn.Module):
    """The output reads the embedding."""

    def __init__(self, width: int, readout: type[nn.Linear] = nn.Linear) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, width)
        self.h = nn.Linear(width, width, bias=False)
        if readout is nn.Linear:
            self.head = nn.Linear(width, 11, bias=False)
            self.head.weight = self.embedding.weight
        else:
            self.head = mup.MuSharedReadout(self.embedding.weight, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(functional.gelu(self.h(functional.layer_norm(self.embedding(tokens), [self.h.in_features]))))


class Experts(nn.Module):
    """Four experts, all of them active, whose matrices are one parameter."""

    def __init__(self, width: int, readout: type[nn.Linear] = nn.Linear) -> None:
        super().__init__()
        self.input = nn.Linear(6, width, bias=False)
        self.router = readout(width, 4, bias=False)
        self.up = nn.Parameter(torch.randn(4, 2 * width, width) / math.sqrt(width))
        self.down = nn.Parameter(torch.randn(4, width, 2 * width) / math.sqrt(2 * width))
        self.output = readout(width, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.gelu(self.input(x))
        h = functional.gelu(torch.einsum("bn,efn->bef", x, self.up))
        y = torch.einsum("bef,enf->ben", h, self.down)
        return self.output(torch.einsum("ben,be->bn", y, self.router(x).softmax(-1)))


class Decoder(nn.Module):
    """From a code to an image by transposed convolutions."""

    def __init__(self, width: int, readout: type[nn.Linear] = nn.Linear) -> None:
        super().__init__()
        self.input = nn.ConvTranspose2d(6, width, 2, stride=2)
        self.hidden = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.output = nn.ConvTranspose2d(width, 3, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(functional.gelu(self.hidden(functional.gelu(self.input(x)))))


INPUTS: dict[type[nn.Module], Callable[..., Tensor]] = {
    Perceptron: lambda width: torch.zeros(4, 6),
    Transformer: lambda width: torch.zeros(2, 5, dtype=torch.long),
    Tied: lambda width: torch.zeros(2, 5, dtype=torch.long),
    Experts: lambda width: torch.zeros(4, 6),
    Decoder: lambda width: torch.zeros(2, 6, 2, 2),
}
Found = dict[str, tuple[Fraction, Fraction]]
"""Parameter -> exponents of the width of its effective std and its effective rate."""


@cache
def graph(kind: type[nn.Module]) -> sr.Graph:
    return sr.trace(kind, scales={"width": (32, 64, 96, 160)}, inputs=INPUTS[kind])


@cache
def ours(kind: type[nn.Module], optimizer: str) -> Found:
    """What the engine derives for the unedited model."""
    solution = sr.derive(graph(kind), optimizer)
    return {
        name: (
            rule.init.fractions["width"] + rule.mult.fractions["width"],
            rule.lr.fractions["width"] + SHARES[optimizer] * rule.mult.fractions["width"],
        )
        for name, rule in solution.parameters.items()
    }


def exponent(ratio: float) -> Fraction:
    """Of the width, to the nearest quarter."""
    return Fraction(round(4 * math.log(ratio) / math.log(WIDE / BASE)), 4)


def scaled(kind: Callable[..., nn.Module], width: int) -> nn.Module:
    torch.manual_seed(0)
    model = kind(width, mup.MuReadout)
    mup.set_base_shapes(model, kind(BASE, mup.MuReadout), delta=kind(2 * BASE, mup.MuReadout))
    return model


def theirs(
    kind: Callable[..., nn.Module], optimizer: str, initialise: Callable[[nn.Module], Any] = lambda model: None
) -> Found:
    """What mup does: the std of what it initialises, the rates of its optimizer, the factor of its readout."""
    models = {width: scaled(kind, width) for width in (BASE, WIDE)}
    take = {"adam": mup.MuAdam, "sgd": mup.MuSGD}[optimizer]
    readouts = {id(m.weight) for m in models[WIDE].modules() if isinstance(m, mup.MuReadout)}
    spreads: dict[int, dict[str, float]] = {}
    for width, model in models.items():
        initialise(model)
        spreads[width] = {name: float(p.detach().std(unbiased=False)) for name, p in model.named_parameters()}
    rates = {id(p): g["lr"] for g in take(models[WIDE].parameters(), lr=1.0).param_groups for p in g["params"]}
    found: Found = {}
    for name, parameter in models[WIDE].named_parameters():
        start = spreads[WIDE][name] / spreads[BASE][name] if spreads[BASE][name] else 1.0
        factor = -1 if id(parameter) in readouts else 0
        found[name] = (exponent(start) + factor, exponent(rates[id(parameter)]) + SHARES[optimizer] * factor)
    return found


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("kind", [Perceptron, Transformer])
def test_equal_where_mup_is_right(kind: type[nn.Module], optimizer: str) -> None:
    assert ours(kind, optimizer) == theirs(kind, optimizer)


# --- tied embeddings -------------------------------------------------------------------------------------------------


def test_tied_embeddings() -> None:
    """mup rescales a readout's weight to undo 1/sqrt(fan_in) of nn.Linear; the shared one is an embedding of std 1."""
    solution = sr.derive(graph(Tied), "adam")
    assert {name: e.fractions["width"] for name, e in solution.multipliers.items()} == {"head.scale": -1}
    assert ours(Tied, "adam") == {"embedding.weight": (0, 0), "h.weight": (Fraction(-1, 2), -1)}
    wrong = theirs(Tied, "adam")
    # its factor 1/width stands at the readout only: `theirs` has counted it for the shared weight, here it is taken out
    assert wrong["embedding.weight"] == (Fraction(1, 2) - 1, -1)
    assert wrong["h.weight"] == ours(Tied, "adam")["h.weight"]


def test_ties_of_plain_torch_are_refused_by_mup_and_a_shared_bias_does_not_fit() -> None:
    with pytest.raises(AssertionError, match="not type `MuReadout`"):
        mup.set_base_shapes(Tied(64), Tied(BASE), delta=Tied(2 * BASE))
    embedding = nn.Embedding(11, BASE)
    head = mup.MuSharedReadout(embedding.weight)  # with its default, bias=True
    mup.set_base_shapes(head, head)
    with pytest.raises(RuntimeError):
        head(torch.randn(2, BASE))


# --- experts as one parameter ------------------------------------------------------------------------------------------


def test_batched_experts() -> None:
    """mup takes axis 1 for fan-in and axis 0 for fan-out, here the outputs and the experts."""
    assert theirs(Experts, "adam") == ours(Experts, "adam")
    right, wrong = ours(Experts, "sgd"), theirs(Experts, "sgd")
    for name in ("up", "down"):
        assert right[name] == (Fraction(-1, 2), 0) and wrong[name] == (Fraction(-1, 2), -1)
    assert {n: v for n, v in right.items() if n not in ("up", "down")} == {
        n: v for n, v in wrong.items() if n not in ("up", "down")
    }


def test_batched_experts_initialised_again() -> None:
    """torch's Kaiming initialisation sums over axis 1 and all behind it; mup's own stops at the first axis."""

    def again(initialise: Callable[[Tensor], Any]) -> Callable[[nn.Module], Any]:
        return lambda model: [initialise(model.get_parameter(name)) for name in ("up", "down")]

    assert theirs(Experts, "adam", again(nn.init.kaiming_normal_))["up"] == (-1, -1)
    with pytest.raises(AssertionError):
        theirs(Experts, "adam", again(mup.init.kaiming_normal_))
    assert theirs(Experts, "adam", again(mup.init.normal_)) == ours(Experts, "adam")


# --- transposed convolutions ---------------------------------------------------------------------------------------------


def kaiming(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            mup.init.kaiming_normal_(parameter)


def test_transposed_convolutions() -> None:
    """Their weight is (in, out, ...): an output layer looks like an input layer, and nothing asks for a readout."""
    right = ours(Decoder, "adam")
    assert right["output.weight"] == (-1, -1) and right["input.weight"] == (0, 0)
    assert right["hidden.weight"] == (Fraction(-1, 2), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wrong = theirs(Decoder, "adam", kaiming)
    assert wrong["output.weight"] == (0, 0)
    assert wrong["input.weight"] == right["input.weight"] and wrong["hidden.weight"] == right["hidden.weight"]
    # without initialising it again: torch takes `out` for fan-in, and mup leaves what torch has done
    assert theirs(Decoder, "adam")["input.weight"] == (Fraction(-1, 2), 0)

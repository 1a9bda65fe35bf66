"""Tables that are looked up and read again as readouts: one rule, however the look-up and the readout are written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import scalerules as sr

WIDTH = {"width": (32, 48, 64)}
WORDS = 12

LOOK_UPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "embedding": lambda ids, table: F.embedding(ids, table),
    "indices": lambda ids, table: table[ids],
    "rows that are selected": lambda ids, table: table.index_select(0, ids.flatten()).unflatten(0, ids.shape),
    "one-hot vectors": lambda ids, table: F.one_hot(ids, WORDS).float() @ table,
    "an einsum of one-hot vectors": lambda ids, table: torch.einsum(
        "bsv,vd->bsd", F.one_hot(ids, WORDS).float(), table
    ),
}
READOUTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "linear": lambda x, table: F.linear(x, table),
    "matmul": lambda x, table: x @ table.mT,
    "einsum": lambda x, table: torch.einsum("bsd,vd->bsv", x, table),
    "a sum of products": lambda x, table: (x[..., None, :] * table).sum(-1),
    "in two halves": lambda x, table: torch.cat([torch.einsum("bsd,vd->bsv", x, c) for c in table.chunk(2)], -1),
    "a part of the words": lambda x, table: torch.einsum("bsd,vd->bsv", x, table[:10]),
    "tensordot": lambda x, table: torch.tensordot(x, table.mT, dims=1),
}


class Tied(nn.Module):
    """A table, positions beside it and a norm behind, one layer, and the table again."""

    def __init__(self, width: int, look_up: str = "embedding", readout: str = "einsum") -> None:
        super().__init__()
        self.e, self.p, self.up = nn.Embedding(WORDS, width), nn.Embedding(5, width), nn.Linear(width, width)
        self.norm, self.look_up, self.readout = nn.LayerNorm(width), LOOK_UPS[look_up], READOUTS[readout]

    def forward(self, ids: Tensor) -> Tensor:
        x = self.norm(self.look_up(ids, self.e.weight) + self.p.weight)
        return self.readout(self.norm(x + torch.relu(self.up(x))), self.e.weight)


def found(make: Callable[..., nn.Module]) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Initial size and rate of every weight, and the free factors."""
    solution = sr.derive(sr.trace(make, WIDTH, torch.arange(10).view(2, 5)), optimizer="adamw")
    rules = {
        name: (str(rule.init["width"]), str(rule.lr["width"]))
        for name, rule in solution.parameters.items()
        if rule.init
    }
    return rules, [str(factor["width"]) for factor in solution.multipliers.values()]


@pytest.mark.parametrize(
    ("look_up", "readout"), [("embedding", each) for each in READOUTS] + [(each, "linear") for each in LOOK_UPS]
)
def test_a_table_that_is_read_again_keeps_its_words(look_up: str, readout: str) -> None:
    """Beside positions, in front of a norm: words of `width^-1` would be lost, and only the factor makes logits small."""
    rules, factors = found(lambda width: Tied(width, look_up, readout))
    assert set(factors) == {"-1"}
    assert rules["e.weight"] == rules["p.weight"] == ("0", "0") and rules["up.weight"] == ("-1/2", "-1")


def test_a_mean_sums_no_more_than_a_look_up() -> None:
    class Mean(Tied):
        def forward(self, ids: Tensor) -> Tensor:
            x = self.norm(self.e(ids) + self.p.weight)
            return (x[..., None, :] * self.e.weight).mean(-1)

    rules, factors = found(lambda width: Mean(width))
    assert rules["e.weight"] == ("0", "0") and not factors


def test_a_table_of_two_factors_that_is_read_again() -> None:
    """ALBERT's: the projection is read twice, and takes the factor; neither factor is small for the other."""

    class Factorised(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.e, self.project = nn.Embedding(WORDS, 8), nn.Linear(8, width, bias=False)
            self.p, self.norm = nn.Embedding(5, width), nn.LayerNorm(width)

        def forward(self, ids: Tensor) -> Tensor:
            x = self.norm(self.project(self.e(ids)) + self.p.weight)
            return x @ self.project.weight @ self.e.weight.mT

    rules, factors = found(lambda width: Factorised(width))
    assert rules["e.weight"] == rules["project.weight"] == ("0", "0") and factors == ["-1"]


class Around(nn.Module):
    """A tied autoencoder around a layer."""

    def __init__(self, width: int, residual: bool) -> None:
        super().__init__()
        self.w, self.u = nn.Parameter(torch.randn(width, 6)), nn.Linear(width, width, bias=False)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        h = F.linear(x, self.w)
        return (h + torch.relu(self.u(h)) if self.residual else self.u(torch.relu(h))) @ self.w


@pytest.mark.parametrize("residual", [True, False])
def test_a_tied_autoencoder_around_a_layer_gets_its_factor(residual: bool) -> None:
    """Around a residual no function reads `W x` itself, but it is a term of a sum with one: it was lost beside that.

    Around a plain layer that one was made smaller, by half of what is needed: `W` moved `W x` by `width^(-1/2)`.
    """
    solution = sr.derive(sr.trace(lambda width: Around(width, residual), WIDTH, torch.ones(4, 6)), optimizer="adamw")
    found = {name: (str(solution[name].init["width"]), str(solution[name].lr["width"])) for name in ("w", "u.weight")}
    assert found == {"w": ("0", "0"), "u.weight": ("-1/2", "-1")}
    assert [str(factor["width"]) for factor in solution.multipliers.values()] == ["-1"]

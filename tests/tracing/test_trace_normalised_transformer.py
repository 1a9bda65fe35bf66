"""A transformer on the sphere: normalised weights and hidden values, learnt scales that start at powers of the width."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import scalerules as sr

torch.set_num_threads(1)


def unit(x: Tensor, dim: int = -1) -> Tensor:
    return F.normalize(x, dim=dim)


class Sphere(nn.Module):
    """One block of nGPT (arXiv 2410.01131)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.table = width, nn.Embedding(11, width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
        self.head = nn.Linear(width, 11, bias=False)
        start = width**-0.5
        self.s_qk, self.a, self.b = (nn.Parameter(torch.full((width,), start)) for _ in range(3))
        self.s_up, self.s_z = nn.Parameter(torch.ones(4 * width)), nn.Parameter(torch.full((11,), start))

    def forward(self, tokens: Tensor) -> Tensor:
        root = self.width**0.5
        h = unit(F.embedding(tokens, unit(self.table.weight)))
        q, k, v = (F.linear(h, unit(m.weight)).unflatten(-1, (4, -1)).transpose(1, 2) for m in (self.q, self.k, self.v))
        gain = (self.s_qk * root).view(1, 4, 1, -1)
        read = F.scaled_dot_product_attention(unit(q) * gain, unit(k) * gain, v, is_causal=True, scale=root / 2)
        y = unit(F.linear(read.transpose(1, 2).flatten(2), unit(self.o.weight, 0)))
        h = unit(h + (0.05 * self.a * root).abs() * (y - h))
        inner = F.silu(F.linear(h, unit(self.up.weight)) * self.s_up * root)
        y = unit(F.linear(inner, unit(self.down.weight, 0)))
        h = unit(h + (0.05 * self.b * root).abs() * (y - h))
        return F.linear(h, unit(self.head.weight)) * self.s_z * root


def test_a_transformer_on_the_sphere_has_a_rule() -> None:
    """Its scores had stood behind no free factor, and what unit vectors change by had been asked to reach size 0.

    The rows of a table that is normed are looked up by tokens, as those of a plain one are.
    """
    graph = sr.trace(Sphere, {"width": (32, 48, 64)}, torch.zeros(2, 4, dtype=torch.long))
    solution = sr.derive(graph, optimizer="adamw")
    found = {name: (str(rule.init["width"]), str(rule.lr["width"])) for name, rule in solution.parameters.items()}
    layers = dict.fromkeys([f"{name}.weight" for name in ("q", "k", "v", "o", "up", "down")], ("-1/2", "-1"))
    scales = dict.fromkeys(["s_qk", "a", "b", "s_z", "head.weight"], ("-1/2", "-1/2"))
    assert found == {"table.weight": ("0", "0"), "s_up": ("0", "0"), **layers, **scales}
    assert str(solution.multipliers["scores"]) == "1"


def test_it_trains_as_its_rule_says() -> None:
    """No rate makes its loss rise: at 0.4 of the largest its layers had turned at small widths, 17 of 202 rows were off."""
    tokens = torch.randint(0, 11, (4, 6), generator=torch.Generator().manual_seed(1))
    graph = sr.trace(Sphere, {"width": (32, 48, 64)}, tokens)
    report = sr.verify(graph, sr.derive(graph, "adamw"), sizes=[64, 128, 256], seeds=[3, 2, 2], looks=1, progress=False)
    assert report.verdict is not False and not report.wrong and not report.failed
    assert "for normed weights to turn less" in str(report.rate)


class FromTable(nn.Module):
    """Steps on the sphere that start from rows of a normed table, which no other norm reads first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(11, width)
        self.layer, self.head = nn.Linear(width, width, bias=False), nn.Linear(width, 11, bias=False)
        self.step = nn.Parameter(torch.full((width,), 0.2))

    def forward(self, tokens: Tensor) -> Tensor:
        h = F.embedding(tokens, unit(self.table.weight))
        y = unit(F.linear(h, unit(self.layer.weight)))
        return F.linear(unit(h + self.step * (y - h)), unit(self.head.weight))


def test_rows_of_a_normed_table_are_unit_vectors_wherever_they_are_looked_up() -> None:
    graph = sr.trace(FromTable, {"width": (32, 48, 64)}, torch.zeros(2, 4, dtype=torch.long))
    for optimizer in ("adamw", "sgd", "muon"):
        assert str(sr.derive(graph, optimizer=optimizer)["table.weight"].init["width"]) == "0"
    rules = sr.derive(graph, optimizer="adamw")
    assert str(rules["table.weight"].lr["width"]) == str(rules["step"].lr["width"]) == "0"

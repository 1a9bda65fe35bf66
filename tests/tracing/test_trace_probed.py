"""Modules that are in no list, with the rules that hold for them by hand; what was measured stands beside each.

Measured in plain torch without the engine (widths 64 to 512, 3 seeds, four steps at the derived initial sizes and rates):
the slope, in the logarithm of the width, of what the outputs change when one parameter alone is trained.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


class Bilinear(Probed):
    """Two hidden vectors and a cube of weights, to 5 values: `a` 0.07, `b` 0.01, `w` 0.13."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 5)
        self.b, self.w = nn.Linear(8, width), nn.Bilinear(width, width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(torch.tanh(self.w(self.first(x), torch.tanh(self.b(x)))))


class ReadTwice(Probed):
    """One hidden matrix at two places, another in between: all from -0.06 to 0.00."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.b(torch.tanh(self.a(self.first(x)))))
        return self.o(torch.tanh(self.a(h)))


class ZeroGates(Probed):
    """Shift, scale and gate from a layer that starts at zero: after four steps, from -0.21 (bias of `b`) to -0.01."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.c, self.m = nn.Linear(8, width), nn.Linear(width, 3 * width)
        nn.init.zeros_(self.m.weight)
        self.norm, self.a, self.b = (
            nn.LayerNorm(width, elementwise_affine=False),
            nn.Linear(width, width),
            nn.Linear(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.e(x)
        shift, scale, gate = self.m(F.silu(self.c(x.flip(-1)))).chunk(3, -1)
        h = h + gate * self.b(F.gelu(self.a(self.norm(h) * (1 + scale) + shift)))
        return self.o(self.norm(h))


class Towers(nn.Module):
    """The sum of as many towers of 8 as the width: `a` -0.02, `b` -0.01, `c` -0.03 after one step."""

    entries = (8, 8)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.randn(width, *s) / 3) for s in ((8, 8), (8,), (8, 3)))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(torch.einsum("bi,gij->bgj", x, self.a) + self.b)
        return torch.einsum("bgj,gjk->bk", h, self.c)


class TwoFactors(Probed):
    """Eight blocks of `n/8`, then `n/8` blocks of eight: `l` 0.00, `r` -0.03, `e` -0.05."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.l = nn.Parameter(torch.randn(8, width // 8, width // 8) / (width / 8) ** 0.5)  # noqa: E741
        self.r = nn.Parameter(torch.randn(width // 8, 8, 8) / 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.einsum("bki,koi->bko", self.first(x).view(8, 8, -1), self.l).transpose(1, 2)
        return self.o(torch.tanh(torch.einsum("bgi,goi->bgo", h, self.r).flatten(1)))


class FewKeys(Probed):
    """Two heads of keys and values of 8, as many of queries as the width has eights: `v` 0.08 and `p` -0.01 beside the others."""

    entries = (4, 6, 8)

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.q, self.p = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.k, self.v = nn.Linear(width, 16, bias=False), nn.Linear(width, 16, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.e(x)
        heads = x.shape[-1] // 8
        q = self.q(x).view(4, 6, heads, 8).transpose(1, 2)
        k, v = (f(x).view(4, 6, 2, 8).transpose(1, 2).repeat_interleave(heads // 2, 1) for f in (self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        return self.o(torch.tanh(x + self.p(y)))


class Contrast(nn.Module):
    """Cosines of two towers behind a learnt temperature: weights -0.01 to -0.10; `t` -0.43, as cosines start at `n^(-1/2)`."""

    entries = (8, 8)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, width), nn.Linear(8, width)
        self.pa, self.pb = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.t = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        u = F.normalize(self.pa(torch.tanh(self.a(x))), dim=-1)
        v = F.normalize(self.pb(torch.tanh(self.b(x.flip(-1)))), dim=-1)
        return self.t.exp() * u @ v.T


class Tied(nn.Module):
    """An autoencoder whose decoder is the transpose of its encoder, and a bias.

    Without a factor behind the decoder `w` was -1, -1 beside a bias of size 0: what of the outputs depends on the data
    started at -1.04 and changed by -0.96; with a factor `1/n` and sizes 0, 0 by -0.04 and -0.02 (widths 64 to 1024, Adam).
    """

    entries = (8, 8)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(width, 8) / 3)
        self.b, self.c = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.w.T + self.b) @ self.w + self.c


class TiedTwice(nn.Module):
    """The same with a hidden matrix, which needs no factor: a random one sends `W^T W z` back as large as `z`."""

    entries = (8, 8)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(torch.randn(width, 8) / 3), nn.Parameter(torch.randn(width, width) / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(torch.tanh(x @ self.w.T) @ self.v.T)
        return torch.tanh(h @ self.v) @ self.w


class SoftChoice(Probed):
    """A softmax over the width as a gate: all from -0.09 to 0.01; with the rate 0 of `v`, from -1.07 to -0.99 but for `v`."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.a, self.v = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.o(self.a(h).softmax(-1) * self.v(h))


class Routed(Probed):
    """Gemma-3n's router on a normed value over the width, at two places."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.norm, self.router, self.mix = nn.RMSNorm(width), nn.Linear(width, 2, bias=False), nn.Linear(2, 2)
        self.a, self.factor = nn.Linear(width, width), 1 / width

    def route(self, h: Tensor) -> Tensor:
        return self.mix(torch.tanh(self.router(self.norm(h) * self.factor)))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        h = torch.tanh(self.a(h)) * self.route(h)[:, :1]
        return self.o(h * self.route(h)[:, 1:])


MUON_READ = ("-1", "-1/2")
HIDDEN, READ, VECTOR = ("-1/2", "-1"), ("-1", "-1"), ("0", "0")
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
    (Bilinear, "adamw", {"w.weight": ("-3/2", "-2"), "e.weight": VECTOR, "b.weight": VECTOR, "o.weight": VECTOR}),
    (ReadTwice, "adamw", {"a.weight": HIDDEN, "b.weight": HIDDEN, "o.weight": READ}),
    (ReadTwice, "sgd", {"a.weight": ("-1/2", "0"), "b.weight": ("-1/2", "0"), "o.weight": READ}),
    (ZeroGates, "adamw", {"a.weight": HIDDEN, "b.weight": HIDDEN, "c.weight": VECTOR, "e.weight": VECTOR}),
    (Towers, "adamw", {"a": VECTOR, "b": VECTOR, "c": READ}),
    (Towers, "sgd", {"a": ("0", "1"), "b": ("0", "1"), "c": READ}),
    (TwoFactors, "adamw", {"l": HIDDEN, "r": VECTOR, "e.weight": VECTOR}),
    (TwoFactors, "sgd", {"l": ("-1/2", "0"), "r": ("0", "1"), "e.weight": ("0", "1")}),
    (FewKeys, "adamw", {"q.weight": HIDDEN, "k.weight": READ, "v.weight": READ, "p.weight": HIDDEN}),
    (Contrast, "adamw", {"a.weight": VECTOR, "pa.weight": HIDDEN, "pb.weight": HIDDEN, "t": VECTOR}),
    (Tied, "adamw", {"w": VECTOR, "b": VECTOR, "c": VECTOR}),
    (Tied, "sgd", {"w": ("0", "1"), "b": ("0", "1"), "c": VECTOR}),
    (TiedTwice, "adamw", {"w": VECTOR, "v": HIDDEN}),
    (SoftChoice, "adamw", {"v.weight": HIDDEN, "v.bias": VECTOR, "a.weight": HIDDEN, "o.weight": VECTOR}),
    (Routed, "adamw", {"norm.weight": VECTOR, "router.weight": VECTOR, "a.weight": HIDDEN}),
]


@cache
def traced(module: type[nn.Module]) -> sr.Graph:
    return sr.trace(module, {"width": (16, 32, 48)}, lambda **_: torch.ones(*module.entries))  # type: ignore[call-overload]


@pytest.mark.parametrize(("module", "optimizer", "rules"), RULES)
def test_the_rule_is_that_by_hand(module: type[nn.Module], optimizer: str, rules: dict[str, tuple[str, str]]) -> None:
    solution = sr.derive(traced(module), optimizer=optimizer)
    assert {name.partition("[")[0] for name in solution.parameters} == {
        name for name, _ in module(16).named_parameters()
    }
    assert {n: (str(solution[n].init["width"]), str(solution[n].lr["width"])) for n in rules} == rules


@pytest.mark.parametrize("module", [Tied, TiedTwice])
def test_a_layer_that_is_its_own_readout_gets_a_factor_behind_it(module: type[nn.Module]) -> None:
    solution = sr.derive(traced(module), optimizer="adamw")
    assert [str(factor) for factor in solution.multipliers.values()] == ["width^-1"]

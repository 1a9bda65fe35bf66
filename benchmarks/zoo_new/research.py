"""Quantised weights, derivatives by torch.func, energies of pictures, differential attention, a decoder of queries."""

# Models are written as people write them, without casts for a type checker.
# pyright: basic, reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BitLinear(nn.Linear):
    """Weights of three values, inputs of eight bits, passed straight through (arXiv 2402.17764)."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.rms_norm(x, (x.shape[-1],))
        steps = 127.0 / x.abs().max(dim=-1, keepdim=True).values.clamp(min=1e-5)
        x = x + ((x * steps).round().clamp(-128, 127) / steps - x).detach()
        mean = self.weight.abs().mean().clamp(min=1e-5)
        w = self.weight + ((self.weight / mean).round().clamp(-1, 1) * mean - self.weight).detach()
        return F.linear(x, w)


class BitNet(nn.Module):
    """A residual block of such layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(6, width), nn.Linear(width, 3)
        self.up, self.down = BitLinear(width, 4 * width, bias=False), BitLinear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inp(x)
        return self.out(h + self.down(F.relu(self.up(h)) ** 2))


class BurgersFunc(nn.Module):
    """The residual of Burgers' equation, with the derivatives of torch.func."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def u(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(-1)

    def forward(self, x: Tensor) -> Tensor:
        first, second = (torch.func.vmap(by(self.u))(x) for by in (torch.func.grad, torch.func.hessian))
        return first[:, 0] + self.u(x) * first[:, 1] - 0.1 * second[:, 1, 1]


class Langevin(nn.Module):
    """An energy of pictures, lower at the data than at what two Langevin steps make of noise."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 3, 2, 1), nn.SiLU(), nn.Flatten(),
            nn.Linear(width * 16, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y = torch.rand_like(x)
        for _ in range(2):
            y = y.detach().requires_grad_(True)
            g = torch.autograd.grad(self.f(y).sum(), y)[0]
            y = y - 0.1 * g + 0.01 * torch.randn_like(y)
        return self.f(x).mean() - self.f(y.detach()).mean()


def rope(x: Tensor) -> Tensor:
    t, d = x.shape[-2:]
    a = torch.arange(t)[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
    x1, x2 = x.chunk(2, -1)
    return torch.cat([x1 * a.cos() - x2 * a.sin(), x1 * a.sin() + x2 * a.cos()], -1)


class Differential(nn.Module):
    """Differential attention (arXiv 2410.05258): one map of each pair of heads less another."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.h, self.hd, self.start = heads, width // heads // 2, 0.2
        self.e, self.head = nn.Embedding(32, width), nn.Linear(width, 32, bias=False)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.lq1, self.lk1, self.lq2, self.lk2 = (nn.Parameter(torch.randn(self.hd) * 0.1) for _ in range(4))
        self.pre, self.sub, self.post = nn.RMSNorm(width), nn.RMSNorm(2 * self.hd), nn.RMSNorm(width)

    def forward(self, ids: Tensor) -> Tensor:
        r = self.e(ids)
        x = self.pre(r)
        b, t, d = x.shape
        q, k = (rope(m(x).view(b, t, 2 * self.h, self.hd).transpose(1, 2)) for m in (self.q, self.k))
        v = self.v(x).view(b, t, self.h, 2 * self.hd).transpose(1, 2)
        a = (q * self.hd**-0.5) @ k.transpose(-1, -2) + torch.full((t, t), -math.inf).triu(1)
        a = F.softmax(a, -1).view(b, self.h, 2, t, t)
        less = torch.exp((self.lq1 * self.lk1).sum()) - torch.exp((self.lq2 * self.lk2).sum()) + self.start
        y = self.sub((a[:, :, 0] - less * a[:, :, 1]) @ v) * (1 - self.start)
        return self.head(self.post(r + self.o(y.transpose(1, 2).reshape(b, t, d))))


class DETR(nn.Module):
    """A layer of encoder and decoder: `q = k = x + pos`, and queries that start at zero (arXiv 2005.12872)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inp, self.pos = nn.Linear(6, width), nn.Parameter(torch.randn(5, width) * 0.02)
        self.query, self.out = nn.Embedding(4, width), nn.Linear(width, 3)
        self.own, self.among, self.cross = (nn.MultiheadAttention(width, 4) for _ in range(3))
        self.n1, self.n2, self.n3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x, pos = self.inp(x).transpose(0, 1), self.pos[:, None]
        q = k = x + pos
        memory = self.n1(x + self.own(q, k, value=x)[0])
        place = self.query.weight[:, None].repeat(1, x.shape[1], 1)
        t = torch.zeros_like(place)
        q = k = t + place
        t = self.n2(t + self.among(q, k, value=t)[0])
        t = self.n3(t + self.cross(query=t + place, key=memory + pos, value=memory)[0])
        return self.out(t.transpose(0, 1))

"""Iterations unrolled, graphs and tables, in kinds that no other file here has."""

# Models are written as people write them, without casts for a type checker.
# pyright: basic, reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GMLP(nn.Module):
    """A gate that mixes tokens, near one at the start (arXiv 2105.08050)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb, self.out, self.norm = nn.Embedding(30, width), nn.Linear(width, 30), nn.LayerNorm(width)
        self.up, self.down, self.gate = (
            nn.Linear(width, 4 * width),
            nn.Linear(2 * width, width),
            nn.LayerNorm(2 * width),
        )
        self.space = nn.Conv1d(7, 7, 1)
        nn.init.uniform_(self.space.weight, -1e-3, 1e-3)
        nn.init.ones_(self.space.bias)

    def forward(self, idx: Tensor) -> Tensor:
        x = self.emb(idx)
        u, v = F.gelu(self.up(self.norm(x))).chunk(2, -1)
        return self.out(x + self.down(u * self.space(self.gate(v))))


class Equilibrium(nn.Module):
    """A fixed point by Anderson's mixing of the last two iterates (arXiv 1909.01377)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w, self.u, self.out = nn.Linear(width, width, bias=False), nn.Linear(6, width), nn.Linear(width, 3)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        u = self.u(x)
        f = lambda z: torch.tanh(self.w(z) + u)  # noqa: E731
        old = torch.zeros_like(u)
        z = f(old)
        for _ in range(4):
            a, b = f(old) - old, f(z) - z
            d = b - a
            theta = ((b * d).sum(-1, keepdim=True) / (d.pow(2).sum(-1, keepdim=True) + 1e-4)).clamp(-1, 1)
            old, z = z, (1 - theta) * f(z) + theta * f(old)
        return self.out(self.norm(z))


class LISTA(nn.Module):
    """Sparse coding unrolled, with learned thresholds (ICML 2010)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w, self.s = nn.Linear(10, width, bias=False), nn.Linear(width, width, bias=False)
        self.theta, self.dic = nn.Parameter(0.1 * torch.ones(3, width)), nn.Linear(width, 10, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b = self.w(x)
        z = torch.zeros_like(b)
        for theta in self.theta:
            y = b + self.s(z)
            z = y.sign() * F.relu(y.abs() - theta)
        return F.mse_loss(self.dic(z), x) + 0.1 * z.abs().mean()


class PNA(nn.Module):
    """Mean, largest, least and deviation of messages, scaled by degrees (arXiv 2004.05718)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(5, width), nn.Linear(width, 2)
        self.pre, self.post = nn.Linear(2 * width, width), nn.Linear(13 * width, width)

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        h = self.inp(x)
        n = len(h)
        m = self.pre(torch.cat([h[:, None].expand(-1, n, -1), h[None].expand(n, -1, -1)], -1))
        a = (adj > 0).float()
        deg = a.sum(1, keepdim=True).clamp_min(1)
        mean = torch.einsum("ij,ijd->id", a, m) / deg
        var = torch.einsum("ij,ijd->id", a, m**2) / deg - mean**2
        top = m.masked_fill(a[..., None] == 0, -1e4).amax(1).clamp_min(-10)
        low = m.masked_fill(a[..., None] == 0, 1e4).amin(1).clamp_max(10)
        agg = torch.cat([mean, top, low, F.relu(var).add(1e-5).sqrt()], -1)
        log = (deg + 1).log()
        return self.out(F.relu(self.post(torch.cat([h, agg, agg * log / 1.5, agg * 1.5 / log], -1))))


class PaiNN(nn.Module):
    """Vectors and scalars of atoms exchange (arXiv 2102.03150)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb, self.phi, self.w = nn.Embedding(10, width), nn.Linear(width, 3 * width), nn.Linear(8, 3 * width)
        self.u, self.v = (nn.Linear(width, width, bias=False) for _ in "ab")
        self.mix, self.out = (
            nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 3 * width)),
            nn.Linear(width, 1),
        )

    def forward(self, z: Tensor, pos: Tensor, edges: Tensor) -> Tensor:
        s, (i, j) = self.emb(z), edges
        vec = torch.zeros(len(z), 3, s.shape[-1])
        r = pos[i] - pos[j]
        d = r.norm(dim=-1, keepdim=True) + 1e-3
        rbf = torch.sin(torch.arange(1, 9) * math.pi * d / 5) / d
        for _ in range(2):
            a, b, c = (F.silu(self.phi(s))[j] * self.w(rbf)).chunk(3, -1)
            ds = torch.zeros_like(s).index_add(0, i, a)
            vec = vec + torch.zeros_like(vec).index_add(0, i, vec[j] * b[:, None] + c[:, None] * (r / d)[..., None])
            s = s + ds
            u, v = self.u(vec), self.v(vec)
            x, y, w = self.mix(torch.cat([s, (v.pow(2).sum(1) + 1e-6).sqrt()], -1)).chunk(3, -1)
            s, vec = s + x + y * (u * v).sum(1), vec + w[:, None] * u
        return self.out(s).sum(0)


class FTTransformer(nn.Module):
    """Numbers of a table as tokens (arXiv 2106.11959)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w, self.b, self.cls = (nn.Parameter(torch.rand(n, width) - 0.5) for n in (6, 6, 1))
        self.layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True, norm_first=True)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        t = x[..., None] * self.w + self.b
        return self.head(self.layer(torch.cat([self.cls.expand(len(x), -1, -1), t], 1))[:, 0])


class SoftTree(nn.Module):
    """Oblivious trees with soft decisions (arXiv 1909.06312): the number of trees grows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.choice, self.thr, self.temp = (
            nn.Parameter(torch.randn(8, width, 3)),
            nn.Parameter(torch.randn(width, 3)),
            nn.Parameter(torch.zeros(width, 3)),
        )
        self.leaves, self.out = nn.Parameter(torch.randn(width, 2, 8)), nn.Linear(2 * width, 1)
        bits = torch.tensor([[(leaf >> i) & 1 for leaf in range(8)] for i in range(3)])
        self.register_buffer("codes", torch.stack([bits, 1 - bits]).float())

    def forward(self, x: Tensor) -> Tensor:
        f = torch.einsum("bi,itd->btd", x, self.choice.softmax(0))
        s = torch.sigmoid((f - self.thr) * (-self.temp).exp())
        p = torch.einsum("sbtd,sdl->btdl", torch.stack([s, 1 - s]), self.codes).prod(2)
        return self.out(torch.einsum("btl,tcl->btc", p, self.leaves).flatten(1))


class EarlyExit(nn.Module):
    """Heads behind every block, of which evaluation takes one (arXiv 1709.01686)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inp = nn.Linear(6, width)
        self.blocks = nn.ModuleList([nn.Linear(width, width) for _ in range(3)])
        self.exits = nn.ModuleList([nn.Linear(width, 3) for _ in range(3)])

    def forward(self, x: Tensor, exit_at: int = 2) -> Tensor:
        h = self.inp(x)
        for i, (block, out) in enumerate(zip(self.blocks, self.exits, strict=True)):
            h = h + F.relu(block(h))
            if i == exit_at:
                return out(h)
        raise ValueError(exit_at)

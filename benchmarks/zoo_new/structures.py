"""Graphs, sets, flows, differential equations, capsules, splines and pictures."""

# Models are written as people write them, without casts for a type checker.
# pyright: basic, reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

# ruff: noqa: E731

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Coupling(nn.Module):
    """An affine coupling layer."""

    def __init__(self, d: int, width: int, flip: bool) -> None:
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(
            nn.Linear(d // 2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, d)
        )

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, -1)
        a, b = (b, a) if self.flip else (a, b)
        s, t = self.net(a).chunk(2, -1)
        s = torch.tanh(s)
        b = b * s.exp() + t
        return (torch.cat((b, a) if self.flip else (a, b), -1), s.sum(-1))


class RealNVP(nn.Module):
    """A normalising flow and its likelihood (arXiv 1605.08803)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Coupling(6, width, i % 2 == 1) for i in range(4)])

    def forward(self, x: Tensor) -> Tensor:
        ld = 0
        for l in self.layers:
            x, s = l(x)
            ld = ld + s
        return -(-0.5 * (x**2 + math.log(2 * math.pi)).sum(-1) + ld).mean()


class EBM(nn.Module):
    """An energy and its gradient by the data."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(nn.Linear(5, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_(True)
        e = self.f(x)
        s = torch.autograd.grad(e.sum(), x, create_graph=True)[0]
        return (e, -s)


class MPNN(nn.Module):
    """Messages along edges, summed by index_add (arXiv 1704.01212)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(10, width)
        self.edge = nn.Linear(3, width)
        self.msg = nn.ModuleList(
            [nn.Sequential(nn.Linear(3 * width, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(3)]
        )
        self.gru = nn.GRUCell(width, width)
        self.gate, self.read = (nn.Linear(width, 1), nn.Linear(width, 1))

    def forward(self, z: Tensor, ei: Tensor, ea: Tensor, batch: Tensor) -> Tensor:
        h = self.emb(z)
        e = self.edge(ea)
        src, dst = ei
        for m in self.msg:
            x = m(torch.cat([h[src], h[dst], e], -1))
            agg = torch.zeros_like(h).index_add_(0, dst, x)
            h = self.gru(agg, h)
        g = torch.sigmoid(self.gate(h)) * self.read(h)
        return torch.zeros(2, 1).index_add_(0, batch, g)


class EdgeAttention(nn.Module):
    """Attention over edges, its softmax by scatter (arXiv 1710.10903)."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.h, self.d = (heads, width // heads)
        self.inp = nn.Linear(7, width)
        self.w = nn.Linear(width, width, bias=False)
        self.al, self.ar = (
            nn.Parameter(torch.randn(heads, self.d) * 0.1),
            nn.Parameter(torch.randn(heads, self.d) * 0.1),
        )
        self.out = nn.Linear(width, 3)

    def forward(self, x: Tensor, ei: Tensor) -> Tensor:
        n = x.size(0)
        src, dst = ei
        h = self.w(F.elu(self.inp(x))).view(n, self.h, self.d)
        s = F.leaky_relu((h * self.al).sum(-1)[src] + (h * self.ar).sum(-1)[dst], 0.2)
        m = torch.full((n, self.h), -1000000000.0).scatter_reduce(0, dst[:, None].expand(-1, self.h), s, "amax")
        ex = (s - m[dst]).exp()
        den = torch.zeros(n, self.h).scatter_add(0, dst[:, None].expand(-1, self.h), ex)
        a = ex / (den[dst] + 1e-16)
        o = torch.zeros(n, self.h, self.d).index_add(0, dst, a[..., None] * h[src])
        return self.out(F.elu(o.flatten(1)))


class NeuralODE(nn.Module):
    """A Runge-Kutta scheme of four stages, written out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enc, self.f, self.dec = (
            nn.Linear(4, width),
            nn.Sequential(nn.Linear(width + 1, width), nn.Tanh(), nn.Linear(width, width)),
            nn.Linear(width, 2),
        )

    def ode(self, t: Tensor, h: Tensor):
        return self.f(torch.cat([h, t.expand(h.shape[0], 1)], -1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.enc(x)
        n = 4
        dt = 1.0 / n
        for i in range(n):
            t = torch.tensor([i * dt])
            k1 = self.ode(t, h)
            k2 = self.ode(t + dt / 2, h + dt / 2 * k1)
            k3 = self.ode(t + dt / 2, h + dt / 2 * k2)
            k4 = self.ode(t + dt, h + dt * k3)
            h = h + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return self.dec(h)


class Burgers(nn.Module):
    """Residuals of a differential equation with a trained viscosity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, width), nn.Linear(width, width), nn.Linear(width, 1)])
        self.nu = nn.Parameter(torch.tensor(0.1))

    def u(self, x: Tensor, t: Tensor):
        h = torch.cat([x, t], 1)
        for l in self.layers[:-1]:
            h = torch.tanh(l(h))
        return self.layers[-1](h)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        x.requires_grad_(True)
        t.requires_grad_(True)
        u = self.u(x, t)
        g = lambda y, v: torch.autograd.grad(y, v, torch.ones_like(y), create_graph=True)[0]
        ux, ut = (g(u, x), g(u, t))
        uxx = g(ux, x)
        f = ut + u * ux - self.nu * uxx
        return (f**2).mean() + (u**2).mean()


class TaskWeights(nn.Module):
    """A network that makes the weights of a small layer for each task."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.e = nn.Embedding(4, width)
        self.gen = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 6 * 8 + 8))
        self.head = nn.Linear(8, 2)

    def forward(self, task: Tensor, x: Tensor) -> Tensor:
        p = self.gen(self.e(task))
        w, b = (p[:, :48].view(-1, 8, 6), p[:, 48:])
        return self.head(torch.relu(torch.baddbmm(b.unsqueeze(1), x, w.transpose(1, 2))))


class Capsule(nn.Module):
    """Capsules with routing by agreement (arXiv 1710.09829)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, 5)
        self.prim = nn.Conv2d(width, 8 * 4, 5, 2)
        self.W = nn.Parameter(torch.randn(1, 64, 3, 16, 8) * 0.1)

    def squash(self, s: Tensor):
        n = (s**2).sum(-1, keepdim=True)
        return n / (1 + n) * s / (n.sqrt() + 1e-08)

    def forward(self, x: Tensor) -> Tensor:
        u = self.squash(
            self.prim(F.relu(self.conv(x))).view(x.size(0), 4, 8, -1).permute(0, 1, 3, 2).reshape(x.size(0), -1, 8)
        )
        uh = (self.W @ u[:, :, None, :, None]).squeeze(-1)
        b = torch.zeros(*uh.shape[:3])
        for _ in range(3):
            v = self.squash((b.softmax(-1)[..., None] * uh).sum(1))
            b = b + (uh * v[:, None]).sum(-1)
        return v.norm(dim=-1)


class DeepSet(nn.Module):
    """Sums and maxima over a set, with a mask (arXiv 1703.06114)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width))
        self.rho = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 2))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = self.phi(x) * mask.unsqueeze(-1)
        return self.rho(
            torch.cat(
                [
                    h.sum(1) / mask.sum(1, keepdim=True),
                    h.masked_fill(~mask.bool().unsqueeze(-1), -1000000000.0).max(1).values,
                ],
                -1,
            )
        )


class MaskQueries(nn.Module):
    """Learnt queries in a decoder, masks by products with pixels (MaskFormer, arXiv 2107.06278)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.b = nn.Conv2d(3, width, 4, 4)
        self.q = nn.Embedding(3, width)
        self.d = nn.TransformerDecoder(nn.TransformerDecoderLayer(width, 4, 2 * width, 0.0, batch_first=True), 2)
        self.c, self.m = (
            nn.Linear(width, 5),
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        f = self.b(x)
        q = self.d(self.q.weight[None].expand(len(x), -1, -1), f.flatten(2).transpose(1, 2))
        return (self.c(q), torch.einsum("bqc,bchw->bqhw", self.m(q), f))


class KAN(nn.Module):
    """Trained functions on edges, as sums of hats (arXiv 2404.19756)."""

    def __init__(self, width: int, G: int = 5) -> None:
        super().__init__()
        self.grid = nn.Parameter(torch.linspace(-1, 1, G), requires_grad=False)
        self.c1 = nn.Parameter(torch.randn(width, 4, G) * 0.1)
        self.c2 = nn.Parameter(torch.randn(2, width, G) * 0.1 / width)
        self.b1, self.b2 = (nn.Linear(4, width), nn.Linear(width, 2))

    def basis(self, x: Tensor):
        return F.relu(1 - (x[..., None] - self.grid).abs() * 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.einsum("big,oig->bo", self.basis(x), self.c1) + F.silu(self.b1(x))
        return torch.einsum("big,oig->bo", self.basis(torch.tanh(h)), self.c2) + self.b2(F.silu(h))


class SuperResolution(nn.Module):
    """Residual blocks and a pixel shuffle over a resized picture (EDSR, arXiv 1707.02921)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.h = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(
            *[
                nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.PReLU(), nn.Conv2d(width, width, 3, padding=1))
                for _ in range(3)
            ]
        )
        self.up = nn.Sequential(nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2))
        self.t = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.h(x)
        r = h
        for b in self.body:
            r = r + 0.1 * b(r)
        return self.t(self.up(h + r)) + F.interpolate(x, scale_factor=2, mode="bicubic")


class WSConv(nn.Conv2d):
    """A convolution whose weights are standardised (arXiv 1903.10520)."""

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.std((1, 2, 3), keepdim=True) + 1e-05)
        return F.conv2d(x, w, self.bias, self.stride, self.padding)


class WeightStd(nn.Module):
    """Two of these."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(
            WSConv(3, width, 3),
            nn.GroupNorm(4, width),
            nn.ReLU(),
            WSConv(width, width, 3),
            nn.GroupNorm(4, width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)

"""Sequences as research code writes them: loops over time, memories, experts, chains."""

# Models are written as people write them, without casts for a type checker.
# pyright: basic, reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

# ruff: noqa: E731

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaskMoE(nn.Module):
    """Experts in a loop over masks, as Mixtral was first written."""

    def __init__(self, width: int, n: int = 4, k: int = 2) -> None:
        super().__init__()
        self.k = k
        self.emb = nn.Embedding(30, width)
        self.gate = nn.Linear(width, n, bias=False)
        self.experts = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)) for _ in range(n)]
        )
        self.norm, self.head = (nn.LayerNorm(width), nn.Linear(width, 30, bias=False))

    def forward(self, ids: Tensor) -> Tensor:
        h = self.emb(ids)
        x = self.norm(h).view(-1, h.size(-1))
        p = F.softmax(self.gate(x), -1)
        w, idx = torch.topk(p, self.k, -1)
        w = w / w.sum(-1, keepdim=True)
        out = torch.zeros_like(x)
        for i, e in enumerate(self.experts):
            bi, ni = torch.where(idx == i)
            out[bi] += w[bi, ni, None] * e(x[bi])
        return (self.head(h + out.view_as(h)), p.mean(0).pow(2).sum())


class LoopAttention(nn.Module):
    """Linear attention as a loop over time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(30, width)
        self.qkv, self.o, self.n, self.head = (
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.Linear(width, 30),
        )

    def forward(self, ids: Tensor) -> Tensor:
        h = self.emb(ids)
        b, t, d = h.shape
        q, k, v = self.qkv(self.n(h)).view(b, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
        q, k = (F.elu(q) + 1, F.elu(k) + 1)
        s = torch.zeros(b, 4, d // 4, d // 4)
        z = torch.zeros(b, 4, d // 4)
        ys = []
        for i in range(t):
            s = s + k[:, :, i, :, None] * v[:, :, i, None, :]
            z = z + k[:, :, i]
            ys.append((q[:, :, i, None] @ s).squeeze(2) / ((q[:, :, i] * z).sum(-1, keepdim=True) + 1e-06))
        return self.head(h + self.o(torch.stack(ys, 2).transpose(1, 2).reshape(b, t, d)))


class RWKV4Block(nn.Module):
    """Time mixing and channel mixing of RWKV-4 (arXiv 2305.13048)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.l1, self.l2 = (nn.LayerNorm(d), nn.LayerNorm(d))
        self.mk, self.mv, self.mr = (nn.Parameter(torch.rand(d)) for _ in range(3))
        self.w, self.u = (nn.Parameter(torch.zeros(d)), nn.Parameter(torch.zeros(d)))
        self.k, self.v, self.r, self.o = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.ck, self.cv, self.cr = (
            nn.Linear(d, 4 * d, bias=False),
            nn.Linear(4 * d, d, bias=False),
            nn.Linear(d, d, bias=False),
        )

    def shift(self, x: Tensor):
        return F.pad(x, (0, 0, 1, -1))

    def forward(self, h: Tensor) -> Tensor:
        x = self.l1(h)
        p = self.shift(x)
        k, v, r = (
            self.k(x * self.mk + p * (1 - self.mk)),
            self.v(x * self.mv + p * (1 - self.mv)),
            torch.sigmoid(self.r(x * self.mr + p * (1 - self.mr))),
        )
        a = torch.zeros_like(k[:, 0])
        b = torch.zeros_like(a)
        w = -torch.exp(self.w)
        ys = []
        for t in range(k.size(1)):
            e = torch.exp(k[:, t].clamp(max=30))
            eu = torch.exp(self.u) * e
            ys.append((a + eu * v[:, t]) / (b + eu + 1e-06))
            a = torch.exp(w) * a + e * v[:, t]
            b = torch.exp(w) * b + e
        h = h + self.o(r * torch.stack(ys, 1))
        x = self.l2(h)
        return h + torch.sigmoid(self.cr(x)) * self.cv(torch.relu(self.ck(x)) ** 2)


class RWKV4(nn.Module):
    """Two of these blocks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb, self.b, self.ln, self.head = (
            nn.Embedding(30, width),
            nn.ModuleList([RWKV4Block(width) for _ in range(2)]),
            nn.LayerNorm(width),
            nn.Linear(width, 30, bias=False),
        )

    def forward(self, ids: Tensor) -> Tensor:
        h = self.emb(ids)
        for b in self.b:
            h = b(h)
        return self.head(self.ln(h))


class MLSTM(nn.Module):
    """The parallel form of the matrix LSTM (xLSTM, arXiv 2405.04517)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(30, width)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.ig, self.fg, self.og = (nn.Linear(width, 4), nn.Linear(width, 4), nn.Linear(width, width))
        self.gn, self.proj, self.head = (nn.GroupNorm(4, width), nn.Linear(width, width), nn.Linear(width, 30))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.emb(ids)
        b, t, d = x.shape
        hd = d // 4
        sp = lambda y: y.view(b, t, 4, hd).transpose(1, 2)
        q, k, v = (sp(self.q(x)), sp(self.k(x)) / math.sqrt(hd), sp(self.v(x)))
        i, lf = (self.ig(x).transpose(1, 2), F.logsigmoid(self.fg(x)).transpose(1, 2))
        c = lf.cumsum(-1)
        D = c[..., :, None] - c[..., None, :] + i[..., None, :]
        D = D.masked_fill(torch.triu(torch.ones(t, t, dtype=torch.bool), 1), float("-inf"))
        m = D.max(-1, keepdim=True).values
        S = q @ k.transpose(-1, -2) * torch.exp(D - m)
        n = torch.maximum(S.sum(-1, keepdim=True).abs(), torch.exp(-m))
        y = S / (n + 1e-06) @ v
        y = self.gn(y.transpose(1, 2).reshape(b * t, d)).view(b, t, d)
        return self.head(x + self.proj(torch.sigmoid(self.og(x)) * y))


class MemN2N(nn.Module):
    """Several hops over a memory of sentences (arXiv 1503.08895)."""

    def __init__(self, width: int, hops: int = 3) -> None:
        super().__init__()
        self.A, self.B, self.C = (
            nn.Embedding(30, width),
            nn.Embedding(30, width),
            nn.ModuleList([nn.Embedding(30, width) for _ in range(hops)]),
        )
        self.T = nn.Parameter(torch.randn(5, width) * 0.1)
        self.H = nn.Linear(width, width)
        self.W = nn.Linear(width, 30)

    def forward(self, story: Tensor, q: Tensor) -> Tensor:
        u = self.B(q).sum(1)
        for c in self.C:
            m = self.A(story).sum(2) + self.T
            p = F.softmax((m @ u.unsqueeze(-1)).squeeze(-1), -1)
            o = (c(story).sum(2) * p.unsqueeze(-1)).sum(1)
            u = self.H(u) + o
        return self.W(u)


class RecurrentDepth(nn.Module):
    """A weight-tied block applied several times, with halting."""

    def __init__(self, width: int, steps: int = 4) -> None:
        super().__init__()
        self.steps = steps
        self.emb = nn.Embedding(30, width)
        self.inj = nn.Linear(2 * width, width)
        self.blk = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.halt, self.ln, self.head = (nn.Linear(width, 1), nn.LayerNorm(width), nn.Linear(width, 30))

    def forward(self, ids: Tensor) -> Tensor:
        e = self.emb(ids)
        s = torch.zeros_like(e)
        rem = torch.ones(*ids.shape, 1)
        out = 0
        for k in range(self.steps):
            s = self.blk(self.inj(torch.cat([s, e], -1)))
            p = torch.sigmoid(self.halt(s)) if k < self.steps - 1 else 1.0
            out = out + rem * p * s
            rem = rem * (1 - p)
        return self.head(self.ln(out))


class CRF(nn.Module):
    """A conditional random field over a bidirectional LSTM."""

    def __init__(self, width: int, tags: int = 5) -> None:
        super().__init__()
        self.emb = nn.Embedding(30, width)
        self.lstm = nn.LSTM(width, width // 2, bidirectional=True, batch_first=True)
        self.out = nn.Linear(width, tags)
        self.trans = nn.Parameter(torch.randn(tags, tags))
        self.start = nn.Parameter(torch.randn(tags))

    def forward(self, ids: Tensor, tags: Tensor) -> Tensor:
        e = self.out(self.lstm(self.emb(ids))[0])
        b, t, k = e.shape
        al = self.start + e[:, 0]
        sc = self.start[tags[:, 0]] + e[:, 0].gather(1, tags[:, :1]).squeeze(1)
        for i in range(1, t):
            al = torch.logsumexp(al[:, :, None] + self.trans[None] + e[:, i, None, :], 1)
            sc = sc + self.trans[tags[:, i - 1], tags[:, i]] + e[:, i].gather(1, tags[:, i : i + 1]).squeeze(1)
        return (torch.logsumexp(al, 1) - sc).mean()


class CausalWithSlopes(nn.Module):
    """A causal transformer with a mask in a buffer and slopes for distances, which returns its keys and values."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.h = heads
        self.e = nn.Embedding(30, width)
        self.qkv, self.o, self.out = (
            nn.Linear(width, 3 * width, bias=False),
            nn.Linear(width, width, bias=False),
            nn.Linear(width, 30),
        )
        self.register_buffer("mask", torch.tril(torch.ones(64, 64)).view(1, 1, 64, 64))
        self.register_buffer("slopes", 2.0 ** (-torch.arange(1, heads + 1).float()))

    def forward(self, ids: Tensor, cache: Tensor = None) -> Tensor:
        x = self.e(ids)
        b, t, d = x.shape
        q, k, v = (y.view(b, t, self.h, d // self.h).transpose(1, 2) for y in self.qkv(x).split(d, 2))
        a = q @ k.transpose(-2, -1) / math.sqrt(k.size(-1))
        pos = torch.arange(t)
        a = a - self.slopes[:, None, None] * (pos[:, None] - pos[None]).abs()
        a = a.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf")).softmax(-1)
        y = (a @ v).transpose(1, 2).contiguous().view(b, t, d)
        return (self.out(x + self.o(y)), (k, v))


class LongConvolution(nn.Module):
    """A gated convolution as long as the sequence, by Fourier transforms (Hyena, arXiv 2302.10866)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.e = nn.Embedding(30, width)
        self.p = nn.Linear(width, 3 * width)
        self.f = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, width))
        self.D = nn.Parameter(torch.randn(width))
        self.o = nn.Linear(width, 30)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.e(ids)
        L = x.shape[1]
        a, b, v = self.p(x).chunk(3, -1)
        t = torch.linspace(0, 1, L)[:, None]
        h = self.f(torch.cat([t, torch.sin(6.28 * t), torch.cos(6.28 * t)], -1)) * torch.exp(-t * 2)
        u = (b * v).transpose(1, 2)
        y = torch.fft.irfft(torch.fft.rfft(u, 2 * L) * torch.fft.rfft(h.T, 2 * L), 2 * L)[..., :L] + u * self.D[:, None]
        return self.o(a * y.transpose(1, 2))


class DiagonalS4(nn.Module):
    """The diagonal state space written with complex numbers (S4D, arXiv 2206.11893)."""

    def __init__(self, width: int, N: int = 8) -> None:
        super().__init__()
        self.i = nn.Linear(3, width)
        self.log_dt = nn.Parameter(torch.rand(width) * 2 - 5)
        self.C = nn.Parameter(torch.randn(width, N // 2, 2))
        self.log_A_real = nn.Parameter(torch.log(0.5 * torch.ones(width, N // 2)))
        self.A_imag = nn.Parameter(math.pi * torch.arange(N // 2).float().repeat(width, 1))
        self.D = nn.Parameter(torch.randn(width))
        self.out = nn.Sequential(nn.Conv1d(width, 2 * width, 1), nn.GLU(dim=1))
        self.o = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        u = self.i(x).transpose(1, 2)
        L = u.size(-1)
        dt = self.log_dt.exp()
        C = torch.view_as_complex(self.C)
        A = -self.log_A_real.exp() + 1j * self.A_imag
        dA = A * dt[:, None]
        K = dA[..., None] * torch.arange(L)
        C = C * (torch.exp(dA) - 1.0) / A
        K = 2 * torch.einsum("hn,hnl->hl", C, torch.exp(K)).real
        y = torch.fft.irfft(torch.fft.rfft(u, 2 * L) * torch.fft.rfft(K, 2 * L), 2 * L)[..., :L]
        y = y + u * self.D[:, None]
        return self.o(self.out(F.gelu(y)).transpose(1, 2).mean(1))


class CalledAlike(nn.Module):
    """Blocks that are attributes, called block0, block1, ..."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.stem = nn.Linear(5, width)
        for i in range(depth):
            setattr(
                self,
                f"block{i}",
                nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)),
            )
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for i in range(self.depth):
            x = x + getattr(self, f"block{i}")(x)
        return self.head(x)

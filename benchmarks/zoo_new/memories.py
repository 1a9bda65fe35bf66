"""Recurrences, memories and attention that no other file here has."""

# Models are written as people write them, without casts for a type checker.
# pyright: basic, reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SLSTM(nn.Module):
    """Exponential gates with a stabiliser and a normaliser (arXiv 2405.04517), step by step."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb, self.out = nn.Embedding(30, width), nn.Linear(width, 30)
        self.w, self.r = nn.Linear(width, 4 * width), nn.Linear(width, 4 * width, bias=False)

    def forward(self, idx: Tensor) -> Tensor:
        n, t, d = (x := self.w(self.emb(idx))).shape
        h = c = m = torch.zeros(n, d // 4)
        s, found = torch.ones(n, d // 4), []
        for i in range(t):
            z, gi, gf, o = (x[:, i] + self.r(h)).chunk(4, -1)
            new = torch.maximum(F.logsigmoid(gf) + m, gi)
            a, b = torch.exp(F.logsigmoid(gf) + m - new), torch.exp(gi - new)
            c, s, m = a * c + b * torch.tanh(z), a * s + b, new
            h = torch.sigmoid(o) * c / s.clamp_min(1e-6)
            found.append(h)
        return self.out(torch.stack(found, 1))


class TTTLinear(nn.Module):
    """A state that is a linear model, trained by a gradient step a token (arXiv 2407.04620)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb, self.out = nn.Embedding(30, width), nn.Linear(width, 30)
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.lr, self.norm = nn.Linear(width, 4), nn.LayerNorm(width)
        self.w0 = nn.Parameter(0.02 * torch.randn(4, width // 4, width // 4))

    def forward(self, idx: Tensor) -> Tensor:
        x = self.emb(idx)
        q, k, v = (f(x).unflatten(-1, (4, -1)) for f in (self.q, self.k, self.v))
        eta = torch.sigmoid(self.lr(x))[..., None, None] / k.shape[-1]
        w, found = self.w0.expand(len(x), -1, -1, -1), []
        for i in range(x.shape[1]):
            err = torch.einsum("nhd,nhde->nhe", k[:, i], w) - v[:, i]
            w = w - eta[:, i] * torch.einsum("nhd,nhe->nhde", k[:, i], err)
            found.append(torch.einsum("nhd,nhde->nhe", q[:, i], w).flatten(1))
        return self.out(x + self.norm(torch.stack(found, 1)))


class GatedDelta(nn.Module):
    """The delta rule with a gate that forgets (arXiv 2412.06464): keys of unit length."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb, self.head = nn.Embedding(30, width), nn.Linear(width, 30)
        self.q, self.k, self.v, self.g, self.o = (nn.Linear(width, width, bias=False) for _ in range(5))
        self.beta, self.a = nn.Linear(width, 2), nn.Linear(width, 2)
        self.A_log, self.dt = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
        self.norm = nn.RMSNorm(width // 2)

    def forward(self, idx: Tensor) -> Tensor:
        x = self.emb(idx)
        q, k, v = (f(x).unflatten(-1, (2, -1)) for f in (self.q, self.k, self.v))
        q, k = F.normalize(F.silu(q), dim=-1), F.normalize(F.silu(k), dim=-1)
        beta, alpha = torch.sigmoid(self.beta(x)), torch.exp(-self.A_log.exp() * F.softplus(self.a(x) + self.dt))
        s, found = torch.zeros(len(x), 2, q.shape[-1], q.shape[-1]), []
        for i in range(x.shape[1]):
            s = s * alpha[:, i, :, None, None]
            old = torch.einsum("nhk,nhkv->nhv", k[:, i], s)
            s = s + torch.einsum("nhk,nhv->nhkv", k[:, i], (v[:, i] - old) * beta[:, i, :, None])
            found.append(torch.einsum("nhk,nhkv->nhv", q[:, i], s))
        y = self.norm(torch.stack(found, 1)).flatten(2) * F.silu(self.g(x))
        return self.head(x + self.o(y))


class Hyena(nn.Module):
    """Gated long convolutions whose filters a network of the position makes (arXiv 2302.10866)."""

    def __init__(self, width: int, length: int = 8) -> None:
        super().__init__()
        self.emb, self.out = nn.Embedding(30, width), nn.Linear(width, 30)
        self.inp, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.short = nn.Conv1d(3 * width, 3 * width, 3, padding=2, groups=3 * width)
        self.l1, self.l2, self.l3 = nn.Linear(5, 16), nn.Linear(16, 16), nn.Linear(16, width, bias=False)
        self.freq, self.bias = nn.Parameter(10 * torch.ones(1, 16)), nn.Parameter(torch.randn(width))
        t = torch.linspace(0, 1, length)[:, None]
        bands = torch.linspace(1e-4, 1, 2)[None] * 2 * math.pi * torch.arange(length)[:, None] / length
        self.register_buffer("z", torch.cat([t, bands.cos(), -bands.sin()], -1))
        self.register_buffer("decay", torch.exp(-t * torch.linspace(1, 5, width)[None]))

    def forward(self, idx: Tensor) -> Tensor:
        x = self.emb(idx)
        n = x.shape[1]
        u, v, w = self.short(self.inp(x).transpose(1, 2))[..., :n].chunk(3, 1)
        k = torch.sin(self.freq * self.l2(torch.sin(self.freq * self.l1(self.z[:n]))))
        k = (self.l3(k) * self.decay[:n]).T
        a = v * w
        y = torch.fft.irfft(torch.fft.rfft(a, n=2 * n) * torch.fft.rfft(k, n=2 * n), n=2 * n)[..., :n]
        return self.out(x + self.proj(((y + a * self.bias[:, None]) * u).transpose(1, 2)))


class PerceiverIO(nn.Module):
    """Latents read, think and are asked by queries of the outputs (arXiv 2107.14795)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inp = nn.Linear(16, width // 2)
        self.latents, self.asks = nn.Parameter(0.02 * torch.randn(6, width)), nn.Parameter(0.02 * torch.randn(5, width))
        self.read = nn.MultiheadAttention(width, 1, kdim=width // 2, vdim=width // 2, batch_first=True)
        self.think = nn.TransformerEncoderLayer(width, 4, width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.ask, self.out = nn.MultiheadAttention(width, 1, batch_first=True), nn.Linear(width, 3)
        self.nq, self.nk = nn.LayerNorm(width), nn.LayerNorm(width // 2)

    def forward(self, x: Tensor) -> Tensor:
        z, h = self.latents.expand(len(x), -1, -1), self.nk(self.inp(x))
        z = z + self.read(self.nq(z), h, h)[0]
        z = self.think(z)
        return self.out(self.ask(self.asks.expand(len(x), -1, -1), z, z)[0])


class NTM(nn.Module):
    """A Turing machine's heads: by content, interpolated, shifted, sharpened (arXiv 1410.5401)."""

    def __init__(self, width: int, rows: int = 6) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(8 + width, width)
        self.heads = nn.ModuleList([nn.Linear(width, width + 6) for _ in range(2)])
        self.erase, self.add = nn.Linear(width, width), nn.Linear(width, width)
        self.memory, self.out = nn.Parameter(torch.randn(rows, width) * 0.1), nn.Linear(2 * width, 8)

    def weights(self, head: nn.Linear, h: Tensor, memory: Tensor, before: Tensor) -> Tensor:
        p = head(h)
        key, rest = torch.tanh(p[:, :-6]), p[:, -6:]
        beta, gate, sharp = F.softplus(rest[:, :1]), torch.sigmoid(rest[:, 1:2]), 1 + F.softplus(rest[:, 2:3])
        w = torch.softmax(beta * F.cosine_similarity(memory, key[:, None], dim=-1), -1)
        w = gate * w + (1 - gate) * before
        shift = torch.softmax(rest[:, 3:], -1)
        w = shift[:, :1] * w.roll(1, -1) + shift[:, 1:2] * w + shift[:, 2:] * w.roll(-1, -1)
        w = w.clamp_min(1e-6) ** sharp
        return w / w.sum(-1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        memory = self.memory.expand(n, -1, -1)
        h, c, r = (torch.zeros(n, memory.shape[-1]) for _ in range(3))
        wr = ww = torch.full((n, memory.shape[1]), 1 / memory.shape[1])
        found = []
        for i in range(t):
            h, c = self.cell(torch.cat([x[:, i], r], -1), (h, c))
            wr, ww = self.weights(self.heads[0], h, memory, wr), self.weights(self.heads[1], h, memory, ww)
            memory = memory * (1 - ww[..., None] * torch.sigmoid(self.erase(h))[:, None])
            memory = memory + ww[..., None] * torch.tanh(self.add(h))[:, None]
            r = (wr[..., None] * memory).sum(1)
            found.append(self.out(torch.cat([h, r], -1)))
        return torch.stack(found, 1)


class MixtureOfDepths(nn.Module):
    """The tokens that a router scores highest go through the block (arXiv 2404.02258)."""

    def __init__(self, width: int, depth: int = 3) -> None:
        super().__init__()
        self.emb, self.out = nn.Embedding(30, width), nn.Linear(width, 30)
        self.routers = nn.ModuleList([nn.Linear(width, 1, bias=False) for _ in range(depth)])
        self.blocks = nn.ModuleList(
            [
                nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True, norm_first=True)
                for _ in range(depth)
            ]
        )

    def forward(self, idx: Tensor) -> Tensor:
        x = self.emb(idx)
        for router, block in zip(self.routers, self.blocks, strict=True):
            scores = router(x).squeeze(-1)
            top, place = scores.topk(4, -1)
            place, order = place.sort(-1)
            chosen = place[..., None].expand(-1, -1, x.shape[-1])
            rows = x.gather(1, chosen)
            new = (block(rows) - rows) * torch.sigmoid(top.gather(1, order))[..., None]
            x = x.scatter_add(1, chosen, new)
        return self.out(x)


class DynamicHyper(nn.Module):
    """Hyper-connections whose weights the streams make themselves (arXiv 2409.19606)."""

    def __init__(self, width: int, depth: int = 3, n: int = 3) -> None:
        super().__init__()
        self.n = n
        self.emb, self.out, self.norm = nn.Embedding(30, width), nn.Linear(width, 30), nn.RMSNorm(width)
        self.layers = nn.ModuleList(
            [nn.Sequential(nn.RMSNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
             for _ in range(depth)]
        )  # fmt: skip
        self.alpha = nn.ParameterList(
            [torch.cat([torch.eye(n)[:, i % n : i % n + 1], torch.eye(n)], 1) for i in range(depth)]
        )
        self.beta = nn.ParameterList([torch.ones(n) for _ in range(depth)])
        self.wa = nn.ParameterList([torch.zeros(width, n + 1) for _ in range(depth)])
        self.wb = nn.ParameterList([torch.zeros(width) for _ in range(depth)])
        self.sa, self.sb = nn.Parameter(0.01 * torch.ones(depth)), nn.Parameter(0.01 * torch.ones(depth))

    def forward(self, idx: Tensor) -> Tensor:
        h = self.emb(idx).unsqueeze(2).repeat(1, 1, self.n, 1)
        for i, layer in enumerate(self.layers):
            normed = F.layer_norm(h, h.shape[-1:])
            alpha = torch.tanh(normed @ self.wa[i]) * self.sa[i] + self.alpha[i]
            beta = torch.tanh(normed @ self.wb[i]) * self.sb[i] + self.beta[i]
            mixed = alpha.transpose(-1, -2) @ h
            h = beta[..., None] * layer(mixed[..., 0, :]).unsqueeze(-2) + mixed[..., 1:, :]
        return self.out(self.norm(h.sum(2)))


class Antisymmetric(nn.Module):
    """A recurrence whose matrix is skew, damped (arXiv 1902.09689)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.v, self.w, self.out = nn.Linear(5, width), nn.Parameter(torch.randn(width, width)), nn.Linear(width, 3)
        nn.init.normal_(self.w, std=1 / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        a = self.w - self.w.T - 0.01 * torch.eye(len(self.w))
        h = torch.zeros(len(x), len(self.w))
        for t in range(x.shape[1]):
            h = h + 0.1 * torch.tanh(h @ a.T + self.v(x[:, t]))
        return self.out(h)


class Mogrifier(nn.Module):
    """Inputs and state gate each other before every step (arXiv 1909.01792)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb, self.out = nn.Embedding(30, width), nn.Linear(width, 30)
        self.q = nn.ModuleList([nn.Linear(width, width) for _ in range(4)])
        self.cell = nn.LSTMCell(width, width)

    def forward(self, idx: Tensor) -> Tensor:
        x = self.emb(idx)
        h = c = torch.zeros(len(x), x.shape[-1])
        found = []
        for t in range(x.shape[1]):
            u = x[:, t]
            for i, q in enumerate(self.q):
                if i % 2:
                    h = 2 * torch.sigmoid(q(u)) * h
                else:
                    u = 2 * torch.sigmoid(q(h)) * u
            h, c = self.cell(u, (h, c))
            found.append(h)
        return self.out(torch.stack(found, 1))


class Forgetting(nn.Module):
    """Scores with a sum of log gates over what lies between (arXiv 2503.02130), and softmax plus a learned sink."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb, self.out, self.o = nn.Embedding(30, width), nn.Linear(width, 30), nn.Linear(width, width)
        self.qkv, self.f, self.sink = nn.Linear(width, 3 * width), nn.Linear(width, 4), nn.Parameter(torch.zeros(4))

    def forward(self, idx: Tensor) -> Tensor:
        x = self.emb(idx)
        q, k, v = (t.unflatten(-1, (4, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        c = F.logsigmoid(self.f(x)).cumsum(1).transpose(1, 2)
        s = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + c[..., :, None] - c[..., None, :]
        s = s.masked_fill(torch.ones(s.shape[-2:]).triu(1).bool(), -1e9)
        s = torch.cat([s, self.sink[:, None, None].expand(*s.shape[:-1], 1)], -1).softmax(-1)[..., :-1]
        return self.out(x + self.o((s @ v).transpose(1, 2).flatten(2)))


class DecisionTransformer(nn.Module):
    """Returns, states and actions in turn (arXiv 2106.01345)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.time, self.ret, self.state, self.act = (
            nn.Embedding(10, width), nn.Linear(1, width), nn.Linear(7, width), nn.Linear(3, width))  # fmt: skip
        self.norm = nn.LayerNorm(width)
        self.layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.out = nn.Sequential(nn.Linear(width, 3), nn.Tanh())

    def forward(self, r: Tensor, s: Tensor, a: Tensor, t: Tensor) -> Tensor:
        e = self.time(t)
        x = torch.stack([f(v) + e for f, v in ((self.ret, r), (self.state, s), (self.act, a))], 2).flatten(1, 2)
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        h = self.layer(self.norm(x), mask, is_causal=True).unflatten(1, (-1, 3))
        return self.out(h[:, :, 1])

"""State-space models and other recurrences, written after the papers in plain torch."""

# Models are written as people write them, without casts for a type checker.
# pyright: reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def selective(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The selective scan as a plain loop."""
    state = torch.zeros(u.shape[0], u.shape[2], a.shape[-1])
    outputs = []
    for t in range(u.shape[1]):
        state = torch.exp(dt[:, t, :, None] * a) * state + (dt[:, t] * u[:, t])[..., None] * b[:, t, None]
        outputs.append((state * c[:, t, None]).sum(-1))
    return torch.stack(outputs, 1)


class Selective(nn.Module):
    """A block of Mamba without its convolution."""

    def __init__(self, width: int, state: int = 4) -> None:
        super().__init__()
        self.rank, self.state = max(1, width // 16), state
        self.in_proj, self.x_proj = (
            nn.Linear(width, 2 * width, bias=False),
            nn.Linear(width, self.rank + 2 * state, bias=False),
        )
        self.dt_proj, self.out_proj = nn.Linear(self.rank, width), nn.Linear(width, width, bias=False)
        self.A_log = nn.Parameter(torch.log(torch.arange(1, state + 1).float()).repeat(width, 1))
        self.D = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        u, z = self.in_proj(x).chunk(2, -1)
        u = F.silu(u)
        dt, b, c = self.x_proj(u).split([self.rank, self.state, self.state], -1)
        y = selective(u, F.softplus(self.dt_proj(dt)), -torch.exp(self.A_log), b, c) + self.D * u
        return self.out_proj(y * F.silu(z))


class MambaND(nn.Module):
    """Pictures scanned along another axis or direction in every layer (arXiv 2402.05892)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, stride=4)
        self.norms, self.mixers = (
            nn.ModuleList(nn.LayerNorm(width) for _ in range(4)),
            nn.ModuleList(Selective(width) for _ in range(4)),
        )
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x)
        b, c, h, w = x.shape
        for number, (norm, mixer) in enumerate(zip(self.norms, self.mixers, strict=True)):
            grid = x if number % 2 == 0 else x.transpose(2, 3)
            seq = grid.flatten(2).transpose(1, 2)
            seq = seq.flip(1) if number > 1 else seq
            seq = seq + mixer(norm(seq))
            seq = seq.flip(1) if number > 1 else seq
            grid = seq.transpose(1, 2).reshape(b, c, h, w)
            x = grid if number % 2 == 0 else grid.transpose(2, 3)
        return self.head(x.mean((2, 3)))


class GroupMamba(nn.Module):
    """Four groups of channels, each scanned in its direction, then weighed by an affinity (arXiv 2407.13772)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patch, self.norm = nn.Conv2d(3, width, 4, stride=4), nn.LayerNorm(width)
        self.groups = nn.ModuleList(Selective(width // 4) for _ in range(4))
        self.affinity, self.proj, self.head = (
            nn.Sequential(nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, width), nn.Sigmoid()),
            nn.Linear(width, width),
            nn.Linear(width, 5),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x)
        h, w = x.shape[2:]
        seq = x.flatten(2).transpose(1, 2)
        parts = self.norm(seq).chunk(4, dim=-1)
        out = []
        for number, (part, mixer) in enumerate(zip(parts, self.groups, strict=True)):
            if number % 2:
                part = part.flip(1)
            if number > 1:
                part = part.unflatten(1, (h, w)).transpose(1, 2).flatten(1, 2)
            out.append(mixer(part))
        y = torch.cat(out, -1)
        y = self.proj(y * self.affinity(y.mean(1, keepdim=True)))
        return self.head((seq + y).mean(1))


class SiMBA(nn.Module):
    """Mamba for time and a Fourier mixing of channels in blocks of complex weights (EinFFT, arXiv 2403.15360)."""

    def __init__(self, width: int, blocks: int = 4) -> None:
        super().__init__()
        self.blocks, self.size = blocks, width // blocks
        self.embed, self.norm1, self.norm2 = nn.Linear(8, width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.mixer, self.head = Selective(width), nn.Linear(width, 3)
        self.w1 = nn.Parameter(torch.randn(2, blocks, self.size, self.size) * 0.02)
        self.b1 = nn.Parameter(torch.randn(2, blocks, self.size) * 0.02)
        self.w2 = nn.Parameter(torch.randn(2, blocks, self.size, self.size) * 0.02)
        self.b2 = nn.Parameter(torch.randn(2, blocks, self.size) * 0.02)

    def ein(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        f = torch.fft.rfft(x.view(b, n, self.blocks, self.size), dim=1, norm="ortho")
        mul = lambda a, w: torch.einsum("...bd,bdk->...bk", a, w)  # noqa: E731
        r = F.relu(mul(f.real, self.w1[0]) - mul(f.imag, self.w1[1]) + self.b1[0])
        i = F.relu(mul(f.real, self.w1[1]) + mul(f.imag, self.w1[0]) + self.b1[1])
        r2 = mul(r, self.w2[0]) - mul(i, self.w2[1]) + self.b2[0]
        i2 = mul(r, self.w2[1]) + mul(i, self.w2[0]) + self.b2[1]
        z = F.softshrink(torch.stack([r2, i2], dim=-1), lambd=0.01)
        return torch.fft.irfft(torch.view_as_complex(z), n=n, dim=1, norm="ortho").reshape(b, n, c)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        h = h + self.mixer(self.norm1(h))
        h = h + self.ein(self.norm2(h))
        return self.head(h.mean(1))


class SpaceTime(nn.Module):
    """A companion matrix as the state space, its kernel by powers (arXiv 2303.09489)."""

    def __init__(self, width: int, state: int = 4) -> None:
        super().__init__()
        self.embed, self.mix, self.head = nn.Linear(3, width), nn.Linear(width, width), nn.Linear(width, 3)
        self.a, self.b, self.c = (nn.Parameter(torch.randn(width, state)) for _ in range(3))
        self.register_buffer("shift", F.pad(torch.eye(state - 1), (0, 1, 1, 0)))

    def kernel(self, time: int) -> Tensor:
        a = self.a / self.a.abs().sum(-1, keepdim=True)
        last = F.one_hot(torch.tensor(self.a.shape[1] - 1), self.a.shape[1]).float()
        matrix = self.shift + a.unsqueeze(-1) * last
        x, out = self.b, []
        for _ in range(time):
            out.append((self.c * x).sum(-1))
            x = torch.einsum("dnm,dm->dn", matrix, x)
        return torch.stack(out, -1)

    def forward(self, u: Tensor) -> Tensor:
        u = self.embed(u).transpose(1, 2)
        time = u.shape[-1]
        kf, uf = torch.fft.rfft(self.kernel(time), n=2 * time), torch.fft.rfft(u, n=2 * time)
        y = torch.fft.irfft(kf * uf, n=2 * time)[..., :time]
        return self.head(F.gelu(self.mix(F.gelu(y.transpose(1, 2)))))


class SSMLoRA(nn.Module):
    """Adapters of low rank whose states are carried from layer to layer (arXiv 2502.04958)."""

    def __init__(self, width: int, depth: int = 3, rank: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(10, width).requires_grad_(False)
        self.base = nn.ModuleList(nn.Linear(width, width).requires_grad_(False) for _ in range(depth))
        self.A = nn.ParameterList(nn.Parameter(torch.randn(rank, width) / math.sqrt(width)) for _ in range(depth))
        self.B = nn.ParameterList(nn.Parameter(torch.zeros(width, rank)) for _ in range(depth))
        self.transition = nn.ParameterList(nn.Parameter(torch.eye(rank)) for _ in range(depth))
        self.last = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        h, state = self.first(x), 0
        for base, a, b, t in zip(self.base, self.A, self.B, self.transition, strict=True):
            state = state @ t if isinstance(state, Tensor) else state
            state = state + h @ a.T
            h = F.gelu(base(h) + state @ b.T)
        return self.last(h)


class MinGRU(nn.Module):
    """A gated recurrence without the state in its gates, in log space (arXiv 2410.01201)."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(32, width), nn.Linear(width, 32)
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(depth))
        self.to_hidden_and_gate = nn.ModuleList(nn.Linear(width, 2 * width, bias=False) for _ in range(depth))
        self.out = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for norm, both, out in zip(self.norms, self.to_hidden_and_gate, self.out, strict=True):
            hidden, gate = both(norm(x)).chunk(2, dim=-1)
            z = gate.sigmoid()
            value = torch.where(hidden >= 0, hidden + 0.5, hidden.sigmoid())
            state, states = torch.zeros_like(value[:, 0]), []
            for t in range(x.shape[1]):
                state = (1 - z[:, t]) * state + z[:, t] * value[:, t]
                states.append(state)
            x = x + out(torch.stack(states, dim=1))
        return self.head(x)


class Griffin(nn.Module):
    """The real-gated linear recurrent unit (arXiv 2402.19427)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.norm, self.gate, self.rec = (
            nn.Embedding(32, width),
            nn.RMSNorm(width),
            nn.Linear(width, width),
            nn.Linear(width, width),
        )
        self.conv = nn.Conv1d(width, width, 4, groups=width, padding=3)
        self.w_a, self.w_x, self.out, self.head = (
            nn.Linear(width, width),
            nn.Linear(width, width),
            nn.Linear(width, width),
            nn.Linear(width, 32),
        )
        self.lam = nn.Parameter(torch.empty(width).uniform_(0.9, 0.999))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        h = self.norm(x)
        u = self.conv(self.rec(h).transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)
        r, i = torch.sigmoid(self.w_a(u)), torch.sigmoid(self.w_x(u))
        log_a = -8.0 * r * F.softplus(self.lam)
        a = torch.exp(log_a)
        gated = torch.sqrt(1 - torch.exp(2 * log_a) + 1e-6) * (i * u)
        state, states = torch.zeros_like(u[:, 0]), []
        for t in range(x.shape[1]):
            state = a[:, t] * state + gated[:, t]
            states.append(state)
        return self.head(x + self.out(F.gelu(self.gate(h)) * torch.stack(states, 1)))


class DeltaNet(nn.Module):
    """A matrix of fast weights, written to by the delta rule (arXiv 2406.06484)."""

    def __init__(self, width: int, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.d = heads, width // heads
        self.embed, self.norm = nn.Embedding(32, width), nn.RMSNorm(width)
        self.q, self.k, self.v, self.b, self.o = (
            *(nn.Linear(width, width, bias=False) for _ in range(3)),
            nn.Linear(width, heads),
            nn.Linear(width, width, bias=False),
        )
        self.o_norm, self.head = nn.RMSNorm(self.d), nn.Linear(width, 32)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        b, t, _ = x.shape
        h = self.norm(x)
        q, k, v = (F.silu(f(h)).view(b, t, self.heads, self.d).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = F.normalize(q, p=2, dim=-1), F.normalize(k, p=2, dim=-1)
        beta = self.b(h).sigmoid().transpose(1, 2)
        s, out = torch.zeros(b, self.heads, self.d, self.d), []
        for i in range(t):
            old = torch.einsum("bhkv,bhk->bhv", s, k[:, :, i])
            new = beta[:, :, i, None] * (v[:, :, i] - old)
            s = s + torch.einsum("bhk,bhv->bhkv", k[:, :, i], new)
            out.append(torch.einsum("bhkv,bhk->bhv", s, q[:, :, i]))
        y = self.o_norm(torch.stack(out, 2)).transpose(1, 2).reshape(b, t, -1)
        return self.head(x + self.o(y))


class LiquidCell(nn.Module):
    """A closed-form continuous-time cell (arXiv 2106.13898)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.backbone = nn.Sequential(nn.Linear(6 + width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.ff1, self.ff2, self.time_a, self.time_b = (nn.Linear(width, width) for _ in range(4))
        self.fc = nn.Linear(width, 2)

    def forward(self, x: Tensor, timespans: Tensor) -> Tensor:
        h = torch.zeros(x.size(0), self.width)
        for t in range(x.size(1)):
            z = self.backbone(torch.cat([x[:, t], h], 1))
            gate = torch.sigmoid(self.time_a(z) * timespans[:, t : t + 1] + self.time_b(z))
            h = torch.tanh(self.ff1(z)) * (1.0 - gate) + gate * torch.tanh(self.ff2(z))
        return self.fc(h)


class EchoState(nn.Module):
    """A reservoir of fixed random weights, only the readout learns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("w_in", torch.rand(width, 3) - 0.5)
        w = torch.randn(width, width) / math.sqrt(width)
        self.register_buffer("w", 0.9 * w)
        self.readout = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[0], self.w.shape[0])
        out = []
        for u in x.unbind(1):
            h = 0.7 * h + 0.3 * torch.tanh(F.linear(u, self.w_in) + F.linear(h, self.w))
            out.append(self.readout(h))
        return torch.stack(out, 1)


class HiPPO(nn.Module):
    """An LSTM-like cell with a fixed HiPPO-LegS memory (arXiv 2008.07669)."""

    def __init__(self, width: int, order: int = 6) -> None:
        super().__init__()
        self.width, self.order = width, order
        n = torch.arange(order, dtype=torch.float)
        a = -torch.sqrt(2 * n[:, None] + 1) * torch.sqrt(2 * n[None] + 1)
        a = torch.tril(a, -1) - torch.diag(n + 1)
        self.register_buffer("A", torch.linalg.solve(torch.eye(order) - a / 40, torch.eye(order) + a / 40))
        self.register_buffer("B", torch.sqrt(2 * n + 1) / 20)
        self.W_uxh, self.W_hxm, self.out = nn.Linear(5 + width, 1), nn.Linear(order + 5, width), nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        h, m = torch.zeros(x.shape[0], self.width), torch.zeros(x.shape[0], self.order)
        for t in range(x.shape[1]):
            u = self.W_uxh(torch.cat((x[:, t], h), -1))
            m = F.linear(m, self.A) + u * self.B
            h = torch.tanh(self.W_hxm(torch.cat((m, x[:, t]), -1)))
        return self.out(h)

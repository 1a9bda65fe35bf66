"""Adapters of frozen layers, and recommenders."""

# Models are written as people write them, without casts for a type checker.
# pyright: basic, reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DoRALinear(nn.Module):
    """A frozen weight with a low-rank update, its columns at a trained length (arXiv 2402.09353)."""

    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.m = nn.Parameter(base.weight.norm(dim=1).detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        w = self.base.weight + self.B @ self.A
        return F.linear(x, w, None) * (self.m / w.norm(dim=1).detach()) + self.base.bias


class VeRALinear(nn.Module):
    """Random frozen factors with two trained vectors (arXiv 2310.11454)."""

    def __init__(self, base: nn.Linear, rank: int = 8) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.register_buffer("A", torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.register_buffer("B", torch.randn(base.out_features, rank))
        self.d, self.b = nn.Parameter(0.1 * torch.ones(rank)), nn.Parameter(torch.zeros(base.out_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.b * F.linear(self.d * F.linear(x, self.A), self.B)


class Adapted(nn.Module):
    """Two adapted layers and a trained readout."""

    def __init__(self, width: int, kind: type[nn.Module]) -> None:
        super().__init__()
        self.f = nn.Sequential(kind(nn.Linear(6, width)), nn.ReLU(), kind(nn.Linear(width, width)), nn.ReLU(),
                               nn.Linear(width, 3))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)


class DoRA(Adapted):
    def __init__(self, width: int) -> None:
        super().__init__(width, DoRALinear)


class VeRA(Adapted):
    def __init__(self, width: int) -> None:
        super().__init__(width, VeRALinear)


class IA3(nn.Module):
    """Keys, values and hidden activations of a frozen transformer, rescaled (arXiv 2205.05638)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(30, width).requires_grad_(False)
        self.qkv = nn.Linear(width, 3 * width).requires_grad_(False)
        self.up, self.down = nn.Linear(width, 2 * width).requires_grad_(False), nn.Linear(2 * width, width)
        self.down.requires_grad_(False)
        self.lk, self.lv, self.lff = (nn.Parameter(torch.ones(n)) for n in (width, width, 2 * width))
        self.head = nn.Linear(width, 30)

    def forward(self, idx: Tensor) -> Tensor:
        x = self.emb(idx)
        q, k, v = self.qkv(F.layer_norm(x, x.shape[-1:])).chunk(3, -1)
        q, k, v = (t.unflatten(-1, (4, -1)).transpose(1, 2) for t in (q, k * self.lk, v * self.lv))
        x = x + F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.down(F.gelu(self.up(x)) * self.lff)
        return self.head(F.layer_norm(x, x.shape[-1:]))


class SoftPrompt(nn.Module):
    """Prompts that a small network makes (arXiv 2103.10385), in front of frozen layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(30, width).requires_grad_(False)
        self.prompt = nn.Embedding(5, width)
        self.make = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True).requires_grad_(False)
        self.head = nn.Linear(width, 3)

    def forward(self, idx: Tensor) -> Tensor:
        p = self.make(self.prompt.weight).expand(len(idx), -1, -1)
        return self.head(self.layer(torch.cat([p, self.emb(idx)], 1))[:, 0])


class CrossNetV2(nn.Module):
    """Crosses of low rank, mixed by gates (arXiv 2008.13535), over tables whose width grows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        n, rank, experts = 4 * width, 8, 3
        self.tables = nn.ModuleList([nn.Embedding(20, width) for _ in range(4)])
        self.u = nn.ParameterList(
            [nn.Parameter(nn.init.xavier_normal_(torch.empty(experts, n, rank))) for _ in range(2)]
        )
        self.v = nn.ParameterList(
            [nn.Parameter(nn.init.xavier_normal_(torch.empty(experts, n, rank))) for _ in range(2)]
        )
        self.c = nn.ParameterList(
            [nn.Parameter(nn.init.xavier_normal_(torch.empty(experts, rank, rank))) for _ in range(2)]
        )
        self.bias = nn.ParameterList([nn.Parameter(torch.zeros(n)) for _ in range(2)])
        self.gate, self.out = nn.ModuleList([nn.Linear(n, 1, bias=False) for _ in range(experts)]), nn.Linear(n, 1)

    def forward(self, ids: Tensor) -> Tensor:
        x0 = torch.cat([table(ids[:, i]) for i, table in enumerate(self.tables)], -1)
        x = x0
        for u, v, c, bias in zip(self.u, self.v, self.c, self.bias, strict=True):
            found = []
            for e in range(len(u)):
                h = torch.tanh(torch.tanh(x @ v[e]) @ c[e].T)
                found.append(x0 * (h @ u[e].T + bias))
            gates = torch.softmax(torch.cat([g(x) for g in self.gate], -1), -1)
            x = torch.einsum("nde,ne->nd", torch.stack(found, -1), gates) + x
        return torch.sigmoid(self.out(x))


class CIN(nn.Module):
    """Compressed interactions of fields (arXiv 1803.05170): the maps grow."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(40, 8)
        self.conv = nn.ModuleList([nn.Conv1d(16, width, 1), nn.Conv1d(4 * width, width, 1)])
        self.out = nn.Linear(2 * width, 1)

    def forward(self, ids: Tensor) -> Tensor:
        x0 = self.emb(ids)
        x, found = x0, []
        for conv in self.conv:
            z = torch.einsum("bhd,bmd->bhmd", x, x0).flatten(1, 2)
            x = torch.relu(conv(z))
            found.append(x.sum(-1))
        return self.out(torch.cat(found, 1))


class MMoE(nn.Module):
    """Experts behind a gate for every task (KDD 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.experts = nn.Parameter(torch.randn(4, 8, width) / 8**0.5)
        self.gates = nn.Parameter(torch.randn(2, 8, 4) / 8**0.5)
        self.towers = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)) for _ in "ab"]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        e = torch.relu(torch.einsum("nd,edw->new", x, self.experts))
        g = torch.softmax(torch.einsum("nd,tde->tne", x, self.gates), -1)
        return [tower(torch.einsum("ne,new->nw", own, e)) for own, tower in zip(g, self.towers, strict=True)]


class QMIX(nn.Module):
    """Values of agents, mixed by weights that the state makes, all positive (arXiv 1803.11485)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.agent = nn.GRUCell(10, width)
        self.q = nn.Linear(width, 5)
        self.w1, self.b1, self.w2 = nn.Linear(12, 3 * width), nn.Linear(12, width), nn.Linear(12, width)
        self.v = nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, obs: Tensor, state: Tensor, actions: Tensor) -> Tensor:
        n, agents, _ = obs.shape
        h = self.agent(obs.flatten(0, 1))
        qs = self.q(h).view(n, agents, -1).gather(-1, actions[..., None]).transpose(1, 2)
        hidden = F.elu(torch.bmm(qs, self.w1(state).abs().view(n, agents, -1)) + self.b1(state)[:, None])
        return torch.bmm(hidden, self.w2(state).abs()[..., None])[:, 0] + self.v(state)


class IQN(nn.Module):
    """Quantiles as inputs by cosines (arXiv 1806.06923)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.psi = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width))
        self.phi, self.head = nn.Linear(16, width), nn.Linear(width, 4)

    def forward(self, x: Tensor, tau: Tensor) -> Tensor:
        cosines = torch.cos(math.pi * torch.arange(1, 17) * tau[..., None])
        h = self.psi(x)[:, None] * F.relu(self.phi(cosines))
        return self.head(F.relu(h))


class ColBERT(nn.Module):
    """The largest similarity of every word of a question, summed (arXiv 2004.12832)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(40, width)
        self.layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True)
        self.out = nn.Linear(width, width // 2, bias=False)

    def forward(self, q: Tensor, d: Tensor) -> Tensor:
        q, d = (F.normalize(self.out(self.layer(self.emb(x))), dim=-1) for x in (q, d))
        return torch.einsum("aid,bjd->abij", q, d).amax(-1).sum(-1) * 20

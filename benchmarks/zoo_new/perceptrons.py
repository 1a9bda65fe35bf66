"""Perceptrons of all kinds, experts, adapters, hypernetworks: after the papers, in plain torch."""

# Models are written as people write them, without casts for a type checker.
# pyright: reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Parameter


class Maxout(nn.Module):
    """The largest of several linear maps (arXiv 1302.4389)."""

    def __init__(self, width: int, pieces: int = 3) -> None:
        super().__init__()
        self.pieces, self.l1, self.l2, self.l3 = (
            pieces,
            nn.Linear(10, pieces * width),
            nn.Linear(width, pieces * width),
            nn.Linear(width, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.l1(x).view(x.shape[0], -1, self.pieces).max(-1).values
        h = F.dropout(h, 0.2, self.training)
        h = self.l2(h).view(x.shape[0], -1, self.pieces).amax(-1)
        return self.l3(h)


class WideNet(nn.Module):
    """One block of attention and experts for all layers, norms of their own (arXiv 2107.11817)."""

    def __init__(self, width: int, depth: int = 3, experts: int = 4) -> None:
        super().__init__()
        self.embed, self.depth, self.experts = nn.Embedding(32, width), depth, experts
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.router = nn.Linear(width, experts, bias=False)
        self.w1, self.w2 = (
            Parameter(torch.randn(experts, width, 2 * width) / width**0.5),
            Parameter(torch.randn(experts, 2 * width, width) / (2 * width) ** 0.5),
        )
        self.norm1, self.norm2 = (
            nn.ModuleList(nn.LayerNorm(width) for _ in range(depth)),
            nn.ModuleList(nn.LayerNorm(width) for _ in range(depth)),
        )
        self.head = nn.Linear(width, 32)

    def moe(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        probs = self.router(flat).softmax(-1)
        weight, chosen = probs.topk(2, dim=-1)
        out = torch.zeros_like(flat)
        for e in range(self.experts):
            token, slot = torch.where(chosen == e)
            h = F.gelu(flat[token] @ self.w1[e]) @ self.w2[e]
            out.index_add_(0, token, h * weight[token, slot, None])
        return out.view_as(x)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for n1, n2 in zip(self.norm1, self.norm2, strict=True):
            h = n1(x)
            x = x + self.attention(h, h, h)[0]
            x = x + self.moe(n2(x))
        return self.head(x)


class FLoRA(nn.Module):
    """A convolution adapted by a Tucker core (arXiv 2405.14739)."""

    def __init__(self, width: int, rank: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1).requires_grad_(False)
        self.conv = nn.Conv2d(width, width, 3, padding=1).requires_grad_(False)
        self.core = Parameter(torch.zeros(rank, rank, 2, 2))
        self.u, self.v = Parameter(torch.randn(width, rank)), Parameter(torch.randn(width, rank) / width**0.5)
        self.a, self.b = Parameter(torch.randn(3, 2)), Parameter(torch.randn(3, 2))
        self.fc = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.stem(x))
        delta = torch.einsum("rsij,or,cs,ki,lj->ockl", self.core, self.u, self.v, self.a, self.b)
        h = F.conv2d(h, self.conv.weight + delta, self.conv.bias, padding=1)
        return self.fc(F.relu(h).mean(dim=[2, 3]))


class MagnitudeInvariant(nn.Module):
    """A hypernetwork whose output adds to weights of its own, inputs encoded on circles (arXiv 2304.07645)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.hyper = nn.Sequential(nn.Linear(6, 24), nn.LeakyReLU(), nn.Linear(24, 24), nn.LeakyReLU())
        self.shapes = {"w1": (width, 5), "b1": (width,), "w2": (width, width), "b2": (width,), "w3": (3, width)}
        self.heads = nn.ModuleDict({k: nn.Linear(24, math.prod(s)) for k, s in self.shapes.items()})
        self.own = nn.ParameterDict({k: Parameter(torch.randn(s) / math.sqrt(s[-1])) for k, s in self.shapes.items()})

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        code = torch.cat((torch.cos(condition * torch.pi / 2), torch.sin(condition * torch.pi / 2)))
        z = self.hyper(code)
        w = {k: self.own[k] + self.heads[k](z).view(s) for k, s in self.shapes.items()}
        h = F.relu(F.linear(x, w["w1"], w["b1"]))
        return F.linear(F.relu(F.linear(h, w["w2"], w["b2"])), w["w3"])


class ParallelStreams(nn.Module):
    """Several residual streams that are mixed by learnt matrices (hyper-connections, arXiv 2409.19606)."""

    def __init__(self, width: int, depth: int = 2, streams: int = 3) -> None:
        super().__init__()
        self.streams, self.embed, self.head = streams, nn.Embedding(32, width), nn.Linear(width, 32)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.RMSNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            for _ in range(depth)
        )
        self.read = nn.ParameterList(Parameter(torch.ones(streams) / streams) for _ in range(depth))
        self.write = nn.ParameterList(Parameter(torch.ones(streams)) for _ in range(depth))
        self.mix = nn.ParameterList(Parameter(torch.eye(streams)) for _ in range(depth))

    def forward(self, tokens: Tensor) -> Tensor:
        s = self.embed(tokens).unsqueeze(2).repeat(1, 1, self.streams, 1)
        for block, read, write, mix in zip(self.blocks, self.read, self.write, self.mix, strict=True):
            out = block(torch.einsum("btsd,s->btd", s, read))
            s = torch.einsum("btsd,sr->btrd", s, mix) + out.unsqueeze(2) * write[:, None]
        return self.head(s.sum(2))


class SideTuned(nn.Module):
    """A frozen network with a narrow ladder beside it (arXiv 2206.06522)."""

    def __init__(self, width: int, narrow: int = 8) -> None:
        super().__init__()
        self.trunk = nn.ModuleList(
            [nn.Linear(10, width), nn.Linear(width, width), nn.Linear(width, width)]
        ).requires_grad_(False)
        self.down = nn.ModuleList(nn.Linear(width, narrow) for _ in range(3))
        self.side = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(narrow), nn.Linear(narrow, narrow), nn.GELU()) for _ in range(3)
        )
        self.gates, self.up, self.head = Parameter(torch.zeros(3)), nn.Linear(narrow, width), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        side = 0
        for k, layer in enumerate(self.trunk):
            x = torch.relu(layer(x))
            g = torch.sigmoid(self.gates[k])
            side = self.side[k](g * self.down[k](x.detach()) + (1 - g) * side)
        return self.head(x + self.up(side))


class PrefixTuned(nn.Module):
    """A frozen transformer whose keys and values get learnt prefixes from a perceptron (arXiv 2101.00190)."""

    def __init__(self, width: int, prefix: int = 3) -> None:
        super().__init__()
        self.prefix, self.h = prefix, 4
        self.embed, self.qkv, self.o, self.norm, self.head = (
            nn.Embedding(32, width),
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.Linear(width, 32),
        )
        for module in (self.embed, self.qkv, self.o, self.norm, self.head):
            module.requires_grad_(False)
        self.table, self.trans = (
            nn.Embedding(prefix, 12),
            nn.Sequential(nn.Linear(12, width), nn.Tanh(), nn.Linear(width, 2 * width)),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        b, t, c = x.shape
        past = self.trans(self.table(torch.arange(self.prefix))).expand(b, -1, -1)
        q, k, v = self.qkv(self.norm(x)).split(c, dim=-1)
        pk, pv = past.split(c, dim=-1)
        k, v = torch.cat([pk, k], 1), torch.cat([pv, v], 1)
        q, k, v = (z.unflatten(-1, (self.h, -1)).transpose(1, 2) for z in (q, k, v))
        return self.head(x + self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))


class Monarch(nn.Module):
    """Two block-diagonal matrices with a permutation between them (arXiv 2204.00595)."""

    def __init__(self, width: int, blocks: int = 4) -> None:
        super().__init__()
        self.blocks, self.size = blocks, width // blocks
        self.first, self.last = nn.Linear(10, width), nn.Linear(width, 4)
        self.l = Parameter(torch.randn(blocks, self.size, self.size) / self.size**0.5)  # noqa: E741
        self.r = Parameter(torch.randn(blocks, self.size, self.size) / self.size**0.5)

    def forward(self, x: Tensor) -> Tensor:
        h = F.gelu(self.first(x)).view(-1, self.blocks, self.size)
        h = torch.einsum("bki,kij->bkj", h, self.l).transpose(1, 2).reshape(-1, self.blocks, self.size)
        h = torch.einsum("bki,kij->bkj", h, self.r).transpose(1, 2).reshape(x.shape[0], -1)
        return self.last(F.gelu(h))


class KroneckerLinear(nn.Module):
    """A weight that is a sum of Kronecker products (PHM, arXiv 2102.08597)."""

    def __init__(self, width: int, n: int = 4) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(10, width), nn.Linear(width, 4)
        self.rule, self.w = Parameter(torch.randn(n, n, n)), Parameter(torch.randn(n, width // n, width // n) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        weight = sum(torch.kron(a, w) for a, w in zip(self.rule, self.w, strict=True))
        return self.last(F.relu(F.linear(F.relu(self.first(x)), weight)))


class TensorTrain(nn.Module):
    """A layer as a tensor train of two cores over a width that is viewed in factors (arXiv 1509.06569)."""

    def __init__(self, width: int, rank: int = 4) -> None:
        super().__init__()
        self.a, self.b = 4, width // 4
        self.first, self.last = nn.Linear(10, width), nn.Linear(width, 4)
        self.core1 = Parameter(torch.randn(4, 4, rank) * 0.3)
        self.core2 = Parameter(torch.randn(rank, self.b, self.b) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x)).view(-1, self.a, self.b)
        h = torch.einsum("zij,ikr,rjl->zkl", h, self.core1, self.core2)
        return self.last(torch.tanh(h.flatten(1)))


class Highway(nn.Module):
    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(10, width), nn.Linear(width, 4)
        self.nonlinear, self.gate = (
            nn.ModuleList([nn.Linear(width, width) for _ in range(depth)]),
            nn.ModuleList([nn.Linear(width, width) for _ in range(depth)]),
        )
        for gate in self.gate:
            gate.bias.data.fill_(-2.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for nonlinear, gate in zip(self.nonlinear, self.gate, strict=True):
            g = torch.sigmoid(gate(x))
            x = g * F.relu(nonlinear(x)) + (1 - g) * x
        return self.last(x)


class SoftMoE(nn.Module):
    """Slots that are soft averages of tokens (arXiv 2308.00951)."""

    def __init__(self, width: int, experts: int = 3, slots: int = 2) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(10, width), nn.Linear(width, 4)
        self.phi, self.scale = Parameter(torch.randn(width, experts, slots) / width**0.5), Parameter(torch.ones(1))
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)) for _ in range(experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        logits = torch.einsum("bmd,dnp->bmnp", F.normalize(h, dim=-1), self.scale * F.normalize(self.phi, dim=0))
        dispatch = logits.softmax(1)
        combine = logits.flatten(2).softmax(-1).view_as(logits)
        slots = torch.einsum("bmd,bmnp->bnpd", h, dispatch)
        out = torch.stack([expert(slots[:, k]) for k, expert in enumerate(self.experts)], 1)
        return self.last(h + torch.einsum("bnpd,bmnp->bmd", out, combine))


class ExpertChoice(nn.Module):
    """Experts choose their tokens (arXiv 2202.09368)."""

    def __init__(self, width: int, experts: int = 4) -> None:
        super().__init__()
        self.first, self.last, self.gate = (
            nn.Linear(10, width),
            nn.Linear(width, 4),
            nn.Linear(width, experts, bias=False),
        )
        self.w1 = Parameter(torch.randn(experts, width, 2 * width) / width**0.5)
        self.w2 = Parameter(torch.randn(experts, 2 * width, width) / (2 * width) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        flat = h.flatten(0, 1)
        s = self.gate(flat).softmax(-1)
        g, index = s.t().topk(flat.shape[0] // 2, dim=-1)
        chosen = flat[index]
        out = torch.bmm(F.silu(torch.bmm(chosen, self.w1)), self.w2) * g[..., None]
        mixed = torch.zeros_like(flat).index_add(0, index.flatten(), out.flatten(0, 1))
        return self.last(h + mixed.view_as(h))


class SwitchWithLoss(nn.Module):
    """One expert per token, with jitter, a capacity, and a balancing loss (arXiv 2101.03961)."""

    def __init__(self, width: int, experts: int = 4) -> None:
        super().__init__()
        self.n = experts
        self.first, self.last, self.route = nn.Linear(10, width), nn.Linear(width, 4), nn.Linear(width, experts)
        self.up, self.down = (
            nn.ModuleList(nn.Linear(width, width) for _ in range(experts)),
            nn.ModuleList(nn.Linear(width, width) for _ in range(experts)),
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.first(x).flatten(0, 1)
        probs = self.route(h).softmax(-1)
        gate, route = probs.max(-1)
        out = torch.zeros_like(h)
        for k in range(self.n):
            mask = route == k
            if mask.any():
                out[mask] = self.down[k](F.relu(self.up[k](h[mask])))
        counts = F.one_hot(route, self.n).float().mean(0)
        aux = self.n * (counts * probs.mean(0)).sum()
        return {"logits": self.last(h + out * gate[:, None]), "aux_loss": aux}


class SIREN(nn.Module):
    """Sines with a frequency, and its own initial values (arXiv 2006.09661)."""

    def __init__(self, width: int, depth: int = 3) -> None:
        super().__init__()
        self.net = nn.ModuleList([nn.Linear(2, width), *(nn.Linear(width, width) for _ in range(depth))])
        with torch.no_grad():
            for number, layer in enumerate(self.net):
                bound = 1 / 2 if number == 0 else math.sqrt(6 / width) / 30
                layer.weight.uniform_(-bound, bound)
        self.final = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.net:
            x = torch.sin(30 * layer(x))
        return self.final(x)


class Lipschitz(nn.Module):
    """Rows scaled to a learnt bound, GroupSort in between (arXiv 1811.05381)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 2)])
        self.c = nn.ParameterList([Parameter(layer.weight.detach().abs().sum(1).max()) for layer in self.layers])

    def forward(self, x: Tensor) -> Tensor:
        for k, (layer, c) in enumerate(zip(self.layers, self.c, strict=True)):
            rows = layer.weight.abs().sum(1)
            scale = torch.minimum(torch.ones_like(rows), F.softplus(c) / rows)
            x = F.linear(x, layer.weight * scale[:, None], layer.bias)
            if k < 2:
                x = x.view(x.shape[0], -1, 2).sort(-1).values.flatten(1)
        return x


class Bayesian(nn.Module):
    """Weights by reparametrization, a KL term (arXiv 1505.05424)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        shapes = [(width, 6), (width, width), (2, width)]
        self.mu = nn.ParameterList([Parameter(torch.randn(s) / s[1] ** 0.5) for s in shapes])
        self.rho = nn.ParameterList([Parameter(torch.full(s, -5.0)) for s in shapes])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kl = 0
        for k, (mu, rho) in enumerate(zip(self.mu, self.rho, strict=True)):
            sigma = torch.log1p(torch.exp(rho))
            x = F.linear(x, mu + sigma * torch.randn_like(mu))
            x = torch.relu(x) if k < 2 else x
            kl = kl + (-torch.log(sigma) + (sigma**2 + mu**2) / 2 - 0.5).sum()
        return x, kl

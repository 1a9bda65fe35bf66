"""Policies, world models, recommenders and heads that are distributions."""

# Models are written as people write them, without casts for a type checker.
# pyright: basic, reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

# ruff: noqa: E731

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal, TanhTransform, TransformedDistribution


class Base(nn.Module):
    """Three layers."""

    def __init__(self, width: int, i: int = 6, o: int = 3) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(i, width), nn.Linear(width, width), nn.Linear(width, o))


class TanhPolicy(nn.Module):
    """A Gaussian behind a tanh, as a transformed distribution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(7, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.mu = nn.Linear(width, 2)
        self.ls = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.net(x)
        d = TransformedDistribution(Normal(self.mu(h), self.ls(h).clamp(-5, 2).exp()), [TanhTransform(cache_size=1)])
        a = d.rsample()
        return (a, d.log_prob(a).sum(-1))


class Dueling(nn.Module):
    """A dueling network over frames (arXiv 1511.06581)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(4, width, 8, 4),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, 2),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, 1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.v = nn.Sequential(nn.Linear(2 * width * 9, 4 * width), nn.ReLU(), nn.Linear(4 * width, 1))
        self.a = nn.Sequential(nn.Linear(2 * width * 9, 4 * width), nn.ReLU(), nn.Linear(4 * width, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x / 255.0)
        v, a = (self.v(x), self.a(x))
        return v + a - a.mean(1, keepdim=True)


class WorldModel(nn.Module):
    """Discrete latents by straight-through gradients, a recurrent state (DreamerV2, arXiv 2010.02193)."""

    def __init__(self, width: int, stoch: int = 4, classes: int = 8, act: int = 3) -> None:
        super().__init__()
        self.s, self.c = (stoch, classes)
        self.enc = nn.Sequential(nn.Linear(10, width), nn.LayerNorm(width), nn.SiLU())
        self.cell = nn.GRUCell(width, width)
        self.inp = nn.Linear(stoch * classes + act, width)
        self.prior = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, stoch * classes))
        self.post = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, stoch * classes))
        self.dec = nn.Sequential(nn.Linear(width + stoch * classes, width), nn.SiLU(), nn.Linear(width, 10))
        self.rew = nn.Linear(width + stoch * classes, 1)

    def st(self, logits: Tensor):
        logits = logits.view(-1, self.s, self.c)
        p = 0.99 * logits.softmax(-1) + 0.01 / self.c
        hard = F.one_hot(p.argmax(-1), self.c).float()
        return (hard + p - p.detach()).flatten(1)

    def forward(self, obs: Tensor, act: Tensor) -> Tensor:
        b, t = obs.shape[:2]
        h = obs.new_zeros(b, self.cell.hidden_size)
        z = obs.new_zeros(b, self.s * self.c)
        out = []
        kl = 0
        for i in range(t):
            h = self.cell(F.silu(self.inp(torch.cat([z, act[:, i]], -1))), h)
            prior = self.prior(h)
            post = self.post(torch.cat([h, self.enc(obs[:, i])], -1))
            z = self.st(post)
            kl = kl + (post.softmax(-1) * (post.log_softmax(-1) - prior.log_softmax(-1))).sum(-1).mean()
            f = torch.cat([h, z], -1)
            out.append(torch.cat([self.dec(f), self.rew(f)], -1))
        return (torch.stack(out, 1), kl)


class DLRM(nn.Module):
    """Tables, products of all pairs of features (arXiv 1906.00091)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList([nn.EmbeddingBag(20, width, mode="sum") for _ in range(3)])
        self.bot = nn.Sequential(nn.Linear(5, 2 * width), nn.ReLU(), nn.Linear(2 * width, width), nn.ReLU())
        self.top = nn.Sequential(nn.Linear(width + 6, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        x = self.bot(dense)
        ly = [t(ids[:, i : i + 2]) for i, t in enumerate(self.tables)]
        T = torch.stack([x] + ly, 1)
        Z = torch.bmm(T, T.transpose(1, 2))
        li = torch.tensor([i for i in range(4) for j in range(i)])
        lj = torch.tensor([j for i in range(4) for j in range(i)])
        return torch.sigmoid(self.top(torch.cat([x, Z[:, li, lj]], 1)))


class DeepFM(nn.Module):
    """A factorisation machine beside a perceptron (arXiv 1703.04247)."""

    def __init__(self, width: int, fields: int = 4) -> None:
        super().__init__()
        self.lin = nn.Embedding(30, 1)
        self.emb = nn.Embedding(30, width)
        self.bias = nn.Parameter(torch.zeros(1))
        self.mlp = nn.Sequential(
            nn.Linear(fields * width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        e = self.emb(x)
        fm = 0.5 * (e.sum(1).pow(2) - e.pow(2).sum(1)).sum(1, keepdim=True)
        return (self.bias + self.lin(x).sum(1) + fm + self.mlp(e.flatten(1))).squeeze(-1)


class MDN(nn.Module):
    """A mixture density network."""

    def __init__(self, width: int, k: int = 5) -> None:
        super().__init__()
        self.k = k
        self.h = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.pi, self.mu, self.sig = (nn.Linear(width, k), nn.Linear(width, k), nn.Linear(width, k))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.h(x)
        lp = F.log_softmax(self.pi(h), -1)
        d = Normal(self.mu(h), F.softplus(self.sig(h)) + 0.001)
        return -torch.logsumexp(lp + d.log_prob(y), -1).mean()


class FakeQuant(nn.Module):
    """Activations on a grid with a trained step (arXiv 1902.08153)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(6, width), nn.Linear(width, width), nn.Linear(width, 2))
        self.s = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.a(x))
        steps = (h / self.s).clamp(-8, 7)
        h = (steps + (steps.round() - steps).detach()) * self.s
        return self.c(F.relu(self.b(h)))


class LoRALinear(nn.Module):
    """A frozen layer and its low-rank update (arXiv 2106.09685)."""

    def __init__(self, base: nn.Linear, r: int = 4, alpha: int = 8) -> None:
        super().__init__()
        self.base = base
        self.base.requires_grad_(False)
        self.A, self.B = (
            nn.Parameter(torch.empty(r, base.in_features)),
            nn.Parameter(torch.zeros(base.out_features, r)),
        )
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.s = alpha / r

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.A.t() @ self.B.t() * self.s


class LoRA(nn.Module):
    """A frozen perceptron with two of these."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(6, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3)
        )
        for i in (2, 4):
            self.net[i] = LoRALinear(self.net[i])
        self.net[0].requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class MeanTeacher(Base):
    """A teacher that follows the student's weights inside of forward."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.t = copy.deepcopy(self.b)
        [p.requires_grad_(False) for p in self.t.parameters()]

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.a(x))
        with torch.no_grad():
            for p, q in zip(self.t.parameters(), self.b.parameters(), strict=True):
                p.mul_(0.99).add_(q, alpha=0.01)
            y = self.t(h)
        return F.mse_loss(self.b(h), y) + self.c(h).pow(2).mean()


class SimSiam(nn.Module):
    """Two views, a predictor, gradients stopped at one side (arXiv 2011.10566)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.Linear(8, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.BatchNorm1d(width, affine=False),
        )
        self.p = nn.Sequential(
            nn.Linear(width, width // 4), nn.BatchNorm1d(width // 4), nn.ReLU(), nn.Linear(width // 4, width)
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        z1, z2 = (self.f(a), self.f(b))
        p1, p2 = (self.p(z1), self.p(z2))
        d = lambda p, z: -F.cosine_similarity(p, z.detach(), dim=-1).mean()
        return d(p1, z2) / 2 + d(p2, z1) / 2


class Triplet(nn.Module):
    """Distances between three pictures."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(1, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, width)
        )

    def forward(self, a: Tensor, p: Tensor, n: Tensor) -> Tensor:
        return F.triplet_margin_loss(self.f(a), self.f(p), self.f(n))


class SparseAutoencoder(nn.Module):
    """A sparse autoencoder: a dictionary that grows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enc, self.dec, self.pre = (
            nn.Linear(8, width),
            nn.Linear(width, 8, bias=False),
            nn.Parameter(torch.zeros(8)),
        )

    def forward(self, x: Tensor) -> Tensor:
        z = F.relu(self.enc(x - self.pre))
        r = self.dec(z) + self.pre
        return F.mse_loss(r, x) + 0.001 * z.abs().sum(-1).mean()

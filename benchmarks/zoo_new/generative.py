"""Diffusion, flows, codebooks, contrasts and adapters."""

# Models are written as people write them, without casts for a type checker.
# pyright: basic, reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

# ruff: noqa: E731

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


class DiTBlock(nn.Module):
    """Attention and a perceptron, both modulated, both behind gates that start at zero."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False, eps=1e-6) for _ in range(2))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        self.ada = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        nn.init.zeros_(self.ada[-1].weight)
        nn.init.zeros_(self.ada[-1].bias)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale, gate, shift2, scale2, gate2 = self.ada(c).chunk(6, -1)
        n, t, d = x.shape
        q, k, v = (
            self.qkv(modulate(self.norm1(x), shift, scale)).reshape(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        )
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d)
        x = x + gate.unsqueeze(1) * self.proj(a)
        return x + gate2.unsqueeze(1) * self.mlp(modulate(self.norm2(x), shift2, scale2))


class AdaLNZero(nn.Module):
    """A diffusion transformer as its authors write it (arXiv 2212.09748)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(4, width, 2, 2)
        self.pos = nn.Parameter(torch.zeros(1, 16, width), requires_grad=False)
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(11, width)
        nn.init.normal_(self.label.weight, std=0.02)
        self.blocks = nn.ModuleList([DiTBlock(width, 4) for _ in range(3)])
        self.norm, self.ada = nn.LayerNorm(width, elementwise_affine=False), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, 16)
        for p in (self.ada.weight, self.ada.bias, self.out.weight, self.out.bias):
            nn.init.zeros_(p)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        freqs = torch.exp(-math.log(10000) * torch.arange(32) / 32)
        args = t[:, None].float() * freqs
        c = self.time(torch.cat([args.cos(), args.sin()], -1)) + self.label(y)
        h = self.patch(x).flatten(2).transpose(1, 2) + self.pos
        for b in self.blocks:
            h = b(h, c)
        shift, scale = self.ada(F.silu(c)).chunk(2, -1)
        return self.out(modulate(self.norm(h), shift, scale))


class EDM(nn.Module):
    """A denoiser behind its preconditioning (arXiv 2206.00364), with the weight of its loss learned."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.randn(width // 2))
        self.emb = nn.Linear(width, width)
        self.in_, self.hid, self.out = nn.Linear(6, width), nn.Linear(width, width), nn.Linear(width, 6)
        self.affine, self.norm = nn.Linear(width, 2 * width), nn.GroupNorm(4, width)
        self.logvar = nn.Linear(width, 1)

    def forward(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        s = sigma[:, None]
        skip, out, into = 0.25 / (s**2 + 0.25), s * 0.5 / (s**2 + 0.25).sqrt(), 1 / (s**2 + 0.25).sqrt()
        a = (s.log() / 4) * self.freqs * 2 * math.pi
        e = F.silu(self.emb(torch.cat([a.cos(), a.sin()], -1) * math.sqrt(2)))
        scale, shift = self.affine(e).chunk(2, -1)
        h = F.silu(self.in_(into * x))
        h = (h + self.hid(F.silu(torch.addcmul(shift, self.norm(h), scale + 1)))) / math.sqrt(2)
        return skip * x + out * self.out(h), self.logvar(e)


class Consistency(nn.Module):
    """A student and its teacher on one trajectory, with a pseudo-Huber loss (arXiv 2310.14189)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(7, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 6)
        )

    def f(self, x: Tensor, t: Tensor) -> Tensor:
        skip, out = 0.25 / ((t - 0.002) ** 2 + 0.25), 0.5 * (t - 0.002) / (t**2 + 0.25).sqrt()
        return skip * x + out * self.net(torch.cat([x, t.log() / 4], -1))

    def forward(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        student = self.f(x + noise * (t + 0.1), t + 0.1)
        with torch.no_grad():
            teacher = self.f(x + noise * t, t)
        c = 0.00054 * math.sqrt(6)
        return (((student - teacher) ** 2).sum(-1) + c**2).sqrt().mean() - c


class InvertibleConv(nn.Module):
    """A product of triangles (arXiv 1807.03039): `P L (U + diag(s))`, and its log-determinant."""

    def __init__(self, n: int) -> None:
        super().__init__()
        q = torch.linalg.qr(torch.randn(n, n))[0]
        p, lower, upper = torch.linalg.lu(q)
        s = upper.diagonal()
        self.register_buffer("p", p)
        self.register_buffer("sign", s.sign())
        self.register_buffer("mask", torch.tril(torch.ones(n, n), -1))
        self.register_buffer("eye", torch.eye(n))
        self.lower, self.upper = nn.Parameter(lower), nn.Parameter(torch.triu(upper, 1))
        self.log_s = nn.Parameter(s.abs().log())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        lower = self.lower * self.mask + self.eye
        upper = self.upper * self.mask.T + torch.diag(self.sign * self.log_s.exp())
        return x @ (self.p @ lower @ upper).T, self.log_s.sum()


class Glow(nn.Module):
    """Actnorm, an invertible map and a coupling, on a fixed number of channels; the couplings grow."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(2, 6)), nn.Parameter(torch.zeros(2, 6))
        self.inv = nn.ModuleList([InvertibleConv(6) for _ in range(2)])
        self.net = nn.ModuleList(
            [nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 6))
             for _ in range(2)]
        )  # fmt: skip
        for n in self.net:
            nn.init.zeros_(n[-1].weight)
            nn.init.zeros_(n[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        logdet = 0
        for scale, shift, inv, net in zip(self.scale, self.shift, self.inv, self.net, strict=True):
            x, own = inv(x * scale + shift)
            a, b = x.chunk(2, -1)
            s, t = net(a).chunk(2, -1)
            s = torch.sigmoid(s + 2)
            x = torch.cat([a, (b + t) * s], -1)
            logdet = logdet + own + scale.abs().log().sum() + s.log().sum(-1)
        return (0.5 * (x**2).sum(-1) - logdet).mean()


class FSQ(nn.Module):
    """Finite scalar quantisation (arXiv 2309.15505): bounded, rounded, straight through."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enc = nn.Sequential(
            nn.Linear(8, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 4)
        )
        self.dec = nn.Sequential(
            nn.Linear(4, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 8)
        )
        self.register_buffer("levels", torch.tensor([8.0, 5.0, 5.0, 5.0]))

    def forward(self, x: Tensor) -> Tensor:
        half = (self.levels - 1) * (1 + 1e-3) / 2
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
        z = (self.enc(x) + (offset / half).tan()).tanh() * half - offset
        z = z + (z.round() - z).detach()
        return F.mse_loss(self.dec(z / (self.levels // 2)), x)


class ResidualVQ(nn.Module):
    """Codebooks of what earlier ones have left (arXiv 2107.03312), as buffers that follow the data."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enc, self.dec = nn.Conv1d(1, width, 7, padding=3), nn.ConvTranspose1d(width, 1, 8, 4, 2)
        self.down = nn.Conv1d(width, width, 8, 4, 2)
        self.register_buffer("books", torch.randn(3, 16, width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.down(F.elu(self.enc(x))).transpose(1, 2)
        rest, total, losses = z, torch.zeros_like(z), []
        for book in self.books:
            d = rest.pow(2).sum(-1, keepdim=True) - 2 * rest @ book.T + book.pow(2).sum(-1)
            q = F.embedding(d.argmin(-1), book)
            losses.append((rest - q.detach()).pow(2).mean())
            q = rest + (q - rest).detach()
            rest, total = rest - q.detach(), total + q
        return self.dec(total.transpose(1, 2)), torch.stack(losses).sum()


class Wav2Vec(nn.Module):
    """Masked contrasts with targets of a Gumbel quantiser in groups (arXiv 2006.11477)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(1, width, 8, 4), nn.GroupNorm(width, width), nn.GELU(),
                                  nn.Conv1d(width, width, 4, 2), nn.GELU())  # fmt: skip
        self.norm, self.mask = nn.LayerNorm(width), nn.Parameter(torch.empty(width).uniform_())
        self.layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.logits, self.codes = nn.Linear(width, 2 * 12), nn.Parameter(torch.rand(1, 2 * 12, width // 2))
        self.project_q, self.project = nn.Linear(width, width // 2), nn.Linear(width, width // 2)

    def forward(self, x: Tensor, chosen: Tensor) -> Tensor:
        h = self.norm(self.conv(x).transpose(1, 2))
        n, t, _ = h.shape
        hard = F.gumbel_softmax(self.logits(h).view(n * t * 2, -1), tau=2.0, hard=True).view(n * t, -1)
        q = self.project_q((hard.unsqueeze(-1) * self.codes).view(n * t, 2, 12, -1).sum(-2).view(n, t, -1))
        c = self.project(self.layer(torch.where(chosen[..., None], self.mask, h)))
        return F.cosine_similarity(c.unsqueeze(2), q.unsqueeze(1), dim=-1) / 0.1


class NeuralProcess(nn.Module):
    """An attentive neural process (arXiv 1901.05761), deterministic path and latent one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        mlp = lambda a, b: nn.Sequential(nn.Linear(a, width), nn.ReLU(), nn.Linear(width, b))
        self.enc, self.lat = mlp(2, width), mlp(2, width)
        self.mu, self.sig = nn.Linear(width, width), nn.Linear(width, width)
        self.q, self.k = mlp(1, width), mlp(1, width)
        self.att = nn.MultiheadAttention(width, 4, batch_first=True)
        self.dec = mlp(2 * width + 1, 2)

    def forward(self, cx: Tensor, cy: Tensor, tx: Tensor, ty: Tensor) -> Tensor:
        pair = torch.cat([cx, cy], -1)
        s = self.lat(pair).mean(1)
        dist = torch.distributions.Normal(self.mu(s), 0.1 + 0.9 * torch.sigmoid(self.sig(s)))
        z = dist.rsample()[:, None].expand(-1, tx.shape[1], -1)
        r = self.att(self.q(tx), self.k(cx), self.enc(pair))[0]
        mean, std = self.dec(torch.cat([r, z, tx], -1)).chunk(2, -1)
        return torch.distributions.Normal(mean, 0.1 + 0.9 * F.softplus(std)).log_prob(ty).mean()


class VICReg(nn.Module):
    """Variance, invariance and covariance of two views (arXiv 2105.04906)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(nn.Linear(8, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = self.f(a), self.f(b)
        repr_loss = F.mse_loss(a, b)
        a, b = a - a.mean(0), b - b.mean(0)
        std = sum(F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean() for z in (a, b))
        cov = 0
        for z in (a, b):
            c = z.T @ z / (len(z) - 1)
            cov = cov + (c.pow(2).sum() - c.diagonal().pow(2).sum()) / z.shape[1]
        return 25 * repr_loss + 25 * std + cov


class DINOHead(nn.Module):
    """Prototypes of unit length behind a bottleneck (arXiv 2104.14294), student and centred teacher."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(8, width), nn.GELU(), nn.Linear(width, width), nn.GELU(),
                                 nn.Linear(width, width // 2))  # fmt: skip
        self.last = nn.utils.parametrizations.weight_norm(nn.Linear(width // 2, 24, bias=False))
        self.last.parametrizations.weight.original0.data.fill_(1)
        self.register_buffer("centre", torch.zeros(24))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        s, t = (self.last(F.normalize(self.mlp(x), dim=-1)) for x in (a, b))
        t = F.softmax((t.detach() - self.centre) / 0.04, -1)
        return -(t * F.log_softmax(s / 0.1, -1)).sum(-1).mean()

"""Pictures and sounds, in kinds that no other file here has."""

# Models are written as people write them, without casts for a type checker.
# pyright: basic, reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaxViT(nn.Module):
    """A bottleneck, attention in windows and over a grid (arXiv 2204.01697)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.mb = nn.Sequential(nn.BatchNorm2d(width), nn.Conv2d(width, 4 * width, 1), nn.GELU(),
                                nn.Conv2d(4 * width, 4 * width, 3, padding=1, groups=4 * width), nn.GELU(),
                                nn.Conv2d(4 * width, width, 1))  # fmt: skip
        self.window, self.grid = (nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True) for _ in "ab")
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.mb(x)
        n, c, h, w = x.shape
        p = x.view(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
        x = self.window(p).view(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)
        p = x.view(n, c, 4, h // 4, 4, w // 4).permute(0, 3, 5, 2, 4, 1).reshape(-1, 16, c)
        return self.head(self.grid(p).mean(1)).view(n, -1, 5).mean(1)


class ConvNeXtV2(nn.Module):
    """Global response normalisation (arXiv 2301.00808) in a residual block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.dw = nn.Conv2d(3, width, 4, 4), nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma, self.beta = (nn.Parameter(torch.zeros(1, 1, 1, 4 * width)) for _ in "ab")
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        h = F.gelu(self.up(self.norm(self.dw(x).permute(0, 2, 3, 1))))
        g = torch.norm(h, p=2, dim=(1, 2), keepdim=True)
        h = self.gamma * (h * (g / (g.mean(-1, keepdim=True) + 1e-6))) + self.beta + h
        return self.head((x + self.down(h).permute(0, 3, 1, 2)).mean((2, 3)))


class AFNO(nn.Module):
    """A perceptron of blocks on frequencies, shrunk softly (arXiv 2111.13587)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        b = width // 4
        self.inp, self.out, self.norm = nn.Linear(3, width), nn.Linear(width, 3), nn.LayerNorm(width)
        self.w1, self.w2 = (nn.Parameter(0.02 * torch.randn(2, 4, b, b)) for _ in "ab")
        self.b1, self.b2 = (nn.Parameter(0.02 * torch.randn(2, 4, b)) for _ in "ab")

    def forward(self, x: Tensor) -> Tensor:
        h = self.inp(x)
        n, p, q, c = h.shape
        f = torch.fft.rfft2(self.norm(h), dim=(1, 2), norm="ortho").reshape(n, p, q // 2 + 1, 4, -1)
        mul = lambda v, w: torch.einsum("...bi,bio->...bo", v, w)  # noqa: E731
        re = F.relu(mul(f.real, self.w1[0]) - mul(f.imag, self.w1[1]) + self.b1[0])
        im = F.relu(mul(f.imag, self.w1[0]) + mul(f.real, self.w1[1]) + self.b1[1])
        re, im = (
            mul(re, self.w2[0]) - mul(im, self.w2[1]) + self.b2[0],
            mul(im, self.w2[0]) + mul(re, self.w2[1]) + self.b2[1],
        )
        f = torch.view_as_complex(F.softshrink(torch.stack([re, im], -1), 0.01)).reshape(n, p, q // 2 + 1, c)
        return self.out(h + torch.fft.irfft2(f, s=(p, q), dim=(1, 2), norm="ortho"))


class Involution(nn.Module):
    """Kernels that every place makes for itself (arXiv 2103.06255)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.reduce, self.span = (
            nn.Conv2d(3, width, 1),
            nn.Conv2d(width, width // 4, 1),
            nn.Conv2d(width // 4, 9 * 4, 1),
        )
        self.norm, self.head = nn.BatchNorm2d(width), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        n, c, h, w = x.shape
        k = self.span(F.relu(self.reduce(x))).view(n, 4, 1, 9, h, w)
        y = (k * F.unfold(x, 3, padding=1).view(n, 4, c // 4, 9, h, w)).sum(3).view(n, c, h, w)
        return self.head(F.relu(self.norm(y)).mean((2, 3)))


class DynamicConv(nn.Module):
    """A mixture of kernels for every picture (arXiv 1912.03458)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.fc1, self.fc2 = (
            nn.Conv2d(3, width, 3, padding=1),
            nn.Linear(width, width // 4),
            nn.Linear(width // 4, 4),
        )
        self.weight, self.bias = (
            nn.Parameter(torch.randn(4, width, width, 3, 3) / (9 * width) ** 0.5),
            nn.Parameter(torch.zeros(4, width)),
        )
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        n, c, h, w = x.shape
        a = torch.softmax(self.fc2(F.relu(self.fc1(x.mean((2, 3))))) / 30, -1)
        k = (a @ self.weight.view(4, -1)).view(n * c, c, 3, 3)
        y = F.conv2d(x.reshape(1, n * c, h, w), k, (a @ self.bias).view(-1), padding=1, groups=n).view(n, c, h, w)
        return self.head(F.relu(y).mean((2, 3)))


class GroupEquivariant(nn.Module):
    """Kernels at four rotations (arXiv 1602.07576)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lift = nn.Parameter(torch.randn(width, 3, 3, 3) / 27**0.5)
        self.group, self.head = (
            nn.Parameter(torch.randn(width, width, 4, 3, 3) / (36 * width) ** 0.5),
            nn.Linear(width, 5),
        )

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        k = torch.stack([self.lift.rot90(r, (2, 3)) for r in range(4)], 1).flatten(0, 1)
        x = F.relu(F.conv2d(x, k, padding=1))
        k = torch.stack([self.group.roll(r, 2).rot90(r, (3, 4)) for r in range(4)], 1)
        x = F.relu(F.conv2d(x, k.flatten(0, 1).flatten(1, 2), padding=1))
        return self.head(x.view(n, -1, 4, h, w).amax(2).mean((2, 3)))


class ECAPA(nn.Module):
    """Scales in a chain, squeezing, and statistics pooled by attention (arXiv 2005.07143)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inp, self.res = (
            nn.Conv1d(20, width, 5, padding=2),
            nn.ModuleList([nn.Conv1d(width // 4, width // 4, 3, padding=1) for _ in range(3)]),
        )
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool1d(1),
            nn.Conv1d(width, width // 4, 1),
            nn.ReLU(),
            nn.Conv1d(width // 4, width, 1),
            nn.Sigmoid(),
        )
        self.att, self.bn = (
            nn.Sequential(nn.Conv1d(3 * width, 16, 1), nn.Tanh(), nn.Conv1d(16, width, 1)),
            nn.BatchNorm1d(2 * width),
        )
        self.fc = nn.Linear(2 * width, 8)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.inp(x))
        parts, out = h.chunk(4, 1), []
        y = parts[0]
        for i, conv in enumerate(self.res):
            out.append(y)
            y = F.relu(conv(parts[i + 1] + (y if i else 0)))
        h = h + torch.cat([*out, y], 1) * self.se(torch.cat([*out, y], 1))
        g = torch.cat(
            [h, h.mean(-1, keepdim=True).expand_as(h), h.var(-1, keepdim=True).add(1e-5).sqrt().expand_as(h)], 1
        )
        a = self.att(g).softmax(-1)
        mu = (a * h).sum(-1)
        sg = ((a * h**2).sum(-1) - mu**2).clamp_min(1e-5).sqrt()
        return self.fc(self.bn(torch.cat([mu, sg], 1)))


class SincNet(nn.Module):
    """Band-pass filters from two frequencies each (arXiv 1808.00158)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        mel = torch.linspace(30, 3000, width + 1)
        self.low, self.band = nn.Parameter(mel[:-1, None] / 16000), nn.Parameter(mel.diff()[:, None] / 16000)
        self.register_buffer("n", torch.arange(-15, 0)[None] * 2 * math.pi)
        self.conv, self.out = nn.Conv1d(width, width, 5), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        low = self.low.abs() + 0.002
        high = (low + 0.003 + self.band.abs()).clamp_max(0.5)
        half = (torch.sin(high * self.n) - torch.sin(low * self.n)) / (self.n / 2)
        k = torch.cat([half, 2 * (high - low), half.flip(1)], 1) / (4 * (high - low))
        h = F.relu(self.conv(F.max_pool1d(F.conv1d(x, k[:, None]).abs(), 3)))
        return self.out(h.mean(-1))

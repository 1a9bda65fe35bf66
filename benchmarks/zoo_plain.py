"""Models in plain torch, as they stand in tutorials and papers' repositories; each is a factory of a few lines."""

# ruff: noqa: D101, D102, D107, N806, E731
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from zoo import VOCABULARY, WIDTH, Entry, plain_tokens

Tensor = torch.Tensor
DEEP = {"width": (32, 48, 64), "depth": (2, 3, 4)}
SMALL = {"width": (8, 12, 16)}


def points(channels: int = 5, count: int = 6, **_: int) -> Tensor:
    return torch.ones(2, count, channels)


def vectors(**_: int) -> Tensor:
    return torch.ones(4, 5)


def pixels(size: int = 16, channels: int = 3, **_: int) -> Tensor:
    return torch.ones(2, channels, size, size)


class Seq2Seq(nn.Module):
    """`nn.Transformer` with tables."""

    def __init__(self, width: int, depth: int, batch_first: bool = True) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(VOCABULARY, width), nn.Embedding(VOCABULARY, width)
        self.transformer = nn.Transformer(width, 4, depth, depth, 4 * width, batch_first=batch_first)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return self.head(self.transformer(self.source(source), self.target(target), tgt_mask=mask))


class Encoder(nn.Module):
    def __init__(self, width: int, depth: int, norm_first: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.position = nn.Parameter(torch.randn(7, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, depth)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(ids) + self.position))


class Attention(nn.Module):
    """`nn.MultiheadAttention`, with or without the batch in front."""

    def __init__(self, width: int, batch_first: bool) -> None:
        super().__init__()
        self.stem, self.attention = nn.Linear(5, width), nn.MultiheadAttention(width, 4, batch_first=batch_first)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + self.attention(x, x, x)[0])


class Recurrent(nn.Module):
    def __init__(self, width: int, kind: str, **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.cell = getattr(nn, kind)(width, width, batch_first=True, **options)
        self.head = nn.Linear(width * (2 if options.get("bidirectional") else 1), VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.cell(self.embedding(ids))[0])


class CellLoop(nn.Module):
    """A loop over a cell, as tutorials write it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding, self.cell = nn.Embedding(VOCABULARY, width), nn.GRUCell(width, width)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        h, out = x.new_zeros(x.shape[0], x.shape[2]), []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            out.append(self.head(h))
        return torch.stack(out, 1)


class WaveNet(nn.Module):
    """Gated convolutions with dilations 1, 2, 4, skips added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(5, width, 1)
        self.gates = nn.ModuleList(nn.Conv1d(width, 2 * width, 2, dilation=2**i) for i in range(3))
        self.residual = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(3))
        self.skip = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(3))
        self.out1, self.out2 = nn.Conv1d(width, width, 1), nn.Conv1d(width, 7, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        total: Any = 0
        for i, (gate, residual, skip) in enumerate(zip(self.gates, self.residual, self.skip, strict=True)):
            a, b = gate(F.pad(x, (2**i, 0))).chunk(2, 1)
            z = torch.tanh(a) * torch.sigmoid(b)
            x = x + residual(z)
            total = total + skip(z)
        return self.out2(F.relu(self.out1(F.relu(total))))


class Chomp(nn.Module):
    """A TCN with weight-normalised causal convolutions, cut at the end."""

    def __init__(self, width: int) -> None:
        super().__init__()
        from torch.nn.utils.parametrizations import weight_norm

        sizes = [5, width, width]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv1d(a, b, 3, padding=2 * 2**i, dilation=2**i))
            for i, (a, b) in enumerate(zip(sizes[:-1], sizes[1:], strict=True))
        )
        self.downsample, self.head = nn.Conv1d(5, width, 1), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i, conv in enumerate(self.convs):
            y = F.relu(conv(y)[:, :, : -2 * 2**i])
        return self.head((y + self.downsample(x))[:, :, -1])


class BasicBlock(nn.Module):
    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.shortcut = nn.Sequential()
        if stride != 1 or i != o:
            self.shortcut = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


class ResNet18(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        sizes = [width, width, 2 * width, 4 * width, 8 * width]
        layers = []
        for n, (a, b) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            layers.append(nn.Sequential(BasicBlock(a, b, 1 if n == 0 else 2), BasicBlock(b, b, 1)))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.linear = nn.Linear(8 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        out = F.avg_pool2d(out, 2)
        return self.linear(out.view(out.size(0), -1))


class VGG(nn.Module):
    """Convolutions, max pooling, and a perceptron of the flattened picture with dropout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(2 * width * 4, 8 * width), nn.ReLU(True), nn.Dropout(), nn.Linear(8 * width, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class DenseNet(nn.Module):
    """Each layer reads all before it, joined; growth rate `width`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 2 * width, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d((2 + i) * width), nn.ReLU(), nn.Conv2d((2 + i) * width, width, 3, padding=1))
            for i in range(3)
        )
        self.norm, self.head = nn.BatchNorm2d(5 * width), nn.Linear(5 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.head(F.relu(self.norm(x)).mean((2, 3)))


class SqueezeExcite(nn.Module):
    """A convolution gated by a small perceptron of its channel means."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.fc1, self.fc2, self.head = (
            nn.Linear(width, width // 4), nn.Linear(width // 4, width), nn.Linear(width, 10)
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(F.relu(self.conv1(x)))
        gate = torch.sigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1).flatten(1)))))
        return self.head((x * gate[:, :, None, None]).mean(dim=[2, 3]))


class VAE(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.mu, self.logvar = nn.Linear(784, width), nn.Linear(width, 20), nn.Linear(width, 20)
        self.fc3, self.fc4 = nn.Linear(20, width), nn.Linear(width, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.fc1(x.view(-1, 784)))
        mu, logvar = self.mu(h), self.logvar(h)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn_like(std) * std
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar


class Generator(nn.Module):
    """DCGAN."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(10, 4 * width, 4, 1, 0, bias=False), nn.BatchNorm2d(4 * width), nn.ReLU(True),
            nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU(True),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True),
            nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z)


class Discriminator(nn.Module):
    """DCGAN's other half, with spectral norms."""

    def __init__(self, width: int) -> None:
        super().__init__()
        from torch.nn.utils.parametrizations import spectral_norm

        self.main = nn.Sequential(
            spectral_norm(nn.Conv2d(3, width, 4, 2, 1)), nn.LeakyReLU(0.2, inplace=True),
            spectral_norm(nn.Conv2d(width, 2 * width, 4, 2, 1)), nn.LeakyReLU(0.2, inplace=True),
            spectral_norm(nn.Conv2d(2 * width, 1, 4, 1, 0)),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x).view(-1)


class GroupNormUNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()

        def block(i: int, o: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.GroupNorm(4, o), nn.SiLU())

        self.down1, self.down2 = block(3, width), block(width, 2 * width)
        self.middle, self.up = block(2 * width, 2 * width), block(4 * width, width)
        self.last, self.out = block(2 * width, width), nn.Conv2d(width, 3, 1)
        self.time = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, 2 * width))
        self.width = width

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        half = self.width // 2
        frequencies = torch.exp(-math.log(10000) * torch.arange(half) / half)
        angles = t[:, None] * frequencies[None]
        time = self.time(torch.cat([angles.sin(), angles.cos()], -1))
        a = self.down1(x)
        b = self.down2(F.avg_pool2d(a, 2))
        c = self.middle(b + time[:, :, None, None])
        d = F.interpolate(self.up(torch.cat([b, c], 1)), scale_factor=2, mode="nearest")
        return self.out(self.last(torch.cat([a, d], 1)))


class KAN(nn.Module):
    """Splines on the edges: radial basis functions of every input, mixed by one weight per edge and basis."""

    grid: Tensor

    def __init__(self, sizes: list[int], count: int = 6) -> None:
        super().__init__()
        self.register_buffer("grid", torch.linspace(-1, 1, count))
        pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
        self.splines = nn.ParameterList(nn.Parameter(torch.randn(o, i, count) * 0.1) for i, o in pairs)
        self.base = nn.ModuleList(nn.Linear(i, o, bias=False) for i, o in pairs)

    def forward(self, x: Tensor) -> Tensor:
        for spline, base in zip(self.splines, self.base, strict=True):
            basis = torch.exp(-((x[..., None] - self.grid) ** 2) * 4)
            x = torch.einsum("big,oig->bo", basis, spline) + base(F.silu(x))
        return x


class FourierFeatures(nn.Module):
    """Random Fourier features of coordinates, then a perceptron."""

    B: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("B", torch.randn(width // 2, 2) * 10)
        self.net = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                                 nn.Linear(width, 3), nn.Sigmoid())  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        projected = 2 * math.pi * x @ self.B.T
        return self.net(torch.cat([torch.sin(projected), torch.cos(projected)], -1))


class DeepSets(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(5, width), nn.ELU(), nn.Linear(width, width), nn.ELU())
        self.rho = nn.Sequential(nn.Linear(width, width), nn.ELU(), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.rho(self.phi(x).sum(1))


class PointNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(3, width, 1), nn.Conv1d(width, 4 * width, 1)
        self.bn1, self.bn2 = nn.BatchNorm1d(width), nn.BatchNorm1d(4 * width)
        self.fc = nn.Linear(4 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return F.log_softmax(self.fc(torch.max(x, 2)[0]), dim=1)


class GCN(nn.Module):
    """Dense adjacency, normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w1, self.w2 = nn.Linear(5, width), nn.Linear(width, width)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        a = adjacency + torch.eye(adjacency.shape[-1])
        d = a.sum(-1).rsqrt()
        a = d[:, None] * a * d[None]
        return self.head(F.relu(a @ self.w2(F.relu(a @ self.w1(x)))))


class GAT(nn.Module):
    """Graph attention with additive scores."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.W, self.a, self.head = nn.Linear(5, width, bias=False), nn.Linear(2 * width, 1), nn.Linear(width, 3)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        h = self.W(x)
        n = h.shape[0]
        pairs = torch.cat([h.repeat_interleave(n, 0), h.repeat(n, 1)], 1).view(n, n, -1)
        e = F.leaky_relu(self.a(pairs).squeeze(-1))
        attention = torch.softmax(torch.where(adjacency > 0, e, -9e15), -1)
        return self.head(F.elu(attention @ h))


class Experts(nn.Module):
    """A soft mixture of experts as batched weights and einsums."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.gate, self.head = nn.Linear(5, width), nn.Linear(width, 4), nn.Linear(width, 3)
        self.w1 = nn.Parameter(torch.randn(4, width, 2 * width) / width**0.5)
        self.w2 = nn.Parameter(torch.randn(4, 2 * width, width) / (2 * width) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        h = F.gelu(torch.einsum("bd,edf->bef", x, self.w1))
        y = torch.einsum("bef,efd->bed", h, self.w2)
        return self.head(x + torch.einsum("be,bed->bd", self.gate(x).softmax(-1), y))


class HyperNetwork(nn.Module):
    """A network makes the weights of another one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.stem, self.hyper = nn.Linear(5, width), nn.Linear(3, width)
        self.make = nn.Linear(width, width * 4)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        weight = self.make(torch.tanh(self.hyper(z))).view(-1, 4, self.width)
        return torch.bmm(weight, F.relu(self.stem(x)).unsqueeze(-1)).squeeze(-1)


class DLRM(nn.Module):
    """Bags of features, their dot products, a perceptron."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.EmbeddingBag(20, width, mode="sum") for _ in range(3))
        self.bottom = nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.top = nn.Sequential(nn.Linear(width + 6, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        x = self.bottom(dense)
        t = torch.stack([x, *(table(sparse[:, i]) for i, table in enumerate(self.tables))], 1)
        z = torch.bmm(t, t.transpose(1, 2))
        i, j = torch.tril_indices(4, 4, -1)
        return torch.sigmoid(self.top(torch.cat([x, z[:, i, j]], 1)))


class DCN(nn.Module):
    """Crosses of features: `x0 * (W x + b) + x`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(20, width) for _ in range(2))
        self.cross = nn.ModuleList(nn.Linear(2 * width, 2 * width) for _ in range(2))
        self.head = nn.Linear(2 * width, 1)

    def forward(self, ids: Tensor) -> Tensor:
        x = x0 = torch.cat([table(ids[:, i]) for i, table in enumerate(self.tables)], -1)
        for layer in self.cross:
            x = x0 * layer(x) + x
        return self.head(x)


class Memory(nn.Module):
    """Addressing as in a neural Turing machine: cosine similarity with a memory, sharpened, read, gated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.key, self.beta, self.gate = (
            nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 1), nn.Linear(width, width)
        )  # fmt: skip
        self.memory = nn.Parameter(torch.randn(8, width))
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.stem(x))
        similarity = F.cosine_similarity(self.key(h)[:, None], self.memory[None], dim=-1)
        w = torch.softmax(F.softplus(self.beta(h)) * similarity, -1)
        g = torch.sigmoid(self.gate(h))
        return self.head(g * (w @ self.memory) + (1 - g) * h)


class NeRF(nn.Module):
    """Positional encoding of points and directions, a skip in the middle."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.ModuleList([nn.Linear(27, width), nn.Linear(width, width)])
        self.second = nn.ModuleList([nn.Linear(width + 27, width), nn.Linear(width, width)])
        self.sigma, self.feature = nn.Linear(width, 1), nn.Linear(width, width)
        self.colour = nn.Sequential(nn.Linear(width + 15, width // 2), nn.ReLU(), nn.Linear(width // 2, 3))

    @staticmethod
    def encode(x: Tensor, count: int) -> Tensor:
        parts = [x]
        for k in range(count):
            parts += [torch.sin(2.0**k * x), torch.cos(2.0**k * x)]
        return torch.cat(parts, -1)

    def forward(self, position: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        p, d = self.encode(position, 4), self.encode(direction, 2)
        h = p
        for layer in self.first:
            h = F.relu(layer(h))
        h = torch.cat([h, p], -1)
        for layer in self.second:
            h = F.relu(layer(h))
        return torch.sigmoid(self.colour(torch.cat([self.feature(h), d], -1))), F.softplus(self.sigma(h))


class NeuralODE(nn.Module):
    """Fixed Euler steps of one shared field."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(5, width), nn.Linear(width, 3)
        self.field = nn.Sequential(nn.Linear(width + 1, 2 * width), nn.Tanh(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        z = self.stem(x)
        for k in range(4):
            t = torch.full((z.shape[0], 1), k / 4)
            z = z + 0.25 * self.field(torch.cat([z, t], 1))
        return self.head(z)


class FNO(nn.Module):
    """A Fourier neural operator: products of the lowest modes with complex weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lift, self.project = nn.Linear(1, width), nn.Linear(width, 1)
        self.weights = nn.ParameterList(nn.Parameter(torch.rand(width, width, 4, 2) / width) for _ in range(2))
        self.local = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.lift(x).transpose(1, 2)
        for weight, local in zip(self.weights, self.local, strict=True):
            modes = torch.fft.rfft(x)
            low = torch.einsum("bim,iom->bom", modes[:, :, :4], torch.view_as_complex(weight))
            out = torch.zeros_like(modes)
            out[:, :, :4] = low
            x = F.gelu(torch.fft.irfft(out, n=x.shape[-1]) + local(x))
        return self.project(x.transpose(1, 2))


class FNet(nn.Module):
    """Mixing by a Fourier transform over positions and channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(VOCABULARY, width), nn.LayerNorm(width)
        self.ff, self.head = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)), \
            nn.Linear(width, VOCABULARY)  # fmt: skip

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        x = self.norm(x + torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real)
        return self.head(x + self.ff(x))


class MADE(nn.Module):
    """Linear maps with fixed masks."""

    mask_a: Tensor
    mask_b: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, width), nn.Linear(width, 10)
        degree = torch.arange(width) % 4
        self.register_buffer("mask_a", (degree[:, None] >= torch.arange(5)[None]).float())
        self.register_buffer("mask_b", (torch.arange(5).repeat(2)[:, None] > degree[None]).float())

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(F.linear(x, self.a.weight * self.mask_a, self.a.bias))
        return F.linear(h, self.b.weight * self.mask_b, self.b.bias)


class LoRA(nn.Module):
    def __init__(self, base: nn.Linear, rank: int = 4, alpha: float = 8.0) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scaling = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + (x @ self.lora_A.T @ self.lora_B.T) * self.scaling


def lora(width: int) -> nn.Module:
    return nn.Sequential(
        LoRA(nn.Linear(5, width)), nn.ReLU(), LoRA(nn.Linear(width, width)), nn.ReLU(), LoRA(nn.Linear(width, 3))
    )


def normalised_mlp(kind: str) -> Any:
    def make(width: int) -> nn.Module:
        from torch.nn.utils import parametrizations

        wrap = getattr(parametrizations, kind)
        return nn.Sequential(
            wrap(nn.Linear(5, width)), nn.ReLU(), wrap(nn.Linear(width, width)), nn.ReLU(), wrap(nn.Linear(width, 3))
        )

    return make


class Checkpointed(nn.Module):
    """Blocks under gradient checkpointing, dropout while it trains, inputs by name only, a loss in a dataclass."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(5, width), nn.Linear(width, 3)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(0.1),
                          nn.Linear(4 * width, width)) for _ in range(3)
        )  # fmt: skip

    def forward(self, *, features: Tensor, labels: Tensor | None = None) -> Output:
        from torch.utils.checkpoint import checkpoint

        x = self.stem(features)
        for block in self.blocks:
            x = x + checkpoint(block, x, use_reentrant=False)
        logits = self.head(x)
        return Output(logits, None if labels is None else F.cross_entropy(logits, labels))


@dataclass
class Output:
    logits: Tensor
    loss: Tensor | None = None


class NanoGPT(nn.Module):
    """Causal attention by hand with a mask buffer, tied head."""

    class Block(nn.Module):
        bias: Tensor

        def __init__(self, width: int) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            self.register_buffer("bias", torch.tril(torch.ones(16, 16)).view(1, 1, 16, 16))

        def forward(self, x: Tensor) -> Tensor:
            B, T, C = x.size()
            q, k, v = self.c_attn(self.ln_1(x)).split(C, dim=2)
            q, k, v = (t.view(B, T, 4, C // 4).transpose(1, 2) for t in (q, k, v))
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = F.softmax(att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf")), dim=-1)
            x = x + self.c_proj((att @ v).transpose(1, 2).contiguous().view(B, T, C))
            return x + self.mlp(self.ln_2(x))

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(VOCABULARY, width), nn.Embedding(16, width)
        self.h = nn.ModuleList(self.Block(width) for _ in range(depth))
        self.ln_f, self.lm_head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY, bias=False)
        self.wte.weight = self.lm_head.weight
        self.apply(self._init)
        for name, p in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(p, 0.0, 0.02 / math.sqrt(2 * depth))

    def _init(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, 0.0, 0.02)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        x = self.wte(idx) + self.wpe(torch.arange(idx.shape[1]))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        loss = None if targets is None else F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
        return logits, loss


class Sinusoids(nn.Module):
    """The transformer with sinusoidal positions in a buffer, as the tutorial has it."""

    pe: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        position = torch.arange(16).unsqueeze(1)
        frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        pe = torch.zeros(16, 1, width)
        pe[:, 0, 0::2], pe[:, 0, 1::2] = torch.sin(position * frequency), torch.cos(position * frequency)
        self.register_buffer("pe", pe)
        self.embedding, self.dropout = nn.Embedding(VOCABULARY, width), nn.Dropout(0.1)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(width, 4, 2 * width), 2)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids.T) * math.sqrt(self.width)
        return self.head(self.encoder(self.dropout(x + self.pe[: x.shape[0]])))


class Performer(nn.Module):
    """Linear attention: `phi(q) (phi(k)^T v)`, normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.qkv, self.head = nn.Linear(5, width), nn.Linear(width, 3 * width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        q, k, v = (t.unflatten(-1, (4, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        q, k = F.elu(q) + 1, F.elu(k) + 1
        z = 1 / (torch.einsum("bhld,bhd->bhl", q, k.sum(2)) + 1e-6)
        y = torch.einsum("bhld,bhde,bhl->bhle", q, torch.einsum("bhld,bhle->bhde", k, v), z)
        return self.head(x + y.transpose(1, 2).flatten(2))


class Siamese(nn.Module):
    """Two normalised vectors compared by a distance and with a learnt temperature."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, width))
        self.temperature = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        u, v = F.normalize(self.net(a), dim=-1), F.normalize(self.net(b), dim=-1)
        return u @ v.T * self.temperature.exp()


class RealNVP(nn.Module):
    """Affine couplings: half of the entries scale and shift the others."""

    def __init__(self, width: int) -> None:
        super().__init__()
        make = lambda: nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                                     nn.Linear(width, 6))  # fmt: skip
        self.nets = nn.ModuleList(make() for _ in range(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = torch.zeros(x.shape[0])
        for i, net in enumerate(self.nets):
            a, b = x.chunk(2, -1) if i % 2 == 0 else x.chunk(2, -1)[::-1]
            s, t = net(a).chunk(2, -1)
            s = torch.tanh(s)
            b = b * torch.exp(s) + t
            total = total + s.sum(-1)
            x = torch.cat([a, b] if i % 2 == 0 else [b, a], -1)
        return x, total


class ActorCritic(nn.Module):
    """A shared trunk with two heads, returned in a dictionary."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.policy, self.value = nn.Linear(width, 4), nn.Linear(width, 1)
        self.log_std = nn.Parameter(torch.zeros(4))

    def forward(self, observation: Tensor) -> dict[str, Tensor]:
        h = self.trunk(observation)
        return {"mean": self.policy(h), "std": self.log_std.exp().expand(h.shape[0], 4), "value": self.value(h)[:, 0]}


class DuelingDQN(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 4, 4)
        self.value, self.advantage = nn.Linear(16 * width, 1), nn.Linear(16 * width, 6)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.conv(x / 255.0)).reshape(x.shape[0], -1)
        a = self.advantage(h)
        return self.value(h) + a - a.mean(1, keepdim=True)


class S4D(nn.Module):
    """A diagonal state-space layer as a convolution kernel, complex, through the Fourier transform."""

    def __init__(self, width: int, state: int = 8) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(1, width), nn.Linear(width, 3)
        self.log_dt = nn.Parameter(torch.rand(width) * 2 - 4)
        self.C = nn.Parameter(torch.randn(width, state, 2))
        self.log_A_real = nn.Parameter(torch.log(0.5 * torch.ones(width, state)))
        self.A_imag = nn.Parameter(math.pi * torch.arange(state).repeat(width, 1))
        self.D = nn.Parameter(torch.randn(width))

    def forward(self, u: Tensor) -> Tensor:
        u = self.stem(u).transpose(1, 2)
        L = u.shape[-1]
        dt = torch.exp(self.log_dt)
        A = -torch.exp(self.log_A_real) + 1j * self.A_imag
        dtA = A * dt[:, None]
        C = torch.view_as_complex(self.C) * (torch.exp(dtA) - 1.0) / A
        K = 2 * torch.einsum("hn,hnl->hl", C, torch.exp(dtA[..., None] * torch.arange(L))).real
        y = torch.fft.irfft(torch.fft.rfft(u, n=2 * L) * torch.fft.rfft(K, n=2 * L), n=2 * L)[..., :L]
        return self.head(F.gelu(y + u * self.D[:, None]).transpose(1, 2))


def pair(**_: int) -> tuple[Tensor, Tensor]:
    return plain_tokens(), plain_tokens()


def graph_inputs(**_: int) -> tuple[Tensor, Tensor]:
    return torch.ones(6, 5), torch.ones(6, 6)


def channel_first(**_: int) -> Tensor:
    return torch.ones(2, 5, 12)


PLAIN: dict[str, Entry] = {
    "nn_transformer": Entry(lambda width, depth: Seq2Seq(width, depth), pair, DEEP, "torch"),
    "nn_encoder": Entry(lambda width, depth: Encoder(width, depth, False), plain_tokens, DEEP, "torch"),
    "nn_encoder_prenorm": Entry(lambda width, depth: Encoder(width, depth, True), plain_tokens, DEEP, "torch"),
    "nn_attention": Entry(lambda width: Attention(width, True), points, WIDTH, "torch"),
    "nn_attention_seq": Entry(lambda width: Attention(width, False), points, WIDTH, "torch"),
    "gru": Entry(lambda width: Recurrent(width, "GRU"), plain_tokens, WIDTH, "torch"),
    "rnn": Entry(lambda width: Recurrent(width, "RNN"), plain_tokens, WIDTH, "torch"),
    "bilstm": Entry(lambda width: Recurrent(width, "LSTM", bidirectional=True), plain_tokens, WIDTH, "torch"),
    "gru_cell": Entry(CellLoop, lambda **_: plain_tokens(time=4), WIDTH, "torch"),
    "nanogpt": Entry(lambda width, depth: NanoGPT(width, depth), pair, DEEP, "torch"),
    "sinusoids": Entry(Sinusoids, plain_tokens, WIDTH, "torch"),
    "wavenet": Entry(WaveNet, channel_first, WIDTH, "torch"),
    "tcn": Entry(Chomp, channel_first, WIDTH, "torch"),
    "resnet18": Entry(ResNet18, pixels, SMALL, "torch"),
    "vgg": Entry(VGG, pixels, SMALL, "torch"),
    "densenet": Entry(DenseNet, pixels, SMALL, "torch"),
    "squeeze_excite": Entry(SqueezeExcite, pixels, SMALL, "torch"),
    "vae": Entry(VAE, lambda **_: torch.ones(2, 1, 28, 28), WIDTH, "torch"),
    "dcgan_g": Entry(Generator, lambda **_: torch.ones(2, 10, 1, 1), SMALL, "torch"),
    "dcgan_d": Entry(Discriminator, pixels, SMALL, "torch"),
    "unet_groupnorm": Entry(GroupNormUNet, lambda **_: (pixels(), torch.tensor([3.0, 5.0])), SMALL, "torch"),
    "kan": Entry(lambda width: KAN([5, width, width, 3]), vectors, WIDTH, "torch"),
    "fourier_features": Entry(FourierFeatures, lambda **_: torch.ones(4, 2), WIDTH, "torch"),
    "deepsets": Entry(DeepSets, points, WIDTH, "torch"),
    "pointnet": Entry(PointNet, lambda **_: torch.ones(2, 3, 9), WIDTH, "torch"),
    "gcn": Entry(GCN, graph_inputs, WIDTH, "torch"),
    "gat": Entry(GAT, graph_inputs, WIDTH, "torch"),
    "experts": Entry(Experts, vectors, WIDTH, "torch"),
    "hypernetwork": Entry(HyperNetwork, lambda **_: (torch.ones(4, 5), torch.ones(4, 3)), WIDTH, "torch"),
    "dlrm": Entry(DLRM, lambda **_: (torch.ones(4, 5), torch.ones(4, 3, 2, dtype=torch.int64)), WIDTH, "torch"),
    "dcn": Entry(DCN, lambda **_: torch.arange(8).view(4, 2), WIDTH, "torch"),
    "memory": Entry(Memory, vectors, WIDTH, "torch"),
    "nerf": Entry(NeRF, lambda **_: (torch.ones(4, 3), torch.ones(4, 3)), WIDTH, "torch"),
    "neural_ode": Entry(NeuralODE, vectors, WIDTH, "torch"),
    "fno": Entry(FNO, lambda **_: torch.ones(2, 16, 1), WIDTH, "torch"),
    "fnet": Entry(FNet, plain_tokens, WIDTH, "torch"),
    "made": Entry(MADE, vectors, WIDTH, "torch"),
    "lora": Entry(lora, vectors, WIDTH, "torch"),
    "weight_norm": Entry(normalised_mlp("weight_norm"), vectors, WIDTH, "torch"),
    "spectral_norm": Entry(normalised_mlp("spectral_norm"), vectors, WIDTH, "torch"),
    "checkpointed": Entry(
        Checkpointed, lambda **_: {"features": torch.ones(4, 5), "labels": torch.tensor([0, 1, 2, 0])}, WIDTH, "torch"
    ),
    "performer": Entry(Performer, points, WIDTH, "torch"),
    "siamese": Entry(Siamese, lambda **_: (torch.ones(4, 5), torch.ones(4, 5)), WIDTH, "torch"),
    "realnvp": Entry(RealNVP, lambda **_: torch.ones(4, 6), WIDTH, "torch"),
    "actor_critic": Entry(ActorCritic, vectors, WIDTH, "torch"),
    "dqn": Entry(DuelingDQN, pixels, WIDTH, "torch"),
    "s4d": Entry(S4D, lambda **_: torch.ones(2, 8, 1), WIDTH, "torch"),
}

"""Scientific models: operators, physics, graphs and molecules, in plain torch."""

# Models are written as people write them, without casts for a type checker.
# pyright: reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TensorisedFNO(nn.Module):
    """A Fourier operator in two dimensions whose weights are Tucker tensors (arXiv 2310.00120)."""

    def __init__(self, width: int, modes: int = 3, layers: int = 2) -> None:
        super().__init__()
        self.modes, self.rank = modes, width // 2
        self.lift, self.proj = (
            nn.Conv2d(3, width, 1),
            nn.Sequential(nn.Conv2d(width, width, 1), nn.GELU(), nn.Conv2d(width, 1, 1)),
        )
        self.core = nn.ParameterList(
            nn.Parameter(torch.randn(self.rank, self.rank, 2, 2, 2) * 0.02) for _ in range(layers)
        )
        self.u_in = nn.ParameterList(nn.Parameter(torch.randn(width, self.rank) / width**0.5) for _ in range(layers))
        self.u_out = nn.ParameterList(nn.Parameter(torch.randn(width, self.rank) / width**0.5) for _ in range(layers))
        self.u_x = nn.ParameterList(nn.Parameter(torch.randn(modes, 2)) for _ in range(layers))
        self.u_y = nn.ParameterList(nn.Parameter(torch.randn(modes, 2)) for _ in range(layers))
        self.skip = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        h, m = self.lift(x), self.modes
        for core, u, v, a, b, skip in zip(self.core, self.u_in, self.u_out, self.u_x, self.u_y, self.skip, strict=True):
            f = torch.fft.rfft2(h)
            w = torch.einsum("ijklc,ai,bj,xk,yl->abxyc", core, u, v, a, b)
            w = torch.view_as_complex(w.contiguous())
            low = torch.einsum("zaxy,abxy->zbxy", f[:, :, :m, :m], w)
            out = torch.zeros(h.shape[0], h.shape[1], h.shape[2], h.shape[3] // 2 + 1, dtype=torch.cfloat)
            out[:, :, :m, :m] = low
            h = F.gelu(torch.fft.irfft2(out, s=h.shape[-2:]) + skip(h))
        return self.proj(h)


class MultigridOperator(nn.Module):
    """A V-cycle of convolutions with shared smoothing (MgNO, arXiv 2310.19809)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lift, self.project = nn.Conv2d(1, width, 1), nn.Conv2d(width, 1, 1)
        self.A = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.S = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.R, self.P = (
            nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        f = self.lift(x)
        u = self.S[0](f)
        u = u + self.S[0](f - self.A[0](u))
        r = self.R(f - self.A[0](u))
        e = self.S[1](r)
        e = e + self.S[1](r - self.A[1](e))
        u = u + self.P(e)
        return self.project(F.gelu(u + self.S[0](f - self.A[0](u))))


class DeepONet(nn.Module):
    """A branch for the function and a trunk for the place, their product with a bias (arXiv 1910.03193)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Linear(10, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width)
        )
        self.trunk = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.b = nn.Parameter(torch.tensor(0.0))

    def forward(self, u: Tensor, y: Tensor) -> Tensor:
        return torch.sum(self.branch(u) * self.trunk(y), dim=1) + self.b


class PINN(nn.Module):
    """The residual of Burgers' equation, by two derivatives (arXiv 1711.10561)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        t.requires_grad_(True)
        x.requires_grad_(True)
        u = self.net(torch.cat([t, x], dim=1))
        u_t, u_x = torch.autograd.grad(u, (t, x), torch.ones_like(u), create_graph=True)
        u_xx = torch.autograd.grad(u_x, x, torch.ones_like(u_x), create_graph=True)[0]
        return u, u_t + u * u_x - 0.01 * u_xx


class Hamiltonian(nn.Module):
    """The field of a learnt energy (arXiv 1906.01563)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear1, self.linear2, self.linear3 = (
            nn.Linear(4, width),
            nn.Linear(width, width),
            nn.Linear(width, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            h = torch.tanh(self.linear1(x))
            energy = self.linear3(torch.tanh(self.linear2(h)))
            dh = torch.autograd.grad(energy.sum(), x, create_graph=True)[0]
        q, p = dh.chunk(2, -1)
        return torch.cat((p, -q), -1)


class Score(nn.Module):
    """Denoising score matching with an energy (arXiv 1907.05600)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 3))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        score = self.f(x + 0.1 * noise)
        return ((score * 0.1 + noise) ** 2).sum(-1).mean()


class SchNet(nn.Module):
    """Continuous filters from distances (arXiv 1706.08566)."""

    def __init__(self, width: int, blocks: int = 2) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, width)
        self.register_buffer("centers", torch.linspace(0, 5, 12))
        self.filters = nn.ModuleList(
            nn.Sequential(nn.Linear(12, width), nn.Softplus(), nn.Linear(width, width)) for _ in range(blocks)
        )
        self.inner = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(blocks))
        self.outer = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.Softplus(), nn.Linear(width, width)) for _ in range(blocks)
        )
        self.read = nn.Sequential(nn.Linear(width, width // 2), nn.Softplus(), nn.Linear(width // 2, 1))

    def forward(self, z: Tensor, pos: Tensor, edges: Tensor) -> Tensor:
        i, j = edges
        dist = (pos[i] - pos[j]).norm(dim=-1)
        rbf = torch.exp(-10 * (dist[:, None] - self.centers) ** 2)
        cut = 0.5 * (torch.cos(dist * torch.pi / 5) + 1)
        x = self.embed(z)
        for f, inner, outer in zip(self.filters, self.inner, self.outer, strict=True):
            message = inner(x)[j] * (f(rbf) * cut[:, None])
            x = x + outer(torch.zeros_like(x).index_add_(0, i, message))
        return self.read(x).sum()


class EGNN(nn.Module):
    """Messages from invariants, positions moved along differences (arXiv 2102.09844)."""

    def __init__(self, width: int, layers: int = 2) -> None:
        super().__init__()
        self.embed, self.out = nn.Linear(4, width), nn.Linear(width, 2)
        mlp = lambda i, o: nn.Sequential(nn.Linear(i, width), nn.SiLU(), nn.Linear(width, o), nn.SiLU())  # noqa: E731
        self.edge, self.node = (
            nn.ModuleList(mlp(2 * width + 1, width) for _ in range(layers)),
            nn.ModuleList(mlp(2 * width, width) for _ in range(layers)),
        )
        self.coord = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1, bias=False)) for _ in range(layers)
        )

    def forward(self, h: Tensor, x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        row, col = edges
        h = self.embed(h)
        for edge, node, coord in zip(self.edge, self.node, self.coord, strict=True):
            diff = x[row] - x[col]
            radial = (diff**2).sum(1, keepdim=True)
            m = edge(torch.cat([h[row], h[col], radial], dim=1))
            x = x + torch.zeros_like(x).scatter_add_(0, row[:, None].expand(-1, 3), diff * coord(m)) / 5
            agg = torch.zeros(h.shape[0], m.shape[1]).scatter_add_(0, row[:, None].expand_as(m), m)
            h = h + node(torch.cat([h, agg], dim=1))
        return self.out(h), x


class GIN(nn.Module):
    """Sums over neighbours, batch norms, jumping knowledge (arXiv 1810.00826)."""

    def __init__(self, width: int, layers: int = 3) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(layers))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width))
            for inputs in (5, *(width for _ in range(layers - 1)))
        )
        self.preds = nn.ModuleList(nn.Linear(5 if k == 0 else width, 3) for k in range(layers + 1))

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        hidden = [x]
        for k, mlp in enumerate(self.mlps):
            x = F.relu(mlp((1 + self.eps[k]) * x + adjacency @ x))
            hidden.append(x)
        return sum(F.dropout(pred(h.sum(0)), 0.5, self.training) for pred, h in zip(self.preds, hidden, strict=True))


class Graphormer(nn.Module):
    """Attention with biases by path length and centrality tables (arXiv 2106.05234)."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.h = heads
        self.atom, self.degree = nn.Embedding(12, width), nn.Embedding(8, width)
        self.spatial, self.token = nn.Embedding(10, heads), nn.Embedding(1, width)
        self.virtual = nn.Embedding(1, heads)
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.head = nn.Linear(width, 1)

    def forward(self, atoms: Tensor, degrees: Tensor, paths: Tensor) -> Tensor:
        b, n = atoms.shape
        x = self.atom(atoms) + self.degree(degrees)
        x = torch.cat([self.token.weight.unsqueeze(0).repeat(b, 1, 1), x], 1)
        bias = torch.zeros(b, self.h, n + 1, n + 1)
        bias[:, :, 1:, 1:] = bias[:, :, 1:, 1:] + self.spatial(paths).permute(0, 3, 1, 2)
        t = self.virtual.weight.view(1, self.h, 1)
        bias[:, :, 1:, 0] = bias[:, :, 1:, 0] + t
        bias[:, :, 0, :] = bias[:, :, 0, :] + t
        q, k, v = self.qkv(self.norm(x)).reshape(b, n + 1, 3, self.h, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + bias
        return self.head((x + self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2)))[:, 0])


class EdgeConv(nn.Module):
    """A graph by nearest neighbours in every layer (arXiv 1801.07829)."""

    def __init__(self, width: int, k: int = 4) -> None:
        super().__init__()
        self.k = k
        self.conv1 = nn.Sequential(nn.Conv2d(6, width, 1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.2))
        self.conv2 = nn.Sequential(nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.2))
        self.last = nn.Linear(2 * width, 4)

    def edges(self, x: Tensor) -> Tensor:
        b, c, n = x.shape
        inner = -2 * torch.matmul(x.transpose(2, 1), x)
        xx = torch.sum(x**2, dim=1, keepdim=True)
        index = (-xx - inner - xx.transpose(2, 1)).topk(k=self.k, dim=-1)[1]
        flat = (index + torch.arange(0, b).view(-1, 1, 1) * n).view(-1)
        x = x.transpose(2, 1).contiguous()
        near = x.view(b * n, -1)[flat, :].view(b, n, self.k, c)
        x = x.view(b, n, 1, c).repeat(1, 1, self.k, 1)
        return torch.cat((near - x, x), dim=3).permute(0, 3, 1, 2).contiguous()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(self.edges(x)).max(dim=-1, keepdim=False)[0]
        h = self.conv2(self.edges(h)).max(dim=-1, keepdim=False)[0]
        return self.last(torch.cat((h.max(-1)[0], h.mean(-1)), 1))


class NeuralSpline(nn.Module):
    """A flow with a log determinant, an actnorm and an invertible 1x1 convolution (Glow, arXiv 1807.03039)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.loc, self.log_scale = nn.Parameter(torch.zeros(1, 4)), nn.Parameter(torch.zeros(1, 4))
        self.weight = nn.Parameter(torch.linalg.qr(torch.randn(4, 4))[0])
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4)
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        z = (x + self.loc) * self.log_scale.exp()
        logdet = self.log_scale.sum() + torch.slogdet(self.weight)[1]
        z = z @ self.weight
        a, b = z.chunk(2, 1)
        log_s, t = self.net(a).chunk(2, 1)
        s = torch.sigmoid(log_s + 2)
        z = torch.cat([a, s * b + t], 1)
        return -(-(z**2) / 2 - 0.919).sum(1).mean() - (logdet + torch.log(s).sum(1)).mean()


class LatentODE(nn.Module):
    """An encoder that runs backwards, steps of Runge and Kutta, a decoder."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gru, self.to_z = nn.GRU(3, width, batch_first=True), nn.Linear(width, 2 * width)
        self.f = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width))
        self.dec = nn.Linear(width, 3)

    def forward(self, x: Tensor, dt: float = 0.1) -> tuple[Tensor, Tensor, Tensor]:
        _, h = self.gru(torch.flip(x, [1]))
        mu, logvar = self.to_z(h[-1]).chunk(2, -1)
        z, out = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar), []
        for _ in range(x.shape[1]):
            k1 = self.f(z)
            k2 = self.f(z + dt / 2 * k1)
            k3 = self.f(z + dt / 2 * k2)
            z = z + dt / 6 * (k1 + 2 * k2 + 2 * k3 + self.f(z + dt * k3))
            out.append(self.dec(z))
        return torch.stack(out, 1), mu, logvar

"""Reinforcement learning, recommenders, speech, pictures and generative models, in plain torch."""

# Models are written as people write them, without casts for a type checker.
# pyright: reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

# ruff: noqa: E731

from __future__ import annotations

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, Normal


class PPO(nn.Module):
    """CleanRL's agent: log probability, entropy and value."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.critic = nn.Sequential(
            nn.Linear(6, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )
        self.actor = nn.Sequential(
            nn.Linear(6, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 4)
        )

    def forward(self, x: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        probs = Categorical(logits=self.actor(x))
        return probs.log_prob(action), probs.entropy(), self.critic(x)


class SAC(nn.Module):
    """A squashed Gaussian with clamped standard deviations."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc_mean, self.fc_logstd = (
            nn.Linear(6, width),
            nn.Linear(width, width),
            nn.Linear(width, 2),
            nn.Linear(width, 2),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.fc2(F.relu(self.fc1(x))))
        mean, log_std = self.fc_mean(x), torch.tanh(self.fc_logstd(x))
        normal = Normal(mean, (-5 + 0.5 * 7 * (log_std + 1)).exp())
        x_t = normal.rsample()
        y = torch.tanh(x_t)
        return y, (normal.log_prob(x_t) - torch.log(1 - y.pow(2) + 1e-6)).sum(1, keepdim=True)


class QRDQN(nn.Module):
    """Quantiles of returns with a Huber loss of all pairs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3 * 5)
        )

    def forward(self, x: Tensor, action: Tensor, target: Tensor) -> Tensor:
        q = self.net(x).view(-1, 3, 5)
        q = q.gather(1, action.view(-1, 1, 1).expand(-1, 1, 5)).squeeze(1)
        u = target[:, None, :] - q[:, :, None]
        huber = torch.where(u.abs() <= 1, 0.5 * u**2, u.abs() - 0.5)
        tau = (torch.arange(5) + 0.5) / 5
        return ((tau[None, :, None] - (u.detach() < 0).float()).abs() * huber).sum(1).mean()


class NoisyNet(nn.Module):
    """Factored Gaussian noise on weights (Rainbow)."""

    class NoisyLinear(nn.Module):
        def __init__(self, i: int, o: int) -> None:
            super().__init__()
            self.i, self.o = i, o
            self.weight_mu, self.weight_sigma = (
                nn.Parameter(torch.empty(o, i).uniform_(-1 / i**0.5, 1 / i**0.5)),
                nn.Parameter(torch.full((o, i), 0.5 / i**0.5)),
            )
            self.bias_mu, self.bias_sigma = nn.Parameter(torch.zeros(o)), nn.Parameter(torch.full((o,), 0.5 / i**0.5))

        def forward(self, x: Tensor) -> Tensor:
            f = lambda n: (e := torch.randn(n)).sign() * e.abs().sqrt()
            a, b = f(self.i), f(self.o)
            return F.linear(
                x, self.weight_mu + self.weight_sigma * torch.outer(b, a), self.bias_mu + self.bias_sigma * b
            )

    def __init__(self, width: int) -> None:
        super().__init__()
        self.l1, self.l2, self.l3 = nn.Linear(8, width), self.NoisyLinear(width, width), self.NoisyLinear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.l3(F.relu(self.l2(F.relu(self.l1(x)))))


class RSSM(nn.Module):
    """Dreamer's world model: a GRU with categorical states and straight-through gradients (arXiv 2010.02193)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.encoder, self.pre, self.cell = nn.Linear(7, width), nn.Linear(4 * 4 + 2, width), nn.GRUCell(width, width)
        self.prior, self.posterior = (
            nn.Sequential(nn.Linear(width, width), nn.ELU(), nn.Linear(width, 16)),
            nn.Sequential(nn.Linear(2 * width, width), nn.ELU(), nn.Linear(width, 16)),
        )
        self.decoder = nn.Sequential(nn.Linear(width + 16, width), nn.ELU(), nn.Linear(width, 7))

    def forward(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        h, z, recon, kl = torch.zeros(obs.shape[0], self.width), torch.zeros(obs.shape[0], 16), [], 0
        for t in range(obs.shape[1]):
            h = self.cell(F.elu(self.pre(torch.cat([z, action[:, t]], -1))), h)
            e = self.encoder(obs[:, t])
            post = self.posterior(torch.cat([h, e], -1)).view(-1, 4, 4).softmax(-1)
            prior = self.prior(h).view(-1, 4, 4).softmax(-1)
            hard = F.one_hot(post.argmax(-1), 4).float()
            z = (hard + post - post.detach()).flatten(1)
            recon.append(self.decoder(torch.cat([h, z], -1)))
            kl = kl + (post * (post.log() - prior.log())).sum((1, 2)).mean()
        return torch.stack(recon, 1), kl


class GaussianPolicy(nn.Module):
    """An independent normal with an orthogonal start."""

    def __init__(self, width: int) -> None:
        super().__init__()

        def init(layer: nn.Linear, gain: float = 2**0.5) -> nn.Linear:
            nn.init.orthogonal_(layer.weight, gain)
            nn.init.constant_(layer.bias, 0.0)
            return layer

        self.body = nn.Sequential(init(nn.Linear(6, width)), nn.Tanh(), init(nn.Linear(width, width)), nn.Tanh())
        self.mu, self.log_std = init(nn.Linear(width, 2), 0.01), nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        return Independent(Normal(self.mu(self.body(x)), self.log_std.exp()), 1).log_prob(a).mean()


class FactorisationMachine(nn.Module):
    """DeepFM (arXiv 1703.04247)."""

    def __init__(self, width: int, fields: int = 4) -> None:
        super().__init__()
        self.v, self.w, self.b = nn.Embedding(40, width), nn.Embedding(40, 1), nn.Parameter(torch.zeros(1))
        self.deep = nn.Sequential(nn.Linear(fields * width, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 1))

    def forward(self, ids: Tensor) -> Tensor:
        e = self.v(ids)
        fm = 0.5 * (e.sum(1).pow(2) - e.pow(2).sum(1)).sum(1, keepdim=True)
        return torch.sigmoid(self.w(ids).sum(1) + self.b + fm + self.deep(e.flatten(1))).squeeze(1)


class AutoInt(nn.Module):
    """Attention over fields (arXiv 1810.11921)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(40, 8)
        self.W_Query, self.W_key, self.W_Value, self.W_Res = (
            nn.Parameter(torch.randn(8, width) * 0.05) for _ in range(4)
        )
        self.dense = nn.Linear(4 * width, 1, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        q, k, v = (torch.tensordot(x, w, dims=([-1], [0])) for w in (self.W_Query, self.W_key, self.W_Value))
        q, k, v = (torch.stack(torch.split(z, z.shape[-1] // 2, dim=2)) for z in (q, k, v))
        score = torch.softmax(torch.einsum("bnik,bnjk->bnij", q, k), dim=-1)
        out = torch.cat(torch.split(torch.matmul(score, v), 1), dim=-1).squeeze(0)
        return self.dense(F.relu(out + torch.tensordot(x, self.W_Res, dims=([-1], [0]))).flatten(1))


class DIN(nn.Module):
    """Attention of a candidate to a history, masked (arXiv 1706.06978)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.item = nn.Embedding(50, width, padding_idx=0)
        self.att = nn.Sequential(nn.Linear(4 * width, width), nn.PReLU(), nn.Linear(width, 1))
        self.fc = nn.Sequential(nn.Linear(2 * width, width), nn.PReLU(width), nn.Linear(width, 1))

    def forward(self, history: Tensor, candidate: Tensor) -> Tensor:
        h, c = self.item(history), self.item(candidate)
        c2 = c[:, None].expand_as(h)
        w = self.att(torch.cat([c2, h, c2 - h, c2 * h], -1)).squeeze(-1)
        w = torch.where(history != 0, w, torch.full_like(w, -(2.0**32) + 1)).softmax(-1)
        return self.fc(torch.cat([(w.unsqueeze(1) @ h).squeeze(1), c], -1))


class SASRec(nn.Module):
    """Next items with positive and negative ones by dot products (arXiv 1808.09781)."""

    def __init__(self, width: int, blocks: int = 2) -> None:
        super().__init__()
        self.item_emb, self.pos_emb = nn.Embedding(31, width, padding_idx=0), nn.Embedding(10, width)
        self.attention_layernorms, self.attention_layers = nn.ModuleList(), nn.ModuleList()
        self.forward_layernorms, self.forward_layers = nn.ModuleList(), nn.ModuleList()
        self.last_layernorm = nn.LayerNorm(width, eps=1e-8)
        for _ in range(blocks):
            self.attention_layernorms.append(nn.LayerNorm(width, eps=1e-8))
            self.attention_layers.append(nn.MultiheadAttention(width, 1, 0.1))
            self.forward_layernorms.append(nn.LayerNorm(width, eps=1e-8))
            self.forward_layers.append(nn.Sequential(nn.Conv1d(width, width, 1), nn.ReLU(), nn.Conv1d(width, width, 1)))

    def forward(self, log: Tensor, pos: Tensor, neg: Tensor) -> tuple[Tensor, Tensor]:
        seqs = self.item_emb(log) * self.item_emb.embedding_dim**0.5
        seqs = seqs + self.pos_emb(torch.arange(log.shape[1]).expand_as(log))
        seqs = seqs * (log != 0).unsqueeze(-1)
        mask = ~torch.tril(torch.ones(log.shape[1], log.shape[1], dtype=torch.bool))
        for k in range(len(self.attention_layers)):
            seqs = torch.transpose(seqs, 0, 1)
            q = self.attention_layernorms[k](seqs)
            seqs = torch.transpose(q + self.attention_layers[k](q, seqs, seqs, attn_mask=mask)[0], 0, 1)
            seqs = self.forward_layernorms[k](seqs)
            seqs = seqs + self.forward_layers[k](seqs.transpose(-1, -2)).transpose(-1, -2)
        feats = self.last_layernorm(seqs)
        return (feats * self.item_emb(pos)).sum(dim=-1), (feats * self.item_emb(neg)).sum(dim=-1)


class LightGCN(nn.Module):
    """Means of neighbours, no weights but tables (arXiv 2002.02126)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(5, width), nn.Embedding(6, width)
        nn.init.normal_(self.users.weight, std=0.1)
        nn.init.normal_(self.items.weight, std=0.1)

    def forward(self, adjacency: Tensor, user: Tensor, item: Tensor) -> Tensor:
        every = torch.cat([self.users.weight, self.items.weight])
        out = [every]
        for _ in range(2):
            every = adjacency @ every
            out.append(every)
        u, i = torch.split(torch.mean(torch.stack(out, 1), 1), [5, 6])
        return torch.mul(u[user], i[item]).sum(1)


class TwoTower(nn.Module):
    """Contrastive towers with a temperature, in-batch negatives."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, width))
        self.b = nn.Sequential(nn.Linear(7, width), nn.ReLU(), nn.Linear(width, width))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        a, b = self.a(x), self.b(y)
        a, b = a / a.norm(dim=-1, keepdim=True), b / b.norm(dim=-1, keepdim=True)
        logits = self.logit_scale.exp() * a @ b.t()
        labels = torch.arange(len(logits))
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.t(), labels)) / 2


class Conformer(nn.Module):
    """Half steps of a perceptron around attention and a convolution with a gate (arXiv 2005.08100)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sub = nn.Sequential(nn.Conv1d(20, width, 3, 2, 1), nn.ReLU())
        ff = lambda: nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width)
        )
        self.ff1, self.ff2, self.an, self.att = (
            ff(),
            ff(),
            nn.LayerNorm(width),
            nn.MultiheadAttention(width, 4, batch_first=True),
        )
        self.cn, self.pw1, self.dw, self.bn, self.pw2 = (
            nn.LayerNorm(width),
            nn.Conv1d(width, 2 * width, 1),
            nn.Conv1d(width, width, 5, padding=2, groups=width),
            nn.BatchNorm1d(width),
            nn.Conv1d(width, width, 1),
        )
        self.norm, self.ctc = nn.LayerNorm(width), nn.Linear(width, 11)

    def forward(self, x: Tensor) -> Tensor:
        x = self.sub(x.transpose(1, 2)).transpose(1, 2)
        x = x + 0.5 * self.ff1(x)
        h = self.an(x)
        x = x + self.att(h, h, h, need_weights=False)[0]
        h = F.glu(self.pw1(self.cn(x).transpose(1, 2)), dim=1)
        x = x + self.pw2(F.silu(self.bn(self.dw(h)))).transpose(1, 2)
        x = self.norm(x + 0.5 * self.ff2(x))
        return self.ctc(x).log_softmax(-1)


class ListenAttendSpell(nn.Module):
    """A pyramid of LSTMs and a decoder with location-aware additive attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enc, self.embed = nn.LSTM(10, width // 2, bidirectional=True, batch_first=True), nn.Embedding(12, width)
        self.cell, self.loc = nn.LSTMCell(2 * width, width), nn.Conv1d(1, 4, 3, padding=1)
        self.wq, self.wk, self.wl, self.v, self.out = (
            nn.Linear(width, width),
            nn.Linear(width, width),
            nn.Linear(4, width),
            nn.Linear(width, 1),
            nn.Linear(2 * width, 12),
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        memory, _ = self.enc(x)
        b, t, width = memory.shape
        h = c = memory.new_zeros(b, width)
        context, align, logits = memory.new_zeros(b, width), memory.new_zeros(b, t), []
        for i in range(y.shape[1]):
            h, c = self.cell(torch.cat([self.embed(y[:, i]), context], 1), (h, c))
            e = self.v(
                torch.tanh(
                    self.wq(h).unsqueeze(1) + self.wk(memory) + self.wl(self.loc(align.unsqueeze(1)).transpose(1, 2))
                )
            ).squeeze(2)
            align = F.softmax(e, dim=1)
            context = torch.bmm(align.unsqueeze(1), memory).squeeze(1)
            logits.append(self.out(torch.cat([h, context], 1)))
        return torch.stack(logits, 1)


class VectorQuantised(nn.Module):
    """An autoencoder with a codebook and straight-through gradients (arXiv 1711.00937)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enc = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
        )
        self.codebook = nn.Embedding(16, width)
        self.codebook.weight.data.uniform_(-1 / 16, 1 / 16)
        self.dec = nn.Sequential(
            nn.ConvTranspose2d(width, width, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(width, 3, 4, 2, 1)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.enc(x).permute(0, 2, 3, 1)
        flat = z.reshape(-1, z.shape[-1])
        w = self.codebook.weight
        d = (flat**2).sum(1, keepdim=True) + (w**2).sum(1) - 2 * flat @ w.t()
        q = self.codebook(d.argmin(1)).view(z.shape)
        loss = F.mse_loss(q.detach(), z) * 0.25 + F.mse_loss(q, z.detach())
        q = z + (q - z).detach()
        return self.dec(q.permute(0, 3, 1, 2)), loss


class DDPM(nn.Module):
    """A small denoiser with sinusoids of time, the loss inside (arXiv 2006.11239)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))
        self.inc, self.mid, self.out = (
            nn.Conv2d(3, width, 3, padding=1),
            nn.Conv2d(width, width, 3, padding=1),
            nn.Conv2d(width, 3, 3, padding=1),
        )
        self.n1, self.n2 = nn.GroupNorm(8, width), nn.GroupNorm(8, width)
        betas = torch.linspace(1e-4, 0.02, 100)
        self.register_buffer("alpha_bar", torch.cumprod(1 - betas, 0))

    def forward(self, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        a = self.alpha_bar[t].view(-1, 1, 1, 1)
        h = self.inc(a.sqrt() * x + (1 - a).sqrt() * noise)
        half = self.width // 2
        freqs = torch.exp(-math.log(10000) * torch.arange(half) / (half - 1))
        angle = t[:, None].float() * freqs[None]
        e = self.time(torch.cat([angle.sin(), angle.cos()], -1))
        h = h + self.mid(F.silu(self.n1(h)) + e[:, :, None, None])
        return F.mse_loss(self.out(F.silu(self.n2(h))), noise)


class StyleGenerator(nn.Module):
    """Mapping network, modulated and demodulated convolutions with noise (arXiv 1912.04958)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.mapping = nn.Sequential(
            nn.Linear(16, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)
        )
        self.const, self.weight = (
            nn.Parameter(torch.randn(1, width, 4, 4)),
            nn.Parameter(torch.randn(1, width, width, 3, 3)),
        )
        self.affine, self.noise, self.rgb = (
            nn.Linear(width, width),
            nn.Parameter(torch.zeros(1)),
            nn.Conv2d(width, 3, 1),
        )

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt())
        b, c = z.shape[0], self.width
        style = self.affine(w).view(b, 1, c, 1, 1) + 1
        weight = self.weight / math.sqrt(c * 9) * style
        weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4], keepdim=True) + 1e-8)
        x = self.const.expand(b, -1, -1, -1).reshape(1, b * c, 4, 4)
        x = F.conv2d(x, weight.view(b * c, c, 3, 3), padding=1, groups=b).view(b, c, 4, 4)
        return self.rgb(F.leaky_relu(x + self.noise * torch.randn(b, 1, 4, 4), 0.2))


class MaskedAutoencoder(nn.Module):
    """Shuffled and cut tokens, mask tokens put back by gather (arXiv 2111.06377)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patch, self.cls, self.pos = (
            nn.Conv2d(3, width, 4, 4),
            nn.Parameter(torch.zeros(1, 1, width)),
            nn.Parameter(torch.randn(1, 16, width) * 0.02),
        )
        self.enc = nn.TransformerEncoderLayer(width, 4, 2 * width, batch_first=True, norm_first=True)
        self.dec_embed, self.mask_token, self.dec_pos = (
            nn.Linear(width, width // 2),
            nn.Parameter(torch.zeros(1, 1, width // 2)),
            nn.Parameter(torch.randn(1, 17, width // 2)),
        )
        self.dec, self.pred = (
            nn.TransformerEncoderLayer(width // 2, 4, width, batch_first=True, norm_first=True),
            nn.Linear(width // 2, 48),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.patch(x).flatten(2).transpose(1, 2) + self.pos
        b, n, c = h.shape
        order = torch.argsort(torch.rand(b, n), dim=1)
        restore, keep = torch.argsort(order, dim=1), order[:, :4]
        h = torch.gather(h, 1, keep.unsqueeze(-1).repeat(1, 1, c))
        h = self.dec_embed(self.enc(torch.cat((self.cls.expand(b, -1, -1), h), 1)))
        masks = self.mask_token.repeat(b, n - 4, 1)
        full = torch.cat([h[:, 1:], masks], 1)
        full = torch.gather(full, 1, restore.unsqueeze(-1).repeat(1, 1, h.shape[2]))
        return self.pred(self.dec(torch.cat([h[:, :1], full], 1) + self.dec_pos))[:, 1:]


class Inception(nn.Module):
    """Branches joined over channels, an auxiliary head while it trains."""

    def __init__(self, width: int) -> None:
        super().__init__()
        conv = lambda i, o, k: nn.Sequential(
            nn.Conv2d(i, o, k, padding=k // 2, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True)
        )
        self.stem, self.b1, self.b2 = (
            conv(3, width, 3),
            conv(width, width // 2, 1),
            nn.Sequential(conv(width, width // 2, 1), conv(width // 2, width, 3)),
        )
        self.b3, self.b4 = (
            nn.Sequential(conv(width, width // 4, 1), conv(width // 4, width // 2, 5)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(width, width // 2, 1)),
        )
        self.fc, self.aux = nn.Linear(5 * width // 2, 6), nn.Linear(5 * width // 2, 6)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.stem(x)
        x = torch.cat([self.b1(x), self.b2(x), self.b3(x), self.b4(x)], 1)
        x = F.adaptive_avg_pool2d(x, (1, 1)).flatten(1)
        return (self.fc(x), self.aux(x)) if self.training else self.fc(x)


class ShuffleMobile(nn.Module):
    """Channels shuffled between groups, inverted residuals with squeeze and excitation and hard swish."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.g1, self.dw, self.g2 = (
            nn.Conv2d(3, width, 3, 2, 1),
            nn.Conv2d(width, width, 1, groups=4),
            nn.Conv2d(width, width, 3, padding=1, groups=width),
            nn.Conv2d(width, width, 1, groups=4),
        )
        self.bn = nn.ModuleList([nn.BatchNorm2d(width) for _ in range(3)])
        self.expand, self.dw2, self.project = (
            nn.Conv2d(width, 4 * width, 1),
            nn.Conv2d(4 * width, 4 * width, 5, padding=2, groups=4 * width),
            nn.Conv2d(4 * width, width, 1),
        )
        self.se1, self.se2 = nn.Conv2d(4 * width, width, 1), nn.Conv2d(width, 4 * width, 1)
        self.classifier = nn.Sequential(OrderedDict(drop=nn.Dropout(0.2), fc=nn.Linear(width, 5)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn[0](self.stem(x)))
        b, c, h, w = x.shape
        y = F.relu(self.g1(x)).view(b, 4, c // 4, h, w).transpose(1, 2).contiguous().view(b, c, h, w)
        x = x + self.g2(self.bn[1](self.dw(y)))
        y = F.hardswish(self.dw2(F.hardswish(self.expand(x))))
        s = F.hardsigmoid(self.se2(F.relu(self.se1(F.adaptive_avg_pool2d(y, 1)))))
        x = x + self.bn[2](self.project(y * s))
        return self.classifier(x.mean([-2, -1]))


class MixerForecast(nn.Module):
    """TSMixer with reversible instance norm (arXiv 2303.06053)."""

    def __init__(self, width: int, time: int = 8, channels: int = 3) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.temporal, self.norm = nn.Linear(time, time), nn.LayerNorm([time, channels])
        self.f1, self.f2, self.head = nn.Linear(channels, width), nn.Linear(width, channels), nn.Linear(time, 4)

    def forward(self, x: Tensor) -> Tensor:
        mean, std = x.mean(1, keepdim=True).detach(), torch.sqrt(x.var(1, keepdim=True, unbiased=False) + 1e-5).detach()
        x = (x - mean) / std * self.gain + self.shift
        x = x + F.relu(self.temporal(x.transpose(1, 2))).transpose(1, 2)
        x = x + self.f2(F.dropout(F.relu(self.f1(self.norm(x))), 0.1, self.training))
        y = self.head(x.transpose(1, 2)).transpose(1, 2)
        return (y - self.shift) / (self.gain + 1e-10) * std + mean


class NBeats(nn.Module):
    """Blocks that subtract what they explain (arXiv 1905.10437)."""

    def __init__(self, width: int, blocks: int = 3) -> None:
        super().__init__()
        self.stacks = nn.ModuleList()
        for _ in range(blocks):
            self.stacks.append(nn.ModuleDict({
                "fc": nn.Sequential(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()),
                "theta_b": nn.Linear(width, 4, bias=False), "theta_f": nn.Linear(width, 4, bias=False),
                "back": nn.Linear(4, 10), "fore": nn.Linear(4, 5),
            }))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        forecast = torch.zeros(x.shape[0], 5)
        for block in self.stacks:
            h = block["fc"](x)
            x = x - block["back"](block["theta_b"](h))
            forecast = forecast + block["fore"](block["theta_f"](h))
        return forecast

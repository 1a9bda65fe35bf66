"""Attention and what takes its place, written after the papers in plain torch."""

# Models are written as people write them, without casts for a type checker.
# pyright: reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenFormer(nn.Module):
    """Every linear map is attention over learnt tokens (arXiv 2410.23168)."""

    class Pattention(nn.Module):
        def __init__(self, inputs: int, outputs: int, count: int) -> None:
            super().__init__()
            self.key_param_tokens = nn.Parameter(torch.randn(count, inputs) * 0.02)
            self.value_param_tokens = nn.Parameter(torch.randn(count, outputs) * 0.02)

        def forward(self, x: Tensor) -> Tensor:
            weights = x @ self.key_param_tokens.transpose(0, 1)
            weights = F.gelu(weights / weights.norm(dim=-1, keepdim=True) * math.sqrt(weights.shape[-1]))
            return weights @ self.value_param_tokens

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(32, width), nn.Linear(width, 32, bias=False)
        self.layers = nn.ModuleList()
        for _ in range(depth):
            parts = {name: self.Pattention(width, width, width) for name in ("query", "key", "value", "proj")}
            parts |= {"norm1": nn.LayerNorm(width), "norm2": nn.LayerNorm(width)}
            self.layers.append(nn.ModuleDict({**parts, "ffn": self.Pattention(width, width, 4 * width)}))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            h = layer["norm1"](x)
            q, k, v = (layer[n](h).unflatten(-1, (4, -1)).transpose(1, 2) for n in ("query", "key", "value"))
            h = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
            x = x + layer["proj"](h)
            x = x + layer["ffn"](layer["norm2"](x))
        return self.head(self.norm(x))


class ProductKeyMemory(nn.Module):
    """A memory read by the best of products of sub-keys (arXiv 1907.05242)."""

    def __init__(self, width: int, keys: int = 8, knn: int = 4, heads: int = 2) -> None:
        super().__init__()
        self.keys_n, self.knn, self.heads, self.half = keys, knn, heads, width // 2
        self.first, self.query_proj = nn.Linear(16, width), nn.Linear(width, heads * width)
        self.keys = nn.Parameter(torch.randn(heads, 2, keys, self.half) / self.half**0.5)
        self.values = nn.EmbeddingBag(keys**2, width, mode="sum")
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, 8)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        q = self.query_proj(self.norm(h)).view(-1, self.heads, 2, self.half)
        scores = torch.einsum("bhcd,hckd->bhck", q, self.keys)
        (s1, s2), (i1, i2) = (t.unbind(2) for t in scores.topk(self.knn, dim=-1))
        both = (s1[..., :, None] + s2[..., None, :]).flatten(-2)
        index = (i1[..., :, None] * self.keys_n + i2[..., None, :]).flatten(-2)
        best, place = both.topk(self.knn, dim=-1)
        index = index.gather(-1, place)
        weights = best.softmax(-1)
        out = self.values(index.flatten(1), per_sample_weights=weights.flatten(1))
        return self.last(h + out)


class LightningLinear(nn.Module):
    """Linear attention with a decay per head, in its parallel form (RetNet, arXiv 2307.08621)."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.dim = heads, width // heads
        self.embed, self.norm = nn.Embedding(32, width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.g, self.o = (nn.Linear(width, width, bias=False) for _ in range(5))
        self.group, self.head = nn.GroupNorm(heads, width), nn.Linear(width, 32)
        self.register_buffer("decay", torch.log(1 - 2 ** (-5 - torch.arange(heads, dtype=torch.float))))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        b, t, c = x.shape
        h = self.norm(x)
        q, k, v = (f(h).view(b, t, self.heads, self.dim).transpose(1, 2) for f in (self.q, self.k, self.v))
        k = k * self.dim**-0.5
        index = torch.arange(t)
        gap = (index[:, None] - index[None]).clamp(min=0)
        mask = torch.exp(gap * self.decay[:, None, None]).tril()
        out = ((q @ k.transpose(-1, -2)) * mask) @ v
        out = self.group(out.transpose(1, 2).reshape(b * t, c)).view(b, t, c)
        return self.head(x + self.o(F.silu(self.g(h)) * out))


class MultiHeadLatent(nn.Module):
    """Keys and values through a latent vector, written out (arXiv 2405.04434)."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.d, self.rope, self.rank = heads, width // heads, 8, width // 2
        self.embed, self.norm = nn.Embedding(32, width), nn.RMSNorm(width)
        self.q, self.down = (
            nn.Linear(width, heads * (self.d + 8), bias=False),
            nn.Linear(width, self.rank + 8, bias=False),
        )
        self.kv_norm, self.up = nn.RMSNorm(self.rank), nn.Linear(self.rank, heads * 2 * self.d, bias=False)
        self.o, self.head = nn.Linear(width, width, bias=False), nn.Linear(width, 32, bias=False)

    def rotate(self, x: Tensor) -> Tensor:
        t = torch.arange(x.shape[-2])[:, None] / 10000 ** (torch.arange(0, 8, 2) / 8)
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * t.cos() - b * t.sin(), a * t.sin() + b * t.cos()), -1).flatten(-2)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        b, t, _ = x.shape
        h = self.norm(x)
        q = self.q(h).view(b, t, self.heads, self.d + 8).transpose(1, 2)
        q, q_rope = q.split([self.d, 8], -1)
        latent, k_rope = self.down(h).split([self.rank, 8], -1)
        k, v = self.up(self.kv_norm(latent)).view(b, t, self.heads, 2 * self.d).transpose(1, 2).chunk(2, -1)
        k_rope = self.rotate(k_rope)[:, None].expand(-1, self.heads, -1, -1)
        scores = torch.cat((q, self.rotate(q_rope)), -1) @ torch.cat((k, k_rope), -1).transpose(-1, -2)
        scores = scores * (self.d + 8) ** -0.5
        scores = scores.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), float("-inf"))
        return self.head(x + self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, -1)))


class TalkingHeads(nn.Module):
    """Heads are mixed in front of and behind the softmax (arXiv 2003.02436)."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.first, self.qkv, self.out, self.last = (
            nn.Linear(16, width),
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
            nn.Linear(width, 8),
        )
        self.proj_l, self.proj_w, self.norm = nn.Linear(heads, heads), nn.Linear(heads, heads), nn.LayerNorm(width)
        self.gamma = nn.Parameter(1e-4 * torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        b, n, c = h.shape
        qkv = self.qkv(self.norm(h)).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0] * self.scale, qkv[1], qkv[2]
        a = self.proj_l((q @ k.transpose(-2, -1)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).softmax(-1)
        a = self.proj_w(a.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.last(h + self.gamma * self.out((a @ v).transpose(1, 2).reshape(b, n, c)))


class GatedUnit(nn.Module):
    """The gated attention unit, with squared ReLU and scales and offsets of one projection (arXiv 2202.10447)."""

    def __init__(self, width: int, s: int = 16) -> None:
        super().__init__()
        self.e, self.s = 2 * width, s
        self.first, self.last, self.norm = nn.Linear(16, width), nn.Linear(width, 8), nn.LayerNorm(width)
        self.uv, self.o = nn.Linear(width, 2 * self.e + s), nn.Linear(self.e, width)
        self.gamma, self.beta = nn.Parameter(torch.randn(2, s) * 0.02), nn.Parameter(torch.zeros(2, s))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        u, v, base = F.silu(self.uv(self.norm(h))).split([self.e, self.e, self.s], dim=-1)
        q, k = (base.unsqueeze(2) * self.gamma + self.beta).unbind(dim=2)
        kernel = F.relu(q @ k.transpose(-1, -2) / h.shape[1]).square()
        return self.last(h + self.o(u * (kernel @ v)))


class MultiQuery(nn.Module):
    """One key and value for all heads, sinks, and a cap on the scores (Gemma 2; PaLM's parallel block)."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.heads, self.d = 4, width // 4
        self.embed = nn.Embedding(32, width)
        self.blocks = nn.ModuleList()
        for _ in range(depth):
            fused = nn.Linear(width, width + 2 * self.d + 8 * width, bias=False)
            outs = {"attn_out": nn.Linear(width, width, bias=False), "ff_out": nn.Linear(4 * width, width, bias=False)}
            self.blocks.append(nn.ModuleDict({"norm": nn.LayerNorm(width), "fused": fused, **outs}))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        b, t, c = x.shape
        for block in self.blocks:
            q, k, v, ff = block["fused"](block["norm"](x)).split((c, self.d, self.d, 8 * c), -1)
            q = q.view(b, t, self.heads, self.d).transpose(1, 2) * self.d**-0.5
            sim = torch.einsum("b h i d, b j d -> b h i j", q, k)
            sim = 30 * torch.tanh(sim / 30)
            sim = sim.masked_fill(torch.ones((t, t), dtype=torch.bool).triu(1), -torch.finfo(sim.dtype).max)
            out = torch.einsum("b h i j, b j d -> b h i d", sim.softmax(-1), v).transpose(1, 2).reshape(b, t, c)
            a, gate = ff.chunk(2, -1)
            x = x + block["attn_out"](out) + block["ff_out"](F.silu(gate) * a)
        return self.norm(x) @ self.embed.weight.t()


class Perceiver(nn.Module):
    """Latents read the inputs, one block of weights again and again (arXiv 2103.03206)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(6, width) * 0.02)
        self.cross, self.self_attn = (
            nn.MultiheadAttention(width, 1, kdim=16, vdim=16, batch_first=True),
            nn.MultiheadAttention(width, 4, batch_first=True),
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.logits = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 5))

    def forward(self, x: Tensor) -> Tensor:
        z = self.latents.unsqueeze(0).expand(x.shape[0], -1, -1)
        for _ in range(2):
            z = z + self.cross(self.norms[0](z), x, x, need_weights=False)[0]
            h = self.norms[1](z)
            z = z + self.self_attn(h, h, h, need_weights=False)[0]
            z = z + self.mlp(self.norms[2](z))
        return self.logits(z.mean(dim=1))


class Hopfield(nn.Module):
    """A modern Hopfield network: a few updates of the state with a learnt inverse temperature (arXiv 2008.02217)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.patterns = nn.Linear(10, width), nn.Parameter(torch.randn(12, width))
        self.norm, self.log_beta, self.read = nn.LayerNorm(width), nn.Parameter(torch.zeros(())), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        state = self.norm(self.embed(x))
        for _ in range(3):
            scores = self.log_beta.exp() * (state @ F.normalize(self.patterns, dim=-1).t())
            state = self.norm(F.softmax(scores, dim=-1) @ self.patterns)
        return self.read(state)


class LinFormer(nn.Module):
    """Keys and values projected along time (arXiv 2006.04768)."""

    def __init__(self, width: int, time: int = 9, k: int = 4) -> None:
        super().__init__()
        self.first, self.to_q, self.to_kv = (
            nn.Linear(16, width),
            nn.Linear(width, width, bias=False),
            nn.Linear(width, 2 * width, bias=False),
        )
        self.proj_k, self.proj_v = nn.Parameter(torch.empty(time, k)), nn.Parameter(torch.empty(time, k))
        for each in (self.proj_k, self.proj_v):
            nn.init.uniform_(each, -1 / math.sqrt(k), 1 / math.sqrt(k))
        self.out, self.last = nn.Linear(width, width), nn.Linear(width, 8)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        b, n, c = h.shape
        q, (k, v) = self.to_q(h), self.to_kv(h).chunk(2, dim=-1)
        k, v = torch.einsum("bnd,nk->bkd", k, self.proj_k), torch.einsum("bnd,nk->bkd", v, self.proj_v)
        q, k, v = (each.reshape(b, -1, 4, c // 4).transpose(1, 2) for each in (q, k, v))
        a = (torch.einsum("bhnd,bhkd->bhnk", q, k) * (c // 4) ** -0.5).softmax(dim=-1)
        return self.last(h + self.out(torch.einsum("bhnk,bhkd->bhnd", a, v).transpose(1, 2).reshape(b, n, c)))


class Synthesizer(nn.Module):
    """Weights of attention from a perceptron of the token alone, and one random one (arXiv 2005.00743)."""

    def __init__(self, width: int, time: int = 9) -> None:
        super().__init__()
        self.first, self.w1, self.w2 = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, time)
        self.random, self.value, self.last = (
            nn.Parameter(torch.randn(time, time)),
            nn.Linear(width, width),
            nn.Linear(width, 8),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        dense = self.w2(F.relu(self.w1(h)))
        return self.last(h + F.softmax(dense + self.random, -1) @ self.value(h))


class RelativePositions(nn.Module):
    """Learnt relative positions at the scores, by the product with queries (Music Transformer, arXiv 1809.04281)."""

    def __init__(self, width: int, time: int = 9) -> None:
        super().__init__()
        self.h, self.d = 4, width // 4
        self.first, self.q, self.k, self.v = nn.Linear(16, width), *(nn.Linear(width, width) for _ in range(3))
        self.Er, self.out, self.last = (
            nn.Parameter(torch.randn(time, self.d)),
            nn.Linear(width, width),
            nn.Linear(width, 8),
        )

    def forward(self, x: Tensor) -> Tensor:
        e = self.first(x)
        b, t, c = e.shape
        q, k, v = (f(e).reshape(b, t, self.h, self.d).transpose(1, 2) for f in (self.q, self.k, self.v))
        rel = F.pad(torch.matmul(q, self.Er.transpose(0, 1)), (1, 0)).reshape(b, self.h, t + 1, t)[:, :, 1:]
        scores = (torch.matmul(q, k.transpose(-2, -1)) + rel) / math.sqrt(self.d)
        scores = scores.masked_fill(torch.tril(torch.ones(t, t)) == 0, float("-inf"))
        return self.last(e + self.out((F.softmax(scores, -1) @ v).transpose(1, 2).flatten(2)))

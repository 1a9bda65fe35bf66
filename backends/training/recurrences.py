"""The recurrences that stand for loops over time while a module is traced, to be run.

Tracing knows them in `scalerules.tracing.exporting.library_kernels`. Here they are plain loops in any precision, which
autograd goes through: what is verified is short.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def selective_scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """`y_t = sum_n C h_t`, `h_t = exp(dt A) h_{t-1} + dt B u` (Gu and Dao 2023): [b, c, t], [c, n], [b, n, t]."""
    state, outputs = torch.zeros_like(u[:, :, :1] * A), list[Tensor]()
    for t in range(u.shape[-1]):
        step = dt[:, :, t, None]
        state = torch.exp(step * A) * state + step * B[:, None, :, t] * u[:, :, t, None]
        outputs.append((state * C[:, None, :, t]).sum(-1))
    return torch.stack(outputs, -1)


def head_scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """That with one decay per head (Dao and Gu 2024): x [b, t, h, p], dt [b, t, h], A [h], B and C [b, t, g, n]."""
    copies = x.shape[2] // B.shape[2]
    B, C = (shared.repeat_interleave(copies, 2) for shared in (B, C))
    state, outputs = x.new_zeros(x.shape[0], *x.shape[2:], B.shape[-1]), list[Tensor]()
    for t in range(x.shape[1]):
        decay = torch.exp(dt[:, t] * A)[..., None, None]
        state = decay * state + (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, :, None]
        outputs.append((state * C[:, t, :, None]).sum(-1))
    return torch.stack(outputs, 1)


def delta_rule(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor) -> Tensor:
    """`S = exp(g) S (1 - beta k k^T) + beta v k^T`, `y = S q` (Yang et al. 2024): [b, t, h, k], v [b, t, h, v]."""
    g = g[..., None] if g.ndim == beta.ndim else g
    state, outputs = v.new_zeros(*k[:, 0].shape, v.shape[-1]), list[Tensor]()
    for t in range(q.shape[1]):
        state = state * torch.exp(g[:, t])[..., None]
        recalled = (state * k[:, t, ..., None]).sum(-2)
        state = state + k[:, t, ..., None] * ((v[:, t] - recalled) * beta[:, t, :, None])[..., None, :]
        outputs.append((state * q[:, t, ..., None]).sum(-2))
    return torch.stack(outputs, 1)


def wkv(decay: Tensor, first: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Average of v over time, weights `exp(k - exp(decay) distance)`, now `exp(first + k)` (Peng et al. 2023)."""
    outputs: list[Tensor] = []
    for t in range(k.shape[1]):
        distance = torch.arange(t - 1, -1, -1, dtype=k.dtype, device=k.device)[:, None]
        logs = torch.cat([k[:, :t] - torch.exp(decay) * distance, (first + k[:, t])[:, None]], 1)
        outputs.append((torch.softmax(logs, 1) * v[:, : t + 1]).sum(1))
    return torch.stack(outputs, 1)


def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Matrix memory with exponential gates (Beck et al. 2024, equations 19 to 27): [b, h, t, k], gates [b, h, t].

    Its output, and the last states C, n, m.
    """
    memory, total = v.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1]), torch.zeros_like(k[:, :, 0])
    largest, outputs = torch.zeros_like(i[:, :, :1]), list[Tensor]()
    for t in range(q.shape[2]):
        forget, write = functional.logsigmoid(f[:, :, t, None]) + largest, i[:, :, t, None]
        largest = torch.maximum(forget, write)
        forget, write = torch.exp(forget - largest), torch.exp(write - largest)
        memory = forget[..., None] * memory + write[..., None] * k[:, :, t, :, None] * v[:, :, t, None]
        total = forget * total + write * k[:, :, t]
        read = (total * q[:, :, t]).sum(-1, keepdim=True).abs()
        outputs.append((memory * q[:, :, t, :, None]).sum(-2) / (torch.maximum(read, torch.exp(-largest)) + 1e-6))
    return torch.stack(outputs, 2), memory, total, largest


TABLE: dict[str, Callable[..., Any]] = {
    "selective_scan": selective_scan,
    "head_scan": head_scan,
    "delta_rule": delta_rule,
    "wkv": wkv,
    "mlstm": mlstm,
}
"""By the name of the operation in `scalerules::`."""

"""The selective scan as a loop of torch operations over the steps: what runs where the compiled kernels do not.

It is differentiable as often as wanted and keeps every state for that, so its memory grows with the length; on the CPU
it is the reference that the kernels are tested against (see docs/scan.md for how much slower it is).
"""

from __future__ import annotations

import torch
from torch import Tensor


def scan_by_steps(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, start: Tensor, discretisation: str
) -> tuple[Tensor, Tensor]:
    """(y, last state) of `h_t = decay h_{t-1} + weight B_t u_t`, `y_t = C_t h_t + D u_t` (twice the real part).

    Shapes: u, dt, y (batch, dim, length); A (dim, state); B, C (dim, state) or (batch, groups, state, length); D
    (dim,); states (batch, dim, state). All on one device, whichever.
    """
    dim = u.shape[1]
    h, outputs = start, []
    for t, (now, step) in enumerate(zip(u.unbind(-1), dt.unbind(-1), strict=True)):
        decay, weight = discretised(step[..., None], A, discretisation)
        h = decay * h + weight * _at(B, t, dim) * now[..., None]
        read = (_at(C, t, dim) * h).sum(-1)
        outputs.append(2 * read.real if read.is_complex() else read)
    return torch.stack(outputs, -1) + D[:, None] * u, h


def discretised(step: Tensor, A: Tensor, discretisation: str) -> tuple[Tensor, Tensor]:
    """Decay and weight of one step of length `step`; the limit `step` where the zero-order hold divides by A = 0."""
    if discretisation == "bilinear":
        below = 1 - step * A / 2
        return (1 + step * A / 2) / below, step / below
    decay = torch.exp(step * A)
    if discretisation == "euler":
        return decay, step
    still = A == 0
    rate = torch.where(still, torch.ones_like(A), A)
    grown = decay - 1 if A.is_complex() else torch.expm1(step * rate)
    return decay, torch.where(still, step.to(A.dtype), grown / rate)


def _at(projection: Tensor, t: int, dim: int) -> Tensor:
    """B or C at one step: (dim, state), or (batch, dim, state)."""
    if projection.ndim == 2:
        return projection
    return projection[..., t].repeat_interleave(dim // projection.shape[1], 1)

"""The kernels as functions that torch differentiates once: one for real states, one for complex ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from . import kernels
from .arguments import DoubleBackwardError, ScanError
from .threads import empty, run

SMALLEST_RATE = 1e-20  # stands for A = 0 where the zero-order hold divides by A


class _Refusal(torch.autograd.Function):
    """Passes the first `count` tensors on, and refuses to be differentiated by any of them."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.clone() for tensor in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        raise DoubleBackwardError


def _differentiable_once(gradients: tuple[Tensor, ...], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The gradients; where a graph of them is asked for, one that ends in an error."""
    if not torch.is_grad_enabled():
        return gradients
    return _Refusal.apply(len(gradients), *gradients, *inputs)


# --- real A ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Blocks:
    """How channels are cut into blocks of lanes, the last block of each group padded with zeros."""

    dim: int
    groups: int
    width: int

    @property
    def channels(self) -> int:
        return self.dim // self.groups

    @property
    def per_group(self) -> int:
        return -(-self.channels // self.width)

    @property
    def count(self) -> int:
        return self.groups * self.per_group

    @property
    def tiles(self) -> int:
        """Tiles in one group."""
        return -(-self.per_group // kernels.TILE)

    def cut(self, tensor: Tensor) -> Tensor:
        """(..., dim, state) to (..., blocks, state, lanes)."""
        *front, _, states = tensor.shape
        grouped = tensor.reshape(*front, self.groups, self.channels, states)
        padded = functional.pad(grouped, (0, 0, 0, self.per_group * self.width - self.channels))
        return padded.reshape(*front, self.count, self.width, states).transpose(-1, -2).contiguous()

    def join(self, tensor: Tensor) -> Tensor:
        """(..., blocks, state, lanes) to (..., dim, state)."""
        *front, _, states, _ = tensor.shape
        padded = tensor.transpose(-1, -2).reshape(*front, self.groups, self.per_group * self.width, states)
        return padded[..., : self.channels, :].reshape(*front, self.dim, states)


class RealScan(torch.autograd.Function):
    """(u, dt, A, B, C, D, first state, method, keep) to (y, last state), A real and (dim, state)."""

    @staticmethod
    def forward(ctx: Any, u, dt, A, B, C, D, first_state, method: int, keep: bool):
        ctx.method, ctx.blocks = method, Blocks(u.shape[1], _groups(B, C), kernels.LANE_BYTES // u.element_size())
        inputs = (u, dt, A, B, C, D, first_state)
        lengths, (u, dt, A, B, C, D, start) = RealScan.laid_out(ctx, inputs)
        y, last_state = empty(u), empty(start)
        chunks = -(-u.shape[2] // kernels.CHUNK) if keep else 0
        marks = empty(u, *start.shape[:2], chunks, *start.shape[2:])
        kernel = kernels.forward(method, B.ndim == 3, C.ndim == 3)
        tasks, work = start.shape[0] * start.shape[1], u.numel() * A.shape[1]
        run(kernel, tasks, work, lengths, _flat(u), _flat(dt), A, B, C, D, start, _flat(y), marks, last_state)
        ctx.save_for_backward(*inputs, marks)
        return y, ctx.blocks.join(last_state)

    @staticmethod
    def backward(ctx: Any, dy: Tensor, dlast: Tensor):
        *inputs, marks = ctx.saved_tensors
        blocks: Blocks = ctx.blocks
        lengths, (u, dt, A, B, C, D, _) = RealScan.laid_out(ctx, inputs)
        batch, _, length = u.shape
        fixed_b, fixed_c = B.ndim == 3, C.ndim == 3
        up, dlast = dy.detach().contiguous(), blocks.cut(dlast.detach())
        du, ddt, dfirst = empty(u), empty(u), empty(dlast)
        dA, dD = torch.zeros_like(dlast), u.new_zeros(batch, blocks.count, blocks.width)
        shared = (batch, blocks.groups, blocks.tiles, A.shape[1], length)
        dB = torch.zeros_like(dlast) if fixed_b else empty(u, *shared).zero_()
        dC = torch.zeros_like(dlast) if fixed_c else empty(u, *shared).zero_()
        kernel = kernels.backward(ctx.method, fixed_b, fixed_c)
        tasks, work = batch * blocks.groups * blocks.tiles, 2 * u.numel() * A.shape[1]
        given = (lengths, _flat(u), _flat(dt), A, B, C, D, marks, _flat(up), dlast)
        to_b, to_c = dB if fixed_b else _flat(dB), dC if fixed_c else _flat(dC)
        run(kernel, tasks, work, *given, _flat(du), _flat(ddt), dA, to_b, to_c, dD, dfirst)
        gradients = (
            du,
            ddt,
            blocks.join(dA.sum(0)),
            blocks.join(dB.sum(0)) if fixed_b else dB.sum(2),
            blocks.join(dC.sum(0)) if fixed_c else dC.sum(2),
            blocks.join(dD.sum(0)[:, None])[:, 0],
            blocks.join(dfirst),
        )
        return *_differentiable_once(gradients, (*inputs, dy)), None, None

    @staticmethod
    def laid_out(ctx: Any, inputs: Sequence[Tensor]) -> tuple[tuple[int, int, int], list[Tensor]]:
        """(dim, groups, length), and the inputs as the kernels take them."""
        blocks: Blocks = ctx.blocks
        u, dt, A, B, C, D, start = (x.detach() for x in inputs)
        A = blocks.cut(A)
        if ctx.method == kernels.ZOH:
            A = torch.where(A.abs() < SMALLEST_RATE, SMALLEST_RATE, A)
        B, C = (blocks.cut(x) if x.ndim == 2 else x.contiguous() for x in (B, C))
        D = blocks.cut(D[:, None])[:, 0]
        lengths = (blocks.dim, blocks.groups, u.shape[2])
        return lengths, [u.contiguous(), dt.contiguous(), A, B, C, D, blocks.cut(start)]


def _groups(B: Tensor, C: Tensor) -> int:
    """The groups of B and C together."""
    groups = {x.shape[1] for x in (B, C) if x.ndim == 4} or {1}
    if len(groups) > 1:
        raise ScanError("C", f"has {C.shape[1]} groups and B has {B.shape[1]}", "give both the same number")
    return groups.pop()


def _flat(tensor: Tensor) -> Tensor:
    return tensor.view(-1)


# --- complex A ---------------------------------------------------------------------------------------


class ComplexScan(torch.autograd.Function):
    """The scan of `RealScan` for complex A, B, C and states; not vectorised."""

    @staticmethod
    def forward(ctx: Any, u, dt, A, B, C, D, first_state, method: int, keep: bool):
        inputs = (u, dt, A, B, C, D, first_state)
        ctx.method, ctx.groups = method, _groups(B, C)
        u, dt, A, B, C, D, start = ComplexScan.laid_out(inputs)
        batch, dim, length = u.shape
        y, last_state = empty(u), empty(start)
        marks = empty(start, batch, dim, -(-length // kernels.CHUNK) if keep else 0, A.shape[1])
        wide = [_spread(x, batch, dim, ctx.groups, length) for x in (B, C)]
        work = 20 * u.numel() * A.shape[1]
        run(kernels.complex_forward, batch * dim, work, method, u, dt, A, *wide, D, start, y, marks, last_state)
        ctx.save_for_backward(*inputs, marks)
        return y, last_state

    @staticmethod
    def backward(ctx: Any, dy: Tensor, dlast: Tensor):
        *inputs, marks = ctx.saved_tensors
        u, dt, A, B, C, D, _ = ComplexScan.laid_out(inputs)
        batch, dim, length = u.shape
        up, dlast = ComplexScan.laid_out((dy, dlast))
        du, ddt, dfirst = empty(u), empty(u), empty(dlast)
        dA, dD = torch.zeros_like(dlast), u.new_zeros(batch, dim)
        dB, dC = (x.new_zeros(batch, *x.shape) if x.ndim == 2 else torch.zeros_like(x) for x in (B, C))
        wide = [_spread(x, batch, dim, ctx.groups, length) for x in (B, C, dB, dC)]
        tasks, work = batch * ctx.groups, 40 * u.numel() * A.shape[1]
        given = (ctx.method, u, dt, A, *wide[:2], D, marks, up, dlast)
        run(kernels.complex_backward, tasks, work, *given, du, ddt, dA, *wide[2:], dD, dfirst)
        dB, dC = (g.sum(0) if x.ndim == 2 else g for g, x in ((dB, B), (dC, C)))
        gradients = (du, ddt, dA.sum(0), dB, dC, dD.sum(0), dfirst)
        return *_differentiable_once(gradients, (*inputs, dy)), None, None

    @staticmethod
    def laid_out(tensors: Sequence[Tensor]) -> list[Tensor]:
        """The tensors as the kernels take them."""
        return [x.detach().resolve_conj().contiguous() for x in tensors]


def _spread(tensor: Tensor, batch: int, dim: int, groups: int, length: int) -> Tensor:
    """B, C or their gradients as one full array (batch, groups, channels, state, length).

    They are (dim, state), (batch, dim, state) or (batch, groups, state, length); shared axes get stride 0,
    so that writing to the result adds up in the right place.
    """
    channels = dim // groups
    if tensor.ndim == 4:
        return tensor[:, :, None].expand(-1, -1, channels, -1, -1)
    grouped = tensor.unflatten(-2, (groups, channels))[..., None]
    return grouped.expand(batch, groups, channels, tensor.shape[-1], length)

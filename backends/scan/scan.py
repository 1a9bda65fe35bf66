"""The selective scan: the reference for every state-space model here.

`selective_scan` (or `selective_scan_fn`) takes the arguments of mamba_ssm's function and is differentiable once; the
loops are compiled by numba, in `kernels.py`. Nothing of size batch x length x channels x state is
ever stored: the state is kept every 32 steps and the rest is recomputed in the backward pass. That is on the CPU; on
any other device a loop of torch operations runs instead (`by_steps.py`).

Sources: Mamba (Gu and Dao 2023, arXiv 2312.00752), S4D (arXiv 2206.11893), LRU (arXiv 2303.06349),
Mamba-2 (arXiv 2405.21060).
"""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba.core import event
from torch import Tensor
from torch.nn import functional

from scalerules.errors import ScaleRulesError

from . import kernels
from .by_steps import scan_by_steps

DISCRETISATIONS = {"euler": kernels.EULER, "zoh": kernels.ZOH, "bilinear": kernels.BILINEAR}
SMALLEST_RATE = 1e-20  # stands for A = 0 where the zero-order hold divides by A
VECTORS = 64  # entries: a multiple of what torch's vectorised loops take at once
THREADED_FROM = 2e6  # states times steps that one thread needs about 2 ms for


class ScanError(ScaleRulesError, ValueError):
    """An argument of the scan that cannot be used: which one, what is wrong, what would do."""

    def __init__(self, argument: str, problem: str, remedy: str):
        super().__init__(f"{argument} {problem}", where="selective_scan", hint=remedy)
        self.argument, self.problem, self.remedy = argument, problem, remedy


class ScanTypeError(ScanError, TypeError):
    """An argument of the wrong kind: dtype, device, name of a discretisation."""


class DoubleBackwardError(ScaleRulesError, RuntimeError):
    """The gradient of the scan was itself differentiated."""

    def __init__(self) -> None:
        super().__init__(
            "its gradient cannot be differentiated again",
            where="selective_scan",
            hint="for second derivatives use a loop of torch operations over the steps",
        )


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    *,
    discretisation: str = "euler",
    initial_state: Tensor | None = None,
    check: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """y, or (y, last_state): h_t = decay h_{t-1} + weight B_t u_t, y_t = C_t h_t + D u_t, times silu(z_t).

    With dt = softplus(delta + delta_bias), or without softplus, (decay, weight) is, by discretisation:
    "euler" (mamba_ssm's) exp(dt A), dt; "zoh" exp(dt A), (exp(dt A) - 1) / A; "bilinear"
    (1 + dt A / 2) / (1 - dt A / 2), dt / (1 - dt A / 2). For complex A, y_t is 2 Re(C_t h_t) + D u_t,
    as in mamba_ssm and S4D: halve C where no conjugate half is meant (LRU).

    Shapes: u, z (batch, dim, length); delta the same, or (batch, heads, length); A (dim, state),
    (heads, state), (heads, 1), (heads,) or a number (Mamba-2), real or complex; B, C (dim, state),
    (batch, state, length) or (batch, groups, state, length), for complex A complex, real, or real with
    2 length numbers (Re, Im) as in mamba_ssm; D, delta_bias (dim,) or (heads,); initial_state,
    last_state (batch, dim, state). A head is dim / heads channels in a row.

    y has u's dtype. last_state has the dtype of the computation (float32 or more, complex as A), carries
    gradient, and given as the next call's initial_state continues the scan exactly. Results do not
    depend on the number of threads. With `check`, and within `torch.autograd.set_detect_anomaly(True)`, NaN and
    infinity in an argument are errors.

    Raises ScanError (a ValueError) for shapes and numbers, ScanTypeError (a TypeError) for dtypes, and
    DoubleBackwardError where the gradient is differentiated.
    """
    named = dict(u=u, delta=delta, A=A, B=B, C=C, D=D, z=z, delta_bias=delta_bias, initial_state=initial_state)
    tensors = {name: tensor for name, tensor in named.items() if tensor is not None}
    _check_kinds(tensors, discretisation)
    if check or torch.is_anomaly_enabled():
        _check_finite(tensors)
    lengths = _lengths(u, A, B)
    _check_shapes(tensors, lengths)
    real = _compute_dtype(u, delta, A)
    kept = real.to_complex() if A.is_complex() else real

    dt = delta.to(real) if delta_bias is None else delta.to(real) + delta_bias.to(real)[:, None]
    if delta_softplus:
        dt = _entrywise(functional.softplus, dt)
    dt = _by_channel(dt, lengths.dim, 1)
    rates = _rates(A.to(kept), lengths)
    inputs, outputs = _projection(B, kept, lengths), _projection(C, kept, lengths)
    skip = u.new_zeros(lengths.dim, dtype=real) if D is None else _by_channel(D.to(real), lengths.dim, 0)
    shape = (lengths.batch, lengths.dim, lengths.states)
    start = u.new_zeros(shape, dtype=kept) if initial_state is None else initial_state.to(kept)

    run = _compiled if u.device.type == "cpu" else scan_by_steps
    y, last_state = run(u.to(real), dt, rates, inputs, outputs, skip, start, discretisation)
    if z is not None:
        y = y * _entrywise(functional.silu, z.to(real))
    y = y.to(u.dtype)
    return (y, last_state) if return_last_state else y


def _compiled(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, start: Tensor, discretisation: str
) -> tuple[Tensor, Tensor]:
    """(y, last state) by the kernels: what `scan_by_steps` gives."""
    states, scan = A.shape[1], ComplexScan if A.is_complex() else RealScan
    if scan is RealScan and states % 2:  # the kernels take states by twos: one more, without effect
        A, start = functional.pad(A, (0, 1)), functional.pad(start, (0, 1))
        B, C = _one_state_more(B), _one_state_more(C)
    arguments = (u, dt, A, B, C, D, start)
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in arguments)
    y, last_state = scan.apply(*arguments, DISCRETISATIONS[discretisation], keep)
    return y, last_state[..., :states]


selective_scan_fn = selective_scan
"""The name under which mamba_ssm has it (`mamba_ssm.ops.selective_scan_interface`)."""


# --- arguments ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lengths:
    """The lengths of one scan."""

    batch: int
    dim: int
    length: int
    states: int


def _lengths(u: Tensor, A: Tensor, B: Tensor) -> Lengths:
    if u.ndim != 3 or 0 in u.shape:
        raise ScanError("u", f"has shape {tuple(u.shape)}", "it is (batch, dim, length), none of them 0")
    if B.ndim not in (2, 3, 4):
        raise ScanError("B", f"has shape {tuple(B.shape)}", _PROJECTION)
    states = B.shape[-1] if B.ndim == 2 else B.shape[-2]
    if A.ndim == 2 and A.shape[1] not in (1, states):
        raise ScanError("A", f"has {A.shape[1]} states and B has {states}", "give both the same number, or A one")
    batch, dim, length = u.shape
    return Lengths(batch, dim, length, states)


_PROJECTION = "it is (dim, state), (batch, state, length) or (batch, groups, state, length)"


def _check_kinds(tensors: dict[str, Tensor], discretisation: str) -> None:
    if discretisation not in DISCRETISATIONS:
        names = ", ".join(DISCRETISATIONS)
        raise ScanTypeError("discretisation", f"is {discretisation!r}", f"it is one of {names}")
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ScanTypeError(name, f"is a {type(tensor).__name__}", "give a torch.Tensor")
        device = tensors["u"].device
        if tensor.device != device:
            raise ScanTypeError(name, f"is on {tensor.device}", f"u is on {device}: give all on one device")
        if tensor.is_complex():
            allowed = name == "A" or (tensors["A"].is_complex() and name in ("B", "C", "initial_state"))
        else:
            allowed = tensor.is_floating_point()
        if not allowed:
            remedy = "give floating point (complex only for A, and with it for B, C and initial_state)"
            raise ScanTypeError(name, f"is {tensor.dtype}", remedy)


def _check_finite(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        finite = torch.isfinite(tensor)
        if not finite.all():
            where = tuple((~finite).nonzero()[0].tolist())
            bad = int((~finite).sum())
            raise ScanError(
                name, f"is not finite in {bad} of {tensor.numel()} places, first at {where}", "see what made it"
            )


def _check_shapes(tensors: dict[str, Tensor], lengths: Lengths) -> None:
    batch, dim, length, states = lengths.batch, lengths.dim, lengths.length, lengths.states
    twice = (length, 2 * length) if tensors["A"].is_complex() else (length,)

    def require(name: str, good: bool, form: str) -> None:
        if not good:
            shape = tuple(tensors[name].shape)
            raise ScanError(name, f"has shape {shape}", f"with u {(batch, dim, length)} it is {form}")

    def heads(count: int) -> bool:
        return count > 0 and dim % count == 0

    for name, tensor in tensors.items():
        shape = tuple(tensor.shape)
        if name == "delta":
            good = len(shape) == 3 and shape[0] == batch and heads(shape[1]) and shape[2] == length
            require(name, good, "(batch, dim, length), or with heads that divide dim")
        elif name == "A":
            good = len(shape) < 3 and (not shape or heads(shape[0]))
            require(name, good, "(dim, state), (heads, state), (heads, 1), (heads,) or a number")
        elif name in ("B", "C"):
            good = shape == (dim, states)
            if len(shape) in (3, 4):
                good = shape[0] == batch and shape[-2] == states and shape[-1] in twice
                good = good and (len(shape) == 3 or heads(shape[1]))
            require(name, good, f"with {states} states, and {_PROJECTION[6:]}, groups dividing dim")
        elif name == "D":
            require(name, len(shape) == 1 and heads(shape[0]), "(dim,) or (heads,)")
        elif name == "delta_bias":
            require(name, shape == tensors["delta"].shape[1:2], f"{tuple(tensors['delta'].shape[1:2])}")
        elif name == "z":
            require(name, shape == (batch, dim, length), "the same")
        elif name == "initial_state":
            require(name, shape == (batch, dim, states), f"{(batch, dim, states)}")


def _compute_dtype(*tensors: Tensor) -> torch.dtype:
    double = any(tensor.dtype in (torch.float64, torch.complex128) for tensor in tensors)
    return torch.float64 if double else torch.float32


def _entrywise(function: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    """function(tensor), bit for bit the same for an entry wherever it stands and whatever the number of threads.

    Torch's vectorised code and its code for what is left over differ in the last bit; this gives it whole vectors only.
    """
    short = -tensor.numel() % (VECTORS * torch.get_num_threads())
    flat = functional.pad(tensor.flatten(), (0, short)) if short else tensor.flatten()
    return function(flat)[: tensor.numel()].view(tensor.shape)


def _by_channel(tensor: Tensor, dim: int, axis: int) -> Tensor:
    """One entry for each channel instead of each head, along `axis`."""
    heads = tensor.shape[axis]
    return tensor if heads == dim else tensor.repeat_interleave(dim // heads, axis)


def _rates(A: Tensor, lengths: Lengths) -> Tensor:
    """A as (dim, state)."""
    by_head = A.reshape(-1, 1) if A.ndim < 2 else A
    return _by_channel(by_head, lengths.dim, 0).expand(lengths.dim, lengths.states)


def _projection(tensor: Tensor, dtype: torch.dtype, lengths: Lengths) -> Tensor:
    """B or C as (dim, state) or (batch, groups, state, length), complex numbers put together."""
    if tensor.ndim > 2 and dtype.is_complex and not tensor.is_complex() and tensor.shape[-1] != lengths.length:
        pairs = tensor.to(torch.float32 if dtype == torch.complex64 else torch.float64)
        tensor = torch.view_as_complex(pairs.unflatten(-1, (lengths.length, 2)).contiguous())
    tensor = tensor.to(dtype)
    return tensor[:, None] if tensor.ndim == 3 else tensor


def _one_state_more(projection: Tensor) -> Tensor:
    return functional.pad(projection, (0, 1) if projection.ndim == 2 else (0, 0, 0, 1))


# --- running compiled code ---------------------------------------------------------------------------


class _Announcement(event.Listener):
    """Says once in a process that numba compiles; it is not called where the disk cache has the code."""

    said = False

    def on_start(self, event: Any) -> None:
        if not self.said:
            print("scalerules: compiling the selective scan (once; it is kept on disk) ...", file=sys.stderr)
            _Announcement.said = True

    def on_end(self, event: Any) -> None:
        pass


@contextmanager
def _announced():
    listener = _Announcement()
    event.register("numba:compile", listener)
    try:
        yield
    finally:
        event.unregister("numba:compile", listener)


def _run(kernel: Callable[..., None], tasks: int, work: float, *arguments: Any) -> None:
    """Call kernel(begin, end, *arguments) over all tasks, on threads of our own where it is worth it.

    numba's own threads are not used: a second OpenMP beside torch's stalls both.
    """
    values = [a.numpy() if isinstance(a, Tensor) else a for a in arguments]
    threads = min(torch.get_num_threads(), tasks) if work > THREADED_FROM else 1
    with _announced():
        if threads == 1:
            kernel(0, tasks, *values)
            return
        pieces = min(tasks, 4 * threads)
        edges = [tasks * i // pieces for i in range(pieces + 1)]
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(lambda begin, end: kernel(begin, end, *values), edges[:-1], edges[1:]):
                pass


def _empty(like: Tensor, *shape: int) -> Tensor:
    """Memory from numpy, which asks for huge pages where torch does not: page faults cost more than the scan."""
    return torch.from_numpy(np.empty(shape or tuple(like.shape), like.new_empty(0).numpy().dtype))


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
        y, last_state = _empty(u), _empty(start)
        chunks = -(-u.shape[2] // kernels.CHUNK) if keep else 0
        marks = _empty(u, *start.shape[:2], chunks, *start.shape[2:])
        kernel = kernels.forward(method, B.ndim == 3, C.ndim == 3)
        tasks, work = start.shape[0] * start.shape[1], u.numel() * A.shape[1]
        _run(kernel, tasks, work, lengths, _flat(u), _flat(dt), A, B, C, D, start, _flat(y), marks, last_state)
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
        du, ddt, dfirst = _empty(u), _empty(u), _empty(dlast)
        dA, dD = torch.zeros_like(dlast), u.new_zeros(batch, blocks.count, blocks.width)
        shared = (batch, blocks.groups, blocks.tiles, A.shape[1], length)
        dB = torch.zeros_like(dlast) if fixed_b else _empty(u, *shared).zero_()
        dC = torch.zeros_like(dlast) if fixed_c else _empty(u, *shared).zero_()
        kernel = kernels.backward(ctx.method, fixed_b, fixed_c)
        tasks, work = batch * blocks.groups * blocks.tiles, 2 * u.numel() * A.shape[1]
        given = (lengths, _flat(u), _flat(dt), A, B, C, D, marks, _flat(up), dlast)
        to_b, to_c = dB if fixed_b else _flat(dB), dC if fixed_c else _flat(dC)
        _run(kernel, tasks, work, *given, _flat(du), _flat(ddt), dA, to_b, to_c, dD, dfirst)
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
        y, last_state = _empty(u), _empty(start)
        marks = _empty(start, batch, dim, -(-length // kernels.CHUNK) if keep else 0, A.shape[1])
        wide = [_spread(x, batch, dim, ctx.groups, length) for x in (B, C)]
        work = 20 * u.numel() * A.shape[1]
        _run(kernels.complex_forward, batch * dim, work, method, u, dt, A, *wide, D, start, y, marks, last_state)
        ctx.save_for_backward(*inputs, marks)
        return y, last_state

    @staticmethod
    def backward(ctx: Any, dy: Tensor, dlast: Tensor):
        *inputs, marks = ctx.saved_tensors
        u, dt, A, B, C, D, _ = ComplexScan.laid_out(inputs)
        batch, dim, length = u.shape
        up, dlast = ComplexScan.laid_out((dy, dlast))
        du, ddt, dfirst = _empty(u), _empty(u), _empty(dlast)
        dA, dD = torch.zeros_like(dlast), u.new_zeros(batch, dim)
        dB, dC = (x.new_zeros(batch, *x.shape) if x.ndim == 2 else torch.zeros_like(x) for x in (B, C))
        wide = [_spread(x, batch, dim, ctx.groups, length) for x in (B, C, dB, dC)]
        tasks, work = batch * ctx.groups, 40 * u.numel() * A.shape[1]
        given = (ctx.method, u, dt, A, *wide[:2], D, marks, up, dlast)
        _run(kernels.complex_backward, tasks, work, *given, du, ddt, dA, *wide[2:], dD, dfirst)
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

"""Every elementary operation in torch: a table from the name of an op to the function that computes it.

The interpreter walks the graph and calls these; a new op of `scalerules.ops` is one entry of `TABLE` here.
Axes go by name: an operand is a tensor whose dimensions are named by `Call.axes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from scalerules.errors import MissingExtra
from scalerules.ops.functions import FUNCTIONS

from .call import Call, last_index
from .einsum import contract

if TYPE_CHECKING:
    pass

TINY = 1e-30
"""Added under the root of a norm: against 0/0 only, so that it is nothing at any size."""


Operation = Callable[[Call], Tensor]


def aligned(tensor: Tensor, axes: Sequence[str], whole: Sequence[str]) -> Tensor:
    """The tensor with a dimension for every axis of `whole`, of length 1 where it has none."""
    if tuple(axes) == tuple(whole):
        return tensor
    position = [last_index(whole, axis) for axis in axes]
    ordered = tensor.permute(sorted(range(len(axes)), key=position.__getitem__))
    shape = [1] * len(whole)
    for length, index in zip(ordered.shape, sorted(position), strict=True):
        shape[index] = length
    return ordered.reshape(shape)


def _einsum(call: Call) -> Tensor:
    if len({x.is_complex() for x in call.operands}) == 2:  # torch multiplies real and complex entry by entry only
        call = replace(call, operands=[x if x.is_complex() else x + 0j for x in call.operands])
    return contract(call.operands, str(call.node.equation))


def _mean(call: Call) -> Tensor:
    return call.operands[0].mean([i for i, axis in enumerate(call.axes[0]) if axis == call.node.axis])


def _add(call: Call) -> Tensor:
    if call.node.equation:
        operands, whole = call.node.labels()
    else:
        operands, whole = call.axes, max(call.axes, key=len)
    terms = [aligned(x, axes, whole) for x, axes in zip(call.operands, operands, strict=True)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _scale(call: Call) -> Tensor:
    return call.operands[0] * call.factor


def _reshape(call: Call) -> Tensor:
    return call.operands[0].reshape([call.length(axis) for axis in call.node.axes or []])


def _concat(call: Call) -> Tensor:
    first, last = call.axes[0], call.axes[-1]
    different = [i for i, (a, b) in enumerate(zip(first, last, strict=True)) if a != b]
    return torch.cat(call.operands, different[0] if different else -1)


def _slice(call: Call) -> Tensor:
    return call.operands[0].narrow(-1, call.offset, call.length(str(call.node.axis)))


def _window(call: Call) -> Tensor:
    taps = call.length(str(call.node.axis))
    padded = functional.pad(call.operands[0], (0, 0, taps - 1, 0))
    return padded.unfold(-2, taps, 1).transpose(-1, -2)


def _shift(call: Call) -> Tensor:
    x, dim = call.operands[0], call.dim
    return torch.cat([torch.zeros_like(x.narrow(dim, 0, 1)), x.narrow(dim, 0, x.shape[dim] - 1)], dim)


def _rms_norm(call: Call) -> Tensor:
    x = call.operands[0]
    return x * torch.rsqrt(x.square().mean(call.dim, keepdim=True) + TINY)


def _layer_norm(call: Call) -> Tensor:
    x = call.operands[0]
    x = x - x.mean(call.dim, keepdim=True)
    return x * torch.rsqrt(x.square().mean(call.dim, keepdim=True) + TINY)


def _softmax(call: Call) -> Tensor:
    x, dim = call.operands[0], call.dim
    if call.node.causal:
        earlier = [i for i, axis in enumerate(call.axes[0]) if axis == call.node.axis and i != dim]
        query = earlier[-1] if earlier else dim - 1
        keys, queries = torch.arange(x.shape[dim]), torch.arange(x.shape[query])
        future = (keys[None, :] > queries[:, None]) if query < dim else (keys[:, None] > queries[None, :])
        shape = [length if i in (dim, query) else 1 for i, length in enumerate(x.shape)]
        x = x.masked_fill(future.reshape(shape), -math.inf)
    return torch.softmax(x, dim)


def _scan(call: Call) -> Tensor:
    """The recurrence by the compiled kernel, or, without `B` and `C`, by a loop over the few steps."""
    if len(call.operands) == 3:
        return _loop(call)
    try:
        from ..scan.scan import selective_scan
    except ModuleNotFoundError as error:
        raise MissingExtra("running a scan", "torch") from error
    u, dt, A, B, C = _by_channel(call)
    y, last = selective_scan(
        u, dt, A, B, C, return_last_state=True, discretisation=str(call.node.discretisation)
    )  # fmt: skip
    if call.scope.forward.look:
        for part, value in zip(SCAN_PARTS, (last, *_scan_parts(call)), strict=True):
            call.scope.values[f"{call.name}.{part}"] = value
    return y.transpose(1, 2).reshape(call.operands[0].shape)


SCAN_PARTS = ("state", "decay", "step", "input")
"""The internal nodes of a scan: the last state (b c s), and decay, step and input at every time (b t c s)."""


def _by_channel(call: Call) -> list[Tensor]:
    """The operands as the kernel takes them: one axis of channels, rates and fixed projections (channel, state)."""
    (when, channels), state = (call.axes[0][:2], call.axes[0][2:]), call.axes[3][-1]
    lengths = [call.length(axis) for axis in channels]
    u, dt, A, *projections = call.operands
    u = u.flatten(2).transpose(1, 2)
    if call.axes[1][:2] != when:
        dt = dt.expand(*call.operands[0].shape[:2], *dt.shape)
    dt = dt.flatten(2).transpose(1, 2)

    def spread(x: Tensor, axes: Sequence[str]) -> Tensor:
        x = aligned(x, axes, (*channels, state))
        return x.expand(*lengths, call.length(state)).reshape(-1, call.length(state))

    fixed = [
        x.transpose(1, 2) if axes[:2] == when else spread(x, axes)
        for x, axes in zip(projections, call.axes[3:], strict=True)
    ]
    return [u, dt, spread(A, call.axes[2]), *fixed]


def _discretised(dt: Tensor, A: Tensor, method: str | None) -> tuple[Tensor, Tensor]:
    """Decay and step."""
    product = dt * A
    if method == "bilinear":
        return (1 + product / 2) / (1 - product / 2), dt / (1 - product / 2)
    step = dt.expand_as(product)
    if method == "zoh":
        step = (torch.exp(product) - 1) / A if A.is_complex() else torch.expm1(product) / A
    return torch.exp(product), step


def _loop(call: Call) -> Tensor:
    """A recurrence whose state has the channels alone; the result is complex where `A` or `u` is."""
    u, dt, A = (aligned(x, axes, call.axes[0]) for x, axes in zip(call.operands, call.axes, strict=True))
    decay, step = _discretised(dt, A, call.node.discretisation)
    driven = step * u
    state, states = torch.zeros_like(driven[:, 0]), list[Tensor]()
    for t in range(u.shape[1]):
        state = decay[:, t if decay.shape[1] > 1 else 0] * state + driven[:, t]
        states.append(state)
    if call.scope.forward.look:
        for part, value in zip(SCAN_PARTS, (state, decay, step, driven), strict=True):
            call.scope.values[f"{call.name}.{part}"] = value.detach()
    return torch.stack(states, 1)


@torch.no_grad()
def _scan_parts(call: Call) -> list[Tensor]:
    """Decay, step and input of `x_t = decay x_{t-1} + input`, `input = step B u`, to be looked at."""
    whole = (*call.axes[0], call.axes[3][-1])
    u, dt, A, B, _ = (aligned(x, axes, whole) for x, axes in zip(call.operands, call.axes, strict=True))
    decay, step = _discretised(dt, A, call.node.discretisation)
    return [decay, step, step * B * u]


def _rfft(call: Call) -> Tensor:
    modes = call.length((call.node.axes or [""])[0])
    return torch.view_as_real(torch.fft.rfft(call.operands[0], dim=call.dim, norm="ortho").narrow(call.dim, 0, modes))


def _irfft(call: Call) -> Tensor:
    points = call.length((call.node.axes or [""])[0])
    return torch.fft.irfft(torch.view_as_complex(call.operands[0].contiguous()), points, dim=call.dim, norm="ortho")


def _top_k(call: Call) -> Tensor:
    scores, (choices, chosen) = call.operands[0], call.node.axes or []
    picked = scores.topk(call.length(choices), dim=-1).indices
    return (picked[..., None] == torch.arange(call.length(chosen), device=scores.device)).to(scores.dtype)


def _rearrange(call: Call) -> Tensor:
    """Axes in another order, merged, split or copied; what is selected along fixed axes is repeated or cut off."""
    (left,), right = call.node.labels()
    lengths = dict(zip(right, [call.length(axis) for axis in call.node.axes or []], strict=True))
    gone = [label for label in left if label not in right]
    kept = [label for label in right if label in left]
    flat = call.operands[0].permute([left.index(label) for label in (*kept, *gone)])
    flat = flat.flatten(len(kept)) if gone else flat
    fresh = [label for label in right if label not in left]
    wanted = math.prod(lengths[label] for label in fresh)
    if gone and flat.shape[-1] != wanted:
        flat = flat[..., torch.arange(wanted, device=flat.device) % flat.shape[-1]]
    elif not gone:
        flat = flat.reshape(*flat.shape[: len(kept)], 1).expand(*flat.shape[: len(kept)], wanted)
    order = [*kept, *fresh]
    whole = flat.reshape([lengths[label] for label in order])
    return whole.permute([order.index(label) for label in right])


def _constant(call: Call) -> Tensor:
    return torch.ones([call.length(axis) for axis in call.node.axes or []], dtype=call.dtype)


def _input(call: Call) -> Tensor:
    return call.scope.values[call.name]


def _residual(call: Call) -> Tensor:
    (stream, branch), (whole, axes) = call.operands, call.axes
    return stream + (branch if axes == whole else aligned(branch, axes, whole))


def written(text: str) -> Callable[[Tensor], Tensor]:
    """The function that a row of the engine's table names, such as `torch.relu({})`."""
    return eval(f"lambda x: {text.format('x', x='x')}", {"torch": torch, "functional": functional})


def _elementwise(function: Callable[[Tensor], Tensor]) -> Operation:
    return lambda call: function(call.operands[0])


TABLE: dict[str, Operation] = {
    "einsum": _einsum,
    "mean": _mean,
    "input": _input,
    "add": _add,
    "residual": _residual,
    "scale": _scale,
    "reshape": _reshape,
    "concat": _concat,
    "slice": _slice,
    "window": _window,
    "shift": _shift,
    "rms_norm": _rms_norm,
    "layer_norm": _layer_norm,
    "softmax": _softmax,
    "scan": _scan,
    "top_k": _top_k,
    "rfft": _rfft,
    "irfft": _irfft,
    "rearrange": _rearrange,
    "constant": _constant,
    "reciprocal": lambda call: call.operands[0].reciprocal(),
    "sqrt": lambda call: call.operands[0].sqrt(),
    "rsqrt": lambda call: call.operands[0].rsqrt(),
    "complex": lambda call: torch.complex(*(call.operands if len(call.operands) == 2 else call.operands[0].unbind(-1))),
    "parts": lambda call: torch.view_as_real(call.operands[0]),
    **{name: _elementwise(written(row.torch)) for name, row in FUNCTIONS.items()},
}
"""What computes each op of `scalerules.ops.OPS`; the tests check that none is missing."""

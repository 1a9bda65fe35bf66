"""The arguments of a scan: what they have to be, and the form in which the kernels take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from scalerules.errors import ScaleRulesError

from . import kernels

DISCRETISATIONS = {"euler": kernels.EULER, "zoh": kernels.ZOH, "bilinear": kernels.BILINEAR}
VECTORS = 64  # entries: a multiple of what torch's vectorised loops take at once


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


@dataclass(frozen=True)
class Lengths:
    """The lengths of one scan."""

    batch: int
    dim: int
    length: int
    states: int


def lengths_of(u: Tensor, A: Tensor, B: Tensor) -> Lengths:
    """The lengths of a scan of these. Raises `ScanError` where they are none."""
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


def check_kinds(tensors: dict[str, Tensor], discretisation: str) -> None:
    """Raises `ScanTypeError` or `ScanError` for what is no tensor of numbers."""
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


def check_finite(tensors: dict[str, Tensor]) -> None:
    """Raises `ScanError` for a number that is not finite."""
    for name, tensor in tensors.items():
        finite = torch.isfinite(tensor)
        if not finite.all():
            where = tuple((~finite).nonzero()[0].tolist())
            bad = int((~finite).sum())
            raise ScanError(
                name, f"is not finite in {bad} of {tensor.numel()} places, first at {where}", "see what made it"
            )


def check_shapes(tensors: dict[str, Tensor], lengths: Lengths) -> None:
    """Raises `ScanError` for shapes that do not fit together."""
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


def compute_dtype(*tensors: Tensor) -> torch.dtype:
    """The precision to compute in."""
    double = any(tensor.dtype in (torch.float64, torch.complex128) for tensor in tensors)
    return torch.float64 if double else torch.float32


def entrywise(function: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    """function(tensor), bit for bit the same for an entry wherever it stands and whatever the number of threads.

    Torch's vectorised code and its code for what is left over differ in the last bit; this gives it whole vectors only.
    """
    short = -tensor.numel() % (VECTORS * torch.get_num_threads())
    flat = functional.pad(tensor.flatten(), (0, short)) if short else tensor.flatten()
    return function(flat)[: tensor.numel()].view(tensor.shape)


def by_channel(tensor: Tensor, dim: int, axis: int) -> Tensor:
    """One entry for each channel instead of each head, along `axis`."""
    heads = tensor.shape[axis]
    return tensor if heads == dim else tensor.repeat_interleave(dim // heads, axis)


def rates_of(A: Tensor, lengths: Lengths) -> Tensor:
    """A as (dim, state)."""
    by_head = A.reshape(-1, 1) if A.ndim < 2 else A
    return by_channel(by_head, lengths.dim, 0).expand(lengths.dim, lengths.states)


def projection(tensor: Tensor, dtype: torch.dtype, lengths: Lengths) -> Tensor:
    """B or C as (dim, state) or (batch, groups, state, length), complex numbers put together."""
    if tensor.ndim > 2 and dtype.is_complex and not tensor.is_complex() and tensor.shape[-1] != lengths.length:
        pairs = tensor.to(torch.float32 if dtype == torch.complex64 else torch.float64)
        tensor = torch.view_as_complex(pairs.unflatten(-1, (lengths.length, 2)).contiguous())
    tensor = tensor.to(dtype)
    return tensor[:, None] if tensor.ndim == 3 else tensor


def one_state_more(projection: Tensor) -> Tensor:
    """A projection with one more state, of zeros."""
    return functional.pad(projection, (0, 1) if projection.ndim == 2 else (0, 0, 0, 1))

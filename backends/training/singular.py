"""Matrices by their singular values: thin decompositions of gradients, whose rank is the number of samples."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

RANK = 32
"""Singular values that are looked for at first; more if there are more."""
CUT = 1e-5
"""Directions below this part of the largest singular value are left out: they are rounding, not gradient."""


def flattened(tensor: Tensor, out: list[int], into: list[int]) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The tensor as matrices (out x in, the other dimensions in front), and the way back."""
    batch = [i for i in range(tensor.ndim) if i not in (*out, *into)]
    moved = tensor.permute(*batch, *out, *into)
    rows, columns = (math.prod(tensor.shape[i] for i in dims) for dims in (out, into))
    order = torch.tensor([*batch, *out, *into]).argsort().tolist()
    return moved.reshape(*moved.shape[: len(batch)], rows, columns), lambda x: x.reshape(moved.shape).permute(order)


def thin(matrix: Tensor, rank: int = RANK) -> tuple[Tensor, Tensor, Tensor]:
    """Singular value decomposition (left, values, right) of what is above rounding; exact, cheap where the rank is low.

    A random image of more dimensions than the rank spans the range; where it does not, more are taken.
    """
    if not bool(matrix.isfinite().all()):  # training diverged: so does the step
        nan = torch.full_like(matrix[..., :1], math.nan)
        return nan, nan[..., 0, :], torch.full_like(matrix[..., :1, :], math.nan)
    if 3 * rank > min(matrix.shape[-2:]):
        return torch.linalg.svd(matrix, full_matrices=False)
    generator = torch.Generator().manual_seed(rank)
    probe = torch.randn(matrix.shape[-1], rank, generator=generator, dtype=matrix.dtype).to(matrix.device)
    basis = torch.linalg.qr(matrix @ probe).Q
    left, values, right = torch.linalg.svd(basis.mT @ matrix, full_matrices=False)
    if bool((values[..., -1] > CUT * values[..., 0]).any()):
        return thin(matrix, 2 * rank)
    return basis @ left, values, right


def kept(values: Tensor) -> Tensor:
    """1 for the singular values that count, else 0."""
    return (values > CUT * values[..., :1]).to(values.dtype)


def orthogonal(tensor: Tensor, out: list[int], into: list[int]) -> Tensor:
    """The nearest semi-orthogonal matrix (out x in, flattened from these dimensions; the others are a batch)."""
    matrix, back = flattened(tensor, out, into)
    left, values, right = thin(matrix)
    return back((left * kept(values)[..., None, :]) @ right)

"""Einsums by name of axis, those of an activation with a matrix as one matrix product.

`torch.einsum` goes through batched products, whose gradient for a matrix lies transposed in memory: every step that
reads matrix and gradient together then costs several times more than the product itself.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

Labels = tuple[str, ...]


def contract(operands: Sequence[Tensor], equation: str) -> Tensor:
    """The einsum of operands whose dimensions are labelled: `"b t n, m n -> b t m"`, labels are words."""
    short, summed, last = _form(equation)
    if summed and operands[0].shape[-summed:].numel() > 1:
        return _product(operands[0], operands[1], summed, last)
    return torch.einsum(short, *operands)


@lru_cache(4096)
def _form(equation: str) -> tuple[str, int, bool]:
    """(The equation in letters, number of axes summed over, whether they come last in the matrix).

    The number is 0 where it is not `x @ w` or `x @ w.T`.
    """
    left, _, right = equation.partition("->")
    parts, result = [tuple(part.split()) for part in left.split(",")], tuple(right.split())
    names = dict.fromkeys(label for part in parts for label in part)
    letters = dict(zip(names, string.ascii_letters, strict=False))
    short = ",".join("".join(letters[label] for label in part) for part in parts)
    summed, last = (_matrix_form(parts[0], parts[1], result) if len(parts) == 2 else None) or (0, False)
    return f"{short}->{''.join(letters[label] for label in result)}", summed, last


def _matrix_form(x: Labels, w: Labels, result: Labels) -> tuple[int, bool] | None:
    """(number of axes summed over, whether they come last in the matrix), if this is `x @ w` or `x @ w.T`."""
    summed = tuple(label for label in x if label in w)
    count = len(summed)
    kept, brought = x[: len(x) - count], tuple(label for label in w if label not in summed)
    plain = len({*x}) == len(x) and len({*w}) == len(w) and result == kept + brought and x[len(kept) :] == summed
    if not plain or not count or not brought or not kept:
        return None
    if w == brought + summed:
        return count, True
    return (count, False) if w == summed + brought else None


def _product(x: Tensor, w: Tensor, summed: int, last: bool) -> Tensor:
    kept, brought = x.shape[: x.ndim - summed], w.ndim - summed
    flat = x.flatten(x.ndim - summed)
    if last:
        product = torch.nn.functional.linear(flat, w.flatten(brought).flatten(0, brought - 1))
        return product.unflatten(-1, w.shape[:brought])
    product = flat @ w.flatten(summed).flatten(0, summed - 1)
    return product.reshape(*kept, *w.shape[summed:])

"""Initial values that are the same at every seed: constants, what counts up, the identity, and other structures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import numpy as np

from scalerules.tracing.record import ORDER, Initial

Array: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"

VARIES = "varies along axis"
"""What is said of fixed entries of no known structure."""


def order(arrays: list[Array]) -> Initial | None:
    """What rows are that hold every place of an axis once, one row for each seed; None if they do not."""
    if any(each.ndim != 1 or each.size < 2 for each in arrays):
        return None
    if not all(np.array_equal(np.sort(each), np.arange(each.size)) for each in arrays):
        return None
    square = math.sqrt(float(np.mean(arrays[0] ** 2)))
    return Initial("structured", square, mean=float(arrays[0].mean()), axes=(0,), note=ORDER)


def unstructured(seen: Initial) -> bool:
    """Whether fixed entries have no known structure."""
    return seen.kind == "structured" and seen.note.startswith(VARIES)


def fixed(array: Array, changed: Mapping[str, tuple[float, list[Array]]]) -> Initial:
    """What entries are that are the same at every seed.

    `changed`: by scale how far its logarithm was moved, and the entries there.
    """
    value = float(array.flat[0])
    if np.allclose(array, value, rtol=1e-6, atol=0.0):
        if value in (0.0, 1.0) and all(np.all(each == value) for _, each in changed.values() for each in each[:1]):
            return Initial("zeros" if value == 0.0 else "ones", value)
        return Initial("constant", value, _powers_of(value, changed), mean=value)
    if (one := _diagonal(array)) is not None:
        return Initial("identity", one, _powers_of(one, changed))
    axes = tuple(axis for axis in range(array.ndim) if not np.allclose(array, np.take(array, [0], axis), rtol=1e-6))
    steps = np.arange(1, array.shape[-1] + 1, dtype=np.float32)
    square = math.sqrt(float(np.mean(array**2)))
    if axes == (array.ndim - 1,):
        for kind, profile in (("range", steps), ("log_range", np.log(steps))):
            if np.allclose(array, profile, rtol=1e-5, atol=1e-6):
                return Initial(cast("Any", kind), square, axes=axes, mean=float(array.mean()))
    note = f"{VARIES} {', '.join(map(str, axes))}"
    return Initial("structured", square, _powers(square, changed), float(array.mean()), axes, note)


def _diagonal(array: Array) -> float | None:
    """The entry of an identity or a permutation, over the first two axes in the middle of all others, if it is one."""
    if array.ndim < 2 or min(array.shape[:2]) < 2:
        return None
    centre = array[(slice(None), slice(None), *(length // 2 for length in array.shape[2:]))]
    there = centre != 0
    entries = centre[there]
    alone = there.sum(0).max() == there.sum(1).max() == 1 and len(entries) == min(centre.shape)
    if not alone or len(entries) != np.count_nonzero(array) or not np.allclose(entries, entries[0], rtol=1e-6):
        return None
    return float(entries[0])


def _powers_of(value: float, changed: Mapping[str, tuple[float, list[Array]]]) -> dict[str, float]:
    """With which powers of the scales the one number varies that entries of an array are."""
    found: dict[str, float] = {}
    for scale, (step, each) in changed.items():
        other = float(np.abs(each[0]).max()) if each else 0.0
        if value and other:
            found[scale] = round(math.log(other / abs(value)) / step, 3)
    return found


def _powers(root: float, changed: Mapping[str, tuple[float, list[Array]]]) -> dict[str, float]:
    """With which powers of the scales the root mean square of fixed entries varies."""
    found: dict[str, float] = {}
    for scale, (step, each) in changed.items():
        other = math.sqrt(float(np.mean(np.square(each[0], dtype=float)))) if each else 0.0
        if root and other:
            found[scale] = simple(math.log(other / root) / step, 0.02)
    return found


def simple(measured: float, error: float) -> float:
    """The nearest multiple of 1/4 if it lies within three standard errors, halves before quarters."""
    for bottom in (2, 4):
        simple = round(measured * bottom) / bottom
        if abs(simple - measured) <= 3 * error + 0.02:
            return simple + 0.0
    return round(measured, 3)

"""Runs of neighbouring entries of a weight that start unlike its others: zeros, fixed numbers, and what is drawn.

Where a weight is read in parts, a part that lies in such a run has the initial value of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from scalerules.tracing.record import Initial, Run

from .fixed_values import Array

Changed = Mapping[str, tuple[float, list[Array]]]
"""By scale how far its logarithm was moved, and the copies of a weight there."""

MOST_RUNS = 16
"""More runs along an axis are a pattern and no parts."""


def unlike_runs(
    arrays: list[Array], changed: Changed, sizes: Mapping[str, int], initial: Callable[[list[Array], Changed], Initial]
) -> tuple[Run, ...]:
    """The runs along every axis of a weight whose copies, with several seeds at `sizes`, are `arrays`.

    `initial` says of copies of a run what the module does to it. Runs of other sizes are those at the same place in
    their order, where there are as many.
    """
    runs: list[Run] = []
    for axis in range(arrays[0].ndim):
        bounds = _bounds(arrays, axis)
        if not 2 <= len(bounds) <= MOST_RUNS:
            continue
        others = {scale: (step, each, _bounds(each, axis)) for scale, (step, each) in changed.items()}
        for place, (start, stop) in enumerate(bounds):
            there = {
                scale: (step, _between(each, axis, *found[place]))
                for scale, (step, each, found) in others.items()
                if len(found) == len(bounds)
            }
            runs.append(Run(axis, start, stop, sizes, initial(_between(arrays, axis, start, stop), there)))
    return tuple(runs)


def _bounds(arrays: Sequence[Array], axis: int) -> list[tuple[int, int]]:
    """Where the runs along an axis start and stop: each of zeros alone, of fixed entries, or of others."""
    if len(arrays) < 2 or any(array.shape != arrays[0].shape for array in arrays):
        return []
    rows = [np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1) for array in arrays]
    drawn = np.any([~np.isclose(rows[0], row, rtol=1e-6, atol=0.0) for row in rows[1:]], axis=(0, 2))
    zeros = np.all([row == 0 for row in rows], axis=(0, 2))
    kinds = np.where(zeros, 0, np.where(drawn, 2, 1))
    starts = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(kinds)], strict=True))


def _between(arrays: Sequence[Array], axis: int, start: int, stop: int) -> list[Array]:
    return [np.take(array, range(start, stop), axis) for array in arrays]

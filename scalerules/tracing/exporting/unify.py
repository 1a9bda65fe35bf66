"""Several traces of one module at different sizes become one, its numbers functions of the scales.

The traces must be isomorphic once their repeated blocks are folded (`isomorphic.py`). What differs then is numbers
only, and `number_laws.py` finds their laws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .fitting import Fitting, Unified
from .isomorphic import same_calls, same_tensors
from .number_laws import Laws
from .skeletons import Skeleton, skeleton
from .traces import Trace


def unify(traces: Sequence[Trace], same_depth: bool = False, spare: int = 1) -> Unified:
    """One description of all traces; `same_depth`: they differ in depth only because copies were left out.

    `spare`: traces beyond those that the unknowns of a law need.

    Raises `NotIsomorphic` with the first call that differs, and at which sizes.
    """
    folded = len({len(trace.steps) for trace in traces}) > 1
    made = [skeleton(trace, folded) for trace in traces]
    laws = Laws([trace.sizes for trace in traces], spare)
    same_calls(made)
    same_tensors(made)
    for columns in _columns(made):
        laws.learn(columns)
    counts = [] if same_depth else _counts(made)
    for column in counts:
        laws.learn(column)
    return Fitting(made, laws, counts).unified()


def _columns(made: list[Skeleton]) -> Iterator[tuple[int, ...]]:
    """All lengths of axes, first those of weights, then of inputs and calls."""
    for number in range(len(made[0].weights)):
        yield from zip(*(each.weight(number).shape for each in made), strict=True)
    for number in range(len(made[0].trace.inputs)):
        yield from zip(*(each.trace.inputs[number].shape for each in made), strict=True)
    for place in range(len(made[0].kept)):
        for shapes in zip(*(each.step(place).shapes for each in made), strict=True):
            yield from zip(*shapes, strict=True)


def _counts(made: list[Skeleton]) -> list[tuple[int, ...]]:
    if len({len(each.repeats) for each in made}) > 1:
        return []
    return [tuple(len(r.copies) for r in repeats) for repeats in zip(*(each.repeats for each in made), strict=True)]

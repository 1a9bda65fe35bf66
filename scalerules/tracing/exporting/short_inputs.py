"""Long inputs of loops over time, cut to a few steps: exporting a loop costs as much as it is long.

The module is exported once on the inputs as they are. If there is a long loop, and inputs with an axis as long as it,
the other exports are made of the first entries along that axis, provided that the computation is the same then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .traces import Trace

LONG = 16
"""Steps from which on a loop is worth another export."""
STEPS = 6
"""So many steps are left."""

Cut = tuple[int, int]
"""An axis of the inputs as it was, and what is left of it."""


def cut_of(trace: Trace) -> Cut | None:
    """How the inputs can be cut; None if there is no long loop, or nothing that is as long as it and no weight."""
    counts = {loop.count for loop in trace.loops if loop.count >= LONG}
    near = {count + more for count in counts for more in range(3)}  # the first or last step may be none of the loop
    lengths = {length for given in trace.inputs for length in given.shape if length in near}
    taken = {length for weight in trace.weights for length in weight.shape} | set(trace.sizes.values())
    return (lengths.pop(), STEPS) if len(lengths) == 1 and not lengths & taken else None


def brief(inputs: Callable[..., Any], cut: Cut | None) -> Callable[..., Any]:
    """The inputs with the first entries only along axes of that length."""
    if cut is None:
        return inputs
    import torch
    from torch.utils import _pytree as pytree

    whole, kept = cut

    def shorter(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            for dim, length in enumerate(leaf.shape):
                leaf = leaf.narrow(dim, 0, kept) if length == whole else leaf
        return leaf

    @functools.wraps(inputs)
    def made(**sizes: int) -> Any:
        return pytree.tree_map(shorter, inputs(**sizes))

    return made


def alike(whole: Trace, short: Trace, cut: Cut) -> bool:
    """Whether two traces compute the same but for the length of the loop."""
    gone = cut[0] - cut[1]
    return [step.target for step in whole.steps] == [step.target for step in short.steps] and [
        loop.count - gone if loop.count >= LONG else loop.count for loop in whole.loops
    ] == [loop.count for loop in short.loops]

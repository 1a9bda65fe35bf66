"""The largest learning rate that is stable at the base size."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError
from scalerules.solution.solution import Solution

from ..trainers import trainer, training

EDGE_STEPS = 6
"""Steps over which the loss must not rise above its start for a learning rate to count as stable."""


EDGE_SEEDS = (0, 1)


OF_THE_EDGE = 0.4
"""The base learning rate, as a part of the largest stable one."""


TURNS = 0.5
"""How much of what normed weights make for norms, or of all values, may be new after some steps at the base size where
no rate is too large: the loss does not rise, and at small sizes they have turned all the way, while wide ones have not.
"""


AT_ONCE = 4
"""Learning rates, each twice the one before, that are tried together."""


@dataclass(frozen=True)
class Rate:
    """The base learning rate, and the stable and the unstable rate that it was placed by (None: it was given).

    `turned`: how often such values were new at that part of the stable one, where it is less.
    """

    value: float
    stable: float | None = None
    unstable: float | None = None
    turned: float | None = None

    def __str__(self) -> str:
        if self.stable is None:
            return f"{self.value:.3g} (given)"
        above = f"{self.unstable:.3g} is not" if self.unstable is not None else "none was found that is not"
        what = "values" if self.unstable is None else "normed weights"
        less = "" if self.turned is None else f", and {TURNS / self.turned:.2g} of that, for {what} to turn less"
        return (
            f"{self.value:.3g} ({OF_THE_EDGE:g} of {self.stable:.3g}, which is stable at the base size; {above}{less})"
        )

    def turning(self, turned: float) -> Rate:
        """The rate at which so much less is new."""
        return self if turned <= TURNS else replace(self, value=self.value * TURNS / turned, turned=turned)


def turns(sizes: Mapping[tuple[str, str, int, str | None], float], nodes: Collection[str], steps: int) -> float:
    """How often the most of what these values have at the start is new after some steps, from the sizes of a run."""
    values = {name: sizes.get(("value", name, 0, None), 0.0) for name in nodes}
    new = {name: [sizes.get(("change", name, step, None), 0.0) for step in range(1, steps + 1)] for name in nodes}
    shares = [size / values[name] for name in nodes if values[name] for size in new[name]]
    return max(filter(math.isfinite, shares), default=0.0)


def stable_rate(graph: Graph, solution: Solution, base: Mapping[str, float], device: str = "cpu") -> Rate:
    """A rate near the largest at which the loss does not rise at the base size, among the powers of two.

    Several rates train at once, and the next ones where the edge is not among them.

    Raises `ScaleRulesError` if there is none above 2^-40.
    """
    measuring, (of, losses, _) = training("measure"), trainer(graph)
    program = of(graph, solution, base, base)

    def stable(powers: Sequence[int]) -> list[bool]:
        trials = [measuring.Trial(2.0**power, EDGE_STEPS, seed) for power in powers for seed in EDGE_SEEDS]
        bad = [rises(history) for history in losses(program, trials, device)]
        return [not any(bad[i : i + len(EDGE_SEEDS)]) for i in range(0, len(bad), len(EDGE_SEEDS))]

    with measuring.one_thread():
        power = edge_of(stable)
    if power is None:
        hint = "give one (lr=)"
        raise ScaleRulesError("no learning rate is stable at the base size", where=f"graph {graph.name!r}", hint=hint)
    return Rate(OF_THE_EDGE * 2.0**power, 2.0**power, 2.0 ** (power + 1) if power < 20 else None)


def edge_of(stable: Any) -> int | None:
    """The power below the first unstable one above a stable one; 20 if there is none, None if nothing is stable."""
    low, high, tried = -6, -6, dict[int, bool]()
    while True:
        asked = list(range(high, high + AT_ONCE)) if low == high or tried[low] else list(range(low - AT_ONCE, low))
        tried |= dict(zip(asked, stable(asked), strict=True))
        low, high = min(tried), max(tried) + 1
        edges = [power for power in tried if tried[power] and tried.get(power + 1) is False]
        if edges:
            return min(edges)
        if not tried[low] and low <= -40:
            return None
        if tried[low] and high > 20:
            return 20


JUMP = 1e-3
"""The part of a loss by which it has to change before its standing still says something."""


def rises(losses: Sequence[float]) -> bool:
    """Whether a loss goes above its start, by more than rounding, is not finite, or got stuck.

    Bounded outputs (a sigmoid) saturate at any rate that is too large: the loss jumps and then stands still.
    """
    jumped = any(abs(loss - losses[0]) > JUMP * abs(losses[0]) for loss in losses)
    stuck = jumped and len(losses) > 3 and len(set(losses[-3:])) == 1
    return stuck or not all(math.isfinite(loss) and loss <= losses[0] * 1.0001 for loss in losses)

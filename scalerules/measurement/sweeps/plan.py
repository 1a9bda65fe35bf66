"""Which runs a sweep still needs, from those that it has: a pure function, so that a sweep goes on where it stopped.

With given rates: all of them. Without: rates a factor of 4 apart with one seed until the lowest is bracketed, then the
grid of sqrt(2) around it with every seed, moved on until the optimum has neighbours on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scalerules.errors import ScaleRulesError

from .optimum import STEP, Losses, lowest, mean_losses

COARSE = 4
"""Grid steps between the rates of the first search."""
AROUND = 3
"""Grid steps that are run on either side of the optimum."""
NEEDED = 2
"""Grid steps on either side of the lowest point without which the grid is moved on."""
START = -6.0
"""log2 of the rate at which the search begins."""
ENDS = (-30.0, 12.0)
"""log2 of the rates beyond which it gives up."""

Want = tuple[float, int]
"""(learning rate, seed)."""


@dataclass(frozen=True)
class Plan:
    """The grid of one curve: given rates, or None to search; `seeds` to average over; where to begin (log2)."""

    lrs: tuple[float, ...] | None
    seeds: tuple[int, ...]
    start: float = START

    def missing(self, losses: Losses) -> list[Want]:
        """The runs to make next; none when the curve is complete. All of the first seed come first."""
        wanted = self._given() if self.lrs is not None else self._searched(losses)
        return [(lr, seed) for lr, seed in wanted if seed not in losses.get(lr, {})]

    def _given(self) -> list[Want]:
        return [(lr, seed) for seed in self.seeds for lr in self.lrs or ()]

    def _searched(self, losses: Losses) -> list[Want]:
        first = {x: y for x, y in mean_losses(losses, self.seeds[:1]).items() if self._on_coarse(x)}
        coarse = self._coarse(first)
        if coarse:
            return [(2.0**x, self.seeds[0]) for x in coarse]
        place, _, _ = lowest(first)
        if not math.isfinite(place):
            return []
        window = _window(place, AROUND)
        for _ in range(20):  # moves on while the lowest point lies at the window's edge
            whole = {x: y for x, y in mean_losses(losses, self.seeds).items() if x in window}
            if len(whole) < len(window):
                return [(2.0**x, seed) for seed in self.seeds for x in sorted(window)]
            place, _, _ = lowest(whole)
            beyond = _window(place, NEEDED) - window if math.isfinite(place) else set[float]()
            if not beyond or min(window) < ENDS[0] or max(window) > ENDS[1]:
                return []
            window |= beyond
        return []

    def _on_coarse(self, x: float) -> bool:
        return ((x - self.start) / (COARSE * STEP)).is_integer()

    def _coarse(self, means: Mapping[float, float]) -> list[float]:
        """The rates to try next in the first search; none once the lowest has a neighbour on both sides."""
        if not means:
            return [self.start + COARSE * STEP * k for k in (-1, 0, 1)]
        place, _, inside = lowest(means)
        if inside:
            return []
        if not math.isfinite(place):
            following = min(means) - COARSE * STEP
        else:
            following = place + COARSE * STEP * (1 if place == max(means) else -1)
        return [following] if ENDS[0] <= following <= ENDS[1] else []


def _window(place: float, reach: int) -> set[float]:
    return {place + STEP * k for k in range(-reach, reach + 1)}


def grid(lrs: Sequence[float] | None) -> tuple[float, ...] | None:
    """Given rates in order, each once. Raises `ScaleRulesError` for fewer than three, or what is no rate."""
    if lrs is None:
        return None
    rates = tuple(sorted({float(lr) for lr in lrs}))
    if len(rates) < 3 or not all(0 < lr < math.inf for lr in rates):
        raise ScaleRulesError(f"no optimum can be located on the rates {list(lrs)}", hint="give three or more, above 0")
    return rates

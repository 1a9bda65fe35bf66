"""The losses as the calculus needs them: what the gradient at the outputs is where the outputs grow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """A loss by its gradient at the outputs.

    `bounded`: it stays of size 0 however large the outputs are, so that nothing behind them grows with them. `picks`:
    it is a sum over the last axis, of which it picks one entry, the label's, for each example; else it is a mean.
    """

    bounded: bool
    picks: bool
    reason: str


LOSSES = {
    "mse": Loss(False, False, "The gradient is the output less its target: it grows as the output does."),
    "cross_entropy": Loss(True, True, "The gradient is a softmax less a label: no entry of it is above 1."),
}
"""Every loss that a graph can name."""

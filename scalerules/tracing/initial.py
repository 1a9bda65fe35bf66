"""What a module itself does to its weights, measured on small real copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .record import Weight


def initials(
    make_model: Callable[..., Any],
    weights: tuple[Weight, ...],
    points: Sequence[Mapping[str, int]],
    scales: Mapping[str, Sequence[int]],
) -> tuple[Weight, ...]:
    """The weights with what was measured."""
    return weights

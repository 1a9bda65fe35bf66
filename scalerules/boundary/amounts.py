"""Numbers that a user gave, checked before anything runs: the message names the option or argument."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

from scalerules.errors import ScaleRulesError, short

LARGEST_SIZE = 1e12
LARGEST_RATE = 1e9
MOST_SEEDS = 10_000
MOST_STEPS = 1_000_000
MOST_JOBS = 1_024


def whole(value: Any, name: str, least: int = 1, most: int = MOST_STEPS) -> int:
    """A whole number between two. Raises `ScaleRulesError`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ScaleRulesError(f"{name} {short(value)} is not a whole number from {least} to {most}")
    return value


def positive(value: Any, name: str, most: float = LARGEST_SIZE) -> float:
    """A number above 0, finite, at most `most`. Raises `ScaleRulesError`."""
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 < number <= most:
        raise ScaleRulesError(f"{name} {short(value)} is not a number above 0 and at most {most:g}")
    return number


def several(values: Any, name: str, few: int = 1, most: float = LARGEST_SIZE) -> list[float]:
    """Numbers above 0, at least `few` different ones. Raises `ScaleRulesError`."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ScaleRulesError(f"{name} {short(values)} is no list of numbers", hint="such as [64, 128, 256]")
    written = list(cast(Iterable[object], values))
    numbers = [positive(value, name, most) for value in written]
    if len(set(numbers)) < few:
        raise ScaleRulesError(f"{name} {short(written)}: at least {few} different numbers are needed")
    return numbers


def seeds_of(values: int | Sequence[int], name: str) -> list[int]:
    """A number of seeds, or one for each size. Raises `ScaleRulesError`."""
    given = [values] if isinstance(values, int) or not isinstance(values, Iterable) else list(values)  # pyright: ignore
    if not given:
        raise ScaleRulesError(f"{name} names no number of seeds", hint="such as 4")
    return [whole(value, name, 1, MOST_SEEDS) for value in given]

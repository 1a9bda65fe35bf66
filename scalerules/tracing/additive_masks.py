"""Masks that are added to scores: zeros, and numbers outside of all others where nothing is to be left."""

from __future__ import annotations

from typing import Any

OUTSIDE = 1e4
"""No number that is meant to count is larger."""


def is_mask(entries: Any) -> bool:
    """Whether entries (an array, or a tensor) are those of such a mask."""
    return bool(((entries == 0) | (abs(entries) > OUTSIDE)).all()) and bool((entries != 0).any())

"""Memory while the calculus runs.

Terms hold each other in circles (an image remembers what it was made of) and live as long as their run: looking all the
time for circles that nobody holds any more finds next to nothing, and took a fifth of every derivation.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

MANY = 4_000_000
"""Objects (some 400 MB) after which circles are looked for after all."""

FEW = 1_000_000
"""Objects (some 100 MB) in circles that derivations may leave before they are looked through."""

LEAST = 1 / 32
"""The least share of what is there after a derivation that is taken to be in circles: most is freed without them."""


@dataclass
class _Left:
    """How many objects were there after all derivations since the last look, and which share of them was in circles."""

    objects: int = 0
    share: float = 1.0


_left = _Left()


@contextmanager
def gathering() -> Generator[None]:
    """Inside, no circles are looked for, but by `tidy`."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        _put_aside()
        gc.enable()


def _put_aside() -> None:
    """All that is new counts as old, or enabling the collector would look through it at once: most of it is held."""
    _left.objects += gc.get_count()[0]
    if _left.objects * _left.share > FEW:
        _left.share = max(gc.collect() / _left.objects, LEAST)
        _left.objects = 0
        _frozen.cache_clear()
    elif not _frozen():
        gc.freeze()
        gc.unfreeze()


@cache
def _frozen() -> bool:
    """Whether the user keeps something from the collector, which would be given back to it; counting it takes long."""
    return gc.get_freeze_count() > 0


def tidy() -> None:
    """Frees what nobody holds any more, where much has come together."""
    if gc.get_count()[0] > MANY:
        gc.collect()

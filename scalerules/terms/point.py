"""What a law asks of the point at which it is applied: growths, sources, reach."""

from __future__ import annotations

from typing import Protocol


class Scope(Protocol):
    """What the laws ask of the point at which sizes are propagated."""

    reach: int
    coherent: bool

    def ticks(self, label: str) -> int: ...
    def bit(self, *key: object) -> int: ...

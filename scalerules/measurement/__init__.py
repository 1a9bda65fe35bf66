"""What training shows: rules verified, transferred, and tried on random architectures."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .fuzzing.fuzz import fuzz
    from .sweeps.transfer import transfer
    from .verification.verify import verify

__all__ = ["fuzz", "transfer", "verify"]

_HOMES = {"fuzz": "fuzzing.fuzz", "transfer": "sweeps.transfer", "verify": "verification.verify"}
"""The module of each name; it is imported when the name is first used: torch and the plots take long to load."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

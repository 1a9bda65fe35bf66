"""Pages on a solution, and the comparison with what papers print."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .literature.fits import empirical
    from .literature.published import published
    from .page import report

__all__ = ["empirical", "published", "report"]

_HOMES = {"empirical": "literature.fits", "published": "literature.published", "report": "page"}
"""The module of each name; it is imported when the name is first used: torch and the plots take long to load."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

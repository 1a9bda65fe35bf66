"""Any torch module as a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalerules.late import late

if TYPE_CHECKING:
    from .traced import trace

__all__ = ["trace"]

_HOMES = {"trace": "traced"}
"""The module of each name."""

__getattr__ = late(__name__, _HOMES)

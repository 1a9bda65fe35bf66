"""Pages on a solution, and the comparison with what papers print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalerules.late import late

if TYPE_CHECKING:
    from .literature.fits import empirical
    from .literature.published import published
    from .page import report

__all__ = ["empirical", "published", "report"]

_HOMES = {"empirical": "literature.fits", "published": "literature.published", "report": "page"}
"""The module of each name."""

__getattr__ = late(__name__, _HOMES)

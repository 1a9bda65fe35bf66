"""What training shows: rules verified, transferred, and tried on random architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalerules.late import late

if TYPE_CHECKING:
    from .fuzzing.fuzz import fuzz
    from .sweeps.transfer import transfer
    from .verification.verify import verify

__all__ = ["fuzz", "transfer", "verify"]

_HOMES = {"fuzz": "fuzzing.fuzz", "transfer": "sweeps.transfer", "verify": "verification.verify"}
"""The module of each name."""

__getattr__ = late(__name__, _HOMES)

"""What torch refuses to compute, told as what it is: memory that is used up, or a mistake that is named."""

from __future__ import annotations

import torch

from scalerules.errors import ScaleRulesError


class Diverged(ArithmeticError):
    """Training diverged so far that a call cannot be run any more: places are counted of what is no number."""


def reason(error: Exception) -> str:
    """The first line of what torch says, without a full stop."""
    return str(error).strip().partition("\n")[0].rstrip(".")


def told(error: Exception, mistake: ScaleRulesError) -> Exception:
    """The mistake; a `MemoryError` where torch found no memory, on the processor or on another device."""
    used_up = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    return MemoryError(reason(error)) if used_up else mistake

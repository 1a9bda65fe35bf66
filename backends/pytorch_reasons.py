"""Why a number is what it is, in one line, from the derivation of a solution."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalerules.derivation import Solution


def reason(solution: Solution, parameter: str, quantity: str) -> str:
    """The reason for the exponent of `quantity` (`init`, `lr`) of a parameter; empty where none is recorded."""
    return ""

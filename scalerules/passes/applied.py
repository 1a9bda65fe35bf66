"""What laws have given so far, in all runs of a problem: a law is not applied again to the very same operands.

Runs at different points have most in common: a point with other rates has the same values and the same first gradients,
one with another initial size the same values in front of it. The terms of a tensor are made anew only where something
that they follow from is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from math import lcm
from typing import TypeVar, cast

Result = TypeVar("Result")

USUAL = 96
"""Ticks in a unit that divide by what most sizes do: halves, thirds and quarters, and their halves in the laws."""


class Applied:
    """Results by what they are made of: a place and the very operands, kept so that no other takes their place."""

    def __init__(self) -> None:
        self._results: dict[Hashable, tuple[list[list[object]], object]] = {}

    def once(self, place: Hashable, operands: Sequence[Sequence[object]], compute: Callable[[], Result]) -> Result:
        """What is computed at a place from these operands, not again for the same ones."""
        key = place, tuple([tuple([id(piece) for piece in operand]) for operand in operands])
        known = self._results.get(key)
        if known is None:
            known = self._results[key] = [list(operand) for operand in operands], compute()
        return cast(Result, known[1])


class Memory:
    """What the runs of a problem share: how fine their ticks are, and what has been applied at ticks so fine.

    `bits`: the sources of randomness, so that signs of one run are those of another.
    """

    def __init__(self) -> None:
        self.bits: dict[tuple[object, ...], int] = {}
        self._per_unit = USUAL
        self._applied: dict[tuple[int, bool], Applied] = {}

    def per_unit(self, least: int) -> int:
        """Ticks in a unit: a multiple of `least` and of all that was asked for before."""
        self._per_unit = lcm(self._per_unit, least)
        return self._per_unit

    def applied(self, coherent: bool) -> Applied:
        """What has been applied with so many ticks in a unit."""
        return self._applied.setdefault((self._per_unit, coherent), Applied())

    def forget(self) -> None:
        """Frees what has been applied."""
        self._applied.clear()

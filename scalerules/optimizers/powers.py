"""Products of powers: how large a quantity of an optimizer is, in what it is made of.

The atoms are the size of the gradient and of the parameter, the traces of the covariances of what the parameter reads
and of the gradient behind it, the norm of all gradients together, and the axes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

GRADIENT, WEIGHT, READ, BEHIND, TOGETHER = "gradient", "weight", "read", "behind", "together"
AXES = ("fan_in", "fan_out", "entries")

SHIFTS = {GRADIENT: 1, WEIGHT: -1, READ: 2}
"""By how much each grows when the multiplier of a parameter grows by one and its std falls by one."""

Resolved = dict[str, Fraction]
"""The power of every atom, the largest of every choice taken."""


@dataclass(frozen=True)
class Powers:
    """A product of powers of atoms, times powers of the largest of several such products."""

    atoms: tuple[tuple[str, Fraction], ...] = ()
    largest: tuple[tuple[Fraction, tuple[Powers, ...]], ...] = ()

    def times(self, other: Powers, share: Fraction | int = 1) -> Powers:
        """The product with `other ** share`."""
        powers = dict(self.atoms)
        for atom, power in other.atoms:
            powers[atom] = powers.get(atom, Fraction(0)) + share * power
        choices = (*self.largest, *((share * power, options) for power, options in other.largest))
        return Powers(tuple(sorted((a, p) for a, p in powers.items() if p)), choices if share else self.largest)

    def to(self, power: Fraction | int) -> Powers:
        """The power of the whole."""
        return Powers().times(self, power)

    def resolved(self, size: Callable[[str], Fraction | float | int]) -> Resolved:
        """The power of every atom where the atoms have these sizes; of equally large ones the first counts."""
        powers = dict(self.atoms)
        for power, options in self.largest:
            candidates = [option.resolved(size) for option in options]
            top = max(candidates, key=lambda one: sum(p * size(atom) for atom, p in one.items()))
            for atom, share in top.items():
                powers[atom] = powers.get(atom, Fraction(0)) + power * share
        return {atom: power for atom, power in powers.items() if power}

    def reads(self, *atoms: str) -> bool:
        """Whether one of these atoms stands in it."""
        inside = any(option.reads(*atoms) for _, options in self.largest for option in options)
        return inside or any(atom in atoms for atom, _ in self.atoms)

    @property
    def grain(self) -> int:
        """A common denominator of its powers."""
        inside = (p.denominator * lcm(*(option.grain for option in options)) for p, options in self.largest)
        return lcm(*(power.denominator for _, power in self.atoms), *inside)


def atom(name: str, power: Fraction | int = 1) -> Powers:
    """A power of one atom."""
    return Powers(((name, Fraction(power)),))


def largest(*options: Powers) -> Powers:
    """The largest of several products."""
    distinct = tuple(dict.fromkeys(options))
    return distinct[0] if len(distinct) == 1 else Powers((), ((Fraction(1), distinct),))


def smallest(*options: Powers) -> Powers:
    """The smallest of several products."""
    return largest(*(option.to(-1) for option in options)).to(-1)


def shift(powers: Resolved) -> Fraction:
    """The power by which a product grows when the multiplier of its parameter grows by one and its std falls by one."""
    return sum((power * SHIFTS.get(name, 0) for name, power in powers.items()), Fraction(0))

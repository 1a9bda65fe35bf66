"""A direction and a value for every unknown, in whole ticks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import lcm

from scalerules.architecture.graph import Graph
from scalerules.ops.site import Site
from scalerules.sizes.lengths import Direction
from scalerules.terms.pieces import Operand
from scalerules.terms.term import Shift, Symbol, Term

from .applied import Applied, Memory


class Point:
    """A direction and a value for every unknown, in ticks: whole numbers, so that nothing is rounded.

    `coherent`: random factors that have the same source add up over an axis; without it as if they were independent.
    `biased`: without it what is only added to values starts at zero, and a mean over tokens is like one over
    numbers.
    `memory`: what this run shares with others; a run that is `told` applies every law anew.
    """

    def __init__(
        self,
        graph: Graph,
        direction: Direction,
        unknowns: Mapping[Symbol, Fraction],
        grain: int = 1,
        coherent: bool = True,
        memory: Memory | None = None,
        told: bool = False,
        biased: bool = True,
    ) -> None:
        self.graph, self.direction, self.unknowns = graph, direction, unknowns
        self.coherent, self.biased = coherent, biased
        self.growths = {axis: length.growth(direction) for axis, length in graph.lengths.items()}
        denominators = [g.denominator for g in (*self.growths.values(), *direction.values(), *unknowns.values())]
        memory = memory or Memory()
        self.bits = memory.bits
        self.per_unit = memory.per_unit(8 * grain * lcm(*denominators))
        self.applied = Applied() if told else memory.applied(coherent)
        self.reach = int(Fraction(3, 2) * self.per_unit * max([*self.growths.values(), Fraction(1, 8)]))
        self._ticks: dict[str, int] = {}
        self._constants: dict[tuple[str, ...], Mapping[Symbol, tuple[Fraction, ...]]] = {}
        self._factors: dict[str, tuple[int, tuple[tuple[Symbol, Fraction], ...]]] = {}

    def ticks(self, label: str) -> int:
        """Growth of the axis of a label."""
        known = self._ticks.get(label)
        if known is None:
            known = self._ticks[label] = int(self.growths[label.partition("|")[0]] * self.per_unit)
        return known

    def bit(self, *key: object) -> int:
        """The bit of a source of randomness."""
        return self.bits.setdefault(key, 2 << len(self.bits))

    def once(self, key: str, pieces: Operand, compute: Callable[[], list[Term]]) -> list[Term]:
        """What is computed at a site from these pieces, not again as long as they are the same ones."""
        return self.applied.once(key, [pieces], compute)

    def unknown(self, kind: str, name: str) -> int:
        """The value of an unknown, 0 where it has none."""
        value = self.unknowns.get((kind, name))
        return int(value * self.per_unit) if value else 0

    def factor(self, site: Site) -> tuple[int, tuple[tuple[Symbol, Fraction], ...]]:
        """The exponent of a constant factor: of a free one its unknown, of a fixed one its growth."""
        if site.name not in self._factors:
            if site.node.free:
                found = self.unknown("mult", site.name), ((("mult", site.name), Fraction(1)),)
            elif site.node.factor is None:
                found = 0, ()
            else:
                leading = self.graph.length(site.node.factor, site.name).leading(self.direction)
                powers = tuple((("scale", scale), power) for scale, power in leading.powers)
                found = int(leading.growth(self.direction) * self.per_unit), powers
            self._factors[site.name] = found
        return self._factors[site.name]

    def constants(self, scales: tuple[str, ...]) -> Mapping[Symbol, tuple[Fraction, ...]]:
        """Of every axis and scale: its growth along the direction, then its exponent for each of `scales`."""
        if scales not in self._constants:
            found: dict[Symbol, tuple[Fraction, ...]] = {}
            for axis, length in self.graph.lengths.items():
                powers = dict(length.leading(self.direction).powers)
                found["growth", axis] = (self.growths[axis], *(powers.get(s, Fraction(0)) for s in scales))
            for scale in self.graph.scales:
                growth = self.direction.get(scale, Fraction(0))
                found["scale", scale] = (growth, *(Fraction(int(scale == s)) for s in scales))
            self._constants[scales] = found
        return self._constants[scales]

    def density(self, parameter: str) -> tuple[int, Shift]:
        """The exponent of the part of the entries that a static mask keeps of a parameter."""
        return self._length(self.graph.parameters[parameter].density, parameter)

    def start(self, parameter: str) -> tuple[int, Shift]:
        """The exponent of what the fixed initial entries of a parameter are multiplied with."""
        return self._length(self.graph.parameters[parameter].factor, parameter)

    def _length(self, text: str | float | None, where: str) -> tuple[int, Shift]:
        if text is None:
            return 0, ()
        leading = self.graph.length(text, where).leading(self.direction)
        shift = tuple((("scale", scale), power) for scale, power in leading.powers)
        return int(leading.growth(self.direction) * self.per_unit), shift

    def unchosen(self, chosen: tuple[tuple[str, str], ...]) -> int:
        """How far the root mean square over all entries lies below that over those that a router chooses."""
        return sum(int((self.growths[whole] - self.growths[part]) * self.per_unit) // 2 for whole, part in chosen)

    def size(self, ticks: int) -> Fraction:
        """Ticks as a size."""
        return Fraction(ticks, self.per_unit)

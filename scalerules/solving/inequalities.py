"""Inequalities that a programme is asked for: of many, few ever bind, and only those are put into it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from scalerules.sizes.vectors import Vector

from .programme import Infeasible, Programme

ROUNDING = 1e-9
"""Sizes are fractions with small denominators: numbers that differ by less are equal."""


@dataclass(frozen=True)
class Inequality:
    """`form + constant <= 0`: the unknowns that are open with their coefficients, all else as a vector.

    The same form and constant are the same inequality, whatever equation it came from.
    """

    form: Mapping[Hashable, int | Fraction]
    constant: Vector

    @cached_property
    def key(self) -> object:
        """Equal for equal inequalities."""
        shares = [(symbol, *share.as_integer_ratio()) for symbol, share in self.form.items()]
        return frozenset(shares), tuple([entry.as_integer_ratio() for entry in self.constant])

    @cached_property
    def shares(self) -> list[tuple[Hashable, float]]:
        """The coefficients, rounded."""
        return [(symbol, float(share)) for symbol, share in self.form.items()]

    @cached_property
    def _constant(self) -> float:
        return float(self.constant[0])

    def excess(self, at: Mapping[Hashable, float]) -> float:
        """By how much it is broken (above 0) at these sizes of the unknowns; rounded."""
        return self._constant + sum([share * at[symbol] for symbol, share in self.shares])


def programme_of(
    upper: Mapping[Hashable, Vector], rows: Mapping[str, Inequality], first: Sequence[str] = ()
) -> Programme:
    """The programme solved: with the rows `first`, which are likely to bind, in it from the start, it takes few others.

    Which of them bind where several would do is left open then. Raises `Infeasible`, with what clashes without them.
    """
    programme = Programme(upper)
    if first:
        try:
            _add(programme, rows, first)
            return programme
        except Infeasible:
            programme = Programme(upper)
    _satisfy(programme, rows)
    return programme


def _satisfy(programme: Programme, rows: Mapping[str, Inequality]) -> None:
    """Adds the inequalities that the solution breaks, the most broken first."""
    distinct = list({row.key: name for name, row in reversed(list(rows.items()))}.values())
    reads: dict[Hashable, list[tuple[int, float]]] = {}
    for place, name in enumerate(distinct):
        for variable, share in rows[name].shares:
            reads.setdefault(variable, []).append((place, share))
    sizes = programme.sizes()
    excess = [rows[name].excess(sizes) for name in distinct]
    while distinct:
        worst = excess.index(max(excess))
        if rows[distinct[worst]].excess(sizes) < ROUNDING:  # sums of differences lose digits
            excess = [rows[name].excess(sizes) for name in distinct]
            worst = excess.index(max(excess))
            if excess[worst] < ROUNDING:
                return
        row = rows[distinct[worst]]
        programme.require(distinct[worst], row.form, row.constant)
        programme.loosen()
        for variable, moved in programme.moves().items():
            for place, share in reads.get(variable, ()):
                excess[place] += share * moved


def _add(programme: Programme, rows: Mapping[str, Inequality], first: Sequence[str]) -> None:
    """Adds the inequalities `first`, then all that the solution breaks."""
    for name in first:
        programme.require(name, rows[name].form, rows[name].constant)
    while broken := _broken(programme, rows):
        for name in broken:
            if rows[name].excess(programme.sizes()) >= ROUNDING:
                programme.require(name, rows[name].form, rows[name].constant)
        programme.loosen()


def _broken(programme: Programme, rows: Mapping[str, Inequality]) -> list[str]:
    """The names of the inequalities that the solution breaks, the most broken first."""
    sizes = programme.sizes()
    excess = {name: row.excess(sizes) for name, row in rows.items()}
    return sorted([name for name in rows if excess[name] >= ROUNDING], key=excess.__getitem__, reverse=True)

"""What unknowns are read off: conditions that hold with equality, by their linear forms, which many of them share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from scalerules.passes.events import Run
from scalerules.solving.equations import Equation, unknowns_of
from scalerules.terms.term import Symbol

RATES = ("lr", "update")
"""The kinds of unknowns that own contributions are read off for."""
Form = Mapping[Symbol, int | Fraction]
"""A linear form, with whole numbers where coefficients are whole: fractions are slow."""


@dataclass(frozen=True)
class Candidate:
    """A condition that holds with equality, and its form: one object for all that share it."""

    equation: Equation
    run: Run
    form: Form


class Pool:
    """The conditions that unknowns are read off: those that have an open one, and the own contributions among all."""

    def __init__(self) -> None:
        self.open: list[Candidate] = []
        self.owns: list[Equation] = []
        self._forms: dict[tuple[tuple[Symbol, int | Fraction], ...], Form] = {}

    def add(self, found: Iterable[tuple[Equation, Run]]) -> None:
        """Further conditions, behind those that are there."""
        for equation, run in found:
            form = equation.counts
            self.open.append(Candidate(equation, run, self._forms.setdefault(tuple(form.items()), form)))
            if equation.relation == "maximal" and equation.event.kind == "own":
                self.owns.append(equation)

    def close(self, known: Collection[Symbol]) -> None:
        """Drops the conditions that have no open unknown any more."""
        done = {id(form) for form in self._forms.values() if all(s in known for s in unknowns_of(form))}
        self.open = [candidate for candidate in self.open if id(candidate.form) not in done]

    def drop(self, form: Form) -> None:
        """Drops the conditions of this form, which follow from others."""
        self.open = [candidate for candidate in self.open if candidate.form is not form]

    @property
    def rates(self) -> dict[Symbol, Form]:
        """What the own contribution of every parameter says of its rate."""
        return {rate_of(equation): equation.counts for equation in self.owns}


class Told:
    """The conditions that unknowns were read off, one reduced by those before it: of them nothing is told twice."""

    def __init__(self, stated: Collection[Symbol]) -> None:
        self._stated = frozenset(stated)
        self._rows: list[tuple[Symbol, Form]] = []

    def adds(self, form: Form) -> bool:
        """Whether a form says of the unknowns what those before it do not; then it is one of them."""
        rest: dict[Symbol, int | Fraction] = {s: form[s] for s in unknowns_of(form) if s not in self._stated}
        for pivot, row in self._rows:
            if share := rest.get(pivot):
                rest |= {symbol: rest.get(symbol, 0) - share * value for symbol, value in row.items()}
        rest = {symbol: value for symbol, value in rest.items() if value}
        if rest:
            pivot, first = next(iter(rest.items()))
            self._rows.append((pivot, {symbol: Fraction(value) / first for symbol, value in rest.items()}))
        return bool(rest)


def rate_of(equation: Equation) -> Symbol:
    """The rate in an own contribution: beyond a saddle the size of an update."""
    name = str(equation.event.parameter)
    return next((symbol for symbol in equation.form if symbol[0] in RATES and symbol[1] == name), ("lr", name))

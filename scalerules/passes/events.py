"""What a run of the calculus returns: the size of every value, gradient, contribution and change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from scalerules.optimizers.law import Scaling
from scalerules.terms.term import Step, Symbol, Term

from .plan import Plan
from .point import Point

Alignments = Mapping[str, tuple[Fraction, Fraction, Fraction]]
"""Prescribed exponents of `dW x`, `W dx` and `dW dx` per parameter."""


@dataclass(frozen=True, slots=True)
class Event:
    """The size of one quantity: its largest term (None: exactly zero) and the size of its root mean square, in ticks.

    `kind` is `value`, `gradient`, `own`, `change`, or `loss` (what an update
    changes in the loss, to first order); `first`
    marks an own contribution where it is asked to be maximal.
    """

    kind: str
    node: str
    step: int
    term: Term | None
    ticks: int
    parameter: str | None = None
    judged: bool = True
    first: bool = False
    site: str = ""
    discount: tuple[tuple[Symbol, Fraction], ...] = ()
    terms: tuple[Term, ...] = ()

    @property
    def unstable(self) -> bool:
        """Whether this has to be at most of size 0, and is not."""
        return self.judged and self.term is not None and self.ticks > 0

    @property
    def ties(self) -> list[Term]:
        """The terms that are as large as the largest, and fall like it along every axis."""
        top = self.term
        return [t for t in self.terms or (top,) if (t.size, t.profile) == (top.size, top.profile)] if top else []

    @property
    def form(self) -> dict[Symbol, Fraction]:
        """The size as a linear form in unknowns and growths."""
        if self.term is None:
            return {}
        return self._less(self.term.form) if self.discount else self.term.form

    @property
    def counts(self) -> Mapping[Symbol, int | Fraction]:
        """The form with whole numbers where coefficients are whole."""
        if self.term is None:
            return {}
        return self._less(self.term.form) if self.discount else self.term.counts

    @property
    def tied(self) -> list[tuple[Term, Mapping[Symbol, int | Fraction]]]:
        """All terms that are as large as the largest, each with its form, likewise."""
        return [(term, self._less(term.form) if self.discount else term.counts) for term in self.ties]

    def _less(self, form: Mapping[Symbol, Fraction]) -> dict[Symbol, Fraction]:
        """A form less the discount."""
        less = dict(form)
        for symbol, share in self.discount:
            less[symbol] = less.get(symbol, Fraction(0)) + share
        return {symbol: value for symbol, value in less.items() if value}


@dataclass(frozen=True, slots=True)
class Told:
    """What one application of a law gave: the step, and its terms, some of them passed on as they were."""

    step: Step
    terms: tuple[Term, ...]


@dataclass
class Run:
    """What `propagate` returns: the point, its plan, and the events in the order in which they happened."""

    point: Point
    plan: Plan
    events: list[Event] = field(default_factory=list[Event])
    scalings: dict[str, list[Scaling]] = field(default_factory=dict[str, list["Scaling"]])
    """What the updates of each parameter carry beside the normalised gradient, by name, in order."""
    sides: dict[str, tuple[Term, Term]] = field(default_factory=dict[str, tuple[Term, Term]])
    """By key the traces of the two factors of a parameter's curvature: what it reads, and the gradient behind it."""
    told: list[Told] | None = None
    """Every application of a law in order, where that was asked for."""

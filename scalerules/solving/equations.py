"""What is asked of a parametrization, as data: each equation knows the event, and so the steps, that it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from typing import Literal

from scalerules.ops.site import Site
from scalerules.passes.events import Event, Run
from scalerules.sizes.vectors import Vector
from scalerules.terms.term import Shift, Symbol

UNKNOWNS = ("init", "lr", "mult", "update")

Vectors = dict[Symbol, Vector]
"""Every unknown: its size along the direction, then its exponent for each scale."""


@dataclass(frozen=True)
class Equation:
    """A linear form in the unknowns and growths that has to be at most 0 (`stable`) or at least 0 (`maximal`).

    `allowance` is what the sum over depth adds to a contribution; `earlier` is set where the growth from one step to
    the next is what must not happen.
    """

    relation: Literal["stable", "maximal"]
    event: Event
    earlier: Event | None = None
    allowance: tuple[tuple[Symbol, Fraction], ...] = ()

    @property
    def form(self) -> dict[Symbol, Fraction]:
        """The linear form; of a growth from step to step, the difference of the two."""
        if self.earlier is None and not self.allowance:
            return self.event.form
        form = dict(self.event.form)
        for symbol, value in (self.earlier.form if self.earlier else {}).items():
            form[symbol] = form.get(symbol, Fraction(0)) - value
        for symbol, value in self.allowance:
            form[symbol] = form.get(symbol, Fraction(0)) + value
        return {symbol: value for symbol, value in form.items() if value}

    @property
    def counts(self) -> Mapping[Symbol, int | Fraction]:
        """The form with whole numbers where coefficients are whole."""
        return self.event.counts if self.earlier is None and not self.allowance else self.form

    @property
    def words(self) -> str:
        """The equation in words."""
        event = self.event
        when = "at initialisation" if event.step == 0 else f"after step {event.step}"
        what = {
            "value": f"the value of {event.node!r} {when}",
            "change": f"the change of {event.node!r} {when}",
            "own": f"the own contribution of {event.parameter!r} at {event.node!r}",
            "loss": f"what the update of {event.parameter!r} changes in the loss {when}",
            "gradient": f"the gradient of {event.parameter!r}",
        }[event.kind]
        if self.earlier is not None:
            return f"{what} does not grow from step to step"
        if self.relation == "maximal":
            return f"{what} has size 0 at some step"
        return f"{what} has size at most 0"


def vector_of(form: Mapping[Symbol, int | Fraction], known: Vectors, run: Run, scales: Sequence[str]) -> Vector:
    """A linear form with the `known` unknowns put in: its size along the direction, then its exponents, by scale."""
    constants = run.point.constants(tuple(scales))
    total, over = [0] * (1 + len(scales)), 1
    for symbol, coefficient in form.items():
        vector = constants.get(symbol) or known.get(symbol)
        if vector is None:
            continue
        above, below = coefficient.as_integer_ratio()
        for i, entry in enumerate(vector):
            numerator, denominator = entry.as_integer_ratio()
            if numerator:
                part = denominator * below
                if over % part:  # whole numbers over one denominator: fractions one by one are slow
                    times = lcm(over, part) // over
                    total, over = [times * number for number in total], over * times
                total[i] += above * numerator * (over // part)
    return tuple([Fraction(number, over) for number in total])


def value_of(form: Mapping[Symbol, Fraction], known: Vectors, run: Run, scales: Sequence[str]) -> Fraction:
    """A linear form with the `known` unknowns put in: its size along the direction."""
    return vector_of(form, known, run, scales)[0]


def unknowns_of(form: Mapping[Symbol, int | Fraction]) -> list[Symbol]:
    """The unknowns that occur in a linear form."""
    return [symbol for symbol in form if symbol[0] in UNKNOWNS]


def own_contributions(run: Run) -> dict[str, list[Event]]:
    """The events in which each parameter's own contribution is asked to reach size 0."""
    owns: dict[str, list[Event]] = {}
    for event in run.events:
        if event.kind == "own" and event.first:
            owns.setdefault(str(event.parameter), []).append(event)
    return owns


def distinct(events: Iterable[Event]) -> list[Event]:
    """The events with each of their largest terms; of those with the same linear form, the first."""
    read: dict[int, object] = {}
    found: dict[object, Event] = {}
    for event in events:
        for term, counts in event.tied:
            if id(counts) not in read:  # many terms share the form of the one that they came from
                read[id(counts)] = counts
                form = frozenset(counts.items())
                if form not in found:
                    found[form] = event if term is event.term else replace(event, term=term)
    return list(found.values())


def plainest(events: Iterable[Event]) -> Event:
    """Of events that are as large as each other, the one with the term of the fewest unknowns among the largest.

    What a rule that is normalised moves by the gradient's largest part is the rate alone: asked of another part, it
    would hold that one up to the largest.
    """
    ties = [(event, term, counts) for event in events for term, counts in event.tied]
    event, term, _ = min(ties, key=lambda tie: len(tie[2]))
    return event if term is event.term else replace(event, term=term)


def allowance_of(event: Event, depths: Mapping[str, tuple[Site, Site | None]], run: Run) -> Shift:
    """What the sum over depth adds to an own contribution in a repeated block, the multiplier that it passes included.

    One that is asked behind the multiplier has that already.
    """
    if event.parameter is None or event.parameter not in depths:
        return ()
    join, multiplier = depths[event.parameter]
    before = multiplier is not None and event.node != multiplier.name
    shift = run.point.factor(multiplier)[1] if multiplier is not None and before else ()
    return ((("growth", str(join.joins)), Fraction(1)), *shift)

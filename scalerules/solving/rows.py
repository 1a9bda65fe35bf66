"""The rows of a programme: the equations of a run as inequalities between its unknowns."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from fractions import Fraction

from scalerules.boundary.working import note
from scalerules.passes.events import Event, Run
from scalerules.terms.term import Symbol

from .equations import Equation, Vectors, allowance_of, distinct, own_contributions, plainest, vector_of
from .inequalities import Inequality, programme_of
from .priorities import summands, twins
from .problem import Problem
from .programme import Infeasible
from .readings import by_reading


class Rows:
    """What equations say to a programme whose variables have the bounds `upper`; all else is `given`."""

    def __init__(self, problem: Problem, upper: Vectors, given: Vectors) -> None:
        self.problem, self.upper, self.given = problem, upper, given
        self._read: dict[str, Inequality] = {}
        self._maximal: tuple[Run | None, dict[str, Equation]] = None, {}

    def __getitem__(self, name: str) -> Inequality:
        """An equation that has been read."""
        return self._read[name]

    def read(self, name: str, equation: Equation, run: Run) -> Inequality:
        """An equation of the kind `stable`; what is given does not change, so it is read once."""
        if name not in self._read:
            self._read[name] = self._below(equation.counts, run)
        return self._read[name]

    def different(self, events: Iterable[Event], run: Run) -> dict[str, Inequality]:
        """The different inequalities that events ask for, each with a number for a name."""
        rows = {row.key: row for row in (self._below(event.counts, run) for event in distinct(events))}
        return {str(number): row for number, row in enumerate(rows.values())}

    def maximal(self, run: Run) -> dict[str, Equation]:
        """For every parameter, its largest own contribution so far is to reach size 0; of equal ones the plainest.

        Or for every node that reads it.
        """
        if self._maximal[0] is run:
            return self._maximal[1]
        found: dict[str, Equation] = {}
        owns = own_contributions(run)
        if self.problem.every_reading:
            owns = {" at ".join(pair): events for pair, events in by_reading(owns, self.problem.plan).items()}
        for name, events in owns.items():
            reached = [event for event in events if event.term is not None]
            if reached:
                top = max(event.ticks for event in reached)
                best = plainest(event for event in reached if event.ticks == top)
                allowance = allowance_of(best, self.problem.depths, run)
                found[f"maximal {name}"] = Equation("maximal", best, allowance=allowance)
        self._maximal = run, found
        return found

    def aims(self, run: Run) -> dict[str, Inequality]:
        """What aims that are no unknowns are made of."""
        rows: dict[str, Inequality] = {}
        for name, equation in self.maximal(run).items():
            parameter = str(equation.event.parameter)
            rows[name] = self._opposite(equation.form, ("own", parameter), run)
            if ("full", parameter) in self.upper:
                rows[f"full {name}"] = self._opposite(equation.event.form, ("full", parameter), run)
        return {**rows, **self._least(run), **self._even(run)}

    def smallest_clash(self, clash: Sequence[Equation], run: Run) -> list[Equation]:
        """A part of the clashing equations that still clashes and of which none can be left out."""
        kept = list(clash)
        for number, equation in enumerate(clash, 1):
            note(f"which equations clash, {number} of {len(clash)}")
            rest = [other for other in kept if other is not equation]
            if not self._hold(rest, run):
                kept = rest
        return kept

    def _hold(self, equations: Iterable[Equation], run: Run) -> bool:
        """Whether these can hold together, initial values being of size 0."""
        rows: dict[str, Inequality] = {}
        for number, equation in enumerate(equations):
            opposite = {symbol: -value for symbol, value in equation.form.items()}
            if equation.relation == "stable":
                rows[f"{number}"] = self._below(equation.form, run)
            if equation.relation == "maximal" or equation.event.kind == "value":
                rows[f"{number} opposite"] = self._below(opposite, run)
        try:
            programme_of({**self.upper}, rows)
        except Infeasible:
            return False
        return True

    def _least(self, run: Run) -> dict[str, Inequality]:
        """The least term of all sums, and the least rate of what makes values of a product: they are to be large."""
        rows: dict[str, Inequality] = {}
        if ("least", "rate") in self.upper:
            rates = [("lr", name) for name in self.problem.opened]
            rows = {
                f"least rate {rate[1]}": self._opposite({rate: Fraction(1)}, ("least", "rate"), run)
                for rate in rates
                if rate in self.upper
            }
        if ("least", "sum") not in self.upper:
            return rows
        starts = {event.site: event for event in run.events if event.kind == "value" and event.term is not None}
        events = [starts[key] for key in dict.fromkeys(summands(self.problem)) if key in starts]
        return rows | {
            f"least {event.site}": self._opposite(event.form, ("least", "sum"), run)
            for event in events
            if any(symbol in self.upper for symbol in event.form)
        }

    def _even(self, run: Run) -> dict[str, Inequality]:
        """No matrix is small to make room for another one of which only the product with it has a size."""
        return {
            f"even {name} {twin}": self._opposite({("init", twin): Fraction(1)}, ("even", name), run)
            for name, alike in twins(self.problem.plan).items()
            if ("even", name) in self.upper
            for twin in alike
        }

    def _opposite(self, form: Mapping[Symbol, Fraction], short: Symbol, run: Run) -> Inequality:
        """A form that has to be at least as large as `short`."""
        below = self._below({symbol: -value for symbol, value in form.items()}, run)
        return Inequality({**below.form, short: Fraction(1)}, below.constant)

    def _below(self, form: Mapping[Symbol, int | Fraction], run: Run) -> Inequality:
        open_: dict[Hashable, int | Fraction] = {s: value for s, value in form.items() if s in self.upper}
        return Inequality(open_, vector_of(form, self.given, run, list(self.problem.direction)))

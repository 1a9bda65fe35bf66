"""Reading the solution off: which conditions hold with equality, and in which order they give the unknowns.

Every condition is of the run at the solution. In each turn the condition that says most plainly what an unknown is, and
has no other open one, gives it: a rate by its own contribution, an initial size by the value that reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from scalerules.passes.events import Run
from scalerules.solving.equations import Equation, Vectors, allowance_of, own_contributions, unknowns_of, vector_of
from scalerules.solving.problem import BEYOND, Problem
from scalerules.terms.term import Symbol

TRIAL = Fraction(1, 16)
"""By how much an unknown that no visible condition bounds is raised to see what grows."""
TIES = 12
"""Of so many equally large terms of one event each is looked at."""


PLAIN = 5
"""The rank below which an equation says plainly what an unknown is."""
Candidate = tuple[Equation, Run]


@dataclass(frozen=True)
class Given:
    """One unknown in the order of solving: the equation that gives it (None: another reason), and what was known."""

    symbol: Symbol
    equation: Equation | None
    why: str
    run: Run
    known: tuple[Symbol, ...] = ()


@dataclass(frozen=True)
class Reading:
    """Reads a solution off the conditions of a run."""

    problem: Problem
    run: Run
    vectors: Vectors
    scales: Sequence[str]
    short: Mapping[str, Fraction]
    tied: Mapping[str, str]

    def order(self) -> list[Given]:
        """Every unknown in the order in which it follows."""
        found = [Given(s, None, why, self.run) for s in self.vectors if (why := self._stated(s))]
        known = {given.symbol for given in found}
        pool = list(self._candidates(self.run))
        self._read_off(pool, found, known, PLAIN)
        for symbol in self.vectors:
            if symbol not in known and symbol[0] != "lr" and not (self.short and not self.problem.lazy):
                pool += self._beyond(symbol, known, pool)
                self._read_off(pool, found, known, PLAIN)
        self._read_off(pool, found, known, len(self.vectors) + 100)
        for symbol in self.vectors:
            if symbol not in known:
                found.append(Given(symbol, None, self._preference(symbol), self.run))
                known.add(symbol)
                self._read_off(pool, found, known, len(self.vectors) + 100)
        return found

    def _stated(self, symbol: Symbol) -> str | None:
        """Why an unknown is what it is, where no condition says it."""
        kind, name = symbol
        if symbol in self.problem.given:
            return "It is given."
        if kind == "lr" and self.tied.get(name, name) != name:
            return f"It shares its rate with {self.tied[name]!r}, which allows no larger one."
        if kind == "lr" and all(e.term is None for e in self.run.events if e.kind == "gradient" and e.node == name):
            return "Its gradient is exactly zero at every step: any rate does."
        if kind == "lr" and name in self.short and not (self.problem.lazy or self.tied):
            return "It starts at a saddle: the rate is the one for the steady size of its gradient."
        return None

    def _read_off(self, pool: list[Candidate], found: list[Given], known: set[Symbol], below: int) -> None:
        """Adds every unknown that a candidate gives, one after the other; where none does, with rates left open."""
        rates = _rates(pool)
        while True:
            best = self._plainest(pool, known, {}, below) or self._plainest(pool, known, rates, below)
            if best is None:
                return
            symbol, (equation, run) = best
            also = tuple(other for other in unknowns_of(equation.form) if other != symbol)
            found.append(Given(symbol, equation, _why(equation), run, also))
            known.add(symbol)

    def _plainest(
        self, pool: list[Candidate], known: Collection[Symbol], rates: Mapping[Symbol, Mapping[Symbol, Fraction]],
        below: int,
    ) -> tuple[Symbol, Candidate] | None:  # fmt: skip
        """The unknown that is said most plainly, and by which equation; `rates` are put in as what they follow from."""
        best: tuple[tuple[int | Fraction, ...], Symbol, Candidate] | None = None
        for place, candidate in enumerate(pool):
            equation = candidate[0]
            form = _reduced(equation.form, known, rates) if rates else equation.form
            open_ = [symbol for symbol in unknowns_of(form) if symbol not in known]
            if len(open_) != 1:
                continue
            if equation.relation == "stable" and min(form[open_[0]], equation.form.get(open_[0], 0)) <= 0:
                continue  # a bound from above
            if rates and (open_[0][0] == "lr" or equation.relation != "stable" or _gives_rate(equation, known)):
                continue
            rank = (*self._rank(open_[0], equation), _weight(form), _weight(equation.form), place)
            if rank[0] < below and (best is None or rank < best[0]):
                best = rank, open_[0], candidate
        return best[1:] if best is not None else None

    def _rank(self, symbol: Symbol, equation: Equation) -> tuple[int, ...]:
        """How plainly an equation says what an unknown is: smaller is plainer."""
        event = equation.event
        if symbol[0] == "lr":
            plain = 3 if equation.relation == "maximal" and event.parameter == symbol[1] else 7
        elif symbol[0] == "init":
            plan = self.run.plan
            reads = {plan.parameters[key].name for s in plan.sites if s.key == event.site for key in s.parameters}
            plain = {"value": 1 if symbol[1] in reads else 2, "change": 4, "own": 5, "loss": 6}[event.kind]
        else:
            plain = {"value": 2, "change": 4, "own": 4, "loss": 6}[event.kind]
        return plain, event.step

    def _candidates(self, run: Run) -> Iterator[Candidate]:
        """What holds with equality: values, changes, contributions of size 0; of equally large terms each."""
        for name, events in own_contributions(run).items():
            reached = [event for event in events if event.term is not None]
            best = max(reached, key=lambda event: event.ticks, default=None)
            if best is not None and name not in self.short:
                allowance = allowance_of(name, self.problem.depths, run)
                yield from ((e, run) for e in self._equal(Equation("maximal", best, allowance=allowance)))
        for event in run.events:
            if event.judged and event.kind != "gradient" and event.term is not None and not event.ticks:
                yield from ((e, run) for e in self._equal(Equation("stable", event)))

    def _equal(self, equation: Equation) -> Iterator[Equation]:
        """The equation of every largest term of its event, where it holds with equality for every scale."""
        event = equation.event
        top = event.term
        if top is None:
            return
        ties = [t for t in event.terms or (top,) if t.size == top.size and t.profile == top.profile]
        seen: set[object] = set()
        for term in (top, *ties[:TIES]):
            same = replace(equation, event=replace(event, term=term))
            key = frozenset(same.form.items())
            if key not in seen and not any(vector_of(same.form, self.vectors, self.run, self.scales)):
                seen.add(key)
                yield same

    def _beyond(self, symbol: Symbol, known: Collection[Symbol], pool: Sequence[Candidate]) -> list[Candidate]:
        """What grows where an unknown is a little larger: a term that hides behind another of the same size.

        The rates that are open go along, each so that its own contribution stays what it is.
        """
        moved = {symbol: TRIAL}
        rates = _rates(pool)
        for rate in [rate for rate in rates if rate not in known and rates[rate].get(rate)] * 2:
            gone = sum((share * moved.get(s, Fraction(0)) for s, share in rates[rate].items()), Fraction(0))
            moved[rate] = moved.get(rate, Fraction(0)) - gone / rates[rate][rate]
        point = {s: vector[0] + moved.get(s, Fraction(0)) for s, vector in self.vectors.items()}
        steps = self.problem.steps if self.problem.isolated else self.problem.steps + BEYOND
        run = self.problem.run(point, steps, lambda events: any(e.unstable for e in events), told=True)
        grown = [event for event in run.events if event.unstable and event.kind != "gradient"]
        return [(e, run) for event in grown for e in self._equal(Equation("stable", event))]

    def _preference(self, symbol: Symbol) -> str:
        """Why an unknown is what it is, where no condition of the run says it."""
        if self.short and not self.problem.lazy:
            return "It is held by what happens beyond the saddle, where gradients have their steady size."
        if len(self.scales) > 1:
            return "It is what each scale asks for alone."
        return "Several unknowns share one condition: among them this one keeps its natural size."


def _rates(pool: Sequence[Candidate]) -> dict[Symbol, Mapping[Symbol, Fraction]]:
    """What the own contribution of every parameter says of its rate."""
    return {("lr", str(e.event.parameter)): e.form for e, _ in pool if e.relation == "maximal"}


def _reduced(
    form: Mapping[Symbol, Fraction], known: Collection[Symbol], rates: Mapping[Symbol, Mapping[Symbol, Fraction]]
) -> dict[Symbol, Fraction]:
    """A form with the open rates put in as what their own contributions say of them."""
    total = dict(form)
    for _ in rates:
        rate = next((s for s in total if s in rates and s not in known and rates[s].get(s)), None)
        if rate is None:
            break
        share = total[rate] / rates[rate][rate]
        for symbol, value in rates[rate].items():
            total[symbol] = total.get(symbol, Fraction(0)) - share * value
        total = {symbol: value for symbol, value in total.items() if value}
    return total


def _gives_rate(equation: Equation, known: Collection[Symbol]) -> bool:
    """Whether an equation is of the contribution that an open rate is still to be read off."""
    return equation.event.kind == "own" and ("lr", str(equation.event.parameter)) not in known


def _weight(form: Mapping[Symbol, Fraction]) -> Fraction:
    """How many unknowns a form is a product of: of equally plain conditions the shortest one is said."""
    return sum((abs(form[symbol]) for symbol in unknowns_of(form)), Fraction(0))


def _why(equation: Equation) -> str:
    if equation.relation == "maximal":
        return "Its own contribution stays: not lost, and not growing."
    return "As large as this allows."

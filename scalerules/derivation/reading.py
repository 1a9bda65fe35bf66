"""Reading the solution off: which conditions hold with equality, and in which order they give the unknowns.

Every condition is of the run at the solution. In each turn the condition that says most plainly what an unknown is, and
has no other open one, gives it: a rate by its own contribution, an initial size by the value that reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from scalerules.passes.events import Run
from scalerules.solving.equations import Equation, Vectors, allowance_of, own_contributions, unknowns_of, vector_of
from scalerules.solving.problem import BEYOND, Problem
from scalerules.terms.term import Symbol

from .above import Above, Key, key_of
from .pool import RATES, Candidate, Form, Pool, Told, rate_of
from .saddle import Beyond, Reached

TRIAL = Fraction(1, 16)
"""By how much an unknown that no visible condition bounds is raised to see what grows."""
TIES = 12
"""Of so many equally large terms of one event each is looked at."""


AT_ONCE, PLAIN, ANYHOW = (4, 2), (5, 0), (9, 0)
"""Ranks: of what says plainly and by the first step what an unknown is, of what says so plainly, of everything."""
Rank = tuple[int, int]
"""How far an equation is from saying what an unknown is, and the step."""


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
    later: Beyond | None = None

    def order(self) -> list[Given]:
        """Every unknown in the order in which it follows."""
        found = [Given(s, None, why, self.run) for s in self.vectors if (why := self._stated(s))]
        known = {given.symbol for given in found}
        pool = Pool()
        pool.add(self._candidates(self.run))
        self._read_off(pool, found, known, AT_ONCE)
        if self.later is not None:
            pool.add(self._candidates(self.later.run))
            pool.add((each, self.later.run) for each in self.later.reached)
            self._read_off(pool, found, known, AT_ONCE)
        for symbol in self.vectors:
            if symbol not in known and symbol[0] not in RATES and (self.later or not self.short or self.problem.lazy):
                pool.add(self._beyond(symbol, known, pool.rates))
                self._read_off(pool, found, known, AT_ONCE)
        self._read_off(pool, found, known, PLAIN)
        self._read_off(pool, found, known, ANYHOW)
        for symbol in sorted(self.vectors, key=lambda symbol: symbol[0] != "update"):  # rates follow from updates
            if symbol not in known and (symbol[0] != "update" or symbol[1] in self.short):
                found.append(Given(symbol, None, self._preference(symbol), self.run))
                known.add(symbol)
                self._read_off(pool, found, known, ANYHOW)
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
        if kind == "lr" and name in self.short and not (self.problem.lazy or self.tied or self.later):
            return "It starts at a saddle: the rate is the one for the steady size of its gradient."
        return None

    def _read_off(self, pool: Pool, found: list[Given], known: set[Symbol], below: Rank) -> None:
        """Adds every unknown that a candidate gives, one after the other; where none does, with rates left open.

        Those rates are still to be read off.
        """
        rates, told = pool.rates, Told({given.symbol for given in found if given.equation is None})
        for given in found:
            if given.equation is not None:
                told.adds(given.equation.form)
        while True:
            pool.close(known)
            ways = self._plainest(pool, known, rates, below)
            if not ways:
                return
            symbol, candidate = _shortest(ways, _held(pool, found))
            if not told.adds(candidate.form):  # rates were put in by other contributions than they were read off
                pool.drop(candidate.form)
                continue
            also = tuple(other for other in unknowns_of(candidate.form) if other != symbol)
            found.append(Given(symbol, candidate.equation, _why(candidate.equation), candidate.run, also))
            known.add(symbol)

    def _plainest(
        self, pool: Pool, known: Collection[Symbol], rates: Mapping[Symbol, Form], below: Rank
    ) -> list[tuple[Symbol, Candidate]]:
        """The equations that say most plainly what an unknown is, themselves or with `rates` put in for open ones."""
        ways: dict[Rank, list[tuple[Symbol, Candidate]]] = {}
        given: dict[tuple[int, bool], tuple[Symbol, bool] | None] = {}  # by form: most conditions share theirs
        for candidate in pool.open:
            equation, stable = candidate.equation, candidate.equation.relation == "stable"
            key = id(candidate.form), stable
            if key not in given:
                given[key] = _one_open(candidate.form, stable, known, rates)
            if (one := given[key]) is None:
                continue
            symbol, through = one
            if through and _gives_rate(equation, known):
                continue
            if isinstance(equation, Reached) and symbol != ("lr", equation.event.parameter):
                continue  # an update is what own contributions make it: there the rate follows from it
            rank = self._rank(symbol, equation)
            if rank < below:
                ways.setdefault(rank, []).append((symbol, candidate))
        return ways[min(ways)] if ways else []

    def _rank(self, symbol: Symbol, equation: Equation) -> Rank:
        """How plainly an equation says what an unknown is: smaller is plainer."""
        event = equation.event
        if symbol[0] in RATES:
            plain = 3 if equation.relation == "maximal" and event.parameter == symbol[1] else 7
        elif symbol[0] == "init":
            plan = self.run.plan
            reads = {plan.parameters[key].name for s in plan.sites if s.key == event.site for key in s.parameters}
            plain = {"value": 1 if symbol[1] in reads else 2, "change": 4, "own": 5, "loss": 6, "update": 7}[event.kind]
        else:
            plain = {"value": 2, "change": 4, "own": 4, "loss": 6, "update": 7}[event.kind]
        return plain, event.step

    def _candidates(self, run: Run) -> Iterator[tuple[Equation, Run]]:
        """What holds with equality: values, changes, contributions of size 0; of equally large terms each."""
        for name, events in own_contributions(run).items():
            reached = [event for event in events if event.term is not None]
            best = max(reached, key=lambda event: event.ticks, default=None)
            if best is not None and (name not in self.short or run is not self.run):
                allowance = allowance_of(best, self.problem.depths, run)
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
        seen: set[object] = set()
        for term in (top, *event.ties[:TIES]):
            same = replace(equation, event=replace(event, term=term))
            key = frozenset(same.counts.items())
            if key not in seen and not any(vector_of(same.counts, self.vectors, self.run, self.scales)):
                seen.add(key)
                yield same

    def _beyond(
        self, symbol: Symbol, known: Collection[Symbol], rates: Mapping[Symbol, Form]
    ) -> Iterator[tuple[Equation, Run]]:
        """What grows where an unknown is a little larger: a term that hides behind another of the same size.

        The rates that are open go along, each so that its own contribution stays what it is.
        """
        moved = {symbol: TRIAL}
        for rate in [rate for rate in rates if rate not in known and rates[rate].get(rate)] * 2:
            gone = sum((share * moved.get(s, Fraction(0)) for s, share in rates[rate].items()), Fraction(0))
            moved[rate] = moved.get(rate, Fraction(0)) - gone / rates[rate][rate]
        point = {s: vector[0] + moved.get(s, Fraction(0)) for s, vector in self.vectors.items()}
        problem = self.later.problem if self.later is not None else self.problem
        steps = problem.steps if problem.isolated else problem.steps + BEYOND
        run = problem.run(point, steps, lambda events: any(e.unstable for e in events), told=True)
        grown = [event for event in run.events if event.unstable and event.kind != "gradient"]
        return ((e, run) for event in grown for e in self._equal(Equation("stable", event)))

    def _preference(self, symbol: Symbol) -> str:
        """Why an unknown is what it is, where no condition of the run says it."""
        if self.short and not self.problem.lazy:
            return "It is held by what happens beyond the saddle, where gradients have their steady size."
        if len(self.scales) > 1:
            return "It is what each scale asks for alone."
        return "Several unknowns share one condition: among them this one keeps its natural size."


def _one_open(
    form: Form, stable: bool, known: Collection[Symbol], rates: Mapping[Symbol, Form]
) -> tuple[Symbol, bool] | None:
    """The unknown that a condition of this form gives, if it is one, and whether with `rates` put in for open ones."""
    open_, short = [symbol for symbol in unknowns_of(form) if symbol not in known], form
    through = len(open_) > 1 and stable
    if through and sum(symbol not in rates for symbol in open_) > 1:
        return None
    if through:
        short = _reduced(form, known, rates)
        open_ = [symbol for symbol in unknowns_of(short) if symbol not in known]
    if len(open_) != 1 or (through and open_[0][0] in RATES):
        return None
    if stable and min(short[open_[0]], form.get(open_[0], 0)) <= 0:
        return None  # a bound from above
    return open_[0], through


def _reduced(form: Form, known: Collection[Symbol], rates: Mapping[Symbol, Form]) -> Form:
    """A form with the open rates put in as what their own contributions say of them."""
    total = dict(form)
    for _ in rates:
        rate = next((s for s in total if s in rates and s not in known and rates[s].get(s)), None)
        if rate is None:
            break
        own = rates[rate][rate]
        share = total[rate] if own == 1 else Fraction(total[rate]) / own
        for symbol, value in rates[rate].items():
            total[symbol] = total.get(symbol, 0) - share * value
        total = {symbol: value for symbol, value in total.items() if value}
    return total


def _gives_rate(equation: Equation, known: Collection[Symbol]) -> bool:
    """Whether an equation is of the contribution that an open rate is still to be read off."""
    return equation.event.kind == "own" and rate_of(equation) not in known


def needed(found: Sequence[Given], used: Iterable[Symbol]) -> list[Given]:
    """Without the updates beyond a saddle from which nothing else is read, and that are not `used`."""
    needed = {symbol for given in found if given.symbol[0] != "update" for symbol in given.known} | set(used)
    while more := {s for given in found if given.symbol in needed for s in given.known} - needed:
        needed |= more
    return [given for given in found if given.symbol[0] != "update" or given.symbol in needed]


def _held(pool: Pool, found: Sequence[Given]) -> set[Key]:
    """What needs no story any more: the terms of conditions that are said, and contributions that rates will keep."""
    said, known = [given.equation for given in found if given.equation is not None], {given.symbol for given in found}
    stay = [equation for equation in pool.owns if rate_of(equation) not in known]
    return {key_of(equation.event.term) for equation in (*said, *stay) if equation.event.term is not None}


def _shortest(ways: Sequence[tuple[Symbol, Candidate]], held: set[Key]) -> tuple[Symbol, Candidate]:
    """The way to the first of these unknowns with the shortest story; of equally short ones that by fewest unknowns."""
    ways = [way for way in ways if way[0] == ways[0][0]]
    if len(ways) == 1:
        return ways[0]
    above = Above(held)

    def length(way: tuple[Symbol, Candidate]) -> tuple[int, Fraction]:
        event = way[1].equation.event
        assert event.term is not None
        return above.applications(event.term), sum((abs(event.form[s]) for s in unknowns_of(event.form)), Fraction(0))

    return min(ways, key=length)


def _why(equation: Equation) -> str:
    if isinstance(equation, Reached):
        return "The gradient beyond the saddle makes this update: not lost, and not growing."
    if equation.relation == "maximal":
        return "Its own contribution stays: not lost, and not growing."
    return "As large as this allows."

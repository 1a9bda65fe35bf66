"""The exact solution: the largest initial sizes, then the largest learning rates, that satisfy every equation.

The calculus is run at a point; the equations that do not hold there, as linear forms, join an exact linear programme,
which gives the next point; until all hold. A rule that is not normalised (SGD) has the same updates as its normalised
twin once gradients have reached their steady size, so its rates are the twin's divided by the sizes of the gradients.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from math import inf
from typing import Any

from scalerules.boundary.working import note
from scalerules.passes.events import Event, Run
from scalerules.terms.term import Symbol

from .equations import (
    Equation,
    Vectors,
    distinct,
    unknowns_of,
)
from .inequalities import ROUNDING, Inequality, programme_of
from .natural import idle_factors
from .priorities import AIMS, priorities, unmet_rates
from .problem import BEYOND, Problem, Solved, Unsolvable
from .programme import Infeasible, Programme
from .rows import Rows

ROUNDS = 30
"""Rounds of running and solving, beside one for every parameter (a long chain is set link by link)."""

AGAIN = 2
"""Attempts after a clash: an equation that was true on the way there may have had a part in it, and be wrong there."""

Key = tuple[object, ...]


def solve_along(problem: Problem) -> Solved:
    """The solution along the direction, of a rule whose updates do not depend on the gradient's size, or isolated.

    Raises `Unsolvable`.
    """
    note(f"solving along {' and '.join(problem.direction)}")
    return _Solver(problem).solve()


class _Solver:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.given: Vectors = {**idle_factors(problem), **problem.given}
        self.kept: dict[str, Equation] = {}
        self.cycles: dict[str, Equation] = {}
        self._runs: dict[object, Run] = {}
        self._solved: tuple[object, Programme] | None = None
        aims = priorities(problem, self.given)
        self.upper: Vectors = {aim.what: aim.bound for aim in aims}
        self.unmet: Vectors = {rate: low for rate, low in unmet_rates(problem).items() if rate not in self.given}
        self.vectors: Vectors = {**self.upper, **self.unmet, **self.given}
        self.rows = Rows(problem, self.upper, self.given)

    def solve(self) -> Solved:
        """Solves; after a clash again from where that ended, without the equations that led there."""
        for _ in range(AGAIN):
            try:
                return self._attempt()
            except Unsolvable:
                self.kept, self.cycles = {}, {}
        try:
            return self._attempt()
        except Unsolvable as last:
            clash = last.clash if last.compromise is None else self.rows.smallest_clash(last.clash, last.run)
            raise Unsolvable(clash, last.run, last.compromise) from None

    def _attempt(self) -> Solved:
        run = self._improved(self._settle())
        run = replace(run, events=[event for event in run.events if event.step <= self.problem.steps])
        programme = self._programme(run, afresh=True)
        named: dict[Hashable, Equation] = {**self.kept, **self.cycles, **self.rows.maximal(run)}
        binding = [named[name] for name in programme.binding() if name in named]
        short = {name: -vector[0] for (kind, name), vector in self.vectors.items() if kind == "own" and vector[0] < 0}
        vectors = {symbol: vector for symbol, vector in self.vectors.items() if symbol[0] not in AIMS}
        solved = Solved(vectors, run, binding, short)
        if short and not self.problem.lazy:
            blocking = [k for name in short for k in (f"maximal {name}", *programme.blocked_by(("own", name)))]
            clash = [named[name] for name in dict.fromkeys(blocking) if name in named]
            raise Unsolvable(clash, run, solved)
        return solved

    def _improved(self, run: Run) -> Run:
        """The run without what only the way there has left behind, if that is better.

        These are sizes that an equation held down which is gone, and equations of terms that are not the largest any
        more: those of the run alone have to allow nothing larger.
        """
        bounds = self._bounds(self.rows[name].form for name in (*self.kept, *self.cycles))
        if low := {size: self.upper[size] for size in bounds if size[0] == "init" and bounds[size] < self.upper[size]}:
            run = self._tried(run, self.kept, {**self.vectors, **low})
        if not self._may_rise(run):
            return run
        here = distinct(event for event in run.events if event.judged)
        now = {_name(event): Equation("stable", event) for event in here if unknowns_of(event.counts)}
        return self._tried(run, now, self.vectors)

    def _tried(self, run: Run, kept: Mapping[str, Equation], vectors: Vectors) -> Run:
        """The run from there on, with these equations, if that is better; this one if not."""
        before = self.vectors, self.kept, self.cycles, self._solved
        reached = self._reached()
        self.kept, self.vectors = dict(kept), vectors
        try:
            self._programme(run)
            if self._reached() > reached:
                improved = self._settle()
                if self._reached() > reached:
                    return improved
        except Unsolvable:
            pass
        self.vectors, self.kept, self.cycles, self._solved = before
        return run

    def _reached(self) -> list[Fraction]:
        """The sizes along the direction of what is made large, the most important first."""
        return [self.vectors[aim][0] for aim in self.upper]

    def _may_rise(self, run: Run) -> bool:
        """Whether the equations of this run alone, which hold, allow anything larger.

        Only those matter that hold with equality: if those of the first step allow nothing, none need be read behind
        it; and if all do, what bounds sizes from above is read off all equations.
        """
        if self._solved is None or self.unmet:
            return True
        cycles, binding = {name: self.rows[name] for name in self.cycles}, self._solved[1].binding()
        rows = {**cycles, **self.rows.aims(run)}
        keys = {self.rows[name].key for name in {*self.kept, *self.cycles}.intersection(binding)}
        before = self._bounds(self.rows[name].form for name in (*self.kept, *self.cycles))

        def rises(now: Mapping[str, Inequality], upper: Vectors) -> bool:
            held = [name for name, row in now.items() if row.key in keys]
            if len(held) == len(keys) and before == upper:
                return False
            first = [*held, *(str(name) for name in binding if name in rows)]
            programme = programme_of({**upper}, {**now, **rows}, first)
            return [vector[0] for vector in programme.solution().values()] > self._reached()

        judged = [event for event in run.events if event.judged]
        tight = [event for event in judged if event.kind == "own" or not event.ticks]
        if not rises(self.rows.different([event for event in tight if event.step < 2], run), self.upper):
            return False
        now = self.rows.different(tight, run)
        if not rises(now, self.upper):
            return False
        every = {id(form): form for event in judged for _, form in event.tied}
        upper = self._bounds([*every.values(), *(row.form for row in cycles.values())])
        return upper == self.upper or rises(now, upper)

    def _bounds(self, forms: Iterable[Mapping[Any, int | Fraction]]) -> Vectors:
        """What no form that is to be at most 0 bounds from above stays where it is."""
        free = {s for s, bound in self.upper.items() if s[0] not in AIMS and self.vectors[s] < bound}
        for form in forms if free else ():
            free.difference_update([s for s, share in form.items() if share.numerator > 0])
        return {s: self.vectors[s] if s in free else bound for s, bound in self.upper.items()}

    def _settle(self) -> Run:
        """Runs and solves in turn until every equation holds at all steps, or it goes round in circles."""
        broken: list[Equation] = []
        run, last, seen = self._run(), -1, set[object]()
        for turn in range(ROUNDS + len(self.problem.graph.parameters)):
            note(f"solving along {' and '.join(self.problem.direction)}, turn {turn + 1}")
            self._forget(run)
            waiting = set(self.unmet)
            broken = self._collect(run)
            before = self._point()
            state = frozenset(before.items()), frozenset(waiting), frozenset(self.kept), frozenset(self.cycles)
            if state in seen:
                break
            seen.add(state)
            self._programme(run)
            if before == self._point() and waiting == set(self.unmet):
                if broken and run.events[-1].step == last:
                    break
                if not broken:
                    return run
            last = run.events[-1].step
            run = self._run()
        raise Unsolvable(broken or list(self.kept.values())[:1], run)

    def _run(self) -> Run:
        """One run of the calculus, up to the first step that something is wrong with; at a point once."""
        steps = self.problem.steps if self.problem.isolated else self.problem.steps + BEYOND
        point = self._point()
        key = frozenset(point.items()), frozenset(self.unmet)
        if key not in self._runs:
            self._runs[key] = self.problem.run(point, steps, self._wrong)
        return self._runs[key]

    def _point(self) -> dict[Symbol, Fraction]:
        """The size of every unknown along the direction, as far as it has been solved for."""
        return {symbol: vector[0] for symbol, vector in self.vectors.items()}

    def _wrong(self, events: list[Event]) -> bool:
        """Whether a step has an equation that does not hold, or a rate that is met for the first time."""
        return any(
            e.unstable or (e.kind == "own" and e.judged and e.term and ("lr", e.parameter) in self.unmet)
            for e in events
        )

    def _forget(self, run: Run) -> None:
        """Drops equations that say more than is true at this point (what divides them is no longer the largest)."""
        now = {_key(event): event for event in run.events}
        at: dict[Hashable, float] = {symbol: float(vector[0]) for symbol, vector in self.vectors.items()}
        for name, equation in list(self.kept.items()):
            event = now.get(_key(equation.event))
            if event is not None:
                true = float(run.point.size(event.ticks)) if event.term is not None else -inf
                if self.rows.read(name, equation, run).excess(at) > true + ROUNDING:
                    del self.kept[name]

    def _collect(self, run: Run) -> list[Equation]:
        """Adds the stability equations of this run, and returns those that do not hold, where they do not first."""
        broken: list[Equation] = []
        for event in run.events:
            if event.kind == "gradient" or event.term is None or not event.judged:
                continue
            if broken and event.step > broken[0].event.step:
                break
            equation = Equation("stable", event)
            if event.unstable:
                broken.append(equation)
            if event.unstable and event.step > self.problem.steps:
                self._cycle(run, event)
            elif (event.unstable or event.kind == "own") and unknowns_of(event.counts):
                self.kept[_name(event)] = equation
                self.unmet.pop(("lr", str(event.parameter)), None)
        return broken

    def _cycle(self, run: Run, event: Event) -> None:
        """Growth from step to step, beyond the asked steps: each round of it must not multiply."""
        same = [e for e in run.events if _key(e)[:3] == _key(event)[:3] and e.term is not None and e.step > 0]
        for earlier, later in zip(same, same[1:], strict=False):
            if later.step > self.problem.steps and later.ticks > earlier.ticks:
                equation = Equation("stable", later, earlier=earlier)
                self.cycles[_name(later, earlier)] = equation

    def _programme(self, run: Run, afresh: bool = False) -> Programme:
        """Solves for the next point, once. What no equation bounds from above stays where it is.

        It starts from what bound last. `afresh`: from nothing, so that which of several rows are said to bind, where
        others would do, does not depend on the way there.
        """
        stable, maximal = {**self.kept, **self.cycles}, self.rows.maximal(run)
        rows = {name: self.rows.read(name, equation, run) for name, equation in stable.items()}
        upper = self._bounds(row.form for row in rows.values())
        rows.update(self.rows.aims(run))
        asked = list(upper.items()), list(rows.items())
        if afresh or self._solved is None or self._solved[0] != asked:
            last = [] if afresh or self._solved is None else self._solved[1].binding()
            try:
                programme = programme_of({**upper}, rows, [str(name) for name in last if name in rows])
            except Infeasible as clash:
                named: dict[Hashable, Equation] = {**stable, **maximal}
                raise Unsolvable([named[name] for name in clash.clash if name in named], run) from None
            self._solved = asked, programme
        programme = self._solved[1]
        self.vectors = {**programme.solution(), **self.unmet, **self.given}  # type: ignore[dict-item]
        return programme


def _key(event: Event) -> Key:
    return (event.kind, event.node, event.parameter, event.step)


def _name(*events: Event) -> str:
    """A name for the equation of events: what they are of, and their linear forms."""
    return "; ".join(
        f"{event.kind} {event.node} {event.parameter} {event.step}: "
        + " ".join(sorted(f"{c}*{kind}.{name}" for (kind, name), c in event.counts.items()))
        for event in events
    )

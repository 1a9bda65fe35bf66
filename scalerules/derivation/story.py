"""The derivation of a solution, written down when it is asked for: the calculus is run once more, at the solution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from scalerules.passes.events import Event, Run
from scalerules.passes.memory import gathering
from scalerules.sizes.exponents import Exponents
from scalerules.solution.derivation import Condition, Derivation, Linear, Solved
from scalerules.solving.equations import Equation, vector_of
from scalerules.solving.problem import Problem
from scalerules.solving.problem import Solved as Answer
from scalerules.terms.term import Symbol

from .cone import bounding
from .damping import Decaying, Tuning
from .drafts import Place, form_of, named
from .reading import Given, Reading, needed
from .rows import Rows, event_place
from .saddle import beyond


@dataclass(frozen=True)
class Story:
    """What a derivation is written from: the problem, its answer, and what the numbers of a rule are read with."""

    problem: Problem
    answer: Answer
    tied: Mapping[str, str]
    decaying: Decaying

    def written(self) -> Derivation:
        """The derivation. Runs the calculus again, with every application of a law."""
        with gathering():
            return self._written()

    def _written(self) -> Derivation:
        problem, scales = self.problem, list(self.problem.direction)
        run = problem.run(self.answer.unknowns, problem.steps, told=True)
        later = beyond(problem, self.answer)
        vectors = later.vectors if later is not None else self.answer.vectors
        rows = Rows(problem.graph, run, vectors, scales)
        shown = self._events(run, rows)
        self._bounds(run, rows)
        reading = Reading(problem, run, vectors, scales, self.answer.short, self.tied, later)
        order, drafts = self._drafts(reading.order(), run, rows)
        finished = rows.finished()
        names = [draft.name if draft is not None else "" for draft in drafts]
        conditions, solved = self._conditions(order, names, rows)
        gradients = self._gradients(run, rows)
        return Derivation(
            growths=self._growths(run, rows),
            reads=rows.around(),
            rows=finished,
            conditions=tuple(conditions),
            solved=tuple(solved),
            readings=self._readings(run, {name: rows.drafts[place].name for name, place in gradients.items()}),
            shown={key: rows.drafts[place].name for key, (_, place) in shown.items()},
            apart={key: apart for key, (apart, _) in shown.items() if apart},
        )

    def _events(self, run: Run, rows: Rows) -> dict[str, tuple[Fraction, Place]]:
        """The place of every event's largest term; of a node of a repeat, of the copy in which it is largest."""
        best: dict[str, tuple[int, Place]] = {}
        for event in run.events:
            if event.term is None:
                continue
            place = self._plain(event, rows)
            rows.draft(place)
            rows.judge(place, event)
            key = f"{event.kind} {event.node} {event.step}" + (f" {event.parameter}" if event.kind == "own" else "")
            if key not in best or event.ticks > best[key][0]:
                best[key] = event.ticks, place
        places: dict[str, tuple[Fraction, Place]] = {}
        for key, (ticks, place) in best.items():
            draft = rows.drafts[place]
            row = rows.size(form_of(draft)).plus(rows.value(draft.below))
            places[key] = run.point.size(ticks) - row.size(self.problem.direction), place
        return places

    def _bounds(self, run: Run, rows: Rows) -> None:
        """The rows that bound the cone, where they are not those of the largest terms."""
        judged = {frozenset(form_of(draft).items()) for draft in rows.drafts.values() if draft.judged}
        for event, term in bounding(run, self.answer.vectors, list(self.problem.direction)).values():
            place = event_place(rows, event, term) if frozenset(term.form.items()) not in judged else None
            if place is not None:
                rows.draft(place).judged = True
                if term is event.term:
                    rows.judge(place, event)

    def _plain(self, event: Event, rows: Rows) -> Place:
        """The one of the equally large terms of an event that needs the fewest further rows."""
        top = event.term
        assert top is not None
        ties = [t for t in event.ties if t.log == top.log]
        places = [place for t in ties if (place := event_place(rows, event, t)) is not None]
        return min(places, key=rows.news)

    def _drafts(self, read: Sequence[Given], run: Run, rows: Rows) -> tuple[Sequence[Given], Sequence[Any]]:
        """What is solved for, without updates beyond a saddle that no row has, and the rows of its equations."""
        trials: dict[int, Rows] = {id(run): rows}
        used: set[Symbol] = set()
        while True:
            order = needed(read, used)
            drafts = [self._draft(given, trials, rows) if given.equation else None for given in order]
            names = {name for draft in rows.distinct.values() for name in draft.adds}
            more = {given.symbol for given in read if _symbol(given.symbol) in names and given.symbol[0] == "update"}
            if more <= used:
                return order, drafts
            used |= more

    def _draft(self, given: Given, trials: dict[int, Rows], rows: Rows) -> Any:
        """The row of the equation that gives an unknown."""
        assert given.equation is not None
        here = trials.get(id(given.run))
        if here is None:
            here = trials[id(given.run)] = rows.beside(given.run)
        event = given.equation.event
        assert event.term is not None
        place = event_place(here, event, event.term)
        assert place is not None
        return here.draft(place)

    def _conditions(
        self, order: Sequence[Given], names: Sequence[str], rows: Rows
    ) -> tuple[list[Condition], list[Solved]]:
        conditions: list[Condition] = []
        solved: list[Solved] = []
        for given, row in zip(order, names, strict=True):
            symbol, name = _symbol(given.symbol), None
            if given.equation is not None:
                name = f"E{len(conditions) + 1}"
                conditions.append(_condition(name, given.equation, row))
            value = rows.size({given.symbol: Fraction(1)})
            solved.append(Solved(symbol, value, name, given.why, tuple(map(_symbol, given.known))))
        return conditions, solved

    def _growths(self, run: Run, rows: Rows) -> dict[str, Exponents]:
        constants = run.point.constants(tuple(self.problem.direction)).items()
        kept = [symbol for symbol, vector in constants if any(vector) or symbol[0] == "scale"]
        return {_symbol(symbol): rows.size({symbol: Fraction(1)}) for symbol in kept}

    def _gradients(self, run: Run, rows: Rows) -> dict[str, Place]:
        """The place of every parameter's last gradient."""
        places: dict[str, Place] = {}
        for name, event in self._gradient_events(run).items():
            places[name] = self._plain(event, rows)
        return places

    def _gradient_events(self, run: Run) -> dict[str, Event]:
        """The first gradient of every parameter that is as large as its last one."""
        gradients: dict[str, Event] = {}
        for event in run.events:
            if event.kind == "gradient" and event.term is not None:
                first = gradients.get(event.node)
                if first is None or self._vector(first, run) != self._vector(event, run):
                    gradients[event.node] = event
        return gradients

    def _vector(self, event: Event, run: Run) -> object:
        return vector_of(event.form, self.answer.vectors, run, list(self.problem.direction))

    def _readings(self, run: Run, gradients: Mapping[str, str]) -> dict[str, dict[str, Linear]]:
        """What every number of a rule is, in symbols."""
        last, scales = self._gradient_events(run), list(self.problem.direction)
        tuning = _Symbolic(self.problem.optimizer, run, self.answer.vectors, scales, self.decaying)
        readings: dict[str, dict[str, Linear]] = {}
        for name in self.problem.graph.parameters:
            held = next((h for h in run.plan.parameters.values() if h.name == name), None)
            moves = name in gradients and ("lr", name) in self.answer.vectors
            rate = _Form({f"c_{name}": Fraction(1)} if moves else {})
            gradient = _Form({})
            if name in gradients:
                gradient = _Form({gradients[name]: Fraction(1), **named(dict(last[name].discount))})
            solved = ("init", name) in self.answer.vectors
            start = _Form({f"a_{name}": Fraction(1)} if solved else named(dict(run.point.start(name)[1])))
            here = {"init": start, "lr": rate}
            here |= tuning.dampings(held, name, gradient)  # pyright: ignore[reportAssignmentType]
            here["wd"] = tuning.decay(held, rate, gradient)  # pyright: ignore[reportArgumentType]
            readings[name] = {number: dict(form.fractions) for number, form in here.items()}
        return readings


class _Form(Exponents):
    """A linear form that adds up like exponents, so that what computes with exponents computes with symbols."""

    def plus(self, other: Exponents, share: int | Fraction = 1) -> Exponents:
        """The form plus a share of another one."""
        total = dict(self.fractions)
        for name, value in other.fractions.items():
            total[name] = total.get(name, Fraction(0)) + share * value
        return _Form({name: value for name, value in total.items() if value})


class _Symbolic(Tuning):
    """The sizes of dampings and decay in symbols."""

    def _exponents(self, form: Mapping[Symbol, Fraction]) -> Exponents:
        return _Form(named(form))


def _symbol(symbol: Symbol) -> str:
    return next(iter(named({symbol: Fraction(1)})))


def _condition(name: str, equation: Equation, row: str) -> Condition:
    adds: dict[Symbol, Fraction] = {}
    for symbol, value in (*equation.event.discount, *equation.allowance):
        adds[symbol] = adds.get(symbol, Fraction(0)) + value
    relation = "reaches" if equation.relation == "maximal" else "at most"
    return Condition(name, relation, row, named(adds), named(equation.form), equation.words)

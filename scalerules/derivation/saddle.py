"""Beyond a saddle: the training of the normalised twin, in which every update has the size that it grows to.

There `u_W` is the rate of the twin, and so the update of `W` up to axes. The conditions of that training give `u_W`,
and the rate `c_W` follows: at the gradient of that training the true law has to make this very update.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from scalerules.ops.site import Held
from scalerules.optimizers.law import Scaling
from scalerules.passes.events import Event, Run, Told
from scalerules.solving.equations import Equation, Vectors
from scalerules.solving.problem import BEYOND, Problem, Solved
from scalerules.solving.twins import twin_of
from scalerules.terms.term import Step, Symbol, Term


class Reached(Equation):
    """The update that the true law makes beyond the saddle is that of the twin."""

    @property
    def words(self) -> str:
        """The equation in words."""
        return f"beyond the saddle the update of {self.event.parameter!r} is the one that is neither lost nor grows"


@dataclass(frozen=True)
class Beyond:
    """The twin with unknowns of its own, its run, the sizes of all unknowns, and what gives each rate at a saddle."""

    problem: Problem
    run: Run
    vectors: Vectors
    reached: tuple[Reached, ...]


def beyond(problem: Problem, solved: Solved) -> Beyond | None:
    """The training beyond the saddles at which parameters of a solution start; None where it is not of a twin."""
    if not solved.short or solved.twin is None or problem.lazy:
        return None
    twin = twin_of(problem)
    twin = replace(twin, optimizer=replace(twin.optimizer, unknown="update"))
    rates: Vectors = {("update", name): vector for (kind, name), vector in solved.twin.vectors.items() if kind == "lr"}
    vectors: Vectors = {**solved.vectors, **rates}
    run = twin.run({symbol: vector[0] for symbol, vector in vectors.items()}, problem.steps + BEYOND, told=True)
    reached = tuple(_reached(problem, twin, run, name) for name in solved.short)
    run.events = [event for event in run.events if event.step <= problem.steps]
    return Beyond(twin, run, vectors, reached)


def _reached(problem: Problem, twin: Problem, run: Run, name: str) -> Reached:
    """The update that the true law makes of the largest gradient of the twin's run; it is told there."""
    time, held, scaling, factor = max(_factors(run, name), key=lambda each: each[-1].size)
    rate = problem.optimizer.rate(run.point, held, scaling)
    term = Term(rate.size + factor.size, (), (factor,), rate.shift)
    term.step = Step("update", time, held.name, problem.optimizer.reason, held.key, held.key)
    told = run.told or []
    gradients = (i for i, t in enumerate(told) if t.step.stage == "gradient")
    place = next(i for i in gradients if (told[i].step.time, told[i].step.of) == (time, held.key))
    told.insert(place + 1, Told(term.step, (term,)))
    own = _negative(twin.optimizer.rate(run.point, held, scaling).form)
    event = Event("update", held.name, time, term, 0, held.name, False, False, held.key, tuple(own.items()))
    return Reached("maximal", event)


def _factors(run: Run, name: str) -> Iterator[tuple[int, Held, Scaling, Term]]:
    """What the true law multiplies every normalised update with: of each step, and of each copy in a repeat."""
    copies = [held for held in run.plan.parameters.values() if held.name == name]
    for number, scaling in enumerate(run.scalings[name]):
        if scaling.factor is not None:
            yield 1 + number // len(copies), copies[number % len(copies)], scaling, scaling.factor


def _negative(form: Mapping[Symbol, Fraction]) -> dict[Symbol, Fraction]:
    return {symbol: -share for symbol, share in form.items()}

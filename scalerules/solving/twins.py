"""The solution of a rule that is not normalised, from that of its normalised twin."""

from __future__ import annotations

from dataclasses import replace

from .equations import Equation, Vectors, allowance_of, own_contributions, value_of, vector_of
from .problem import BEYOND, Problem, Solved, Unsolvable


def twin_of(problem: Problem) -> Problem:
    """The problem of the normalised twin of a rule."""
    given = {symbol: value for symbol, value in problem.given.items() if symbol[0] != "lr"}
    return replace(problem, optimizer=replace(problem.optimizer, steady=True), given=given)


def with_gradients(problem: Problem, twin: Solved) -> Solved:
    """The rates of a rule that is not normalised, from those of its normalised twin; checked by running it.

    They are the twin's divided by the largest of what the rule multiplies the normalised gradient with at any step:
    a power of the gradient's size, and the size of the parameter where the rule is relative to it.
    """
    vectors = dict(twin.vectors)
    scales = list(problem.direction)
    for name, scalings in twin.run.scalings.items():
        factors = [scaling.factor for scaling in scalings if scaling.factor is not None]
        if factors and ("lr", name) in vectors:
            top = max(factors, key=lambda factor: factor.size)
            by = vector_of(top.form, twin.vectors, twin.run, scales)
            vectors["lr", name] = tuple(a - b for a, b in zip(vectors["lr", name], by, strict=True))
    vectors.update(problem.given)
    solved = checked(problem, vectors)
    solved.twin = twin
    solved.binding += [equation for equation in twin.binding if equation.relation == "stable"]
    return solved


def checked(problem: Problem, vectors: Vectors, beyond: int = BEYOND) -> Solved:
    """These sizes as a solution, `short` what they leave small. Raises `Unsolvable` where they are not stable.

    Stable over the steps of the problem and so many `beyond`.
    """
    scales = list(problem.direction)
    point = {symbol: vector[0] for symbol, vector in vectors.items()}
    run = problem.run(point, problem.steps + beyond, lambda events: any(event.unstable for event in events))
    broken = [Equation("stable", e) for e in run.events if e.unstable]
    if broken:
        raise Unsolvable(broken[:1], run)
    run.events = [event for event in run.events if event.step <= problem.steps]
    owns = {name: [e for e in events if e.term is not None] for name, events in own_contributions(run).items()}
    best = {name: max(events, key=lambda e: e.ticks) for name, events in owns.items() if events}
    reached = {n: Equation("maximal", e, allowance=allowance_of(e, problem.depths, run)) for n, e in best.items()}
    sizes = {name: value_of(equation.form, vectors, run, scales) for name, equation in reached.items()}
    short = {name: -size for name, size in sizes.items() if size < 0}
    return Solved(vectors, run, list(reached.values()), short)

"""Several scales that grow together: the product of the answers for one scale at a time, where that is an answer.

Answers for single scales do not multiply in general. Where they do, the product is the rule that a reader wants: it
holds for every one of the scales alone too, whichever grows faster. Where it breaks an equation, the direction is
solved as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

from scalerules.passes.applied import Memory
from scalerules.passes.memory import gathering
from scalerules.sizes.vectors import Vector
from scalerules.terms.term import Symbol

from .equations import Equation, Vectors
from .problem import Problem, Solved, Unsolvable
from .readings import neglected
from .solver import solve_along
from .twins import checked, twin_of, with_gradients
from .vanishing import vanishing


def answer(problem: Problem) -> tuple[Problem, Solved]:
    """The solution, and the problem that it is of. Raises `Unsolvable`.

    Own contributions reach size 0 at every value where they can. Where they cannot, values in front of weights of a
    fixed size may be smaller, and what reaches size 0 is their part of that; those to values that only products with
    other values read (queries and keys at scores with a factor of their own) do so behind the product; and where that
    is not enough, those to values that only layers read behind the layers, which are larger then; or those to values
    that norms alone read beside their size. And where they do reach size 0, but vanish behind the product, these values
    may be larger.
    """
    problem, solved = _answered(problem)
    if neglected(problem, solved):
        every = replace(problem, every_reading=True, beside_norms=True)
        with suppress(Unsolvable):
            problem, solved = every, solve(every)
    opening = vanishing(problem, solved)
    if opening:
        opened = replace(problem, opened=opening)
        with suppress(Unsolvable):
            return opened, solve(opened)
    return problem, solved


def _answered(problem: Problem) -> tuple[Problem, Solved]:
    """The solution with values that only products read of size 0."""
    try:
        return problem, solve(problem)
    except Unsolvable:
        behind = replace(problem, behind_products=True)
        small, layers = replace(problem, beside_sizes=True), replace(behind, behind_layers=True)
        normed = replace(problem, beside_norms=True)
        for before, other in ((problem, small), (problem, behind), (behind, layers), (problem, normed)):
            if other.plan.sites != before.plan.sites:
                with suppress(Unsolvable):
                    return other, solve(other)
        raise


def solve(problem: Problem) -> Solved:
    """The solution along the direction. Raises `Unsolvable`."""
    with gathering():
        if not (problem.normalised or problem.isolated):
            return with_gradients(problem, solve(twin_of(problem)))
        return (_product(problem) if len(problem.direction) > 1 else None) or solve_along(problem)


def _product(problem: Problem) -> Solved | None:
    """The product of the answers for each scale alone, None unless it satisfies every equation along the direction."""
    alone: dict[str, Solved] = {}
    for scale in problem.direction:
        try:
            alone[scale] = solve_along(_for_one(problem, scale))
        except Unsolvable:
            return None
    symbols = dict.fromkeys(symbol for solved in alone.values() for symbol in solved.vectors)
    if any(symbol[0] == "lr" and solved.never(symbol) for symbol in symbols for solved in alone.values()):
        return None
    vectors: Vectors = {symbol: _together(symbol, alone, problem) for symbol in symbols}
    if not _full(problem, vectors):
        return None
    short = {
        name: sum((s.short.get(name, Fraction(0)) * problem.direction[k] for k, s in alone.items()), Fraction(0))
        for name in dict.fromkeys(name for solved in alone.values() for name in solved.short)
    }
    try:
        solved = checked(problem, vectors)
    except Unsolvable:
        return None
    if solved.short != {name: distance for name, distance in short.items() if distance}:
        return None
    solved.everywhere = True
    starts = [event for event in solved.run.events if event.kind == "value" and event.judged and not event.ticks]
    solved.binding += [Equation("stable", event) for event in starts]
    return solved


def _for_one(problem: Problem, scale: str) -> Problem:
    place = 1 + list(problem.direction).index(scale)
    given: dict[Symbol, Vector] = {symbol: (vector[place], vector[place]) for symbol, vector in problem.given.items()}
    return replace(problem, direction={scale: Fraction(1)}, given=given, memory=Memory())


def _together(symbol: Symbol, alone: Mapping[str, Solved], problem: Problem) -> Vector:
    shares = [solved.vectors.get(symbol, (Fraction(0),))[0] for solved in alone.values()]
    size = sum((share * growth for share, growth in zip(shares, problem.direction.values(), strict=True)), Fraction(0))
    return (size, *shares)


def _full(problem: Problem, vectors: Vectors) -> bool:
    """Whether every free parameter that hidden values read starts as large as it can: a value of size 0 holds it."""
    run, plan = problem.run({symbol: vector[0] for symbol, vector in vectors.items()}, steps=0), problem.plan
    events = [event for event in run.events if event.kind == "value" and event.judged]
    held = {symbol for e in events if not e.ticks for term in e.terms if not term.size for symbol in term.form}
    read = {("init", plan.parameters[key].name) for site in plan.sites if plan.hidden(site) for key in site.parameters}
    return all(symbol in held for symbol in read if symbol in vectors)

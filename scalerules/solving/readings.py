"""Parameters that are read at several places: at each of them they are to count, or the rule says where they do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction

from scalerules.ops.site import Site
from scalerules.passes.events import Event, Run
from scalerules.passes.plan import Plan

from .equations import Equation, allowance_of, own_contributions, value_of
from .problem import Problem, Solved
from .twins import twin_of

Readings = Mapping[str, Mapping[str, frozenset[str]]]
"""By parameter and node that reads it, the keys of the sites at which that contribution is asked for."""


def readings(plan: Plan) -> Readings:
    """Of the parameters that several nodes read."""
    readers: dict[str, list[Site]] = {}
    for site in plan.sites:
        for key in site.inputs:
            readers.setdefault(key, []).append(site)
    found: dict[str, dict[str, frozenset[str]]] = {}
    for site in plan.sites:
        for held in (plan.parameters[key] for key in site.parameters):
            here = found.setdefault(held.name, {})
            here[site.name] = here.get(site.name, frozenset()) | _asked(site, readers)
    return {name: here for name, here in found.items() if len(here) > 1}


def _asked(start: Site, readers: Mapping[str, list[Site]]) -> frozenset[str]:
    """The keys of the sites at which what a site contributes is asked for, itself or what it is carried to."""
    asked, queue, seen = set[str](), [start], {start.key}
    while queue:
        site = queue.pop()
        if (site.judged or site.given) and site.asked and not site.makes:
            asked.add(site.key)
        elif site.carries:
            queue += [reader for reader in readers.get(site.key, ()) if reader.key not in seen]
            seen.update(reader.key for reader in readers.get(site.key, ()))
    return frozenset(asked)


def by_reading(events: Mapping[str, Iterable[Event]], plan: Plan) -> dict[tuple[str, str], list[Event]]:
    """Own contributions by parameter and the node that reads it, of parameters that one node reads all together."""
    several = readings(plan)
    found: dict[tuple[str, str], list[Event]] = {}
    for name, every in events.items():
        for node, sites in several.get(name, {"": frozenset[str]()}).items():
            found[name, node] = [event for event in every if not node or event.site in sites]
    return found


def neglected(problem: Problem, solved: Solved) -> dict[tuple[str, str], Fraction]:
    """By parameter and node how far below size 0 it stays there, where it counts at another node that reads it.

    In front of norms that is how far below the value's own size, for which the calculus is run once more; a solution
    keeps the answer.
    """
    if solved.neglected is None:
        solved.neglected = _neglected(problem, solved.twin or solved, solved.twin is None)
    return solved.neglected


def _neglected(problem: Problem, steady: Solved, own: bool) -> dict[tuple[str, str], Fraction]:
    """The same of the solution of a normalised rule; `own`: it is the problem's, not that of its twin."""
    missing = _missing(problem, steady, steady.run)
    beside = replace(problem, beside_norms=True)
    if missing and beside.plan.sites != problem.plan.sites:
        law = beside if own else twin_of(beside)
        missing = _missing(beside, steady, law.run(steady.unknowns, problem.steps))
    return missing


def _missing(problem: Problem, steady: Solved, run: Run) -> dict[tuple[str, str], Fraction]:
    """The same, of the contributions in a run."""
    missing, scales = dict[tuple[str, str], Fraction](), list(problem.direction)
    for (name, node), events in by_reading(own_contributions(run), problem.plan).items():
        there = [event for event in events if event.term is not None]
        if node and there and name not in steady.short:
            best = max(there, key=lambda event: event.ticks)
            equation = Equation("maximal", best, allowance=allowance_of(best, problem.depths, run))
            size = value_of(equation.form, steady.vectors, run, scales)
            missing.update({(name, node): -size} if size < 0 else {})
    return missing

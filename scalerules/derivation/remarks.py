"""What stands beside the numbers of a solution: what it takes for granted, and what a reader is warned of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fractions import Fraction

from scalerules.solving.equations import own_contributions
from scalerules.solving.problem import Problem, Solved
from scalerules.solving.readings import neglected

from .damping import DECAYS, Decaying


def assumptions(
    problem: Problem, mode: str, tied: Mapping[str, str], decaying: Decaying | None, perturbed: bool
) -> tuple[str, ...]:
    """What a solution takes for granted; `perturbed`: gradients are taken at a perturbation."""
    fixed = [scale for scale in problem.graph.scales if scale not in problem.direction]
    texts = [
        "Sizes are exponents; constant factors are left out. Batch, time and every axis without a scale are fixed.",
        "Images of one random matrix may be aligned with each other, and are taken to be.",
    ]
    if fixed:
        texts.append(f"Held fixed: {', '.join(fixed)}.")
    if mode == "isolated":
        texts.append("Isolated: one step, each parameter alone; changes that others propagate are ignored.")
    if problem.alignments:
        texts.append("Alignment is prescribed for: " + ", ".join(sorted(problem.alignments)) + ".")
    for kind, name in problem.given:
        texts.append(f"Given: the {kind} of {name!r}.")
    if decaying is not None:
        texts.append(DECAYS[decaying])
    if perturbed:
        radius = "its radius is the largest that moves values by size 0"
        texts.append(f"rho: a perturbation is a step of its own, taken back; {radius}.")
    if tied:
        texts.append("Tied: one rate for " + ", ".join(sorted(tied)) + ".")
    return tuple(texts)


def warnings(problem: Problem, solved: Solved, tied: Mapping[str, str], unmet: Collection[str]) -> tuple[str, ...]:
    """What a reader has to know; `unmet`: parameters whose gradient is exactly zero at every step."""
    texts = [_left_behind(problem, name, distance, tied) for name, distance in solved.short.items()]
    texts += [
        f"{name!r} is left behind where {node!r} reads it: its own contribution there stays at size -{distance}"
        for (name, node), distance in neglected(problem, solved).items()
    ]
    texts += [
        f"{name!r} moves by size 0 only the few entries that are chosen (by a maximum) or weighed most, all by {size}"
        for name, size in _few_entries(solved).items()
    ]
    still = [name for name in sorted(unmet) if problem.graph.parameters[name].trained]
    texts += [f"the gradient of {name!r} is exactly zero for all steps: any rate does" for name in still]
    texts += [
        f"no axis or factor of the graph grows with {scale!r}: the rule says nothing of it"
        for scale in _unseen(problem)
    ]
    return tuple(texts)


def _unseen(problem: Problem) -> list[str]:
    """The scales that grow and on which nothing in the graph depends: blocks whose number is held, for one."""
    graph = problem.graph
    lengths = [*graph.lengths.values()]
    factors = [node.factor for _, node in graph.walk()] + [parameter.factor for parameter in graph.parameters.values()]
    lengths += [graph.length(factor, "a factor") for factor in factors if factor is not None]
    seen = {scale for length in lengths for scale in length.scales}
    return [scale for scale in problem.direction if scale not in seen]


def _few_entries(solved: Solved) -> dict[str, Fraction]:
    """The parameters of which few entries alone contribute as they are to, and by what size all alike do."""
    run, alike = solved.run, dict[str, dict[tuple[str, int], int]]()
    for event in run.events:
        if event.kind == "own" and event.term is not None:
            places, place = alike.setdefault(str(event.parameter), {}), (event.site, event.step)
            places[place] = min(event.ticks, places.get(place, event.ticks))
    found: dict[str, Fraction] = {}
    for name, events in own_contributions(run).items():
        there = [event for event in events if event.term is not None]
        top = max((event.ticks for event in there), default=0)
        size = max((alike[name][event.site, event.step] for event in there if event.ticks == top), default=0)
        if size < min(top, 0):
            found[name] = Fraction(size, run.point.per_unit)
    return found


def _left_behind(problem: Problem, name: str, distance: Fraction, tied: Mapping[str, str]) -> str:
    if name in tied:
        shared = f"{name!r} shares its rate with {tied[name]!r}, which allows no larger one"
        return f"{shared}: its own contribution stays at size -{distance}"
    if problem.lazy:
        return f"{name!r} is lazy: its own contribution stays at size -{distance}, a larger rate would not be stable"
    start = f"{name!r} starts at a saddle: its own contribution is of size -{distance} at first"
    return f"{start} and grows by a constant factor a step"

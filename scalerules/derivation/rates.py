"""What else is derived with the rates: radii of perturbations, and rates that parameters share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError, UnknownName
from scalerules.optimizers.powers import TOGETHER
from scalerules.sizes.vectors import Vector
from scalerules.solving.problem import Problem, Solved
from scalerules.solving.solve import solve
from scalerules.solving.twins import checked

from .damping import Share, Tuning

ALL = "all"
Tied = str | Mapping[str, str | Sequence[str]] | None
"""`all`, or groups by name: the parameters of each, or patterns of their names."""


def groups_of(tied: Tied, graph: Graph) -> list[list[str]]:
    """The parameters that share a rate. Raises `ScaleRulesError`."""
    if tied is None:
        return []
    if isinstance(tied, str):
        if tied != ALL:
            raise UnknownName("way to tie rates", tied, [ALL], where="tied")
        return [list(graph.parameters)]
    groups: list[list[str]] = []
    for group, names in tied.items():
        patterns = [names] if isinstance(names, str) else list(names)
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in graph.parameters):
                raise UnknownName("parameter", pattern, graph.parameters, where=f"tied {group!r}")
        group_names = [name for name in graph.parameters if any(fnmatchcase(name, p) for p in patterns)]
        twice = [name for name in group_names if any(name in other for other in groups)]
        if twice:
            raise ScaleRulesError(f"{twice[0]!r} is in two groups", where="tied")
        groups.append(group_names)
    return groups


def tie(problem: Problem, solved: Solved, groups: Sequence[Sequence[str]]) -> tuple[Solved, dict[str, str]]:
    """The solution with one rate for each group, and for each parameter the one that allows no larger rate.

    With the same initial sizes a smaller rate moves nothing more, and who needs the smallest allows no larger one: so
    that is the largest rate that is stable for all. What it leaves behind is `short`. Raises `Unsolvable`.
    """
    vectors, bound = dict(solved.vectors), dict[str, str]()
    for names in groups:
        moving = [name for name in names if ("lr", name) in vectors and not solved.never(("lr", name))]
        if moving:
            least = min(moving, key=lambda name: solved.vectors["lr", name][0])
            bound |= dict.fromkeys(moving, least)
            vectors.update({("lr", name): solved.vectors["lr", least] for name in moving})
    tied = checked(problem, vectors)
    tied.everywhere = solved.everywhere
    return tied, bound


def radii(problem: Problem, solved: Solved) -> Radii | None:
    """The radii by which parameters are moved before the gradient is taken, at the initial sizes of a solution.

    A perturbation is a step of its own, uphill and taken back: its radius is the largest at which it is stable, and
    moves values by size 0. Raises `Unsolvable`.
    """
    law = problem.optimizer.perturbation
    if law is None:
        return None
    given: dict[tuple[str, str], Vector] = {s: v for s, v in solved.vectors.items() if s[0] != "lr"}
    uphill = replace(problem.optimizer, formula=law, perturbation=None, decay="decoupled", clip=None)
    asked = replace(problem, optimizer=uphill, given=given, lazy=True)
    return Radii(asked, solve(asked))


class Radii:
    """Radii as they were solved for."""

    def __init__(self, problem: Problem, solved: Solved) -> None:
        self.problem, self.solved = problem, solved
        self.tuning = Tuning(problem.optimizer, solved.run, solved.vectors, list(problem.direction))

    def share(self, name: str) -> Share:
        """The power by which a radius grows with a multiplier in front of its parameter."""
        held = next((h for h in self.solved.run.plan.parameters.values() if h.name == name), None)
        return self.tuning.gauges(held)

    def together(self, name: str) -> Share:
        """How the norm of all gradients stands in it."""
        return self.tuning.of_norm(name, TOGETHER, 1)

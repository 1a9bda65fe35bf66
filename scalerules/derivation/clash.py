"""What is told where no rule exists: the equations that clash and where they come from."""

from __future__ import annotations

from scalerules.errors import Clash
from scalerules.passes.events import Event
from scalerules.solving.problem import Problem, Unsolvable
from scalerules.terms.term import Term

from .writer import exponents_of


def clash_of(problem: Problem, failure: Unsolvable) -> Clash:
    """The clash in words: each equation with the size that was reached, and what would resolve it."""
    equations = [f"{e.words} ({_origin(e.event)})" for e in failure.clash]
    remedies: list[str] = []
    for symbol in problem.given:
        remedies.append(f"do not give the {symbol[0]} of {symbol[1]!r}")
    if failure.compromise is not None:
        vectors, scales = failure.compromise.vectors, list(problem.direction)
        for name, distance in failure.compromise.short.items():
            rate = exponents_of(vectors["lr", name], scales)
            remedies.append(f"let the own contribution of {name!r} stay at size -{distance} (its lr is then {rate})")
    for equation in failure.clash:
        if equation.relation == "stable" and equation.event.kind in ("own", "change"):
            remedies.append(f"put a free multiplier behind {equation.event.node!r}")
    if len(problem.direction) > 1:
        remedies.append("hold a scale fixed")
    if problem.isolated:
        remedies.append("derive in the mode 'joint'")
    return Clash(f"graph {problem.graph.name!r}", equations, list(dict.fromkeys(remedies)) or ["another architecture"])


def _origin(event: Event) -> str:
    steps = [t.step for t in line_of(event.term) if t.step is not None] if event.term else []
    places = list(dict.fromkeys(f"{s.stage} at {s.node!r}" for s in steps))
    return "from " + " <- ".join(places[:4]) if places else "exactly zero"


def line_of(term: Term) -> list[Term]:
    """A term and its largest ancestors, back to where they began."""
    line = [term]
    while line[-1].parents:
        line.append(max(line[-1].parents, key=lambda parent: parent.size))
    return line

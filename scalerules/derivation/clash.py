"""What is told where no rule exists: the equations that clash and where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from scalerules.errors import Clash
from scalerules.ops.registry import law_of
from scalerules.ops.site import Site
from scalerules.passes.events import Event, Told
from scalerules.solution.derivation import Derivation, written
from scalerules.solution.tree import Parts, tree
from scalerules.solving.equations import Equation, Vectors, unknowns_of, value_of
from scalerules.solving.problem import Problem, Unsolvable
from scalerules.terms.term import Symbol

from .above import Above
from .drafts import named
from .rows import Rows
from .writer import exponents_of


def clash_of(problem: Problem, failure: Unsolvable) -> Clash:
    """The clash in words: each equation with the size that was reached, and what would resolve it."""
    equations = [f"{e.words}: {_inequality(e)}{_line(problem, e.event)}" for e in failure.clash]
    total = _sum_of(problem, failure)
    where, ways = f"graph {problem.graph.name!r}", _remedies(problem, failure, total)
    return Clash(where, equations, ways, _said(failure, total), _trees(problem, failure))


def _remedies(problem: Problem, failure: Unsolvable, total: _Sum | None) -> list[str]:
    """What would resolve a clash: to do without one of its equations, each in its way."""
    ways = [f"do not give the {kind} of {name!r}" for kind, name in problem.given]
    left = failure.compromise.short if failure.compromise else {}
    rates = failure.compromise.vectors if failure.compromise else {}
    for name, distance in left.items():
        rate = exponents_of(rates["lr", name], list(problem.direction))
        ways.append(f"let the own contribution of {name!r} stay at size -{distance} (its lr is then {rate})")
    for k, equation in enumerate(failure.clash):
        power = -total.size / total.shares[k] if total is not None and total.shares[k] > 0 else None
        if total is None and len(set(left.values())) == 1:  # as much as contributions would have to be smaller
            power = -max(left.values())
        if equation.relation == "stable" or equation.event.parameter not in left:
            ways.append(_without(problem, equation, power))
        if equation.event.kind == "loss":
            ways += [f"put a free multiplier behind {output!r}" for output in problem.graph.outputs]
    if len(problem.direction) > 1:
        ways.append("hold a scale fixed")
    if problem.isolated:
        ways.append("derive in the mode 'joint'")
    return list(dict.fromkeys(ways))


def _without(problem: Problem, equation: Equation, power: Fraction | None) -> str:
    """How to do without an equation; `power`: of the one scale, what a factor has to be."""
    event = equation.event
    if equation.relation == "maximal":
        return f"leave {event.parameter!r} untrained"
    if event.kind == "loss":
        return f"give {event.parameter!r} a smaller rate"
    node = _multiplied(problem, event)
    line, scales = problem.graph.lines.get(node), [scale for scale, growth in problem.direction.items() if growth]
    here = f": multiply it by {scales[0]}**({power}) at {line}" if line and power and len(scales) == 1 else ""
    return f"put a free multiplier behind {node!r}{here}"


def _multiplied(problem: Problem, event: Event) -> str:
    """The node whose value a multiplier would make smaller: that in front of functions and norms, which hide it."""
    sites = {site.key: site for site in problem.plan.sites}
    site = sites.get(event.site)
    while site is not None and law_of(site.op).kind in ("function", "norm") and len(site.inputs) == 1:
        if sites[site.inputs[0]].op == "input":
            break
        site = sites[site.inputs[0]]
    return _written(problem, site) if site is not None else event.node


def _written(problem: Problem, site: Site) -> str:
    """The node of the graph that a site is, or is a part of."""
    names = {id(node): name for name, node in problem.graph.walk()}
    return site.name if site.name in names.values() else names.get(id(site.node), site.name)


def _inequality(equation: Equation) -> str:
    """An equation in unknowns and growths."""
    return f"{written(named(equation.form))} {'>=' if equation.relation == 'maximal' else '<='} 0"


@dataclass(frozen=True)
class _Sum:
    """The sum of the equations in which every unknown cancels: how often each stands in it, what is left, its size."""

    shares: Sequence[Fraction]
    rest: Mapping[Symbol, Fraction]
    size: Fraction


def _sum_of(problem: Problem, failure: Unsolvable) -> _Sum | None:
    """The sum of the equations that cannot hold; None where it is not found."""
    import sympy  # pyright: ignore[reportMissingTypeStubs]

    signs = [-1 if e.relation == "maximal" else 1 for e in failure.clash]
    known, scales = dict(problem.given), list(problem.direction)
    forms = [{s: sign * v for s, v in e.form.items()} for e, sign in zip(failure.clash, signs, strict=True)]
    unknowns = list(dict.fromkeys(s for form in forms for s in unknowns_of(form) if s not in known))
    algebra: Any = sympy
    entries = [algebra.Rational(str(form.get(symbol, 0))) for symbol in unknowns for form in forms]
    ways: list[Any] = algebra.Matrix(len(unknowns), len(forms), entries).nullspace()
    if len(ways) != 1:
        return None
    shares = [Fraction(str(share)) for share in ways[0]]
    shares = [share / min(abs(s) for s in shares if s) for share in shares]
    rest: dict[Symbol, Fraction] = {}
    for form, share in zip(forms, shares, strict=True):
        for symbol, value in form.items():
            rest[symbol] = rest.get(symbol, Fraction(0)) + share * value
    if value_of(rest, known, failure.run, scales) < 0:
        shares, rest = [-share for share in shares], {symbol: -value for symbol, value in rest.items()}
    free = [e.event.kind == "value" for e in failure.clash]  # values start at size 0: equalities
    if any(share < 0 and not equal for share, equal in zip(shares, free, strict=True)):
        return None
    size = value_of(rest, known, failure.run, scales)
    return _Sum(shares, rest, size) if size > 0 else None


def _said(failure: Unsolvable, total: _Sum | None) -> str | None:
    """What the sum of the equations says."""
    if total is None:
        return None
    pairs = enumerate(zip(total.shares, failure.clash, strict=True), 1)
    counts = {f"({k})": -share if e.relation == "maximal" else share for k, (share, e) in pairs if share}
    parts = dict(sorted(counts.items(), key=lambda part: part[1] < 0))
    left = written(named({symbol: value for symbol, value in total.rest.items() if value}))
    return f"{written(parts)} says that {left} <= 0, and it is {total.size}"


def _line(problem: Problem, event: Event) -> str:
    """The line at which the node of an event is written, where it is known."""
    site = next((site for site in problem.plan.sites if site.key == event.site), None)
    line = problem.graph.lines.get(_written(problem, site) if site is not None else event.node)
    return f" ({line})" if line else ""


def _trees(problem: Problem, failure: Unsolvable) -> list[list[str]]:
    """For every equation the rows that its size follows from, as the lines of a tree.

    Equations are of several runs: the rows are read off the terms and what each came from, and have no solved size.
    """
    tops = [equation.event.term for equation in failure.clash]
    terms = {id(term): term for top in tops if top is not None for term, _ in Above(()).ordered(top)}
    told = [Told(term.step, (term,)) for term in terms.values() if term.step and term.step.stage != "parameter"]
    rows = Rows(problem.graph, replace(failure.run, told=told), _sizes(problem, failure), list(problem.direction))
    places = [rows.where.get(id(top)) for top in tops]  # none of a parameter that stands alone: it follows from nothing
    drafts = [rows.draft((place[0], id(top))) if place else None for place, top in zip(places, tops, strict=True)]
    derivation, parts = Derivation({}, {}, rows.finished(), (), (), {}), Parts()
    found: list[list[str]] = []
    for draft in drafts:
        told_before = len(parts)
        lines = tree(derivation, draft.name, (), parts, solved=False) if draft is not None else []
        found.append([*lines, *(line for part in [*parts.values()][told_before:] for line in part)])
    return found


def _sizes(problem: Problem, failure: Unsolvable) -> Vectors:
    nothing = (Fraction(0),) * len(problem.direction)
    return {symbol: (size, *nothing) for symbol, size in failure.run.point.unknowns.items()}

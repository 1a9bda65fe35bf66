"""What is made as large as it can be, in order: the objective of the programme, to be read from top to bottom.

Every entry is more important than all that follow: nothing later is worth any part of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fractions import Fraction

from scalerules.ops.registry import law_of
from scalerules.ops.site import Site
from scalerules.passes.maps import SUMS
from scalerules.passes.plan import Plan
from scalerules.sizes.vectors import Vector
from scalerules.terms.term import Symbol

from .equations import Vectors
from .natural import natural_sizes, necks
from .problem import Problem

AIMS = ("own", "full", "least", "even")
"""What is made large beside the unknowns: own contributions, those inside a block, the least of several."""


@dataclass(frozen=True)
class Aim:
    """One thing that is made as large as it can be, its upper bound, and why it comes at this place."""

    what: Symbol
    bound: Vector
    why: str


def priorities(problem: Problem, given: Vectors) -> list[Aim]:
    """The aims of a problem, the most important first; what is `given` is none."""
    graph, names = problem.graph, _Names(problem)
    lengths = graph.lengths.values()
    top = max((length.growth(problem.direction) for length in lengths), default=Fraction(1))
    one, large, rate = (_along(problem, size) for size in (Fraction(0), top, 4 * top))
    natural = natural_sizes(problem)
    narrow = {symbol: size for symbol, size in necks(problem).items() if symbol[1] not in names.late}
    late = names.late - {problem.plan.parameters[key].name for key in problem.plan.unseen}
    before = {**narrow, **{symbol: size for symbol, size in natural.items() if symbol[1] not in late}}
    inits: Vectors = {
        ("init", name): (natural if name in names.hidden else before).get(("init", name), large)
        for name in names.order if graph.parameters[name].init == "normal"
    }  # fmt: skip
    owns = [("own", name) for name in names.trained]
    hidden = [symbol for symbol in inits if symbol[1] in names.hidden]
    early = [symbol for symbol in inits if symbol[1] not in names.late]
    even = [("even", name) for name, alike in twins(problem.plan).items() if all(("init", n) in inits for n in alike)]
    least = [("least", "sum")] if summands(problem) else []
    evenly = [("least", "rate")] if problem.opened else []
    inside = [("full", name) for name in names.trained if name in problem.depths]
    join = bool(names.joins)  # what depth allows is used for depth only

    alone = problem.isolated and not problem.beside_sizes
    order: list[tuple[Iterable[Symbol], bool, str]] = [
        (least, alone, "no term of a sum is left behind to make room for another one"),
        (even, alone, "matrices of which only the product has a size are as large as each other"),
        (early, alone, "initial sizes of hidden values follow from the values at initialisation alone"),
        (owns, True, "every parameter learns: its own contribution reaches size 0"),
        (least, True, "no term of a sum is left behind to make room for another one"),
        (hidden, join, "initial sizes come before what depth makes up for"),
        (names.joins, join, "multipliers of the sum over depth come first, and are used for depth only"),
        (names.alone, join, "other multipliers do not make up for depth"),
        (inside, join, "contributions are large inside their own block too"),
        (even, True, "matrices of which only the product has a size are as large as each other"),
        (early, True, "initial sizes of hidden values, and of what is read into them"),
        ([*names.alone, *names.joins], True, "multipliers are no smaller than they have to be"),
        (inits, True, "what has no growing axis behind it (logits, router scores) may start below size 0"),
        (evenly, True, "the values of a product share what makes it larger"),
        ([("lr", name) for name in names.trained], True, "the largest rates"),
    ]
    bounds = {**inits, **{("lr", name): rate for name in names.trained}, ("least", "rate"): rate}
    aims: dict[Symbol, Aim] = {}
    for symbols, applies, why in order:
        for symbol in symbols if applies else ():
            if symbol not in given:
                aims.setdefault(symbol, Aim(symbol, bounds.get(symbol, one), why))
    return list(aims.values())


def unmet_rates(problem: Problem) -> Vectors:
    """The rates of all trained parameters, as small as they are until their own contribution is met."""
    lengths = problem.graph.lengths.values()
    top = max((length.growth(problem.direction) for length in lengths), default=Fraction(1))
    return {("lr", name): _along(problem, -8 * top) for name in _Names(problem).trained}


def twins(plan: Plan) -> dict[str, list[str]]:
    """The parameters that start as large as each other, by a name for them."""
    return {" ".join(sorted(alike)): sorted(alike) for alike in plan.twins}


def summands(problem: Problem) -> list[str]:
    """The sites whose values are added up to a hidden one with a growing axis; sums over depth are apart."""
    plan, ends = problem.plan, _ends(problem.plan, problem.graph.outputs)
    sums = [site for site in plan.sites if site.op in SUMS and not site.joins and site.key not in ends]
    return [key for site in sums if len(site.operands) > 1 and plan.hidden(site) for key in site.inputs]


class _Names:
    """The parameters in the order in which they are asked for, and the free factors."""

    def __init__(self, problem: Problem) -> None:
        plan, graph = problem.plan, problem.graph
        order: dict[str, None] = {}
        self.hidden: set[str] = set()
        """Parameters read by a value with a growing axis that is no output."""
        late: set[str] = set()
        ends = _ends(plan, graph.outputs)
        before = _before_hidden(plan, ends)
        uses = Counter(key for site in plan.sites for key in site.parameters)
        for early in (True, False):  # a value without a growing axis (logits, router scores) may start below size 0,
            for site, met in _as_met(plan):  # but what is read into one that has to be of size 0 makes no room for it
                here = plan.hidden(met) and met.key not in ends
                keys = sorted(site.parameters, key=lambda key: -uses[key] * site.makes)  # another reading says more
                names = [plan.parameters[key].name for key in keys]
                if (here or met.key in before) is early:
                    self.hidden.update(names if here else ())
                    late.update(name for name in names if not early and name not in order)
                    order.update(dict.fromkeys(names))
        self.order = list(order)
        self.late = late - self.hidden
        self.trained = [name for name in order if graph.parameters[name].trained]
        free = {name for name, node in graph.walk() if node.free}
        joins = {multiplier.name for _, multiplier in problem.depths.values() if multiplier is not None} & free
        self.joins = [("mult", name) for name in sorted(joins)]
        self.alone = [("mult", site.name) for site in plan.sites if site.name in free - joins]


def _as_met(plan: Plan) -> list[tuple[Site, Site]]:
    """The sites in order, each with the one where it meets data: there, not where it is written, it takes effect.

    Or with a free factor of weights: what is behind that is the factor's. The order is that of the operations in front
    of a site, and of those in front of what reads it first, whichever of two branches is listed first.
    """
    data: set[str] = set()
    for site in plan.sites:
        if site.op == "input" or (site.makes and site.node.free) or data.intersection(site.inputs):
            data.add(site.key)
    level: dict[str, int] = {}
    for site in plan.sites:
        level[site.key] = max([level[key] for key in site.inputs], default=0) + (not law_of(site.op).passes)
    read: dict[str, int] = {}
    for site in reversed(plan.sites):
        at = read.get(site.key, level[site.key]) if law_of(site.op).passes else level[site.key]
        read.update((key, min(at, read.get(key, at))) for key in site.inputs)
    sites = sorted(plan.sites, key=lambda site: (level[site.key], read.get(site.key, level[site.key])))
    place: dict[str, int] = {}
    met: dict[str, int] = {}
    for number, site in reversed(list(enumerate(sites))):
        here = place[site.key] = number if site.key in data else met.get(site.key, number)
        for key in site.inputs:
            met[key] = min(here, met.get(key, here))
    return [(site, sites[place[site.key]]) for site in sorted(sites, key=lambda site: place[site.key])]


def _ends(plan: Plan, outputs: Collection[str]) -> set[str]:
    """The sites of the outputs, and those that are outputs but for a factor, an arrangement or a sum."""
    readers: dict[str, list[Site]] = {}
    for site in plan.sites:
        for key in site.inputs:
            readers.setdefault(key, []).append(site)
    ends: set[str] = set()
    for site in reversed(plan.sites):
        behind = readers.get(site.key, [])
        passed = all(s.key in ends and (s.op in SUMS or (len(s.operands) == 1 and law_of(s.op).linear)) for s in behind)
        if site.name in outputs or (behind and passed):
            ends.add(site.key)
    return ends


def _before_hidden(plan: Plan, ends: Collection[str]) -> set[str]:
    """The sites that a value with a growing axis, not one of the outputs, depends on."""
    before: set[str] = set()
    for site in reversed(plan.sites):
        if (plan.hidden(site) and site.key not in ends) or site.key in before:
            before.update(site.inputs)
    return before


def _along(problem: Problem, size: Fraction) -> Vector:
    """A size along the direction, as a power of its first scale."""
    first = next(iter(problem.direction.values()))
    return (size, size / first, *[Fraction(0)] * (len(problem.direction) - 1))

"""Sizes that only a product has an effect on: what free factors take up, and the natural size of what they multiply."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from fractions import Fraction

from scalerules.ops.registry import law_of
from scalerules.ops.site import Held, Site
from scalerules.passes.maps import JOINING
from scalerules.passes.plan import Plan, depth_allowance
from scalerules.passes.point import Point
from scalerules.passes.weights import degree_of, free_of
from scalerules.sizes.vectors import Vector, plus

from .equations import Vectors, vector_of
from .problem import Problem


def idle_factors(problem: Problem) -> Vectors:
    """Free factors that parameters in front of them take up, unless these are given or depth asks for it.

    Each is what stands there already: the parameters take that up, and nothing has to be set.
    """
    plan = problem.plan
    joins = {multiplier.name for _, multiplier in depth_allowance(plan).values() if multiplier is not None}
    fixed = {name for kind, name in problem.given if kind in ("init", "lr")}
    idle = [name for name, alone in plan.idle.items() if name not in joins and not fixed.intersection(alone)]
    return {("mult", name): _as_it_stands(problem, name) for name in idle}


def _as_it_stands(problem: Problem, name: str) -> Vector:
    """The exponents of the number that a factor is before it is solved for."""
    text = next(site.node.factor for site in problem.plan.sites if site.name == name)
    monomial = problem.graph.length(1 if text is None else text, name).leading(problem.direction)
    powers = dict(monomial.powers)
    return (monomial.growth(problem.direction), *(powers.get(scale, Fraction(0)) for scale in problem.direction))


def natural_sizes(problem: Problem) -> Vectors:
    """Of what reads a free factor linearly, and of the matrices of a product: the size at which they pass sizes on.

    So does a matrix of weights that are normed, or multiplied with a free factor, themselves. Only the product has an
    effect, and the factor is what should not be smaller than it has to be. A vector of weights that is read through a
    matrix of weights alone (a learnt query), or that is added to what is (its bias), is like a value: of size 0, and
    the matrix passes that on. So is the bias of a layer that makes weights. No larger is a matrix that is read twice in
    a row, of which only the product with itself counts. And no matrix in front of a factor or behind one, which is
    read elsewhere too, is larger than some place that reads it asks for.
    """
    plan, scales = problem.plan, tuple(problem.direction)
    growths = Point(problem.graph, problem.direction, {}).constants(scales)
    zero = (Fraction(0),) * (1 + len(scales))
    degrees: dict[str, Fraction] = {}
    """The power with which a factor in front of the free ones before a value is one behind it; a norm has none."""
    taken_up, free = _before_free_factors(plan), free_of(plan.sites)
    sums = {id(site.node) for site in plan.sites if site.op == "add" and site.node.op != "add"}
    """Products of values of which one is a sum, read term by term."""
    matrices: dict[str, frozenset[str]] = {}
    """What the value of a site is a product with, views in between."""

    def even(held: Held) -> Vector:
        """The initial size at which a sum over the fan-in is as large as what is summed."""
        shares = (zero, *(growths["growth", axis] for axis in held.fan_in))
        return tuple(-sum(part, Fraction(0)) / 2 for part in zip(*shares, strict=True))

    uses = Counter(key for site in plan.sites for key in site.parameters)
    tied = dict.fromkeys(key for key in _in_front_of_factors(plan) if uses[key] > 1)
    """What stands in front of a free factor or behind one, and is read at another place too."""

    sizes: Vectors = {
        ("init", held.name): even(held) for held in plan.parameters.values() if held.name in problem.opened
    }
    for site in plan.sites:
        parameters = [plan.parameters[key] for key in site.parameters]
        multilinear = law_of(site.op).multilinear
        alone = [held for held in parameters if sorted(held.fan_in) == sorted(held.axes)]
        before = frozenset(key for source in site.inputs for key in matrices.get(source, ()))
        if law_of(site.op).passes:
            matrices[site.key] = before
        elif multilinear:
            matrices[site.key] = frozenset(site.parameters)
            again = [plan.parameters[key].name for key in before.intersection(site.parameters)]
            sizes.update({("init", name): zero for name in again})
        if site.key in taken_up:
            sizes.update({("init", held.name): even(held) for held in parameters if held.matrix})
        if multilinear and not site.inputs and len(parameters) > 1:
            sizes.update({("init", held.name): zero if held in alone else even(held) for held in parameters if alone})
        if site.makes and site.op in JOINING:
            sizes.update({("init", held.name): zero for held in alone})
        if id(site.node) in sums and len(site.node.inputs) > 1:
            sizes.update({("init", held.name): zero for held in alone if held.name not in site.node.parameters})
            if free.intersection(site.inputs):
                sizes.update({("init", held.name): even(held) for held in parameters if held not in alone})
        degrees[site.key] = _degree(site, degrees)
        if degrees[site.key] and not site.node.free:
            tied.update((key, None) for key in site.parameters if uses[key] > 1)
            sizes.update({("init", held.name): even(held) for held in parameters if uses[held.key] == 1})
    if tied:
        asked = _asked(problem, {("init", held.name): even(held) for held in plan.parameters.values()})
        for symbol in (("init", plan.parameters[key].name) for key in tied):
            if symbol in asked:
                sizes.setdefault(symbol, asked[symbol])
    directions = [held for held in plan.parameters.values() if held.key in plan.unseen]
    return sizes | {("init", held.name): even(held) if held.matrix else zero for held in directions}


def necks(problem: Problem) -> Vectors:
    """Of what makes values without a growing axis of trained ones, in a deep graph: 1 over the fan-in.

    That is what they start at without depth, where what they read is aligned: depth is not a way to more.
    """
    plan = problem.plan
    if problem.isolated or not depth_allowance(plan):
        return {}
    growths = Point(problem.graph, problem.direction, {}).constants(tuple(problem.direction))
    trained = {site.key for site in plan.sites if site.parameters}
    sizes: Vectors = {}
    for site in plan.sites:
        trained.update([site.key] if trained.intersection(site.inputs) else [])
        for held in (plan.parameters[key] for key in site.parameters):
            if held.fan_in and trained.intersection(site.inputs) and not plan.hidden(site):
                shares = [growths["growth", axis] for axis in held.fan_in]
                sizes["init", held.name] = tuple(-sum(part, Fraction(0)) for part in zip(*shares, strict=True))
    return sizes


def _before_free_factors(plan: Plan) -> set[str]:
    """The sites of weights that are multiplied with a free factor, or read into such a one."""
    before: set[str] = set()
    for site in reversed(plan.sites):
        if site.makes and (site.key in before or site.node.free):
            before.update((site.key, *site.inputs))
    return before


def _in_front_of_factors(plan: Plan) -> list[str]:
    """The parameters of the products that free factors read, views in between."""
    before, found = set[str](), dict[str, None]()
    for site in reversed(plan.sites):
        if site.node.free or (site.key in before and law_of(site.op).passes):
            before.update(site.inputs)
        elif site.key in before and law_of(site.op).multilinear:
            found.update(dict.fromkeys(site.parameters))
    return list(found)


def _asked(problem: Problem, even: Vectors) -> Vectors:
    """The largest initial size that a place which reads a parameter asks for, all others being as large as sums are.

    It makes what is read there, or what a fixed factor behind makes of that, of size 0.
    """
    drawn = {("init", name) for name, parameter in problem.graph.parameters.items() if parameter.init == "normal"}
    known: Vectors = {**{symbol: vector for symbol, vector in even.items() if symbol in drawn}, **problem.given}
    run = problem.run({symbol: vector[0] for symbol, vector in known.items()}, steps=0)
    values = {e.site: vector_of(e.counts, known, run, list(problem.direction)) for e in run.events if e.term}
    scaled: dict[str, str] = {}
    for site in reversed(problem.plan.sites):
        at = site.key if site.op == "scale" else scaled.get(site.key) if law_of(site.op).passes else None
        scaled.update({key: at for key in site.inputs if at is not None})
    asked: Vectors = {}
    for site in problem.plan.sites:
        for symbol in (("init", problem.plan.parameters[key].name) for key in site.parameters):
            for place in {site.key, scaled.get(site.key, site.key)} if symbol in known else ():
                if place in values:
                    size = plus(known[symbol], values[place], Fraction(-1))
                    asked[symbol] = max(asked.get(symbol, size), size)
    return asked


def _degree(site: Site, degrees: Mapping[str, Fraction]) -> Fraction:
    """The power of free factors in a value, from those in what it reads: 0 behind a norm, however it is written."""
    if site.node.free:
        return Fraction(1)
    own, before = degree_of(site.op), [degrees[key] for key in site.inputs]
    if own is None or not before:
        return Fraction(0)
    return sum(before, Fraction(0)) if law_of(site.op).multilinear else own * max(before)

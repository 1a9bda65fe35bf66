"""Sizes that only a product has an effect on: what free factors take up, and the natural size of what they multiply."""

from __future__ import annotations

from fractions import Fraction

from scalerules.ops.registry import law_of
from scalerules.ops.site import Held, Site
from scalerules.passes.plan import depth_allowance
from scalerules.passes.point import Point
from scalerules.sizes.vectors import Vector

from .equations import Vectors
from .problem import Problem


def idle_factors(problem: Problem) -> Vectors:
    """Free factors that parameters in front of them take up, unless these are given or depth asks for it."""
    plan, zero = problem.plan, (Fraction(0),) * (1 + len(problem.direction))
    joins = {multiplier.name for _, multiplier in depth_allowance(plan).values() if multiplier is not None}
    fixed = {name for kind, name in problem.given if kind in ("init", "lr")}
    idle = [name for name, alone in plan.idle.items() if name not in joins and not fixed.intersection(alone)]
    return {("mult", name): zero for name in idle}


def natural_sizes(problem: Problem) -> Vectors:
    """Of what reads a free factor linearly, and of the matrices of a product: the size at which they pass sizes on.

    Only the product has an effect, and the factor is what should not be smaller than it has to be. A vector of weights
    that is read through a matrix of weights alone (a learnt query) is like a value: of size 0.
    """
    plan, scales = problem.plan, tuple(problem.direction)
    growths = Point(problem.graph, problem.direction, {}).constants(scales)
    zero = (Fraction(0),) * (1 + len(scales))
    sizes: Vectors = {}
    reached: set[str] = set()

    def even(held: Held) -> Vector:
        """The initial size at which a sum over the fan-in is as large as what is summed."""
        shares = (zero, *(growths["growth", axis] for axis in held.fan_in))
        return tuple(-sum(part, Fraction(0)) / 2 for part in zip(*shares, strict=True))

    for site in plan.sites:
        parameters = [plan.parameters[key] for key in site.parameters]
        multilinear = law_of(site.op).multilinear
        if multilinear and not site.inputs and len(parameters) > 1:
            alone = [held for held in parameters if held.axes and set(held.fan_in) == set(held.axes)]
            sizes.update({("init", held.name): zero for held in alone})
        factors = [held for held in parameters if held.matrix]
        if multilinear and site.inputs and len(factors) > 1:
            sizes.update({("init", held.name): even(held) for held in factors})
        if site.node.free or (_linear(site) and any(key in reached for key in site.inputs)):
            reached.add(site.key)
            sizes.update({("init", held.name): even(held) for held in parameters if not site.node.free})
    return sizes


def _linear(site: Site) -> bool:
    op = law_of(site.op)
    return op.linear or op.multilinear

"""What is to be solved, what a solution is, and what is raised where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

from scalerules.architecture.graph import Graph
from scalerules.ops.site import Site
from scalerules.optimizers.law import Optimizer
from scalerules.passes.applied import Memory
from scalerules.passes.events import Alignments, Event, Run
from scalerules.passes.plan import Plan, depth_allowance
from scalerules.passes.point import Point
from scalerules.passes.propagate import propagate, start
from scalerules.sizes.lengths import Direction
from scalerules.sizes.vectors import Vector
from scalerules.terms.term import Symbol

from .equations import Equation, Vectors

BEYOND = 2
"""Steps beyond the asked ones at which nothing may have become unstable either."""


Until = Callable[[list[Event]], bool]


@dataclass(frozen=True)
class Problem:
    """What is to be solved: a graph, a direction, an optimizer, a mode, and what is given.

    `nonlazy`: a contribution inside a repeated block has to reach size 0 itself, not only in the sum over depth, so
    that products of two changes in one block count too (CompleteP, Dey et al. 2025, arXiv 2505.01618). `lazy`: where a
    contribution cannot reach size 0, the largest stable rate is taken. `behind_products`: values that only products
    with other values read are asked for contributions behind these; `behind_layers`: those that layers read, too.
    `beside_sizes`: those in front of weights of a fixed size, beside their own size; `beside_norms`: those that norms
    alone read. `opened`: parameters that make values that only products read, which may be larger than size 0 then.
    `every_reading`: parameters are to count at every node that reads them. `memory`: what all runs for this graph and
    direction share.
    """

    graph: Graph
    direction: Direction
    optimizer: Optimizer
    steps: int = 3
    isolated: bool = False
    given: Mapping[Symbol, Vector] = field(default_factory=dict[Symbol, Vector])
    alignments: Alignments = field(default_factory=dict[str, tuple[Fraction, Fraction, Fraction]])
    nonlazy: bool = False
    lazy: bool = False
    behind_products: bool = False
    behind_layers: bool = False
    beside_sizes: bool = False
    beside_norms: bool = False
    opened: frozenset[str] = frozenset()
    every_reading: bool = False
    memory: Memory = field(default_factory=Memory, repr=False, compare=False)

    @cached_property
    def depths(self) -> Mapping[str, tuple[Site, Site | None]]:
        """The residual and the multiplier behind every parameter whose contribution depth may make up for."""
        return {} if self.nonlazy else depth_allowance(self.plan)

    @cached_property
    def plan(self) -> Plan:
        """The sites of the graph for this direction; every run of the calculus is over the same ones."""
        plan = start(self.graph, self.direction)
        plan = plan.opened(self.opened) if self.opened else plan
        plan = plan.behind_products if self.behind_products else plan
        plan = plan.behind_layers if self.behind_layers else plan
        plan = plan.beside_sizes(self._open) if self.beside_sizes else plan
        return plan.beside_norms if self.beside_norms else plan

    @property
    def _open(self) -> set[str]:
        """The parameters that may start small."""
        drawn = {name for name, parameter in self.graph.parameters.items() if parameter.init in ("normal", "zeros")}
        return {name for name in drawn if ("init", name) not in self.given}

    @property
    def normalised(self) -> bool:
        """Whether no update depends on the sizes of the gradient and of the parameter."""
        return self.optimizer.normalised(self.plan.parameters.values())

    def run(
        self, unknowns: Mapping[Symbol, Fraction], steps: int, until: Until | None = None, coherent: bool = True,
        told: bool = False, alone: bool = False, still: bool = False, biased: bool = True,
    ) -> Run:  # fmt: skip
        """The calculus at one point of the unknowns.

        `told`: with every application of a law; `alone`: each parameter by itself; `still`: without what changes;
        `coherent`, `biased`: see `Point`.
        """
        grain = self.optimizer.grain(self.plan.parameters.values())
        point = Point(self.graph, self.direction, unknowns, grain, coherent, self.memory, told, biased)
        return propagate(
            self.graph, self.plan, point, self.optimizer, steps,
            isolated=self.isolated or alone, until=until, alignments=self.alignments, told=told, still=still,
        )  # fmt: skip


@dataclass
class Solved:
    """The solution: every unknown as a vector (its size, then its exponent for each scale of the direction).

    `binding` are the equations that determine it; `short` are the parameters whose own contribution stays below size 0
    although a larger rate would not be stable, with how far (at a *saddle* it grows by a constant factor a step).
    `everywhere`: it is the solution for every scale alone too. `twin`: that of the normalised twin by which it was
    found, if it was. `neglected`: what stays behind at one of several readings, once it was asked for.
    """

    vectors: Vectors
    run: Run
    binding: list[Equation]
    short: dict[str, Fraction]
    everywhere: bool = False
    twin: Solved | None = None
    neglected: dict[tuple[str, str], Fraction] | None = None

    def never(self, rate: Symbol) -> bool:
        """Whether a rate is of a parameter whose gradient is exactly zero at every step: any value would do."""
        return all(e.term is None for e in self.run.events if e.kind == "gradient" and e.node == rate[1])

    @property
    def unknowns(self) -> dict[Symbol, Fraction]:
        """The size of every unknown along the direction."""
        return {symbol: vector[0] for symbol, vector in self.vectors.items()}


class Unsolvable(Exception):
    """The equations that clash, the last run, and the nearest compromise where there is one."""

    def __init__(self, clash: list[Equation], run: Run, compromise: Solved | None = None) -> None:
        super().__init__("; ".join(equation.words for equation in clash))
        self.clash, self.run, self.compromise = clash, run, compromise

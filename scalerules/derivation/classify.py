"""What a given parametrization does: unstable (where, when, by how much), features or lazy (and where)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.boundary.working import working
from scalerules.errors import Clash
from scalerules.ops.losses import LOSSES
from scalerules.passes.events import Event, Run
from scalerules.solving.equations import own_contributions, value_of
from scalerules.solving.problem import Problem, Solved, Unsolvable
from scalerules.solving.solve import solve
from scalerules.terms.term import Symbol

from .parametrizations import Given
from .question import Alignment, graph_given, problem_of


@dataclass(frozen=True)
class Unstable:
    """A quantity that grows: where, after how many updates, with which exponent along the direction."""

    quantity: str
    node: str
    step: int
    size: Fraction

    def __str__(self) -> str:
        when = "at initialisation" if self.step == 0 else f"step {self.step}"
        return f"{self.quantity} of {self.node}, {when}, +{self.size}"

    def to_dict(self) -> dict[str, object]:
        """The quantity as plain data."""
        return {"quantity": self.quantity, "node": self.node, "step": self.step, "size": str(self.size)}


@dataclass(frozen=True)
class Classification:
    """`unstable`: the first quantities that grow; `lazy`: own contributions that vanish, with their size.

    `feature` is the size of the largest change of a hidden value (0: features are learned; -1/2: the kernel regime
    moves them by s^-1/2); `rate` is the exponent of the one global rate where the parametrization has one.
    `diverging`: outputs that grow while all else is stable, since the gradient of the loss is bounded; `edge` is the
    largest exponent of a global rate up to which that is so, where it is above `rate`.
    """

    graph: str
    optimizer: str
    given: str
    unstable: tuple[Unstable, ...]
    lazy: Mapping[str, Fraction]
    feature: Fraction | None
    rate: Fraction | None = None
    diverging: tuple[Unstable, ...] = ()
    edge: Fraction | None = None

    @property
    def stable(self) -> bool:
        """Whether nothing grows."""
        return not self.unstable and not self.diverging

    @property
    def regime(self) -> str:
        """`unstable`, `controlled divergence` (of the outputs alone), `feature learning`, or `kernel`."""
        if self.unstable:
            return "unstable"
        if self.diverging:
            return "controlled divergence"
        return "feature learning" if self.feature is not None and self.feature >= 0 else "kernel"

    def to_json(self) -> str:
        """The classification as JSON."""
        data: dict[str, Any] = {
            "graph": self.graph,
            "optimizer": self.optimizer,
            "given": self.given,
            "regime": self.regime,
            "stable": self.stable,
            "unstable": [u.to_dict() for u in self.unstable],
            "diverging": [u.to_dict() for u in self.diverging],
            "lazy": {name: str(size) for name, size in self.lazy.items()},
            "feature": None if self.feature is None else str(self.feature),
            "rate": None if self.rate is None else str(self.rate),
            "edge": None if self.edge is None else str(self.edge),
        }  # fmt: skip
        return json.dumps(data, indent=2) + "\n"

    def __str__(self) -> str:
        lines = [f"{self.graph}, {self.optimizer}, {self.given}: {self.regime}"]
        if self.rate is not None:
            lines.append(f"  the largest stable global rate has exponent {self.rate}")
        if self.edge is not None:
            lines.append(f"  up to the exponent {self.edge} the outputs alone diverge: the loss has a bounded gradient")
        lines += [f"  unstable: {u}" for u in self.unstable]
        lines += [f"  diverging: {u}" for u in self.diverging]
        if not self.unstable:
            if self.feature is not None:
                lines.append(f"  hidden values change by size {self.feature}")
            lines += [f"  lazy: {name} contributes size {size}" for name, size in self.lazy.items()]
        return "\n".join(lines) + "\n"


def classify(
    graph: Graph | str,
    given: Given = "standard",
    optimizer: str = "adam",
    *,
    scales: Mapping[str, Any] | None = None,
    mode: str = "joint",
    alignment: Alignment = "derived",
    steps: int = 3,
    progress: bool = True,
) -> Classification:
    """What a parametrization does. What is not given is as derived; a named one has one rate, the largest stable.

    Raises `ScaleRulesError` for a mistake in the question.
    """
    graph = graph_given(graph)
    problem = problem_of(graph, optimizer, mode=mode, scales=scales, steps=steps, alignment=alignment, given=given)
    name = given if isinstance(given, str) else "given"
    with working(f"classifying {graph.name}", progress):
        unknowns = _rest(problem)
        rate, edge = None, None
        bounded = LOSSES[graph.loss].bounded
        if isinstance(given, str) and given != "mup":
            rate = _global_rate(problem, unknowns, _grows)
            edge = _global_rate(problem, unknowns, _spreads) if bounded else rate
            unknowns = _shifted(unknowns, problem, rate)
        run = problem.run(unknowns, problem.steps)
    unstable, diverging = _unstable(run, _grows), ()
    if bounded and unstable and not _unstable(run, _spreads):
        unstable, diverging = (), unstable
    return Classification(
        graph.name, optimizer, name, unstable, _lazy(run), _feature(run), rate, diverging,
        None if edge == rate else edge,
    )  # fmt: skip


def _rest(problem: Problem) -> dict[Symbol, Fraction]:
    """What is given, and for the rest what is derived without it; rates that are not given follow their gradients."""
    bare = Problem(problem.graph, problem.direction, problem.optimizer, problem.steps, problem.isolated, {},
                   problem.alignments)  # fmt: skip
    try:
        solved: Solved | None = solve(bare)
    except Unsolvable as failure:
        solved = failure.compromise
        if solved is None:
            raise Clash(f"graph {problem.graph.name!r}", [str(failure)], ["give every size"]) from None
    unknowns = {**solved.unknowns, **{symbol: vector[0] for symbol, vector in problem.given.items()}}
    if not problem.normalised:
        unknowns = _followed(problem, solved, unknowns)
    return unknowns


def _followed(problem: Problem, solved: Solved, unknowns: dict[Symbol, Fraction]) -> dict[Symbol, Fraction]:
    """Rates of a rule that is not normalised, moved by as much as the given sizes move the first gradients."""
    before, after = _gradients(solved.run), _gradients(problem.run(unknowns, 1))
    moved = dict(unknowns)
    for name, size in after.items():
        symbol = ("lr", name)
        if symbol not in problem.given and name in before:
            moved[symbol] = unknowns[symbol] - (size - before[name])
    return moved


def _gradients(run: Run) -> dict[str, Fraction]:
    """What the rule multiplies the normalised gradients with at the first step: a plain gradient, their size."""
    first = {name: scalings[0].factor for name, scalings in run.scalings.items() if scalings}
    return {name: run.point.size(factor.size) for name, factor in first.items() if factor is not None}


def _shifted(unknowns: Mapping[Symbol, Fraction], problem: Problem, rate: Fraction) -> dict[Symbol, Fraction]:
    shifted = dict(unknowns)
    for symbol in unknowns:
        if symbol[0] == "lr":
            shifted[symbol] = (problem.given[symbol][0] if symbol in problem.given else Fraction(0)) + rate
    return shifted


def _grows(run: Run, event: Event) -> bool:
    """Whether something grows that must not: a value, a change, or what an update changes in the loss."""
    return event.kind != "gradient" and (event.unstable or (event.kind == "loss" and event.ticks > 0))


def _spreads(run: Run, event: Event) -> bool:
    """Whether it does, and is not at the outputs: where the loss has a bounded gradient, those alone may grow.

    What an update changes in the loss is then what it changes in the outputs.
    """
    return _grows(run, event) and event.kind != "loss" and event.site not in run.plan.outputs


Grows = Callable[[Run, Event], bool]


def _global_rate(problem: Problem, unknowns: Mapping[Symbol, Fraction], grows: Grows) -> Fraction:
    """The largest exponent of one global rate that is stable: lowered by what the first violation asks for."""
    rate = Fraction(2)
    for _ in range(100):
        point = _shifted(unknowns, problem, rate)
        run = problem.run(point, problem.steps + 2)
        broken = next((e for e in run.events if grows(run, e) and e.step > 0), None)
        if broken is None:
            return rate
        share = sum((c for symbol, c in broken.form.items() if symbol[0] == "lr"), Fraction(0))
        if share <= 0:
            return rate
        vectors = {symbol: (value,) for symbol, value in point.items()}
        rate -= value_of(broken.form, vectors, run, ()) / share
    return rate


def _unstable(run: Run, grows: Grows) -> tuple[Unstable, ...]:
    """The quantities that grow first, where they begin to.

    What an update changes in the loss follows from the values: it is named where none of them grows.
    """
    values = _first(run, [event for event in run.events if event.kind != "loss"], grows)
    return values or _first(run, run.events, grows)


def _first(run: Run, events: Sequence[Event], grows: Grows) -> tuple[Unstable, ...]:
    unstable: dict[tuple[str, str], Unstable] = {}
    first: int | None = None
    reads = {site.key: site.inputs for site in run.plan.sites}
    tainted: set[str] = set()
    for event in events:
        if event.kind == "gradient" or (first is not None and event.step > first):
            continue
        if any(key in tainted for key in reads.get(event.site, ())):
            tainted.add(event.site)
            continue
        if not grows(run, event):
            continue
        tainted.add(event.site)
        first = event.step
        quantity = "change" if event.kind == "own" else event.kind
        before = unstable.get((quantity, event.node))
        size = run.point.size(event.ticks)
        if before is None or size > before.size:
            unstable[quantity, event.node] = Unstable(quantity, event.node, event.step, size)
    return tuple(unstable.values())


def _lazy(run: Run) -> dict[str, Fraction]:
    lazy: dict[str, Fraction] = {}
    for name, events in own_contributions(run).items():
        sizes = [run.point.size(e.ticks) for e in events if e.term is not None]
        if sizes and max(sizes) < 0:
            lazy[name] = max(sizes)
    return lazy


def _feature(run: Run) -> Fraction | None:
    """The size of the largest change of a value that has a growing axis."""
    hidden = {site.name for site in run.plan.sites if site.result}
    changes: list[Event] = [e for e in run.events if e.kind == "change" and e.judged and e.node in hidden]
    sizes = [run.point.size(e.ticks) for e in changes if e.term is not None]
    return max(sizes, default=None)

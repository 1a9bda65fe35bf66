"""The passes in turn: forward, then backward, update and change, step by step, at one point of the unknowns.

A `Point` fixes a direction and a value for every unknown; `propagate` runs `T` training steps there and returns the
events: the size of every value, gradient, own contribution and change, each as a term that knows how it came about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from scalerules.architecture.graph import Graph
from scalerules.optimizers.law import Optimizer
from scalerules.sizes.lengths import Direction

from .backward import backward
from .changes import changes
from .events import Alignments, Event, Run
from .forward import forward, start_parameters
from .memory import tidy
from .plan import Plan
from .point import Point
from .state import State
from .unfolding import unfold


def propagate(
    graph: Graph,
    plan: Plan,
    point: Point,
    optimizer: Optimizer,
    steps: int,
    *,
    isolated: bool = False,
    until: Callable[[list[Event]], bool] | None = None,
    alignments: Alignments | None = None,
    told: bool = False,
    still: bool = False,
) -> Run:
    """Runs `steps` training steps of the calculus, or up to the first whose events `until` answers with True.

    `isolated`: one step, each parameter alone; its own contribution and, to first order, what it changes in the loss
    are judged, propagated changes are ignored. `alignments` prescribes, for the parameters it names, the exponents with
    which `dW x`, `W dx` and `dW dx` grow with the fan-in (Everett et al., arXiv 2407.05872); all others are derived.
    `told`: the run keeps every application of a law, from which a derivation is written. With `until` and not `told`, a
    value or change that is too large goes on as it will be once its equation holds, so that one run shows all that is
    asked of a chain. `still`: steps are made of gradients alone; no value changes.
    """
    tidy()
    searching = until is not None and not told
    state = State(graph, plan, point, optimizer, isolated, alignments or {}, told=told, searching=searching)
    start_parameters(state)
    forward(state)
    events, seen = state.run.events, 0
    before: object = None
    while state.time < (min(steps, 1) if isolated else steps) and not (until and until(events[seen:])):
        last, seen = events[seen:], len(events)
        state.time += 1
        content = state.content()
        if content == before:
            events.extend(replace(event, step=state.time) for event in last)
            continue
        before = content
        backward(state)
        if not still:
            changes(state)
    return state.run


def start(graph: Graph, direction: Direction) -> Plan:
    """The plan of a graph for the axes that grow along `direction`."""
    growing = frozenset(axis for axis, length in graph.lengths.items() if length.growth(direction))
    return unfold(graph, growing)

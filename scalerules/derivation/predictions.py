"""The sizes that a solution predicts for every quantity."""

from __future__ import annotations

from fractions import Fraction

from scalerules.passes.events import Event, Run


def sizes_of(run: Run) -> dict[tuple[str, str, int, str | None], Fraction | None]:
    """The size of every quantity by (quantity, node, step, parameter): a node of a repeat is one over all blocks."""
    best: dict[tuple[str, str, int, str | None], Event] = {}
    for event in run.events:
        if event.kind == "loss":
            continue
        parameter = event.parameter if event.kind == "own" else None
        key = (event.kind, event.node, event.step, parameter)
        known = best.get(key)
        if known is None or known.term is None or (event.term is not None and event.ticks > known.ticks):
            best[key] = event
    return {key: run.point.size(e.ticks) if e.term is not None else None for key, e in best.items()}

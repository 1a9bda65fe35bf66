"""What a user should look at before trusting a traced graph: guesses, branches that were fixed, weights without a rule.

`scalerules trace --check` and `sr.trace(..., check=True)` print it; nothing is derived for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.architecture.block_names import of_block
from scalerules.architecture.graph import Graph
from scalerules.ops.functions import STAND_INS

from .record import Record

SHOWN = 4
"""So many names are written out."""
CHOSEN = ("rows are chosen by values", "depends on values")
UNREAD = "trained, and no output depends on"
"""By these texts a note is told to be of a branch that was fixed, or of weights that are not read."""


def without_rule(graph: Graph, record: Record) -> list[str]:
    """The names of the trained weights that the traced call does not reach: heads of early exits, experts without rows.

    They have no rule.
    """
    ruled = {name.partition("[")[0] for name in graph.parameters}
    return [weight.name for weight in record.weights if weight.trained and not of_block(weight.name, ruled)]


def unread(graph: Graph, record: Record) -> list[str]:
    """A line that says so, if there are any."""
    left = without_rule(graph, record)
    if not left:
        return []
    more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
    them, have = ("it", "it has") if len(left) == 1 else ("them", "they have")
    chosen = any(text in note for note in record.notes for text in CHOSEN)
    first = "give inputs of which rows reach them, or " if chosen else ""
    said = f"{', '.join(left[:SHOWN])}{more}: {UNREAD} {them} as traced, so {have} no rule"
    return [f"{said} ({first}trace the call that reads them)"]


def dry_run(graph: Graph, record: Record | None, notes: Sequence[str]) -> list[str]:
    """A line for each thing that was guessed, fixed or left out; empty where the graph is all that the module does."""
    guessed = [
        f"guessed: {name} is some function of what it reads, its own law is not known"
        for name, node in graph.nodes.items()
        if node.op in STAND_INS
    ]
    fixed = [f"fixed: {note}" for note in notes if any(text in note for text in CHOSEN)]
    left = without_rule(graph, record) if record is not None else []
    others = [f"note: {note}" for note in notes if not any(text in note for text in (*CHOSEN, UNREAD))]
    return [*guessed, *fixed, *(f"no rule: {name} is trained, and no output depends on it" for name in left), *others]

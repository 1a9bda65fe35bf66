"""What a user should look at before trusting a traced graph: guesses, branches that were fixed, weights without a rule.

`scalerules trace --check` and `sr.trace(..., check=True)` print it; nothing is derived for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.architecture.block_names import of_block
from scalerules.architecture.graph import Graph
from scalerules.ops.functions import STAND_INS

from .record import Record

CHOSEN = ("rows are chosen by values", "depends on values")


def dry_run(graph: Graph, record: Record | None, notes: Sequence[str]) -> list[str]:
    """A line for each thing that was guessed, fixed or left out; empty where the graph is all that the module does."""
    guessed = [
        f"guessed: {name} is some function of what it reads, its own law is not known"
        for name, node in graph.nodes.items()
        if node.op in STAND_INS
    ]
    fixed = [f"fixed: {note}" for note in notes if any(text in note for text in CHOSEN)]
    weights = record.weights if record is not None else ()
    ruled = {name.partition("[")[0] for name in graph.parameters}
    left = [w.name for w in weights if w.trained and not of_block(w.name, ruled)]
    others = [f"note: {note}" for note in notes if not any(text in note for text in CHOSEN)]
    return [*guessed, *fixed, *(f"no rule: {name} is trained, and no output depends on it" for name in left), *others]

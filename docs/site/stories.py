"""The story of a cell: why a size is what it is, as data that a page shows when the cell is opened.

One function, so that another form of the derivation changes this file only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from scalerules.solution.rule import Explanation
from scalerules.solution.solution import Solution
from scalerules.solution.tree import sections

WIDE = re.compile(r" {2,}")
"""Between the columns of a tree."""


def story(solution: Solution, name: str) -> list[dict[str, Any]]:
    """The sizes of a parameter or a solved multiplier, each with its equation and the rows that lead to it."""
    derivation = solution.derivation
    told = sections(solution, derivation, name) if derivation is not None else {}
    laws = _laws(solution)
    return [
        {
            "quantity": explanation.quantity,
            "size": explanation.size,
            "equation": _said(told.get(explanation.quantity), explanation),
            "steps": [_step(line, laws) for line in told.get(explanation.quantity, [])[1:]],
        }
        for explanation in solution.explanations.get(name, ())
    ]


def _said(lines: list[str] | None, explanation: Explanation) -> str:
    """What gave a size, as the head of its tree says it."""
    if not lines:
        return explanation.equation
    text = lines[0].removeprefix(f"{explanation.quantity} = {explanation.size}").lstrip(" .,")
    return text[:1].upper() + text[1:]


def _laws(solution: Solution) -> dict[str, str]:
    """By row of the derivation: the page of the law that gave it, that of an operation or of the optimizer."""
    graph, derivation = solution.architecture, solution.derivation
    if graph is None or derivation is None:
        return {}
    ops = {name: node.op for name, node in graph.walk()}
    found: dict[str, str] = {}
    for row in derivation.rows:
        if row.stage == "update":
            found[row.name] = f"optimizers/{solution.optimizer}"
        elif (op := ops.get(_node(row.at, ops))) is not None and row.stage != "loss":
            found[row.name] = f"operations/{op}"
    return found


def _node(at: str, ops: Mapping[str, str]) -> str:
    """The node of a site: without the prime of a second pass, and without the step of a scan."""
    name = at.rstrip("'")
    return name if name in ops else name.rpartition(".")[0]


def _step(line: str, laws: Mapping[str, str]) -> str:
    """A line of the tree: its depth as spaces in front, dots between its columns, behind a tab the page of its law."""
    text = line.lstrip()
    law = laws.get(text.partition(" ")[0], "")
    return " " * (len(line) - len(text)) + WIDE.sub(" \N{MIDDLE DOT} ", text.rstrip()) + (f"\t{law}" if law else "")

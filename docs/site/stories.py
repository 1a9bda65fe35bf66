"""The story of a cell: why a size is what it is, as data that a page shows when the cell is opened.

One function, so that another form of the derivation changes this file only.
"""

from __future__ import annotations

import re
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
    return [
        {
            "quantity": explanation.quantity,
            "size": explanation.size,
            "equation": _said(told.get(explanation.quantity), explanation),
            "steps": [_step(line) for line in told.get(explanation.quantity, [])[1:]],
        }
        for explanation in solution.explanations.get(name, ())
    ]


def _said(lines: list[str] | None, explanation: Explanation) -> str:
    """What gave a size, as the head of its tree says it."""
    if not lines:
        return explanation.equation
    text = lines[0].removeprefix(f"{explanation.quantity} = {explanation.size}").lstrip(" .,")
    return text[:1].upper() + text[1:]


def _step(line: str) -> str:
    """A line of the tree: its depth as spaces in front, its columns with dots between."""
    text = line.lstrip()
    return " " * (len(line) - len(text)) + WIDE.sub(" \N{MIDDLE DOT} ", text.rstrip())

"""The story of a cell: why a size is what it is, as data that a page shows when the cell is opened.

One function, so that another form of the derivation changes this file only.
"""

from __future__ import annotations

from typing import Any

from scalerules.solution.solution import Solution


def story(solution: Solution, name: str) -> list[dict[str, Any]]:
    """The sizes of a parameter or a solved multiplier, each with its equation and the steps that lead to it."""
    return [
        {
            "quantity": explanation.quantity,
            "size": explanation.size,
            "equation": explanation.equation,
            "steps": [
                f"{step.stage}{f', step {step.time}' if step.time else ''}, {step.node}: {step.size}. {step.because}"
                for step in explanation.steps
            ],
        }
        for explanation in solution.explanations.get(name, ())
    ]

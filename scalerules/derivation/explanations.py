"""The explanation of an exponent: a sentence and the lines that lead to it."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from scalerules.solving.equations import Equation
from scalerules.terms.term import Term

MOST_LINES = 14


STAGES = ("parameter", "forward", "backward", "gradient", "update", "own", "change")


def because(term: Term, sums: Mapping[str, Fraction]) -> str:
    """The reason of the step, and what the sums over axes contributed here."""
    said = {"1": "aligned, as its length", "1/2": "independent, as its root", "-1": "divided by it"}
    here = [f"{axis}: {said.get(str(share), f'to the power {share}')}" for axis, share in sums.items() if share]
    reason = term.step.reason if term.step else ""
    return f"{reason} Here {', '.join(here)}." if here else reason


def when(term: Term, order: Mapping[str, int]) -> tuple[int, int, int]:
    """The order in which steps are shown: as they happen in training."""
    step = term.step
    stage = STAGES.index(step.stage) if step else 0
    place = order.get(step.node, 0) if step else 0
    return (step.time if step else 0, stage, -place if step and step.stage == "backward" else place)


def sentence_of(equation: Equation) -> str:
    """The words of an equation as a sentence."""
    words = equation.words
    return words[0].upper() + words[1:] + "."

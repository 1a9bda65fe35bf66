"""The sentence that says why an exponent is what it is."""

from __future__ import annotations

from scalerules.solving.equations import Equation


def sentence_of(equation: Equation) -> str:
    """The words of an equation as a sentence."""
    words = equation.words
    return words[0].upper() + words[1:] + "."

"""Why a number is what it is, in one line: the equation that determines it, from the explanations of a solution."""

from __future__ import annotations

from scalerules.solution.solution import Solution


def reason(solution: Solution, name: str, quantity: str) -> list[str]:
    """The equation behind `init`, `lr` or `mult` of a parameter or a factor, as a clause; none where none is known."""
    sentences = [e.equation.strip() for e in solution.explanations.get(name, ()) if e.quantity == quantity]
    return [f"{text[:1].lower()}{text[1:].rstrip('.')}" for text in sentences if text][:1]


def logarithm(solution: Solution, parameter: str, quantity: str) -> list[str]:
    """Says so where a size holds up to a logarithm."""
    return ["up to a logarithm"] if quantity in solution.parameters[parameter].log else []

"""The rules of a solution for a terminal, and what all views share: the heading, the columns, the cells."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from scalerules.sizes.exponents import Exponents

from .answer import Answer
from .rule import Rule

HALF = Fraction(1, 2)
COLUMNS = ("init", "mult", "lr", "eps", "wd")


def further(solution: Answer) -> list[str]:
    """The names of what else the optimizer has: dampings beside epsilon, the radius of a perturbation."""
    return list(dict.fromkeys(name for rule in solution.parameters.values() for name in rule.dampings))


def dampings(rule: Rule, names: Sequence[str]) -> list[Exponents | None]:
    """The sizes of these dampings of a rule, None of those that it lacks."""
    return [rule.dampings.get(name) for name in names]


def heading(solution: Answer) -> str:
    """One line that says what was derived."""
    direction = ", ".join(f"{s}^{g}" if g != 1 else s for s, g in solution.direction.items())
    return f"{solution.graph}, {solution.optimizer}, mode {solution.mode}, gauge {solution.gauge}, growing: {direction}"


def rows(solution: Answer) -> list[list[str]]:
    """The table: a parameter a row, exponents as products of powers of scales."""
    lines: list[list[str]] = []
    for name, rule in solution.parameters.items():
        cells = [_cell(getattr(rule, size), size in rule.log) for size in COLUMNS]
        cells += [str(size) if size is not None else "" for size in dampings(rule, further(solution))]
        lines.append([name, " ".join(rule.shape), *cells])
    return lines


def _cell(exponents: Exponents, log: bool) -> str:
    return f"{exponents}{' (log)' if log else ''}"


def table(solution: Answer) -> str:
    """The rules for a terminal, in columns: what each quantity is multiplied with when the scales grow."""
    head = f"{solution.graph}, {solution.optimizer}: " + ", ".join(
        f"{scale}^{growth}" if growth != 1 else scale for scale, growth in solution.direction.items() if growth
    )
    more = further(solution)
    cells = [["parameter", "shape", *COLUMNS, *more]]
    for name, rule in solution.parameters.items():
        row = [power(getattr(rule, size)) + (" log" if size in rule.log else "") for size in COLUMNS]
        row += [power(size) if size is not None else "" for size in dampings(rule, more)]
        cells.append([name, " ".join(rule.shape), *row])
    text = f"{head}\n\n{columns(cells)}"
    if solution.multipliers:
        text += "\n" + columns([["multiplier", "factor"]] + [[k, power(v)] for k, v in solution.multipliers.items()])
    if solution.cone:
        text += f"\nholds where {', '.join(solution.cone)}\n"
    return text


def power(exponents: Exponents) -> str:
    """The powers as sympy prints them, `sqrt(depth)/width^2`: loading it takes longer than many a derivation."""
    powers = sorted((scale, exponent) for scale, exponent in exponents.fractions.items() if exponent)
    if len(powers) == 1 and powers[0][1] < 0 and powers[0][1] not in (-1, -HALF):
        return _raised(*powers[0])
    above, below = ("*".join(_raised(s, sign * p) for s, p in powers if sign * p > 0) for sign in (1, -1))
    if not below:
        return above or "1"
    return f"{above or 1}/({below})" if sum(p < 0 for _, p in powers) > 1 else f"{above or 1}/{below}"


def _raised(scale: str, exponent: Fraction) -> str:
    if exponent in (1, HALF):
        return scale if exponent == 1 else f"sqrt({scale})"
    return f"{scale}^{exponent}" if exponent > 0 and exponent.denominator == 1 else f"{scale}^({exponent})"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts, aligned to the left, two spaces apart; the first one is the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]]) + "\n"

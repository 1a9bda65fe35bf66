"""A solution as LaTeX: the rules as a tabular, the derivation as longtables (packages longtable and array)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from .answer import Answer
from .derivation import Condition, Derivation, Linear, Row
from .passes import CONDITION_HEADS, ROW_HEADS, Table, tables
from .views import COLUMNS, dampings, further

PREAMBLE = "% needs \\usepackage{longtable,array}; in landscape, or with \\scriptsize, wide graphs fit better\n"
WIDTHS: Mapping[tuple[str, ...], tuple[int, ...]] = {
    CONDITION_HEADS: (0, 9, 17, 28, 18, 18),
    ROW_HEADS: (0, 14, 19, 13, 11, 23, 0),
}
"""The columns of a table in hundredths of the line, in which text is broken; those of 0 are as wide as their text."""
SYMBOL = re.compile(r"([acmugs])_(\S+)")


def latex(solution: Answer) -> str:
    """The rules, notes, and the derivation pass by pass."""
    from sympy import latex as printed  # pyright: ignore[reportMissingTypeStubs]

    more = further(solution)
    heads = " & ".join([*COLUMNS, *map(escaped, more)])
    lines = [PREAMBLE + r"\begin{tabular}{ll" + "l" * (len(COLUMNS) + len(more)) + "}"]
    lines.append(rf"parameter & shape & {heads} \\")
    for name, rule in solution.parameters.items():
        sizes = [*(getattr(rule, size) for size in COLUMNS), *dampings(rule, more)]
        exprs = [size.expr if size is not None else None for size in sizes]
        cells = [f"${printed(e, root_notation=False, fold_frac_powers=True)}$" if e is not None else "" for e in exprs]
        lines.append(" & ".join([escaped(name), escaped(" ".join(rule.shape)), *cells]) + r" \\")
    lines.append(r"\end{tabular}")
    notes = [*solution.assumptions, *solution.warnings]
    lines += [r"\begin{itemize}", *(rf"\item {escaped(text)}" for text in notes), r"\end{itemize}"]
    if solution.derivation is not None:
        for table in tables(solution.derivation):
            lines += _longtable(solution.derivation, table)
    return "\n".join(lines) + "\n"


def _longtable(derivation: Derivation, table: Table) -> list[str]:
    """A table over as many pages as it needs, with its head on each."""
    head = " & ".join(map(escaped, table.heads)) + r" \\ \hline"
    columns = "".join(_column(width) for width in WIDTHS[table.heads])
    lines = [rf"\paragraph{{{escaped(table.title)}}}", r"{\setlength{\tabcolsep}{3pt}"]
    lines.append(rf"\begin{{longtable}}{{{columns}}}")
    lines += [head, r"\endhead"]
    for cells in table.rows:
        row = derivation.by_name.get(cells[0])
        shown = [escaped(cell) for cell in cells]
        if isinstance(row, Row):
            shown[5] = f"${formula(row.linear)}$"
            shown[6] = power(row.size.expr)
        elif isinstance(row, Condition):
            sign = r"\leq" if row.relation == "at most" else "="
            shown[3] = f"${formula(row.form)} {sign} 0$"
            symbol, _, size = cells[4].partition(" = ")
            shown[4] = f"${_symbol(symbol)}$ = {escaped(size)}"
        lines.append(" & ".join(shown) + r" \\")
    return [*lines, r"\end{longtable}}"]


def _column(width: int) -> str:
    return rf">{{\raggedright\arraybackslash}}p{{0.{width:02}\linewidth}}" if width else "l"


def formula(linear: Linear) -> str:
    r"""A linear form as mathematics: `a_{\mathrm{h1}} + F_{3} + \frac{1}{2} g_{\mathrm{n}}`."""
    text = ""
    for name, value in linear.items():
        size = abs(value)
        factor = "" if size == 1 else str(size.numerator) if size.denominator == 1 else (
            rf"\frac{{{size.numerator}}}{{{size.denominator}}}")  # fmt: skip
        sign = "-" if value < 0 else "+" if text else ""
        text += f" {sign} {factor} {_symbol(name)}"
    return text.strip() or "0"


def _symbol(name: str) -> str:
    found = SYMBOL.fullmatch(name)
    if found is None:
        return f"{name[0]}_{{{name[1:]}}}"
    return rf"{found[1]}_{{\mathrm{{{escaped(found[2])}}}}}"


def power(expression: object) -> str:
    """A product of powers as mathematics."""
    from sympy import latex as printed  # pyright: ignore[reportMissingTypeStubs]

    return f"${cast(str, printed(expression, root_notation=False, fold_frac_powers=True))}$"


def escaped(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    for character in "\\&%$#_{}":
        text = text.replace(character, r"\textbackslash " if character == "\\" else "\\" + character)
    text = text.replace("^", r"\^{}").replace("~", r"\~{}")
    return text.replace("<=", r"$\leq$").replace("<", r"$<$").replace(">", r"$>$")

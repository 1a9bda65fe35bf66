"""A solution as Markdown: the rules, what they follow from, every row once, with links from each to its cause."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .answer import Answer
from .derivation import Derivation
from .passes import Table, cause, causes, exponent, tables
from .views import COLUMNS, further, heading, rows

NAME = re.compile(r"\b[EFBGUCL]\d+\b")
LEGEND = (
    "A size is an exponent: `a_W` is that of the initial entries of `W`, `c_W` of its learning rate, "
    "{unknowns}`g_n` of the length of the axis `n` ({growths}). A row is one application of a law and follows "
    "from the rows that it names: a sum over `n` aligned terms adds `g_n`, over independent ones `g_n/2`. Nothing "
    "may grow (`<= 0`), and what each update contributes has to stay (`= 0`); the conditions that hold with "
    "equality give the exponents.{names} Words: `scalerules explain --glossary`."
)


def markdown(solution: Answer) -> str:
    """Rules, conditions, passes, assumptions and warnings."""
    derivation = solution.derivation
    lines = rules(solution, causes(derivation) if derivation is not None else {})
    if solution.constants:
        lines += ["", "## Constant factors of the operations", "", *_constants(solution)]
    if solution.cone:
        lines += ["", "The rule holds where " + ", ".join(f"`{c}`" for c in solution.cone) + "."]
    for title, texts in (("Assumptions", solution.assumptions), ("Warnings", solution.warnings)):
        if texts:
            lines += ["", f"## {title}", "", *(f"* {text}" for text in texts)]
    if derivation is not None:
        lines += ["", "## Derivation", "", _legend(derivation)]
        for table in tables(derivation):
            lines += ["", f"### {table.title}", "", *_table(table)]
    return "\n".join(lines).rstrip() + "\n"


def rules(solution: Answer, causes: Mapping[str, str] | None = None) -> list[str]:
    """The lines of the table of rules and of the multipliers; what has a cause links to it."""
    heads = [*COLUMNS, *further(solution)]
    lines = [f"# {heading(solution)}", "", _line(["parameter", "shape", *heads]), "| --- " * (2 + len(heads)) + "|"]
    for name, shape, *cells in rows(solution):
        linked = [_cause(causes or {}, name, head, cell) for head, cell in zip(heads, cells, strict=True)]
        lines.append(_line([f"`{name}`", shape, *linked]))
    if solution.multipliers:
        lines += ["", "Multipliers that were solved for:", ""]
        lines += [f"* `{n}`: {_cause(causes or {}, n, 'mult', str(size))}" for n, size in solution.multipliers.items()]
    return lines


def _legend(derivation: Derivation) -> str:
    axes = {name: size for name, size in derivation.growths.items() if name.startswith("g_")}
    used = {name for row in derivation.rows for name in row.adds}
    said = ", ".join(f"`{name}` = {exponent(size)}" for name, size in axes.items() if name in used)
    if len(derivation.scales) > 1:
        said += "; " + ", ".join(f"`s_{scale}` = one power of {scale}" for scale in derivation.scales)
    symbols = {each.symbol[0] for each in derivation.solved}
    unknowns = "`m_s` of a free factor, " if "m" in symbols else ""
    unknowns += "`u_W` of the update of `W` beyond the saddle, " if "u" in symbols else ""
    alike = next((row.at for row in derivation.rows if f"W_{row.at}" in row.operation.split()), None)
    copied = next((row.at for row in derivation.rows if row.at.endswith("'")), None)
    notes = f" `W_{alike}` is the parameter of the node `{alike}`." if alike is not None else ""
    notes += f" `{copied}` is `{copied[:-1]}` in the second copy of its block." if copied is not None else ""
    return LEGEND.format(growths=said or "none grows", unknowns=unknowns, names=notes)


def _cause(found: Mapping[str, str], name: str, number: str, text: str) -> str:
    """A number that links to what it follows from."""
    target = cause(found, name, number)
    return f"[{text}](#{target.lower()})" if target else text


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(table: Table) -> list[str]:
    lines = [_line(list(table.heads)), "| --- " * len(table.heads) + "|"]
    for name, *cells in table.rows:
        anchor = f'<a id="{name.lower()}"></a>{name}' if name else ""
        lines.append(_line([anchor, *(_linked(cell) for cell in cells)]))
    return lines


def _linked(text: str) -> str:
    """Text in which every row or condition is a link to it."""
    text = text.replace("|", "\\|").replace("*", "\\*")
    return NAME.sub(lambda match: f"[{match[0]}](#{match[0].lower()})", text)


def _constants(solution: Answer) -> list[str]:
    """The table of the constants of the gauge `unit`."""
    lines = ["| node | forward | backward |", "| --- | --- | --- |"]
    for node, constant in solution.constants.items():
        weights = "; ".join(f"stream {a:.4g}, branch {b:.4g}" for a, b in constant.weights)
        backward = ", ".join(f"`{operand}` {factor:.4g}" for operand, factor in constant.backward.items())
        lines.append(f"| `{node}` | {weights or f'{constant.forward:.4g}'} | {backward} |")
    return lines

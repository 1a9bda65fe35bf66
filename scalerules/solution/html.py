"""A solution as HTML, for notebooks and pages: the rules, and behind each number the rows that it follows from."""

from __future__ import annotations

import re
from html import escape

from .answer import Answer
from .derivation import Derivation
from .passes import cause, causes, tables
from .tree import explained
from .views import COLUMNS, further, heading, rows

POWER = re.compile(r"(\w)\^(\([^)]*\)|-?\d+)")
NAME = re.compile(r"\b[EFBGUCL]\d+\b")


def html(solution: Answer) -> str:
    """The rules as a table, in which every number links to its cause, then the derivation, folded."""
    prefix = re.sub(r"\W+", "-", f"{solution.graph} {solution.optimizer} {solution.mode} {solution.gauge} ")
    found = causes(solution.derivation) if solution.derivation is not None else {}

    def cell(name: str, number: str, size: str) -> str:
        target = cause(found, name, number)
        return f'<a href="#{prefix}{target}">{raised(size)}</a>' if target else raised(size)

    heads = [*COLUMNS, *further(solution)]
    body = [[f"<b>{escape(name)}</b>", escape(shape), *(cell(name, *each) for each in zip(heads, cells, strict=True))]
            for name, shape, *cells in rows(solution)]  # fmt: skip
    text = f"<p>{escape(heading(solution))}</p>{table(['parameter', 'shape', *heads], body)}"
    if solution.multipliers:
        factors = [[escape(name), cell(name, "mult", str(size))] for name, size in solution.multipliers.items()]
        text += table(["multiplier", "factor"], factors)
    if solution.cone:
        text += f"<p>Holds where {escape(', '.join(solution.cone))}.</p>"
    text += "".join(f"<p>{escape(warning)}</p>" for warning in solution.warnings)
    if solution.derivation is not None:
        text += f"<details><summary>Derivation</summary>{derivation_html(solution.derivation, prefix)}</details>"
    return text


def derivation_html(derivation: Derivation, prefix: str = "row-") -> str:
    """The conditions and passes as tables, in which every row links to those that it follows from."""
    parts: list[str] = []
    for section in tables(derivation):
        body = [[f'<a id="{prefix}{name}"></a>{name}', *(_linked(cell, prefix) for cell in cells)]
                for name, *cells in section.rows]  # fmt: skip
        parts.append(f"<h4>{escape(section.title)}</h4>{table(section.heads, body)}")
    return "".join(parts)


def stories(solution: Answer) -> str:
    """The numbers of every parameter and multiplier, each with its tree, folded."""
    parts: list[str] = []
    for name in (*solution.multipliers, *solution.parameters):
        said = "".join(f"<span>{e.quantity} {raised(e.size)}</span>" for e in solution.explanations.get(name, ()))
        tree = f'<pre tabindex="0">{raised(explained(solution, name))}</pre>'  # what scrolls is reached by the keyboard
        parts.append(f"<details><summary>{escape(name)} {said}</summary>{tree}</details>")
    return "".join(parts)


def raised(text: str) -> str:
    """Text as HTML, with its exponents raised."""
    return POWER.sub(lambda m: f"{m[1]}<sup>{m[2].strip('()')}</sup>", escape(text)).replace(
        "<sup>-", "<sup>\N{MINUS SIGN}"
    )


def _linked(text: str, prefix: str) -> str:
    return NAME.sub(lambda match: f'<a href="#{prefix}{match[0]}">{match[0]}</a>', raised(text))


def table(heads: list[str] | tuple[str, ...], body: list[list[str]]) -> str:
    """A table of cells that are HTML."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"

"""One page of a sweep: a chart of loss over the rate for every rule, the optimum of each size marked, and numbers."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from scalerules.pages import page as whole
from scalerules.pages import read, table

from .facts import SweepFacts
from .views import cells, headings, limits, moves, number, said, title

SCRIPT = Path(__file__).with_name("page.js")


def page(report: SweepFacts, data: dict[str, Any]) -> str:
    """The page as text; `data` is the report as plain data."""
    verdict, style = ("It transfers", "good") if report.verdict else ("Not shown to transfer", "bad")
    lines = "".join(f"<li>{escape(line)}</li>" for line in said(report).splitlines())
    heads = [f'<span class="number">{escape(heading)}</span>' for heading in headings(report)]
    rows = [[f'<th scope="row">{escape(rule)}</th>', *map(escape, rest)] for rule, *rest in map(cells, report.rows)]
    body = (
        f"<header><h1>Learning-rate transfer of {escape(report.graph)}</h1>"
        f'<p class="verdict {style}">{verdict}.</p><p class="note">{escape(title(report))}</p>'
        f'<ul class="plain">{lines}</ul></header>'
        '<p class="note">Loss over what is swept, a line for each size. A dot marks the best value with its error; '
        "where a rule transfers, the dots lie above each other.</p>"
        f'<div class="legend"></div><div class="panels"></div><h2>Optima</h2>{table(heads, rows)}'
        "<footer>Measured by scalerules transfer.</footer>"
    )
    axis = "learning rate at the base size" if report.over == "lr" else report.over
    shown = data | {
        "axis": axis, "limits": limits(report), "best": number(report),
        "moves": {rule: moves(report, report.drifts.get(rule)) for rule in report.rules},
    }  # fmt: skip
    script = read("chart.js") + SCRIPT.read_text(encoding="utf-8")
    return whole(f"{report.graph}, {report.optimizer}: transfer", body, script, shown)

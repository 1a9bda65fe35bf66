"""One page of a verification: the verdict, a chart for every kind of quantity, every row to be filtered and sorted."""

from __future__ import annotations

from html import escape
from pathlib import Path

from scalerules.pages import page as whole
from scalerules.pages import read

from .facts import VerificationFacts
from .figure import level
from .judge import TOLERANCE
from .table import TITLES, caption, name, title

SCRIPT = Path(__file__).with_name("page.js")
VERDICTS = {True: "good", False: "bad", None: "open"}
KINDS = {"": "agrees", "undecided": "undecided", "off": "does not agree"}


def page(report: VerificationFacts) -> str:
    """The page as text."""
    rows = [
        row.to_dict() | {"parameter": row.parameter, "why": row.why, "excess": round(row.excess, 4), "name": name(row),
                         "level": level(report, row)}
        for row in report.rows
    ]  # fmt: skip
    data = {
        "scale": report.scale, "sizes": report.measured_sizes, "growth": report.growth, "tolerance": TOLERANCE,
        "titles": TITLES, "rows": rows,
    }  # fmt: skip
    return whole(f"{report.graph}, {report.optimizer}: verification", _body(report), _script(), data)


def _script() -> str:
    return read("chart.js") + SCRIPT.read_text(encoding="utf-8")


def _body(report: VerificationFacts) -> str:
    how = "".join(f"<li>{escape(line)}</li>" for line in caption(report).splitlines())
    legend = "".join(f'<span><i class="swatch {style}"></i>{text}</span>' for style, text in KINDS.items())
    return (
        f"<header><h1>Verification of {escape(report.graph)}</h1>"
        f'<p class="verdict {VERDICTS[report.verdict]}">{escape(report.headline)}</p>'
        f'<p class="note">{escape(title(report))}</p>{_failed(report)}'
        f"<details><summary>How it was measured and judged</summary><ul>{how}</ul></details></header>"
        '<form><label>step <select name="step"><option value="">all</option></select></label>'
        '<label>node <input name="text" type="search" placeholder="part of a name"></label>'
        '<label><input name="off" type="checkbox"> only what is off</label></form>'
        '<p class="note">What was measured over what was predicted, 1 at the base size: a line inside the band agrees, '
        "whatever the noise. Choose a line, or a name in the table, to read what it is.</p>"
        f'<div class="legend">{legend}<span><i class="within"></i>inside: agrees</span></div>'
        '<p class="said" aria-live="polite"></p><div class="panels"></div>'
        '<h2>Every row</h2><div class="scroll tall" tabindex="0" role="region" aria-label="every row">'
        "<table><thead></thead><tbody></tbody></table></div>"
        "<footer>Measured by scalerules verify.</footer>"
    )


def _failed(report: VerificationFacts) -> str:
    """The goals of any rule that were not reached."""
    lines = [f"{goal.goal}, {goal.row.quantity} {name(goal.row)}: {goal.row.why}" for goal in report.failed]
    return f'<ul class="plain bad">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>' if lines else ""

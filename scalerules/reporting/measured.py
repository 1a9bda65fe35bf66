"""The measured part of a report page: every slope beside its predicted size, with its uncertainty drawn.

It reads the JSON of a verification, the form that the interface promises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from html import escape
from typing import Any, cast

from scalerules.measurement.verification.verify import Report
from scalerules.pages import table

from .html import exponent

BAND = 0.2
"""What is shaded around the prediction: slopes of finite networks lie about so far from their exponents."""
WIDE, REACH = 170, 1.0
"""Width of the drawing in pixels; it shows distances of at most this from the predicted size."""

Data = Mapping[str, Any]


def measured(verification: Report) -> str:
    """Verdict, how it was measured, and a row per quantity: the last step of each, and whatever disagrees."""
    return measured_as(cast(Data, json.loads(verification.to_json())))


def measured_as(data: Data) -> str:
    """The same part, of a verification that was kept as JSON."""
    rows = cast("list[Data]", data["rows"])
    last = {_name(row): row["step"] for row in sorted(rows, key=lambda row: int(row["step"]))}
    shown = [row for row in rows if _status(row) != "agrees" or row["step"] == last[_name(row)]]
    wrong = sum(not row["agrees"] for row in rows)
    refuted = cast("list[str]", data.get("refuted", []))
    verdict = f"{wrong} of {len(rows)} slopes disagree" if wrong else "Agrees" if data["verdict"] else "Undecided"
    verdict = f"Not reached: {', '.join(refuted)}. {verdict}" if refuted else verdict
    style = "bad" if wrong or refuted else "good" if data["verdict"] else "open"
    sizes = ", ".join(f"{size:g}" for size in data["sizes"])
    how = f"Trained at sizes {sizes} with {data['seeds']} seeds; {len(rows)} slopes were fitted."
    how += f" {data['advice']}" if data.get("advice") else ""
    heads = ["quantity", "node", "step", "predicted", "slope", "distance from the prediction", ""]
    return (
        f'<p><span class="verdict {style}">{verdict}.</span> {escape(how)}</p>'
        '<p class="note">The last step of each quantity, and whatever disagrees. '
        f"The band is {BAND:g} around the prediction.</p>{table(heads, [_cells(row) for row in shown])}"
    )


def _name(row: Data) -> tuple[str, str, str]:
    return str(row["quantity"]), str(row["node"]), str(row.get("parameter") or "")


def _status(row: Data) -> str:
    """agrees, undecided, or in which way it disagrees."""
    return str(row.get("status") or ("agrees" if row["agrees"] else "disagrees"))


def _cells(row: Data) -> list[str]:
    quantity, node, parameter = _name(row)
    name = f"{node} from {parameter}" if parameter and parameter != node else node
    predicted = "zero" if row["predicted"] is None else exponent(Fraction(str(row["predicted"])))
    status = _status(row)
    style = {"agrees": "good", "warned": "open", "undecided": "open"}.get(status, "bad")
    text = f"{status}: {row['why']}" if row.get("why") else status
    said = f'<span class="{style}">{escape(text)}</span>'
    return [quantity, f'<th scope="row">{escape(name)}</th>', str(row["step"]), predicted, *_slope(row), said]


def _slope(row: Data) -> tuple[str, str]:
    """The slope as text and as a dot at its distance from the prediction, with its standard error."""
    if row["slope"] is None:
        return "", ""
    slope, error = float(row["slope"]), float(row["stderr"] or 0)
    text = f"{slope:+.2f} ± {error:.2f}".replace("-", "\N{MINUS SIGN}")
    if row["predicted"] is None:
        return text, ""
    return text, _whisker(slope - float(Fraction(str(row["predicted"]))), error, _status(row))


def _whisker(off: float, error: float, status: str) -> str:
    def x(distance: float) -> float:
        return WIDE / 2 * (1 + max(-REACH, min(REACH, distance)) / REACH)

    style = {"agrees": "", "warned": ' class="open"', "undecided": ' class="open"'}.get(status, ' class="off"')
    return (
        f'<svg class="whisker" width="{WIDE}" height="16" viewBox="0 0 {WIDE} 16" role="img" aria-label="{off:+.2f}">'
        f'<rect class="band" x="{x(-BAND):.1f}" width="{x(BAND) - x(-BAND):.1f}" height="16"/>'
        f'<path class="mid" d="M{WIDE / 2} 0V16"/><g{style}><path class="arm" d="M{x(off - error):.1f} '
        f'8H{x(off + error):.1f}"/><circle class="dot" cx="{x(off):.1f}" cy="8" r="3.5"/></g></svg>'
    )

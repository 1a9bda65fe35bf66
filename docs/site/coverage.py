"""What it gets right and wrong, counted: kept verifications, papers, faults that random graphs found."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

from .page import Page, table, titled
from .places import DOCS, MEASURED, ROOT

FOUND = "tests/measurement/fuzz_found"


def coverage_page(names: Sequence[str]) -> Page:
    """The page; `names` are the architectures that have a page to link to."""
    parts = [
        "Derived sizes are held against training runs, against papers, and against random graphs. Nothing here is "
        "rounded up: what disagrees or cannot be told is counted.",
        "## Architectures of the catalogue",
        table(["architecture", "agree", "undecided", "disagree", "verdict", "what is off"], _measured(names)),
        "Slopes of values, gradients, own contributions and changes at four sizes under adam; every page of an "
        "[architecture](architectures/index.md) shows them with their errors.",
        "## Papers",
        _papers(),
        "## Random graphs",
        "[Random architectures](fuzz.md) says how they are drawn and what a sweep found. The smallest graph of each "
        "fault is kept, and derived and measured by the tests:",
        "\n".join(f"* [{file.stem}](../{FOUND}/{file.name})" for file in sorted((ROOT / FOUND).glob("*.yaml"))),
        "## Real models",
        "[Trace](trace.md#real-models) lists what was traced and derived, and what is open; "
        "[Verify](verify.md) what was measured of them.",
    ]  # fmt: skip
    return Page("coverage.md", "What it gets right and wrong", titled("What it gets right and wrong", *parts))


def _measured(names: Sequence[str]) -> list[list[str]]:
    rows: list[list[str]] = []
    for file in sorted(MEASURED.glob("*.json")):
        data = json.loads(file.read_text(encoding="utf-8"))
        told = Counter(_status(row) for row in data["rows"])
        wrong = [row for row in data["rows"] if _status(row) not in ("agrees", "undecided")]
        off = ", ".join(dict.fromkeys(f"{row['quantity']} of {row['node']}" for row in wrong))
        name = f"[{file.stem}](architectures/{file.stem}.md)" if file.stem in names else file.stem
        counts = [str(told["agrees"]), str(told["undecided"]), str(len(wrong))]
        rows.append([name, *counts, "agrees" if data["verdict"] else "not shown", off])
    return rows


def _status(row: dict[str, str]) -> str:
    return row.get("status") or ("agrees" if row["agrees"] else "disagrees")


def _papers() -> str:
    """The counts of the committed comparison, which a test holds against the engine."""
    text = (DOCS / "published.md").read_text(encoding="utf-8")
    counts = re.search(r"^\d+ records, .*?\.$", text, re.MULTILINE)
    return f"{counts[0] if counts else ''} Each with its source and the reason: [Published rules](published.md)."

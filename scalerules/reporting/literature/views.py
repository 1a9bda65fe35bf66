"""The report on published rules for a terminal, for the documentation, and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from scalerules.solution.views import columns

from .comparison import Comparison
from .findings import Checked, Finding
from .records import Record
from .rows import Row

WIDE = 100
CONFIDENCE = {
    "read": "read in the source",
    "second-hand": "a third party's restatement",
    "measured": "partly measured for this project",
}


def table(report: Comparison) -> str:
    """One line per record, then every difference with its reason."""
    rows = [["record", "exponents", "verdict", "seconds"]]
    for finding in report.findings:
        rows.append([finding.record.id, _count(finding), finding.verdict, f"{finding.seconds:.1f}"])
    text = columns(rows)
    for finding in report.findings:
        lines = [line for checked in finding.checked for line in _problems(checked)]
        if lines:
            text += f"\n{finding.record.id} ({finding.record.paper})\n" + "\n".join(lines) + "\n"
    return text + "\n" + summary(report) + "\n"


def _count(finding: Finding) -> str:
    rows = [row for checked in finding.checked for row in checked.rows]
    return f"{sum(row.agrees for row in rows)} of {len(rows)}"


def _problems(checked: Checked) -> list[str]:
    if checked.error:
        return [f"  {checked.setting}", *_wrapped(f"not derived: {checked.error}", "    ")]
    lines = [f"  {checked.setting}"]
    for names, row in _grouped(row for row in checked.rows if not row.agrees):
        reason = f"{row.kind}: {row.why}" if row.why else "no reason is known"
        lines += _wrapped(f"{names} {row.quantity}: printed {row.printed}, derived {row.derived}. {reason}", "    ")
    return lines if len(lines) > 1 else []


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDE, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False)


def _grouped(rows: Iterable[Row]) -> list[tuple[str, Row]]:
    """Rows that say the same of several parameters, as one row with all their names."""
    groups: dict[tuple[str, ...], list[str]] = {}
    first: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key = (row.quantity, row.printed, row.derived, row.kind, row.why)
        groups.setdefault(key, []).append(row.at)
        first.setdefault(key, row)
    return [(", ".join(names), first[key]) for key, names in groups.items()]


def summary(report: Comparison) -> str:
    """The counts, in one sentence."""
    verdicts = Counter(finding.verdict for finding in report.findings)
    kinds = Counter(row.kind for row in report.rows if row.why)
    agree = sum(row.agrees for row in report.rows)
    parts = [f"{len(report.findings)} records, {agree} of {len(report.rows)} exponents and statements agree"]
    parts += [f"{number} differ ({kind})" for kind, number in sorted(kinds.items())]
    parts += [f"{verdicts[name]} records {name}" for name in ("unexplained", "not derived") if verdicts[name]]
    text = "; ".join(parts) + "."
    return text if report.complete else text + " Interrupted: the rest was not looked at."


def markdown(report: Comparison) -> str:
    """The page: a summary table, then a section per record. Holds no times: it is compared byte for byte."""
    lines = [
        "# Published rules",
        "",
        "What papers print beside what the engine derives, written by `scalerules published --format md`. Exponents",
        "are powers of the scales, and init is a standard deviation. The engine knows none of these tables.",
        "",
        summary(report),
        "",
        "| record | paper | verdict | compared |",
        "| --- | --- | --- | --- |",
    ]
    for finding in report.findings:
        record = finding.record
        lines.append(f"| [{record.id}](#{record.id}) | {record.paper} | {finding.verdict} | {_count(finding)} |")
    for finding in report.findings:
        lines += ["", *_section(finding)]
    return "\n".join(lines) + "\n"


def _section(finding: Finding) -> list[str]:
    record = finding.record
    place = f", {record.place}" if record.place else ""
    lines = [f"## {record.id}", "", f"{record.paper}{place} ({CONFIDENCE[record.confidence]}). {record.says}"]
    for checked in finding.checked:
        lines += ["", f"**{checked.setting}**: {checked.verdict}.", ""]
        if checked.error:
            lines += ["```text", checked.error, "```"]
            continue
        lines += ["| parameter | quantity | printed | derived | |", "| --- | --- | --- | --- | --- |"]
        for names, row in _grouped(checked.rows):
            note = "agrees" if row.agrees else f"differs: {row.kind}" if row.why else "differs"
            lines.append(f"| {_code(names)} | {row.quantity} | {row.printed} | {row.derived} | {note} |")
        lines += [text for why in _reasons(checked.rows) for text in ("", why)]
    if record.unchecked:
        lines += ["", f"Not checkable here: {record.unchecked}"]
    return lines


def _code(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


def _reasons(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(f"Why it differs ({row.kind}): {row.why}" for row in rows if row.why))


def to_json(report: Comparison) -> str:
    """The report as JSON: a list of records, each with its checks and their rows."""
    data: dict[str, Any] = {
        "verdict": report.verdict,
        "complete": report.complete,
        "summary": summary(report),
        "records": [_record(finding.record) | _checks(finding) for finding in report.findings],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _record(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in ("id", "paper", "place", "confidence", "says", "unchecked")}


def _checks(finding: Finding) -> dict[str, Any]:
    fields = ("setting", "verdict", "error")
    checks = [
        {name: getattr(checked, name) for name in fields} | {"rows": [_row(row) for row in checked.rows]}
        for checked in finding.checked
    ]
    return {"verdict": finding.verdict, "seconds": round(finding.seconds, 3), "checks": checks}


def _row(row: Row) -> dict[str, Any]:
    fields = ("at", "quantity", "printed", "derived", "agrees", "kind", "why")
    return {name: getattr(row, name) for name in fields}

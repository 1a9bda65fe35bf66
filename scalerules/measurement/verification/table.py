"""How a verification is shown: a table for the terminal, a figure for a page."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any

from .facts import VerificationFacts
from .goals import GOALS, WORDS
from .judge import Row

QUANTITIES = ("value", "gradient", "own", "change")
TITLES = {
    "value": "values at initialisation",
    "gradient": "gradients",
    "own": "own contribution of a parameter",
    "change": "changes",
}
SHORT = {"value": "all values", "gradient": "all gradients", "own": "all own contributions", "change": "all changes"}
STYLES = {"wrong": "bold red", "missing": "bold red", "unpredicted": "bold red", "undecided": "yellow",
          "warned": "yellow"}  # fmt: skip
MOST = 24
"""Lines of what is off, the furthest first."""
Line = tuple[str, str]
"""What is measured, in words, and where."""


def table(report: VerificationFacts, every: bool = False) -> Any:
    """A rich table: the verdict, what is wrong or open, then a line for each kind of quantity; `every`: each row."""
    from rich.table import Table

    head = f"{title(report)}\n{report.headline}"
    view = Table(title=head, caption=caption(report), title_justify="left", caption_justify="left")
    for heading in ("quantity", "node", "step", "expected", "slope", "judged", "would notice", "verdict"):
        view.add_column(heading, justify="left" if heading in ("quantity", "node", "verdict") else "right")
    if every:
        for what, row in _lines(report):
            view.add_row(*_cells(what, row), style=STYLES.get(row.status))
    else:
        off = _off(report)
        for what, rows in off[:MOST]:
            view.add_row(*_cells(what, rows[0], _steps(rows)), style=STYLES.get(rows[0].status))
        if len(off) > MOST:
            view.add_row(f"and {len(off) - MOST} more", *[""] * 6, "every row with --all, to_table(every=True)")
    view.add_section()
    for kind, rows in _kinds(report):
        view.add_row(*_summary(kind, rows))
    return view


def _lines(report: VerificationFacts) -> list[tuple[str, Row]]:
    """Every goal, then every row, each with what is measured, in words."""
    goals = [(goal.said, goal.row) for goal in [*report.failed, *(g for g in report.goals if g.row.agrees)]]
    return [*goals, *((row.quantity, row) for row in report.rows)]


def _off(report: VerificationFacts) -> list[tuple[str, list[Row]]]:
    """What is wrong, then what is open, of goals and then of predictions: all steps together, the furthest first."""
    grouped: dict[Line, list[Row]] = {}
    for what, row in _lines(report):
        if not row.sure:
            grouped.setdefault((what, name(row)), []).append(row)
    for rows in grouped.values():
        rows.sort(key=lambda row: (row.agrees, -abs(row.excess)))
    order = sorted(grouped, key=lambda line: (grouped[line][0].agrees, ":" not in line[0],
                                              -abs(grouped[line][0].excess)))  # fmt: skip
    return [(line[0], grouped[line]) for line in order]


def _steps(rows: list[Row]) -> str:
    steps = sorted({row.step for row in rows})
    return f"{steps[0]} to {steps[-1]}" if len(steps) > 1 else str(steps[0])


def _kinds(report: VerificationFacts) -> list[tuple[str, list[Row]]]:
    """The rows of every goal, then of every quantity that is predicted; of those there are."""
    goals = [(goal, [g.row for g in report.goals if g.goal == goal]) for goal in GOALS]
    kinds = [(kind, [r for r in report.rows if r.quantity == kind]) for kind in QUANTITIES]
    return [(str(kind), rows) for kind, rows in (*goals, *kinds) if rows]


def _summary(kind: str, rows: list[Row]) -> tuple[str, ...]:
    """One line for all rows of a kind."""
    off = Counter(row.status for row in rows if not row.sure)
    said = ", ".join(f"{count} {status}" for status, count in sorted(off.items()))
    names = {(row.node, row.parameter) for row in rows}
    notices = [row.detects for row in rows if row.detects is not None]
    far = max(rows, key=lambda row: row.excess if kind == GOALS[0] else abs(row.excess))
    return (
        SHORT.get(kind, f"goal {kind}"), f"{len(names)} places" if len(names) > 1 else "1 place", _steps(rows),
        "0" if kind in GOALS else "", "", f"furthest {far.excess:+.2f}",
        f"{median(notices):.2f}" if notices else "-", f"{said} of {len(rows)}" if said else f"{len(rows)} agree",
    )  # fmt: skip


def name(row: Row) -> str:
    """The node, and the parameter of an own contribution elsewhere."""
    return f"{row.node} <- {row.parameter}" if row.parameter and row.parameter != row.node else row.node


def _cells(what: str, r: Row, steps: str = "") -> tuple[str, ...]:
    expected = "zero" if r.predicted is None else str(r.predicted)
    verdict = f"{r.status}: {r.why}" if r.why else r.status
    notice = "-" if r.detects is None else f"{r.detects:.2f}"
    return (what, name(r), steps or str(r.step), expected, _number(r.slope, r.stderr), _number(r.estimate, r.width),
            notice, verdict)  # fmt: skip


def _number(value: float | None, error: float | None) -> str:
    return "-" if value is None else f"{value:+.2f} ± {error or 0:.2f}"


def title(report: VerificationFacts) -> str:
    """What was measured, in a line."""
    sizes = ", ".join(f"{size:g}" for size in report.measured_sizes or report.sizes)
    counts = sorted(set(report.seeds_by_size), reverse=True)
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(report.seeds)
    times = {1: "", 2: "twice", 3: "three times"}[report.looks]
    twice = f", looked at {times} ({report.seeds_used} seeds in all)" if times else ""
    counted = f"{seeds} seed{'' if seeds == '1' else 's'}"
    return f"{report.graph}, {report.optimizer}: sizes {sizes}; {counted}{twice}, {report.steps} steps"


def caption(report: VerificationFacts) -> str:
    """How it was measured, what it says, and how sure it is."""
    rose = ", ".join(f"{count} at {size:g}" for size, count in report.rose.items() if count)
    lines = [
        "slope: over all sizes ± its standard error; judged: with the slope of the larger sizes, ± the interval;",
        "would notice: the excess over the predicted size that would be called wrong in 95 of 100 cases",
        *(f"{goal}: {WORDS[goal]}" for goal in report.asked),
        f"base learning rate {report.rate}",
        f"the loss rose above its start in some runs: {rose}" if rose else "the loss never rose above its start",
    ]
    if report.silent:
        lines.append(f"not judged, for nothing depends on them: {', '.join(report.silent)}")
    if report.chosen:
        lines.append(f"rows chosen by values, their changes not compared: {', '.join(report.chosen)}")
    if report.interrupted:
        reached = ", ".join(f"{size:g}" for size in report.measured_sizes) or "none"
        lines.append(f"interrupted: judged by what was measured until then (sizes: {reached})")
    lines += _sure(report)
    return "\n".join(lines)


def _sure(report: VerificationFacts) -> list[str]:
    power = sorted(report.power.items(), key=lambda item: -item[1])
    lines: list[str] = []
    if power:
        half = sum(detects <= 0.5 for _, detects in power) / len(power)
        (quantity, node, parameter), worst = power[0]
        via = f" <- {parameter}" if parameter and parameter != node else ""
        lines = [
            f"an excess of {report.typical:.2f} would have been noticed in half of the quantities, one of 0.5 in "
            f"{half:.0%}; bluntest: {quantity} {node}{via} ({worst:.2f})"
        ]
    return lines

"""How a verification is shown: a table for the terminal, a figure for a page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from scalerules.boundary.files import replaced
from scalerules.measurement.figures import draw

from .errors import MissingExtra
from .slopes import levels
from .verify_judge import TOLERANCE, Row

if TYPE_CHECKING:
    from .verify_report import Report

QUANTITIES = ("value", "gradient", "own", "change")
TITLES = {
    "value": "values at initialisation",
    "gradient": "gradients",
    "own": "own contribution of a parameter",
    "change": "changes",
}
STYLES = {"wrong": "bold red", "missing": "bold red", "unpredicted": "bold red", "undecided": "yellow"}
COLOURS = {"wrong": "tab:red", "missing": "tab:red", "unpredicted": "tab:red", "undecided": "tab:orange"}
NAMED = 6
"""Lines of a panel that are named; the furthest off."""


def table(report: Report, every: bool = False) -> Any:
    """A rich table of the rows: of each quantity and node the last step, and whatever is off; `every`: all."""
    from rich.table import Table

    view = Table(title=title(report), caption=caption(report), title_justify="left", caption_justify="left")
    for heading in ("quantity", "node", "step", "predicted", "slope", "judged", "would notice", "verdict"):
        view.add_column(heading, justify="left" if heading in ("quantity", "node", "verdict") else "right")
    last = {(r.quantity, r.node, r.parameter): r.step for r in report.rows}
    for r in report.rows:
        if every or not r.sure or r.step == last[r.quantity, r.node, r.parameter]:
            view.add_row(*_cells(r), style=STYLES.get(r.status))
    return view


def name(row: Row) -> str:
    """The node, and the parameter of an own contribution elsewhere."""
    return f"{row.node} <- {row.parameter}" if row.parameter and row.parameter != row.node else row.node


def _cells(r: Row) -> tuple[str, ...]:
    predicted = "zero" if r.predicted is None else str(r.predicted)
    verdict = f"{r.status}: {r.why}" if r.why else r.status
    notice = "-" if r.detects is None else f"{r.detects:.2f}"
    return (r.quantity, name(r), str(r.step), predicted, _number(r.slope, r.stderr), _number(r.estimate, r.width),
            notice, verdict)  # fmt: skip


def _number(value: float | None, error: float | None) -> str:
    return "-" if value is None else f"{value:+.2f} ± {error or 0:.2f}"


def title(report: Report) -> str:
    """What was measured, in a line."""
    sizes = ", ".join(f"{size:g}" for size in report.measured_sizes or report.sizes)
    counts = sorted({count * report.looks for count in report.seeds_by_size}, reverse=True)
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(report.seeds_used)
    return f"{report.graph}, {report.optimizer}: sizes {sizes}; {seeds} seeds, {report.steps} steps"


def caption(report: Report) -> str:
    """How it was measured, what it says, and how sure it is."""
    rose = ", ".join(f"{count} at {size:g}" for size, count in report.rose.items() if count)
    lines = [
        "slope: over all sizes ± its standard error; judged: with the slope of the larger sizes, ± the interval;",
        "would notice: the excess over the predicted size that would be called wrong in 95 of 100 cases",
        f"base learning rate {report.rate}",
        f"the loss rose above its start in some runs: {rose}" if rose else "the loss never rose above its start",
    ]
    if report.silent:
        lines.append(f"not judged, for nothing depends on them: {', '.join(report.silent)}")
    if report.interrupted:
        reached = ", ".join(f"{size:g}" for size in report.measured_sizes) or "none"
        lines.append(f"interrupted: judged by what was measured until then (sizes: {reached})")
    lines += _sure(report)
    return "\n".join(lines)


def _sure(report: Report) -> list[str]:
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
    verdict = report.summary
    return [*lines, verdict + (f"; {report.advice}" if report.advice else "")]


def plot(report: Report, path: str) -> None:
    """One panel per quantity: root mean square over the scale, divided by the predicted power and by its start.

    An ending .html makes one interactive page. Raises `MissingExtra` without matplotlib.
    """
    if path.lower().endswith((".html", ".htm")):
        from .verify_page import page

        replaced(path, page(report).encode("utf-8"))
        return
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtra("drawing a figure", "plot") from error
    figure: Any = Figure(figsize=(11, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, quantity in zip(panels.flat, QUANTITIES, strict=True):
        _panel(axes, report, quantity)
    for axes in panels[:, 0]:
        axes.set_ylabel("measured / predicted, 1 at the base size")
    for axes in panels[1]:
        axes.set_xlabel("size")
    figure.suptitle(f"{title(report)}: {report.conclusion}", fontsize=11)
    draw(figure, path, dpi=120)


def level(report: Report, row: Row) -> list[float] | None:
    """The measured size over the predicted power, 1 at the base size: what agrees stays there."""
    if row.key not in report.samples or row.predicted is None or row.slope is None:
        return None
    logs = levels(report.samples[row.key])
    power = float(row.predicted) / report.growth
    start = report.measured_sizes[0]
    return [math.exp(log) * (start / size) ** power for log, size in zip(logs, report.measured_sizes, strict=True)]


def _panel(axes: Any, report: Report, quantity: str) -> None:
    rows = [r for r in report.rows if r.quantity == quantity]
    sizes = report.measured_sizes
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.yaxis.set_major_formatter("{x:g}")
    wedge = [(size / sizes[0]) ** (TOLERANCE / report.growth) for size in sizes]
    axes.fill_between(sizes, [1 / w for w in wedge], wedge, color="tab:green", alpha=0.15, linewidth=0)
    axes.axhline(1, color="black", linewidth=0.8)
    shown = [(r, ratios) for r in rows if (ratios := level(report, r)) is not None]
    named = {r.key for r in sorted((r for r, _ in shown if not r.sure), key=lambda r: -abs(r.excess))[:NAMED]}
    for r, ratios in sorted(shown, key=lambda item: not item[0].sure):
        label = f"{name(r)}, step {r.step}: {r.excess:+.2f} ± {r.width:.2f}" if r.key in named else None
        style = {"color": "tab:gray", "alpha": 0.35, "linewidth": 0.8} if r.sure else {"linewidth": 1.6}
        axes.plot(sizes, ratios, marker=".", label=label, **({"color": COLOURS.get(r.status)} | style))
    off = sum(not r.sure for r in rows)
    axes.set_title(f"{TITLES[quantity]}: {len(rows)} rows, {off} off", fontsize=10)
    low, high = axes.get_ylim()
    axes.set_ylim(max(min(low, 0.25), 2**-8), min(max(high, 4.0), 2**12))
    if named:
        axes.legend(fontsize=7, loc="best", title="excess over the predicted exponent", title_fontsize=7)

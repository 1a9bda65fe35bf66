"""How a sweep is shown: a table for the terminal or a page, a figure."""

from __future__ import annotations

import math
from typing import Any

from scalerules.errors import MissingExtra
from scalerules.measurement.figures import draw

from .curves import LIMIT, Row
from .facts import SweepFacts
from .optimum import Drift


def table(report: SweepFacts) -> Any:
    """A rich table, one line per rule and size."""
    from rich.table import Table

    view = Table(title=title(report), caption=said(report), title_justify="left", caption_justify="left")
    for heading in headings(report):
        view.add_column(heading, justify="left" if heading == "rule" else "right")
    for rule in report.rules:
        for row in (row for row in report.rows if row.rule == rule):
            view.add_row(*cells(row))
        view.add_section()
    return view


def markdown(report: SweepFacts) -> str:
    """The report as a Markdown table, with the drifts below it."""
    heads = headings(report)
    lines = [_line(heads), _line(["---", *["---:"] * (len(heads) - 1)])]
    lines += [_line(cells(row)) for row in report.rows]
    return "\n".join(lines) + "\n\n" + "".join(f"* {line}\n" for line in said(report).splitlines())


def headings(report: SweepFacts) -> list[str]:
    """The heads of the columns."""
    return ["rule", report.scale, f"best {number(report)}", "log2", "loss", "runs", "diverged"]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def cells(row: Row) -> tuple[str, ...]:
    """The optimum of a rule at a size, column by column."""
    best = row.optimum
    runs = (str(row.runs), str(row.diverged))
    if not math.isfinite(best.log2_lr):
        return (row.rule, f"{row.size:g}", "-", "-", "-", *runs)
    where = f"{best.log2_lr:+.2f} ± {best.error:.2f}" if best.located else f"{best.log2_lr:+.2f}: at the edge"
    return (row.rule, f"{row.size:g}", f"{best.lr:.3g}", where, f"{best.loss:.4f}", *runs)


def title(report: SweepFacts) -> str:
    """What was trained, in a line."""
    sizes = ", ".join(f"{size:g}" for size in report.sizes)
    how = f"{report.steps} steps on {report.data}" if report.steps else report.data
    how = f"{how}, {report.seeds_used} seeds"
    return f"{report.graph}, {report.optimizer}: {report.scale} {sizes}; {how}"


def said(report: SweepFacts) -> str:
    """What was found, a line per rule, the verdict last."""
    lines = [f"{rule}: {moves(report, report.drifts.get(rule))}" for rule in report.rules]
    first, drift = report.rules[0], report.drifts.get(report.rules[0])
    if report.verdict and drift is not None:
        sure = abs(drift.steps) + 2 * drift.error < LIMIT
        doubt = "" if sure else f"; two standard errors reach beyond {LIMIT:g}"
        said = f"the best {number(report)} of {first} transfers"
        lines.append(f"{said}: it moves by less than {LIMIT:g} grid steps{doubt}")
    else:
        lines.append(f"that the best {number(report)} of {first} transfers is not shown")
    runs = sum(row.runs for row in report.rows)
    lines.append(f"{runs} runs, {report.cpu_seconds / 60:.1f} minutes of processor time")
    if report.interrupted:
        lines.append("interrupted: what was finished until then")
    return "\n".join(lines)


def moves(report: SweepFacts, drift: Drift | None) -> str:
    """By how much the optimum moves, in words."""
    if drift is None:
        return "fewer than two optima were located"
    factor = 2 ** (drift.steps / 2)
    by = f"moves by {drift.steps:+.2f} ± {drift.error:.2f} grid steps of sqrt(2) per doubling"
    return f"the best {number(report)} {by} (a factor of {factor:.2f})"


def number(report: SweepFacts) -> str:
    """What is swept, in words."""
    return "rate" if report.over == "lr" else report.over


def plot(report: SweepFacts, path: str) -> None:
    """A panel per rule: loss over the rate, a line per size, the optimum marked with its error.

    Raises `MissingExtra` without matplotlib.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtra("drawing a figure", "plot") from error
    count = len(report.rules)
    figure: Any = Figure(figsize=(4.6 * count, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(1, count, sharex=True, sharey=True, squeeze=False)[0]
    shades: Any = matplotlib.colormaps["viridis"]
    for axes, rule in zip(panels, report.rules, strict=True):
        rows = [row for row in report.rows if row.rule == rule]
        for index, row in enumerate(rows):
            _draw(axes, row, shades(0.85 * index / max(1, len(rows) - 1)))
        drift = report.drifts.get(rule)
        by = f"{drift.steps:+.2f} ± {drift.error:.2f} steps of √2 per doubling" if drift else "not located"
        axes.set_title(f"{rule}: {by}", fontsize=10)
        axes.set_xscale("log", base=2)
        axes.set_xlabel("learning rate at the base size" if report.over == "lr" else report.over)
    panels[0].set_ylabel("loss on held-out data")
    panels[0].set_ylim(*limits(report))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, title=report.scale, loc="outside right center", fontsize=9)
    figure.suptitle(title(report), fontsize=10)
    draw(figure, path)


def _draw(axes: Any, row: Row, colour: Any) -> None:
    points = [(lr, loss) for lr, loss in row.points if math.isfinite(loss)]
    axes.plot(*zip(*points, strict=True), marker=".", color=colour, label=f"{row.size:g}") if points else None
    best = row.optimum
    if best.located:
        low, high = (best.lr - 2 ** (best.log2_lr - best.error), 2 ** (best.log2_lr + best.error) - best.lr)
        axes.errorbar([best.lr], [best.loss], xerr=[[low], [high]], marker="D", markersize=7, color=colour,
                      markeredgecolor="black", capsize=3, zorder=5)  # fmt: skip


def limits(report: SweepFacts) -> tuple[float, float]:
    """The part of the losses around the optima: what is far worse would flatten them."""
    best = [row.optimum.loss for row in report.rows if math.isfinite(row.optimum.loss)] or [0.0, 1.0]
    low, high = min(best), max(best)
    room = max(high - low, 0.1 * abs(high), 1e-9)
    return low - 0.15 * room, high + 0.8 * room

"""A verification as a figure."""

from __future__ import annotations

import math
from typing import Any

from scalerules.errors import MissingExtra
from scalerules.measurement.figures import draw

from .facts import VerificationFacts
from .judge import TOLERANCE, Row
from .slopes import levels
from .table import QUANTITIES, TITLES, name, title

COLOURS = {"wrong": "tab:red", "missing": "tab:red", "unpredicted": "tab:red", "undecided": "tab:orange"}


NAMED = 6
"""Lines of a panel that are named; the furthest off."""


def plot(report: VerificationFacts, path: str) -> None:
    """One panel per quantity: root mean square over the scale, divided by the predicted power and by its start.

    Raises `MissingExtra` without matplotlib.
    """
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
        axes.set_xlabel(report.scale)
    figure.suptitle(f"{title(report)}: {report.conclusion}", fontsize=11)
    draw(figure, path, dpi=120)


def level(report: VerificationFacts, row: Row) -> list[float] | None:
    """The measured size over the predicted power, 1 at the base size: what agrees stays there."""
    if row.key not in report.samples or row.predicted is None or row.slope is None:
        return None
    logs = levels(report.samples[row.key])
    power = float(row.predicted) / report.growth
    start = report.measured_sizes[0]
    return [math.exp(log) * (start / size) ** power for log, size in zip(logs, report.measured_sizes, strict=True)]


def _panel(axes: Any, report: VerificationFacts, quantity: str) -> None:
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

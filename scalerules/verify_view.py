"""How a verification is shown: a table for the terminal, a figure for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import MissingExtra
from .slopes import Row

if TYPE_CHECKING:
    from .verify import Report

QUANTITIES = ("value", "gradient", "own", "change")
TITLES = {
    "value": "values at initialisation",
    "gradient": "gradients",
    "own": "own contribution of a parameter",
    "change": "changes",
}


def table(report: Report, every: bool = False) -> Any:
    """A rich table of the rows: of each quantity and node the last step, and whatever disagrees; `every`: all."""
    from rich.table import Table

    view = Table(title=_title(report), caption=_caption(report), title_justify="left", caption_justify="left")
    for heading in ("quantity", "node", "step", "predicted", "slope", "judged", "verdict"):
        view.add_column(heading, justify="left" if heading in ("quantity", "node", "verdict") else "right")
    last = {(r.quantity, r.node, r.parameter): r.step for r in report.rows}
    for r in report.rows:
        if every or not r.agrees or r.step == last[r.quantity, r.node, r.parameter]:
            view.add_row(*_cells(r), style=None if r.agrees else "bold red")
    return view


def _cells(r: Row) -> tuple[str, ...]:
    name = f"{r.node} <- {r.parameter}" if r.parameter and r.parameter != r.node else r.node
    predicted = "zero" if r.predicted is None else str(r.predicted)
    verdict = r.status if r.agrees else f"{r.status}: {r.why}"
    numbers = (_number(r.slope, r.stderr), _number(r.estimate, r.error))
    return (r.quantity, name, str(r.step), predicted, *numbers, verdict)


def _number(value: float | None, error: float | None) -> str:
    return "-" if value is None else f"{value:+.2f} ± {error or 0:.2f}"


def _title(report: Report) -> str:
    sizes = ", ".join(f"{size:g}" for size in report.sizes)
    return f"{report.graph}, {report.optimizer}: sizes {sizes}; {report.seeds_used} seeds, {report.steps} steps"


def _caption(report: Report) -> str:
    rose = ", ".join(f"{count} at {size:g}" for size, count in report.rose.items() if count)
    wrong = len(report.wrong)
    lines = [
        f"base learning rate {report.rate}",
        f"the loss rose above its start in some runs: {rose}" if rose else "the loss never rose above its start",
        f"{len(report.rows)} rows, {wrong} disagree: {'agrees' if report.verdict else 'does not agree'}",
    ]
    if report.interrupted:
        lines.append("interrupted: only the seeds that were complete are judged")
    return "\n".join(lines)


def plot(report: Report, path: str) -> None:
    """One panel per quantity: root mean square over the scale, divided by the predicted power and by its start.

    Raises `MissingExtra` without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtra("drawing a figure", "plot") from error
    figure: Any = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(2, 2, sharex=True)
    for axes, quantity in zip(panels.flat, QUANTITIES, strict=True):
        _panel(axes, report, quantity)
    figure.suptitle(_title(report), fontsize=11)
    figure.savefig(path)


def _panel(axes: Any, report: Report, quantity: str) -> None:
    axes.set_title(TITLES[quantity], fontsize=10)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlabel("size")
    axes.set_ylabel("measured / predicted")
    axes.axhline(1, color="black", linewidth=0.8)
    for r in (r for r in report.rows if r.quantity == quantity and r.predicted is not None and r.slope is not None):
        samples = report.samples[r.key]
        means = [sum(column) / len(column) for column in zip(*samples, strict=True)]
        power = [(size / report.sizes[0]) ** float(r.predicted or 0) for size in report.sizes]
        ratios = [mean / p / means[0] for mean, p in zip(means, power, strict=True)]
        label = f"{r.node}, step {r.step}" if not r.agrees else None
        style = {"color": "tab:gray", "alpha": 0.5, "linewidth": 0.8} if r.agrees else {"linewidth": 1.8}
        axes.plot(report.sizes, ratios, marker=".", label=label, **style)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.25), max(high, 4.0))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7)

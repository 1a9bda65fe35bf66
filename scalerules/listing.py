"""What `scalerules list` and `scalerules derive` show on a terminal: plain text in columns."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import lookup

if TYPE_CHECKING:
    from .derivation import Solution

Rows = list[tuple[str, str]]

QUANTITIES = ("init", "mult", "lr", "eps", "wd")


def graphs() -> Rows:
    """The catalogue, with the first line of each file's docstring; no file is run."""
    return [(name, _headline(lookup.folder("graphs") / f"{name}.py")) for name in lookup.catalogue()]


def backends() -> Rows:
    """The backends, with the first line of each file's docstring."""
    return [(name, _headline(lookup.folder("backends") / f"{name}.py")) for name in lookup.backends()]


def ops() -> Rows:
    """The elementary operations, with the fields that each takes and its reason."""
    from .ops import OPS

    rows: Rows = []
    for name, op in sorted(OPS.items()):
        fields = [*sorted(op.required), *(f"[{field}]" for field in sorted(op.optional))]
        rows.append((name, f"{' '.join(fields)}: {op.reason}" if fields else op.reason))
    return rows


def optimizers() -> Rows:
    """The optimizers, with the reason of each law and its source."""
    from .optimizers import OPTIMIZERS

    return [(name, f"{rule.reason} ({rule.source})") for name, rule in OPTIMIZERS.items()]


def gauges() -> Rows:
    """The named gauges, with what each fixes."""
    from .gauge import GAUGES

    return [(name, " ".join((gauge.__doc__ or "").split())) for name, gauge in GAUGES.items()]


LISTS: dict[str, Callable[[], Rows]] = {
    "graphs": graphs,
    "optimizers": optimizers,
    "gauges": gauges,
    "ops": ops,
    "backends": backends,
}


def table(solution: Solution) -> str:
    """The rules of every parameter in columns: what each quantity is multiplied with when the scales grow."""
    head = f"{solution.graph}, {solution.optimizer}: " + ", ".join(
        f"{scale}^{growth}" if growth != 1 else scale for scale, growth in solution.direction.items() if growth
    )
    cells = [["parameter", "shape", *QUANTITIES]]
    for name, rule in solution.parameters.items():
        log = {quantity: " log" for quantity in rule.log}
        row = [_power(getattr(rule, quantity)) + log.get(quantity, "") for quantity in QUANTITIES]
        cells.append([name, " ".join(rule.shape), *row])
    text = f"{head}\n\n{columns(cells)}"
    if solution.multipliers:
        text += "\n" + columns([["multiplier", "factor"]] + [[k, _power(v)] for k, v in solution.multipliers.items()])
    return text


def _power(exponents: Any) -> str:
    return str(exponents.expr).replace("**", "^")


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts, aligned to the left, two spaces apart; the first one is the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]]) + "\n"


def _headline(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]

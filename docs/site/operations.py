"""A page per elementary operation: its laws run on fresh symbols, why they are so, who uses it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from scalerules.catalogue.graphs import catalogue, graph
from scalerules.ops import registry
from scalerules.ops.registry import OPS, Op

from .fresh import mirror, rows
from .page import Page, raw, table, titled
from .pictures import mirrored, sums
from .places import ROOT

FOLDER = "operations"
LEGEND = (
    "Sizes are exponents, as linear forms: `x`, `W` are those of the operands, `d` that of the gradient behind the "
    "operation, `dx` that of a change of the operand; `n`, `m` are how fast the axes grow. Operands are fresh: every "
    "entry has a sign of its own. The gradient and the change are those of the last operand."
)


def operation_pages() -> list[Page]:
    """The list of operations, and a page for each."""
    listed = [[f"[{name.replace('_', '_<wbr>')}]({name}.md)", op.reason] for name, op in OPS.items()]
    text = titled("Operations", "Every architecture is built of these.", table(["operation", "law"], listed))
    return [Page(f"{FOLDER}/index.md", "All operations", text), *(_page(op) for op in OPS.values())]


def _page(op: Op) -> Page:
    parts = [op.reason, _taken(op), *_laws(op), *_pictures(op.name), *_users(op.name), _source(op.name)]
    return Page(f"{FOLDER}/{op.name}.md", op.name, titled(op.name, *parts))


def _taken(op: Op) -> str:
    most = "or more" if op.most is None else f"to {op.most}" if op.most != op.least else ""
    fields = [f"`{name}`" for name in sorted(op.required)] + [f"`{name}` (optional)" for name in sorted(op.optional)]
    flags = [name for name in ("passes", "linear", "multilinear") if getattr(op, name)]
    said = f"Operands: {op.least} {most}".rstrip() + f". Fields: {', '.join(fields) or 'none'}."
    return said + (f" It is called {' and '.join(flags)} in the table of operations." if flags else "")


def _laws(op: Op) -> Iterator[str]:
    found = list(rows(op))
    if not found:
        yield "It has no law of its own: it is opened into other operations, or is where data come in."
        return
    if op.name == "einsum":
        found.append(mirror())
    yield "## Its laws on fresh symbols"
    yield table(
        ["used on", "value", "gradient", "change"],
        [[row.said or "a vector", *(f"`{cell}`" if cell else "" for cell in (row.forward, row.gradient, row.change))]
         for row in found],
    )  # fmt: skip
    yield LEGEND


def _pictures(name: str) -> Iterator[str]:
    if name == "einsum":
        yield "## Aligned and independent sums"
        yield "Entries that agree in sign add up to their number; entries of independent signs to its root."
        yield raw(sums())
        yield "## The mirror"
        yield (
            "Behind a matrix and its transpose, every path that comes back to the entry where it began has a weight "
            "times itself: these agree in sign, so that part of the sum is aligned."
        )
        yield raw(mirrored())


@cache
def _uses() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in catalogue():
        for op in sorted({node.op for _, node in graph(name).walk()}):
            found.setdefault(op, []).append(name)
    return found


def _users(name: str) -> Iterator[str]:
    users = _uses().get(name, [])
    if users:
        yield f"Used by: {', '.join(users)}."


def _source(name: str) -> str:
    """The file that registers the operation; most elementwise functions are rows of one table."""
    folder = Path(registry.__file__).parent
    quoted = [file for file in sorted(folder.glob("*.py")) if f'"{name}"' in file.read_text(encoding="utf-8")]
    path = quoted[0].relative_to(ROOT).as_posix() if quoted else "scalerules/ops"
    return f"Source: [`{path}`](../../{path})."

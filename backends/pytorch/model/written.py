"""Groups as a person wants to read them before an expensive run starts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from .made import Group, Made
from .match import bare
from .rows import Row

NAMES = 3
"""So many kinds of names are shown of a group."""


def written(
    groups: Sequence[Group], rows: Mapping[str, Row], multipliers: Mapping[str, float],
    placed: Mapping[str, list[str]], made: Made,
) -> str:  # fmt: skip
    """The tuned numbers and those of every group, what is set in the forward pass, and what could not be."""
    sizes = ", ".join(f"{scale} {_from_to(made.base[scale], size)}" for scale, size in made.sizes.items())
    taker = f" for {made.receiver.name}" if made.receiver is not None else ""
    lines = [f"{made.graph or 'rules'}, {made.optimizer}{taker}: {sizes}; {made.decay} weight decay"]
    lines += _table(groups, rows)
    for node, factor in multipliers.items():
        where = ", ".join(_kinds(placed.get(node, [])))
        if where:
            lines.append(f"forward: {node} times {factor:.4g}, set in {where}")
    lines += [f"set by hand: {text}" for text in made.missing]
    lines += [f"in no group: {name}: {why}" for name, why in made.left.items()]
    return "\n".join(lines)


def _table(groups: Sequence[Group], rows: Mapping[str, Row]) -> list[str]:
    numbers = list(dict.fromkeys(key for group in groups for key in rows[group["names"][0]].tuned))
    table = [["group", "tensors", "entries", *numbers, "parameters"]]
    for index, group in enumerate(groups):
        row = rows[group["names"][0]]
        entries = sum(math.prod(rows[name].shape) for name in group["names"])
        kinds = _kinds([bare(name) for name in group["names"]])
        more = f", and {len(kinds) - NAMES} more" if len(kinds) > NAMES else ""
        called = f"{index} {row.kind}" if row.kind else str(index)
        cells = [_change(row, key) for key in numbers]
        table.append([called, str(len(group["names"])), f"{entries:,}", *cells, ", ".join(kinds[:NAMES]) + more])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in table]
    return ["  " + "  ".join(line).rstrip() for line in padded]


def _change(row: Row, key: str) -> str:
    """The tuned number, and where it differs the one here."""
    if key not in row.tuned:
        return "-"
    return _from_to(row.tuned[key], row.numbers[key])


def _from_to(base: Any, here: Any) -> str:
    before, after = _short(base), _short(here)
    return before if before == after else f"{before} -> {after}"


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(_short(inner) for inner in cast("tuple[Any, ...]", value)) + ")"
    return "-" if value is None else f"{float(value):.4g}"


def _kinds(names: Sequence[str]) -> list[str]:
    """Names, those of several layers as one: `blocks.0-11.mlp.up`, `0,2.weight`."""
    alike_names: dict[str, list[str]] = {}
    for name in names:
        alike_names.setdefault(".".join("*" if part.isdigit() else part for part in name.split(".")), []).append(name)
    return [_one(pattern, alike) for pattern, alike in alike_names.items()]


def _one(pattern: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    if pattern.split(".").count("*") > 1:
        return pattern
    numbers = sorted({int(part) for name in names for part in name.split(".") if part.isdigit()})
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return pattern.replace("*", f"{numbers[0]}-{numbers[-1]}")
    return pattern.replace("*", ",".join(map(str, numbers))) if len(numbers) <= NAMES + 1 else pattern

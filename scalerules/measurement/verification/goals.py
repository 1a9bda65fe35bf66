"""What a user wants of a rule, measured without asking the engine: stable, learning, every parameter counts.

Where the engine is wrong its predictions are wrong with it, and training agrees with them. These goals come from the
structure of the graph alone (`reading.py`); each is a row with the size 0, judged on one side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal

from .judge import ALLOWANCE, Key, Measured, Row, above, below, measured, typical_noises
from .reading import Reading
from .slopes import ASSUMED, Samples, peak

Wanted = Literal["stable", "learning", "counts", "maximal"]
GOALS: tuple[Wanted, ...] = ("stable", "learning", "counts", "maximal")
"""What is measured of every rule; `maximal` only where it is asked for."""
WORDS: Mapping[Wanted, str] = {
    "stable": "values that are read by what is not linear, and outputs, do not grow",
    "learning": "they change by size 0, with training and with the inputs",
    "counts": "putting any one parameter back to its start changes what it feeds by size 0",
    "maximal": "each rate and each initial size, half a power larger, fails",
}

QUANTITIES = {"counts": "contribution", "data": "inputs"}
"""What is measured under another name than the goal's."""


@dataclass(frozen=True)
class Goal:
    """One goal at one node: a row whose `predicted` is what is wanted, 0."""

    goal: Wanted
    row: Row

    @property
    def said(self) -> str:
        """What is measured, in words."""
        return f"{self.goal}: {QUANTITIES.get(self.row.quantity, self.row.quantity)}"

    @property
    def key(self) -> tuple[Wanted, Key]:
        """The goal and what was measured."""
        return self.goal, self.row.key

    def to_dict(self) -> dict[str, object]:
        """The goal as JSON data."""
        data = self.row.to_dict()
        return {"goal": self.goal, "wanted": data.pop("predicted"), **data}


Cells = Callable[[Any], float | None]
"""A number of a run; None where there is nothing to measure."""


@dataclass(frozen=True)
class Table:
    """The runs that were made, by seed and size (None: not run), and the logarithms of the sizes."""

    runs: Sequence[Sequence[Any]]
    logs: Sequence[float]
    steps: int
    silent: Sequence[str]
    warned: Mapping[str, float] = field(default_factory=dict[str, float])
    """By parameter how far the rule itself says it is left behind at first: at a saddle, waiting for another change."""
    floors: Mapping[str, float] = field(default_factory=dict[str, float])
    """By parameter of few entries the least variance that what it makes has from run to run."""

    def samples(self, cell: Cells) -> Samples | None:
        """A number of every run; None where none of them has it."""
        rows = [[None if run is None else cell(run) for run in row] for row in self.runs]
        there = [x for row, runs in zip(rows, self.runs, strict=True) for x, run in zip(row, runs, strict=True) if run]
        return None if not there or any(x is None for x in there) else rows

    def reached(self, key: Key) -> Cells:
        """The size of a quantity; not a number where training did not get there, None where it is not to be seen."""
        first = (key[0], key[1], 1, key[3])

        def cell(run: Any) -> float | None:
            if key[0] in ("counts", "data"):  # seen after the last step, wherever they are seen at all
                there = any(other[0] == key[0] for other in run.rms)
            else:
                there = first not in run.rms
            return run.rms.get(key, None if there else math.nan)

        return cell


def judge_goals(reading: Reading, table: Table) -> list[Goal]:
    """Every goal with its verdict."""
    wanted = [*_stable(reading, table), *_learning(reading, table), *_counting(reading, table)]
    typical = typical_noises(m for _, m, _ in wanted)
    count = max(1, sum(m.slope is not None for _, m, _ in wanted))
    waiting: dict[str, float] = {}
    for parameter, gap in table.warned.items():
        waiting.update((node, max(gap, waiting.get(node, 0.0))) for node in reading.frozen.get(parameter, ()))
    judged: list[Goal] = []
    for goal, m, allowance in wanted:
        row = m.row(typical.get(m.key[0], ASSUMED**2), count)
        row = _verdict(row, goal, allowance)
        row = replace(row, why=row.why.replace("predicted", "wanted"))
        said = {"counts": table.warned.get(str(m.key[3]), 0.0), "learning": waiting.get(m.key[1], 0.0)}
        behind = said.get(goal, 0.0)
        within = behind == math.inf or (row.slope is not None and -row.slope < behind + row.width)
        if behind and not row.sure and within:
            row = replace(row, status="warned", why=f"left behind at first, as the rule warns: {row.why}")
        judged.append(Goal(goal, row))
    return judged


def _verdict(row: Row, goal: Wanted, allowance: float) -> Row:
    if row.status != "agrees":
        return row if goal == "stable" else replace(row, status="agrees", why="")  # divergence is told once
    if row.slope is None:
        if goal == "stable" or row.somewhere:
            return row
        return replace(row, status="missing", why="it does not move at all")
    return (above(row) or row) if goal == "stable" else below(row, row, allowance)


Found = tuple[Wanted, Measured, float]
"""A goal, what was measured for it, and how far below 0 it may be measured."""


def _stable(reading: Reading, table: Table) -> Iterator[Found]:
    for node in sorted(reading.judged):
        if reading.beside_itself(node) or reading.falls(node):
            continue
        for step in range(table.steps + 1):
            key: Key = ("change" if step else "value", node, step, None)
            if node not in reading.trained and step:
                continue
            samples = table.samples(table.reached(key))
            if samples is not None:
                yield "stable", measured(key, Fraction(0), table.logs, samples), 0.0


def _learning(reading: Reading, table: Table) -> Iterator[Found]:
    for node in sorted(reading.judged):
        beside = _share(node) if reading.any_size(node) else None
        if node in reading.trained:
            changes = [("change", node, step, None) for step in range(1, table.steps + 1)]
            yield from _peak("learning", changes, table, beside, ALLOWANCE)
        yield from _peak("learning", [("data", node, table.steps, None)], table, beside, ALLOWANCE)


def _counting(reading: Reading, table: Table) -> Iterator[Found]:
    for parameter, reader in reading.uses():
        if parameter in table.silent or not _moves(parameter, table):
            continue
        nodes, mixed = reading.first_judged(reader)
        key: Key = ("counts", reader, table.steps, parameter)
        cells = {node: table.reached(("counts", node, table.steps, parameter)) for node in sorted(nodes)}
        shared = {node for node in nodes if reading.any_size(node)}
        shares = [_divided(cell, _share(node) if node in shared else None) for node, cell in cells.items()]
        part = _top(key, table, shares)
        whole = _top(key, table, cells.values()) if shared else part
        if part is not None:
            picked = any(map(reading.picked, nodes))
            yield "counts", part, ALLOWANCE * (mixed + picked + 2 * _waits(parameter, table))
        if whole is not None and not any(reading.beside_itself(node) or reading.falls(node) for node in nodes):
            yield "stable", whole, 0.0


def _top(key: Key, table: Table, cells: Iterable[Cells]) -> Measured | None:
    """What a parameter contributes at that of some nodes where it is largest."""
    found = [samples for cell in cells if (samples := table.samples(cell)) is not None]
    return _low(key, table, peak(found), found[0], table.floors.get(str(key[3]), 0.0)) if found else None


def _moves(parameter: str, table: Table) -> bool:
    """Whether a parameter has a gradient in any run: what the loss does not depend on cannot count."""
    keys: list[Key] = [("gradient", parameter, step, None) for step in range(1, table.steps + 1)]
    return any(run.rms.get(key) for row in table.runs for run in row if run for key in keys)


def _waits(parameter: str, table: Table) -> bool:
    """Whether a parameter has no gradient at first: what it waits for, and what it then does, both start small."""
    first: Key = ("gradient", parameter, 1, None)
    return not any(run.rms.get(first) for row in table.runs for run in row if run)


def _peak(goal: Wanted, keys: Iterable[Key], table: Table, beside: Cells | None, allowance: float) -> Iterator[Found]:
    steps = {key: table.samples(_divided(table.reached(key), beside)) for key in keys}
    reached = {key: samples for key, samples in steps.items() if samples is not None}
    if reached:
        key, first = next(iter(reached.items()))
        yield goal, _low(key, table, peak(reached.values()), first), allowance


def _low(key: Key, table: Table, samples: Samples, first: Samples, floor: float = 0.0) -> Measured:
    return measured(key, Fraction(0), table.logs, samples, first, floor)


def _share(node: str) -> Cells:
    """The size of a value at the start: what norms and homogeneous functions alone read matters beside itself."""
    return lambda run: run.rms.get(("value", node, 0, None))


def _divided(cell: Cells, beside: Cells | None) -> Cells:
    """A number as a part of all that is there, what was there and what came."""
    if beside is None:
        return cell

    def share(run: Any) -> float | None:
        size, whole = cell(run), beside(run)
        if size is None or whole is None or not size:
            return size
        return size / math.hypot(size, whole)

    return share

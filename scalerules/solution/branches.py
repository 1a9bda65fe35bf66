"""The rows above one row as the lines of a tree, every row once; what is long is folded, and nothing is lost.

A row that passes a size on as it is has no line of its own, nor has a row that another condition holds where the tree
would be longer than a dozen lines: it is named, with its size, where it is read. What is longer still is told in parts:
a row whose story stands below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

from .derivation import Derivation, Row

MOST = 12
"""The lines of a tree that can be read at once."""


@dataclass(frozen=True)
class Branch:
    """A line of the tree: how deep, the row, the rows that pass it on as it is, and what is said of it beside."""

    depth: int
    row: Row
    passed: tuple[Row, ...]
    beside: str
    notes: Mapping[str, str]
    """What is said of the rows that it follows from and that have no line: their size and what holds them."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its rows, the one that is read first."""
        return tuple(row.name for row in (*self.passed, self.row))


@dataclass
class Trees:
    """The trees of rows of a derivation.

    `leaves`: the conditions that hold their rows; `apart`: rows told apart; `solved`: whether rows have a size.
    """

    derivation: Derivation
    leaves: frozenset[str] = frozenset()
    apart: dict[str, None] = field(default_factory=dict[str, None])
    solved: bool = True

    def lines(self, start: str) -> list[Branch]:
        """The tree above a row in at most a dozen lines; adds to `apart` what has to be told apart."""
        found = self._fitted(start)
        while len(found) > MOST and (row := self._part(found)) is not None:
            self.apart[row] = None
            found = self._fitted(start)
        return found

    def _fitted(self, start: str) -> list[Branch]:
        whole = list(self._branches(start, False))
        return whole if len(whole) <= MOST else list(self._branches(start, True))

    def _part(self, lines: list[Branch]) -> str | None:
        """The row to be told apart: such that neither part is long, one that many rows follow from."""
        best: tuple[tuple[int, int, int], str] | None = None
        for place, line in enumerate(lines[1:], 1):
            below = next((i for i, other in enumerate(lines[place + 1 :], 1) if other.depth <= line.depth), 0)
            size = below or len(lines) - place
            left = len(lines) - size
            if size > 1:
                rank = -max(left, size, MOST), self._uses[line.row.name], size
                best = max(best or (rank, line.row.name), (rank, line.row.name))
        return best[1] if best is not None else None

    @cached_property
    def _uses(self) -> Counter[str]:
        """How many rows follow from each, through those that pass it on."""
        return Counter(self._root(parent) for row in self.derivation.rows for parent in dict(row.follows))

    def _branches(self, start: str, short: bool) -> Iterator[Branch]:
        """The lines; `short`: what is held has none."""
        derivation, held = self.derivation, self._held(start)
        ends = {*held, *self.apart} - {start}
        counts = _counts(derivation, start, ends)
        seen: set[str] = set()
        stack = [(0, start)]
        while stack:
            depth, name = stack.pop()
            row, passed = derivation.row(name), list[Row]()
            while name not in ends and name not in seen and counts[name] and passes(row):
                seen.add(name)
                passed.append(row)
                name = row.follows[0][0]
                row = derivation.row(name)
            if name in seen:
                continue
            seen.add(name)
            above = [] if name in held else [parent for parent in dict(row.follows) if parent in row.linear]
            notes = {parent: note for parent in above
                     if (note := self._note(parent, counts, held, ends, short)) is not None}  # fmt: skip
            beside = f"held by {held[name]}" if name in held else _along(row)
            yield Branch(depth, row, tuple(passed), beside, notes)
            stack += [(depth + 1, parent) for parent in reversed(above) if parent not in notes]

    def _held(self, start: str) -> dict[str, str]:
        """The rows that conditions hold, and the updates that these give the rate of."""
        gives = {each.condition: each.symbol for each in self.derivation.solved if each.condition}
        held: dict[str, str] = {}
        for condition in self.derivation.conditions:
            if condition.name not in self.leaves or condition.row == start:
                continue
            held.setdefault(condition.row, condition.name)
            symbol = gives.get(condition.name, "")
            for parent in dict(self.derivation.row(self._root(condition.row)).follows):
                row = self.derivation.row(parent)
                if row.stage == "update" and row.quantity.rstrip("'") == symbol[2:] and symbol[0] in "cu":
                    held.setdefault(parent, condition.name)
        return {row: name for row, name in held.items() if row != start}

    def _note(
        self, name: str, counts: Mapping[str, Fraction], held: Mapping[str, str], ends: set[str], short: bool
    ) -> str | None:
        """What is said of a row that has no line of its own; None of one that has."""
        row = self.derivation.row(name)
        if not counts[name]:
            return "cancels"
        if self._bare(name, short):
            return str(row.size)
        root = self._root(name, ends)
        if root in self.apart and root in ends:
            return f"{row.size}, " * self.solved + f"{'' if root == name else f'{root} '}below"
        by = self._settled(name, held, ends) if short else None
        if by is None:
            return None
        return f"{row.size} by {', '.join(dict.fromkeys(by))}" if by else str(row.size)

    def _settled(self, name: str, held: Mapping[str, str], ends: set[str]) -> list[str] | None:
        """The conditions that hold a row, itself or all that it is a product of; None where it adds something."""
        name = self._root(name, ends)
        if name in held:
            return [held[name]]
        row = self.derivation.row(name)
        if row.adds or not row.linear or name in self.apart or row.stage in ("gradient", "update"):
            return None
        parts = [[] if self._bare(parent, True) else self._settled(parent, held, ends) for parent in dict(row.follows)]
        found = [by for part in parts for by in part or ()]
        return None if any(part is None for part in parts) else found

    def _bare(self, name: str, short: bool) -> bool:
        """Whether a row, and what passes it on, has no unknown and no sum: data, what is normalised, fixed numbers."""
        row = self.derivation.row(self._root(name))
        return not row.linear and (short or row.stage == "forward")

    def _root(self, name: str, ends: set[str] | frozenset[str] = frozenset()) -> str:
        """The row that a row passes on, up to one of `ends`."""
        while name not in ends and passes(self.derivation.row(name)):
            name = self.derivation.row(name).follows[0][0]
        return name


def _along(row: Row) -> str:
    """The gradient whose signs an update has, where its size does not count."""
    gone = [name for name in dict(row.follows) if name not in row.linear] if row.stage == "update" else []
    return f"signs of {gone[0]}" if gone else ""


def _counts(derivation: Derivation, start: str, ends: set[str]) -> dict[str, Fraction]:
    """How often every row counts in the end: what is divided by itself counts no more."""
    counts = dict.fromkeys((row.name for row in derivation.rows), Fraction(0)) | {start: Fraction(1)}
    for row in reversed(derivation.rows):
        if counts[row.name] and row.name not in ends:
            for parent, share in row.follows:
                counts[parent] += share * counts[row.name]
    return counts


def passes(row: Row) -> bool:
    """Whether a row passes a size on as it is."""
    return len(row.follows) == 1 and row.follows[0][1] == 1 and not row.adds and row.stage not in ("gradient", "update")

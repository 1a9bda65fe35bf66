"""Repeated blocks of a trace: calls of isomorphic modules of one list, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from scalerules.tracing.record import Ref

from .program import Trace


@dataclass
class Repeat:
    """`copies[k]` are the positions of the calls of copy k in the trace; `weights[k]` the weights that it reads."""

    path: str
    copies: list[list[int]]
    weights: list[list[str]]
    carried: list[tuple[Ref, Ref]]
    captured: list[Ref]
    stepped: list[tuple[Ref, ...]]
    members: list[list[int]] = field(default_factory=list[list[int]])
    """Of every copy, the indices in the list of modules at `path` that it consists of."""


@dataclass
class _Reads:
    """What one group of calls looks like: `shape` is equal for isomorphic groups, `outside` lists its other reads."""

    shape: tuple[Any, ...]
    outside: list[Ref]
    weights: list[str]


def find_runs(trace: Trace) -> list[Repeat]:
    """The repeated blocks, outermost lists first; runs do not overlap."""
    position = {step.name: index for index, step in enumerate(trace.steps)}
    weights = {name for w in trace.weights for name in (w.name, *w.aliases)}
    found: list[Repeat] = []
    taken: set[int] = set()
    for path, keys, groups in _groups(trace):
        if any(index in taken for group in groups for index in group):
            continue
        for repeat in _repeats(path, keys, groups, trace, position, weights):
            found.append(repeat)
            taken.update(index for copy in repeat.copies for index in copy)
    return sorted(found, key=lambda repeat: repeat.copies[0][0])


def _groups(trace: Trace) -> Iterator[tuple[str, list[int], list[list[int]]]]:
    """For every list of modules, its indices and the calls of each member; lists that stand in others come later."""
    lists: dict[str, dict[int, list[int]]] = {}
    for index, step in enumerate(trace.steps):
        path = step.stack[-1][0] if step.stack else ""
        parts = path.split(".")
        for depth, part in enumerate(parts):
            if part.isdigit():
                members = lists.setdefault(".".join(parts[:depth]), {})
                members.setdefault(int(part), []).append(index)
    for path in sorted(lists, key=lambda path: path.count(".") + bool(path)):
        keys = sorted(lists[path])
        members = [lists[path][key] for key in keys]
        members = [_longest(member) for member in members]
        in_order = all(a[-1] < b[0] for a, b in zip(members, members[1:], strict=False))
        if len(members) > 1 and in_order:
            yield path, keys, members


def _longest(positions: list[int]) -> list[int]:
    """The longest stretch without gaps: a module of a block may be called again behind all blocks."""
    starts = [i for i, position in enumerate(positions) if i == 0 or position != positions[i - 1] + 1]
    stretches = [positions[a:b] for a, b in zip(starts, [*starts[1:], len(positions)], strict=True)]
    return max(stretches, key=len)


def _repeats(
    path: str, keys: list[int], groups: list[list[int]], trace: Trace, position: dict[str, int], weights: set[str]
) -> Iterator[Repeat]:
    """Maximal stretches of `groups` in which a pattern of one or more groups repeats at least twice."""
    adjacent = [0]
    for a, b in zip(groups, groups[1:], strict=False):
        adjacent.append(adjacent[-1] + (a[-1] + 1 != b[0]))
    looks = [_look(trace, group, position, weights).shape for group in groups]
    start = 0
    while start < len(groups):
        best = (0, 1)
        for period in range(1, (len(groups) - start) // 2 + 1):
            count = 1
            while looks[start : start + period] == looks[start + count * period : start + (count + 1) * period] and (
                start + (count + 1) * period <= len(groups)
                and adjacent[start] == adjacent[start + (count + 1) * period - 1]
            ):
                count += 1
            if count > 1 and count * period > best[0] * best[1]:
                best = (count, period)
        count, period = best
        if count < 2:
            start += 1
            continue
        stretches = [slice(start + k * period, start + (k + 1) * period) for k in range(count)]
        copies = [[index for group in groups[stretch] for index in group] for stretch in stretches]
        repeat = _joined(path, copies, trace, position, weights)
        if repeat is not None:
            repeat.members = [keys[stretch] for stretch in stretches]
            yield repeat
        start += count * period


def _look(trace: Trace, group: list[int], position: dict[str, int], weights: set[str]) -> _Reads:
    """The calls of a group with references inside it by place, to anything else by order of first reading."""
    inside = {index: place for place, index in enumerate(group)}
    outside: dict[Ref, int] = {}
    read: dict[str, int] = {}

    def seen(value: Any) -> Any:
        if isinstance(value, Ref):
            index = position.get(value.name)
            if index in inside:
                return ("in", inside[index], value.index)
            if value.name in weights:
                return ("weight", read.setdefault(value.name, len(read)))
            return ("out", outside.setdefault(value, len(outside)))
        if isinstance(value, tuple):
            return tuple(seen(inner) for inner in value)  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, dict):
            return tuple((str(key), seen(inner)) for key, inner in value.items())  # pyright: ignore
        return (type(value).__name__, value)

    rows: list[Any] = []
    for index in group:
        step = trace.steps[index]
        rows.append((step.target, seen(step.args), seen(step.kwargs), step.shapes, step.dtypes))
    sizes = {w.name: (w.shape, w.trained) for w in trace.weights}
    return _Reads((tuple(rows), tuple(sizes.get(name) for name in read)), list(outside), list(read))


def _joined(
    path: str, copies: list[list[int]], trace: Trace, position: dict[str, int], weights: set[str]
) -> Repeat | None:
    """The repeat of these copies: what is handed on, what all read, what differs; None if it is no chain."""
    looks = [_look(trace, copy, position, weights) for copy in copies]
    if any(len(look.outside) != len(looks[0].outside) or look.shape != looks[0].shape for look in looks):
        return None
    repeat = Repeat(path, copies, [look.weights for look in looks], [], [], [])
    for reads in zip(*(look.outside for look in looks), strict=True):
        if all(read == reads[0] for read in reads):
            repeat.captured.append(reads[0])
            continue
        places = [_place(read, copies[k], position) for k, read in enumerate(reads[1:])]
        first = places[0]
        if first is not None and all(place == first for place in places):
            repeat.carried.append((reads[0], Ref(trace.steps[copies[0][first[0]]].name, first[1])))
        else:
            repeat.stepped.append(reads)
    return repeat


def _place(read: Ref, copy: list[int], position: dict[str, int]) -> tuple[int, int | None] | None:
    """Where in `copy` (the copy before) the result that is read stands."""
    index = position.get(read.name)
    return (copy.index(index), read.index) if index in copy else None

"""Repeated blocks of a trace: calls of isomorphic modules of one list, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from scalerules.tracing.record import Ref, references
from scalerules.tracing.repeated_names import members_of

from .traces import Trace


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
    """The indices, in the list of modules at `path`, that every copy consists of."""
    lists: list[str] = field(default_factory=list[str])
    """The lists of which every copy reads these members: that at `path`, and others in step with it."""


@dataclass
class _Reads:
    """What one group of calls looks like: `shape` is equal for isomorphic groups, `outside` lists its other reads."""

    shape: tuple[Any, ...]
    outside: list[Ref]
    weights: list[str]


def find_repeats(trace: Trace, numbered: bool = False) -> list[Repeat]:
    """The repeated blocks, outermost lists first; they do not overlap.

    `numbered`: modules whose names differ in a number at the end are a list too.
    """
    position = {step.name: index for index, step in enumerate(trace.steps)}
    weights = {name for w in trace.weights for name in (w.name, *w.aliases)}
    blocks: list[Repeat] = []
    taken: set[int] = set()
    for path, keys, ways in _groups(trace, weights, numbered):
        for groups in ways:
            if any(index in taken for group in groups for index in group):
                continue
            repeats = list(_repeats(path, keys, groups, trace, position, weights))
            blocks += repeats
            taken.update(index for repeat in repeats for copy in repeat.copies for index in copy)
            if repeats:
                break
    return sorted(blocks, key=lambda repeat: repeat.copies[0][0])


def _groups(
    trace: Trace, weights: set[str], numbered: bool
) -> Iterator[tuple[str, list[int], Iterator[list[list[int]]]]]:
    """The lists of modules or weights with their indices, and ways to say which calls belong to each member.

    Lists that stand in others come later, of the others the one that is read first comes first.
    """
    called: dict[str, dict[int, list[int]]] = {}
    first: dict[str, dict[int, int]] = {}
    for index, step in enumerate(trace.steps):
        path = step.stack[-1][0] if step.stack else ""
        for name, member in members_of(path, numbered):
            called.setdefault(name, {}).setdefault(member, []).append(index)
        read = [ref.name for ref in references((step.args, step.kwargs)) if ref.name in weights]
        for name, member in {pair for text in (path, *read) for pair in members_of(text, numbered)}:
            first.setdefault(name, {}).setdefault(member, index)
    for path in sorted(first, key=lambda path: (path.count(".") + bool(path), min(first[path].values()))):
        keys = sorted(first[path])
        if len(keys) > 1:
            yield path, keys, _ways(trace, keys, called.get(path, {}), first[path])


def _ways(
    trace: Trace, keys: list[int], called: dict[int, list[int]], first: dict[int, int]
) -> Iterator[list[list[int]]]:
    """The calls of each member: those that it makes itself, or all of a turn of a loop over the list."""
    if len(called) == len(keys):
        members = [_longest(called[key]) for key in keys]
        if all(a[-1] < b[0] for a, b in zip(members, members[1:], strict=False)):
            yield members
    starts = [first[key] for key in keys]
    lengths = [b - a for a, b in zip(starts, starts[1:], strict=False)]
    if min(lengths) < 1:
        return
    targets = [step.target for step in trace.steps]
    for period in range(1, len(keys) // 2 + 1):
        ends = [*starts[1:], starts[-1] + lengths[-period]]
        for back in range(min(lengths[0], starts[0] + 1)):
            turns = [targets[a - back : b - back] for a, b in zip(starts, ends, strict=True)]
            if ends[-1] - back <= len(targets) and turns[period:] == turns[:-period]:
                yield [list(range(a - back, b - back)) for a, b in zip(starts, ends, strict=True)]


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
            repeat.lists = _in_step(repeat, trace)
            yield repeat
        start += count * period


def _in_step(repeat: Repeat, trace: Trace) -> list[str]:
    """The lists of which every copy reads the members that it reads of the first one, and no other."""
    read: list[dict[str, set[int]]] = []
    for copy, weights in zip(repeat.copies, repeat.weights, strict=True):
        paths = {trace.steps[index].stack[-1][0] for index in copy if trace.steps[index].stack}
        members: dict[str, set[int]] = {}
        for name, member in (
            pair for text in (*sorted(paths), *weights) for pair in members_of(text, repeat.path.endswith("#"))
        ):
            members.setdefault(name, set()).add(member)
        read.append(members)
    wanted = [set(members) for members in repeat.members]
    names = [n for n in read[0] if all(lists.get(n) == members for lists, members in zip(read, wanted, strict=True))]
    return list(dict.fromkeys([repeat.path, *names]))


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

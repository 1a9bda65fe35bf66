"""Loops over time in plain Python: calls that repeat, step after step, with the same weights.

Exporting a module writes such a loop out. Time does not grow, so what a loop computes has the sizes of its first few
steps: the others are left out of the trace, which then does not depend on the length of the sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from os.path import commonprefix
from typing import Any, cast

from scalerules.tracing.record import Ref, references

from .traces import Step, Trace

KEPT = 3
"""Steps of a loop that are kept: the first has nothing behind it, the second reads it, the third what came through."""
NEAR = 24
"""So many later calls that look the same are tried as the next step of a loop."""
GATHERING = ("aten.stack.default", "aten.cat.default", "aten.concat.default")
"""Operations that put what the steps of a loop return side by side."""


@dataclass(frozen=True)
class Loop:
    """A loop over time: names of the calls of the steps that are kept, and how many steps there were.

    Of the last step that is kept, calls that nothing reads may be missing in the trace.

    `carried` are pairs (initial, result): step 0 reads `initial`, step k + 1 what `result`, a call of step 0, is in
    step k.
    """

    copies: tuple[tuple[str, ...], ...]
    count: int
    path: str
    carried: tuple[tuple[Ref, Ref], ...] = ()


def shortened(trace: Trace) -> Trace:
    """The trace with the first steps of its loops only; `trace.loops` says which they are."""
    loops: list[Loop] = []
    while True:
        search = _Search(trace)
        spans = list(search.spans())
        if not spans:
            names = {step.name for step in trace.steps}
            loops = [loop for loop in loops if names.issuperset(name for copy in loop.copies[:2] for name in copy)]
            return replace(trace, loops=loops)
        loops += [span.loop(trace) for span in spans]
        trace = _cut(trace, spans)


@dataclass(frozen=True)
class Span:
    """`count` steps of `period` calls each, from the call at `start` on; `carried` by position in a step."""

    start: int
    period: int
    count: int
    carried: list[tuple[Ref, int, int | None]] = field(default_factory=list[tuple[Ref, int, "int | None"]])

    @property
    def stop(self) -> int:
        """Behind the last call."""
        return self.start + self.period * self.count

    def loop(self, trace: Trace) -> Loop:
        """What is kept of it."""
        first = self.start
        copies = tuple(
            tuple(step.name for step in trace.steps[first + k * self.period : first + (k + 1) * self.period])
            for k in range(KEPT)
        )
        carried = tuple((ref, Ref(copies[0][place], index)) for ref, place, index in self.carried)
        paths = [
            step.stack[-1][0].split(".") if step.stack else [] for step in trace.steps[first : first + self.period]
        ]
        return Loop(copies, self.count, ".".join(commonprefix(paths)), carried)


class _Search:
    """Looks for stretches of calls that repeat."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.steps = trace.steps
        self.position = {step.name: index for index, step in enumerate(trace.steps)}
        self.weights = {name for w in trace.weights for name in (w.name, *w.aliases)}
        self.from_weights = self._from_weights()
        numbers: dict[Any, int] = {}
        self.looks = [numbers.setdefault(_look(step), len(numbers)) for step in trace.steps]

    def _from_weights(self) -> frozenset[str]:
        """Weights, and what is computed from them alone."""
        names = set(self.weights)
        for step in self.trace.steps:
            read = [ref.name for ref in references((step.args, step.kwargs))]
            if read and all(name in names for name in read):
                names.add(step.name)
        return frozenset(names)

    def spans(self) -> Iterator[Span]:
        """Loops that are worth cutting, the longest first; they do not overlap."""
        taken: list[Span] = []
        for span in self._candidates():
            if any(span.start < other.stop and other.start < span.stop for other in taken):
                continue
            regular = self._regular(span)
            if regular is not None:
                taken.append(regular)
        yield from sorted(taken, key=lambda span: span.start)

    def _candidates(self) -> list[Span]:
        spans: list[Span] = []
        for period in self._periods():
            start = 0
            same = [a == b for a, b in zip(self.looks, self.looks[period:], strict=False)]
            while start < len(same):
                stop = start
                while stop < len(same) and same[stop]:
                    stop += 1
                if stop - start >= KEPT * period:
                    spans.append(Span(start, period, (stop - start) // period + 1))
                start = stop + 1
        return sorted(spans, key=lambda span: (-span.period * span.count, span.period, span.start))

    def _periods(self) -> list[int]:
        """Distances at which calls that look the same stand often."""
        places: dict[int, list[int]] = {}
        for index, look in enumerate(self.looks):
            places.setdefault(look, []).append(index)
        distances: Counter[int] = Counter()
        for indices in places.values():
            for i, index in enumerate(indices):
                distances.update(other - index for other in indices[i + 1 : i + 1 + NEAR])
        return sorted(p for p, number in distances.items() if number >= KEPT * p)

    # --- whether the steps of a loop differ only in what they go along --------------------------------

    def _regular(self, span: Span) -> Span | None:
        """The loop with what it carries on; the first step may be none of it. None if it is no loop over time."""
        for start, count in ((span.start, span.count), (span.start + span.period, span.count - 1)):
            tried = Span(start, span.period, count)
            if count > KEPT and self._follows(tried) and (tried.carried or self._apart(tried)):
                return tried
        return None

    def _follows(self, span: Span) -> bool:
        """Whether every call reads the same, or the next, or what the step before made; notes what is carried."""
        for place in range(span.period):
            steps = [self.steps[span.start + k * span.period + place] for k in range(span.count)]
            for leaves in zip(*(list(_leaves((step.args, step.kwargs))) for step in steps), strict=True):
                if isinstance(leaves[0], Ref):
                    if not all(isinstance(leaf, Ref) for leaf in leaves) or not self._reads(leaves, span):
                        return False
                elif not _progresses(leaves) or (leaves[0] != leaves[1] and self._own_weights(steps[0])):
                    return False
        return True

    def _own_weights(self, step: Step) -> bool:
        """Whether a call picks from weights, so that every step has its own."""
        return any(ref.name in self.from_weights for ref in references((step.args, step.kwargs)))

    def _reads(self, refs: Sequence[Ref], span: Span) -> bool:
        if all(ref == refs[1] for ref in refs[1:]):
            return refs[0] == refs[1]
        if len({ref.name for ref in refs}) == 1:
            return refs[0].name not in self.from_weights and _progresses([ref.index for ref in refs])
        places = [self.position.get(ref.name) for ref in refs]
        if any(place is None for place in places[1:]) or len({ref.index for ref in refs[1:]}) > 1:
            return False
        apart = {b - a for a, b in pairwise(place for place in places[1:] if place is not None)}
        if len(apart) != 1:
            return False
        first, second = places[0], places[1]
        assert second is not None
        if apart == {span.period} and span.start <= second < span.start + 2 * span.period:
            if second < span.start + span.period:  # what the step before made
                pair = (refs[0], second - span.start, refs[1].index)
                if pair not in span.carried:
                    span.carried.append(pair)
                return True
            return first is not None and second - first == span.period
        outside = second < span.start or second >= span.stop
        looks = {self.looks[place] for place in places if place is not None}
        own = any(ref.name in self.from_weights for ref in refs)
        return outside and not own and first is not None and {second - first} == apart and len(looks) == 1

    def _apart(self, span: Span) -> bool:
        """Whether each of steps that hand nothing on goes along one entry at a time, and all are stacked."""
        inside = {self.steps[i].name: (i - span.start) % span.period for i in range(span.start, span.stop)}
        for step in self.steps[span.start : span.start + span.period]:
            if step.target not in ("aten.select.int", "aten.unbind.int") and _moves(step, self.steps, span):
                return False
        for step in (*self.steps[: span.start], *self.steps[span.stop :]):
            read = [ref for ref in references((step.args, step.kwargs)) if ref.name in inside]
            if len(read) > 1 and step.target != "aten.stack.default":
                return False
        return True


def _moves(step: Step, steps: Sequence[Step], span: Span) -> bool:
    """Whether a number of a call is another one in the next step."""
    index = next(i for i in range(span.start, span.start + span.period) if steps[i] is step)
    other = steps[index + span.period]
    mine, its = _leaves((step.args, step.kwargs)), _leaves((other.args, other.kwargs))
    return any(not isinstance(a, Ref) and a != b for a, b in zip(mine, its, strict=True))


def _look(step: Step) -> tuple[Any, ...]:
    """What is equal for the same call in two steps of a loop: operation, line, module, shapes."""
    kinds = tuple("ref" if isinstance(leaf, Ref) else type(leaf).__name__ for leaf in _leaves((step.args, step.kwargs)))
    return step.target, step.source, step.stack[-1:] and step.stack[-1][0], step.shapes, step.dtypes, kinds


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for inner in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _leaves(inner)
    elif isinstance(value, dict):
        for inner in value.values():  # pyright: ignore[reportUnknownVariableType]
            yield from _leaves(inner)
    else:
        yield value


def _progresses(values: Sequence[Any]) -> bool:
    """Whether the values are the same, or whole numbers that go on by the same amount."""
    if all(value == values[0] for value in values):
        return True
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return False
    return len({b - a for a, b in pairwise(values)}) == 1


# --- leaving steps out --------------------------------------------------------------------------------


def _cut(trace: Trace, spans: Sequence[Span]) -> Trace:
    """The trace without the later steps of these loops; what read them reads the last step that is kept."""
    gone: dict[str, str] = {}
    kept: set[str] = set()
    for span in spans:
        for index in range(span.start, span.stop):
            step, place = divmod(index - span.start, span.period)
            if step >= KEPT:
                last = span.start + (KEPT - 1) * span.period + place
                gone[trace.steps[index].name] = trace.steps[last].name
            else:
                kept.add(trace.steps[index].name)

    def moved(value: Any, gathers: bool = False) -> Any:
        if isinstance(value, Ref):
            return Ref(gone[value.name], value.index) if value.name in gone else value
        if isinstance(value, tuple):
            items = cast("tuple[Any, ...]", value)
            if gathers and any(isinstance(item, Ref) and item.name in kept for item in items):
                items = tuple(item for item in items if not (isinstance(item, Ref) and item.name in gone))
            return tuple(moved(item, gathers) for item in items)
        if isinstance(value, dict):
            return {key: moved(item) for key, item in cast("dict[str, Any]", value).items()}
        return value

    steps = [
        replace(step, args=moved(step.args, step.target in GATHERING), kwargs=moved(step.kwargs))
        for step in trace.steps
        if step.name not in gone
    ]
    outputs = [replace(output, ref=moved(output.ref)) for output in trace.outputs]
    needed = {output.ref.name for output in outputs if output.ref}
    live: list[Step] = []
    for step in reversed(steps):
        if step.name in needed:
            live.append(step)
            needed.update(ref.name for ref in references((step.args, step.kwargs)))
    weights = [w for w in trace.weights if w.trained or w.name in needed]
    return replace(trace, steps=live[::-1], outputs=outputs, weights=weights)

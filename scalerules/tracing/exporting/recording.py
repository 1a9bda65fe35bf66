"""`record`: a module, traced at several sizes, as one record with symbolic sizes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from scalerules.errors import ScaleRulesError
from scalerules.tracing.record import Record

from .export import trace
from .factories import module_of, quiet
from .fitting import Unified
from .initial_values import initials
from .isomorphic import NotIsomorphic
from .number_laws import given, spread
from .repeated_blocks import find_repeats
from .short_inputs import alike, brief, cut_of
from .time_loops import KEPT, shortened
from .traces import Trace
from .unify import unify

WORTH_CUTTING = 100
"""Calls in spare copies of a block from which on they are left out of all traces but the first."""


def record(
    make_model: Callable[..., nn.Module],
    scales: Mapping[str, Sequence[int]],
    inputs: Callable[..., Any],
    *,
    measure: bool = True,
    progress: Callable[[int, int], None] | None = None,
    exactly: bool = False,
) -> Record:
    """What `make_model(**sizes)` computes on `inputs(**sizes)`, its sizes as functions of the scales.

    `scales` gives for every scale some values that the factory accepts, `{"width": (32, 48, 64)}`. The module is traced
    at values made of them in which every scale differs by another ratio (their greatest common divisor times primes);
    where the factory does not accept those, at the given ones. No memory is taken for weights while tracing.
    `progress` is called after every trace with the number of those done and of all.
    `measure` False leaves out what the module does to its weights at the start (small real copies are built for that).
    `exactly`: the values go in step and no others can be had (modules that are there); laws rest on them alone.

    Raises `ScaleRulesError` if the module cannot be traced, with its module path and source line, and
    `NotIsomorphic` if what it computes is not the same at all sizes, with the call that differs.
    """
    scales = _checked(make_model, scales, inputs, exactly)
    start = time.perf_counter()
    if exactly:
        points = [dict(zip(scales, values, strict=True)) for values in zip(*scales.values(), strict=True)]
        traces, unified = _at(points, make_model, inputs, False, progress or _silent, spare=0)
        notes = list(traces[0].notes)
    else:
        traces, unified, notes = _traced(make_model, scales, inputs, progress or _silent)
    traced = time.perf_counter()
    weights = unified.weights
    if measure:
        weights = initials(make_model, weights, [t.sizes for t in traces], notes, drawn_once=exactly)
    seconds = {"trace": traced - start, "initial": time.perf_counter() - traced}
    return as_record(traces, replace(unified, weights=weights), notes, seconds)


def as_record(traces: Sequence[Trace], unified: Unified, notes: Sequence[str], seconds: dict[str, float]) -> Record:
    """What traces are one description of, with what a user should know and how long it took."""
    unresolved = [f"no law for the sizes of {name}" for name in dict.fromkeys(unified.unresolved)]
    return Record(
        traces[0].model,
        {scale: tuple(t.sizes[scale] for t in traces) for scale in traces[0].sizes},
        unified.inputs,
        unified.weights,
        unified.calls,
        unified.outputs,
        unified.repetitions,
        tuple(dict.fromkeys([*notes, *unresolved])),
        seconds,
        traces[0].cut,
        traces[0].decided,
        traces[0].taken_apart,
        traces[0].own_gradients,
    )


def _checked(
    make_model: Callable[..., Any],
    scales: Mapping[str, Sequence[int]],
    inputs: Callable[..., Any],
    in_step: bool,
) -> dict[str, tuple[int, ...]]:
    checked: dict[str, tuple[int, ...]] = {}
    for scale, values in scales.items():
        values = (values,) if isinstance(values, int) else tuple(values)
        if not values or any(not isinstance(v, int) or isinstance(v, bool) or v < 1 for v in values):  # pyright: ignore
            raise ScaleRulesError(
                "values of a scale are whole numbers of at least 1",
                where=f"scale {scale!r}",
                hint="such as scales={'width': (32, 48, 64)}",
            )
        checked[scale] = values if in_step else tuple(dict.fromkeys(values))
    if not checked:
        raise ScaleRulesError("no scale is given", hint="such as scales={'width': (32, 48, 64)}")
    for scale in checked:
        if not (_takes(make_model, scale) or _takes(inputs, scale)):
            raise ScaleRulesError(
                f"neither the model's nor the inputs' factory takes {scale!r}",
                where=f"scale {scale!r}",
                hint="make_model(**sizes) and make_inputs(**sizes) are called with the scales by name",
            )
    return checked


def _takes(function: Callable[..., Any], name: str) -> bool:
    import inspect

    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _silent(done: int, of: int) -> None:
    """No progress is shown."""


def _traced(
    make_model: Callable[..., Any],
    scales: dict[str, tuple[int, ...]],
    inputs: Callable[..., Any],
    progress: Callable[[int, int], None],
) -> tuple[list[Trace], Unified, list[str]]:
    """Traces at the first set of sizes that works, from the best to the given ones."""
    failures: list[ScaleRulesError] = []
    slow = _adding_modules(make_model, scales)
    notes: list[str] = []
    again = _with_more_steps(scales)
    for points in _plans(scales, slow, again):
        if len(points) < 2 + len(scales) or (points == again and not isinstance(failures[-1], NotIsomorphic)):
            continue
        try:
            traces, unified = _at(points, make_model, inputs, not slow, progress)
        except ScaleRulesError as error:
            failures.append(error)
            continue
        if failures and points == given(scales):
            notes.append(f"traced at the given sizes only: {failures[0].what}")
        if len(points) < 4:
            notes.append(f"the laws of the sizes rest on {len(points)} values: give more values of each scale")
        return traces, unified, notes + [note for t in traces[:1] for note in t.notes]
    if not failures:
        raise ScaleRulesError(
            "too few values of the scales", hint="give at least three values of each, such as width=32,48,64"
        )
    raise next((f for f in reversed(failures) if isinstance(f, NotIsomorphic)), failures[-1])


def _at(
    points: list[dict[str, int]],
    make_model: Callable[..., Any],
    inputs: Callable[..., Any],
    shorten: bool,
    progress: Callable[[int, int], None],
    spare: int = 1,
) -> tuple[list[Trace], Unified]:
    """Traces at all points, unified; long stacks of equal blocks are traced whole once and otherwise as two blocks."""

    def others(cut: dict[str, frozenset[int]]) -> Iterator[Trace]:
        for number, sizes in enumerate(points[1:], 2):
            yield shortened(trace(make_model, inputs, sizes, first.built, cut, first.taken))
            progress(number, len(points))

    first = shortened(trace(make_model, inputs, points[0]))
    progress(1, len(points))
    first = _briefer(first, make_model, inputs) or first
    inputs = brief(inputs, first.cut)
    cut = _spare(first) if shorten else {}
    if cut:
        try:
            traces = [first, *others(cut)]
            return traces, unify(traces, same_depth=True)
        except ScaleRulesError:  # the module counts its blocks elsewhere: all of them, then
            pass
    traces = [first, *others({})]
    return traces, unify(traces, spare=spare)


def _briefer(first: Trace, make_model: Callable[..., Any], inputs: Callable[..., Any]) -> Trace | None:
    """The same trace on short inputs, if a loop over time goes along them; None if it is not the same then."""
    cut = cut_of(first)
    if cut is None:
        return None
    try:
        short = shortened(trace(make_model, brief(inputs, cut), first.sizes, first.built, taken=first.taken))
    except ScaleRulesError:
        return None
    if not alike(first, short, cut):
        return None
    said = f"a loop over time was traced along {cut[1]} of {cut[0]} steps"
    return replace(short, cut=cut, notes=[*short.notes, said])


def _spare(first: Trace) -> dict[str, frozenset[int]]:
    """Members of lists of modules that need not be traced again: the third and later copies of long repeats."""
    spare: dict[str, frozenset[int]] = {}
    for repeat in find_repeats(first):
        if sum(len(copy) for copy in repeat.copies[2:]) >= WORTH_CUTTING:
            members = {index for copy in repeat.members[2:] for index in copy}
            spare.update({path: spare.get(path, frozenset()) | members for path in repeat.lists})
    return spare


def _with_more_steps(scales: dict[str, tuple[int, ...]]) -> list[dict[str, int]] | None:
    """Sizes at which a scale that could count the applications of one block is large enough for a loop to be seen."""
    few = [scale for scale, values in scales.items() if len(values) > 1 and min(values) <= KEPT and max(values) <= 8]
    return spread(scales, {scale: (KEPT + 1, KEPT + 3, KEPT + 5) for scale in few}) if few else None


def _plans(
    scales: dict[str, tuple[int, ...]], slow: list[str], again: list[dict[str, int]] | None
) -> list[list[dict[str, int]]]:
    """Sets of sizes to try, the most telling first; `again` if the computation is found to be another at each size."""
    if not slow:
        return [spread(scales, {}), *([again] if again else []), given(scales)]
    small = [spread(scales, {scale: values for scale in slow}) for values in ((2, 3, 4), (3, 4, 5), (4, 6, 8))]
    theirs = spread(scales, {scale: sorted(scales[scale])[:3] for scale in slow})
    first = [theirs] if all(max(sorted(scales[s])[:3]) <= 8 and len(scales[s]) > 1 for s in slow) else []
    return [*first, *small, *([] if first else [theirs]), given(scales)]


def _adding_modules(make_model: Callable[..., Any], scales: dict[str, tuple[int, ...]]) -> list[str]:
    """The scales with which the number of modules changes: depth. Found by building on the meta device."""
    import torch

    def modules(sizes: Mapping[str, int]) -> int:
        with quiet(), torch.device("meta"):
            return sum(1 for _ in module_of(make_model, sizes).modules())

    base = {scale: values[0] for scale, values in scales.items()}
    adding: list[str] = []
    for scale, values in scales.items():
        if len(values) > 1:
            try:
                if modules(base) != modules({**base, scale: values[1]}):
                    adding.append(scale)
            except Exception:  # tracing tries other ways of building and says what is wrong
                return adding
    return adding

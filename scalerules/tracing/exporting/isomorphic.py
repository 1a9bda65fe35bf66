"""Whether traces at different sizes are one computation: the same operations in order, reading the same things."""

from __future__ import annotations

from typing import Any, cast

from scalerules.errors import ScaleRulesError
from scalerules.tracing.record import Ref

from .skeletons import Skeleton
from .traces import Step


class NotIsomorphic(ScaleRulesError):
    """The computation itself, not only its numbers, depends on the sizes."""


def same_calls(skeletons: list[Skeleton]) -> None:
    """Raises `NotIsomorphic` with the first call that differs."""
    base = skeletons[0]
    for other in skeletons[1:]:
        for place, (mine, its) in enumerate(zip(base.kept, other.kept, strict=False)):
            a, b = base.trace.steps[mine], other.trace.steps[its]
            why = _difference(a, b, base, other)
            if why:
                raise NotIsomorphic(
                    f"the computation is not the same at all sizes: call {place + 1} {why}",
                    where=line_of(a),
                    hint=_hint(base, other, a, b),
                )
        if len(base.kept) != len(other.kept):
            longer = max((base, other), key=lambda s: len(s.kept))
            extra = longer.trace.steps[longer.kept[min(len(base.kept), len(other.kept))]]
            raise NotIsomorphic(
                f"the computation is not the same at all sizes: {len(base.kept)} calls at {_at(base)}, "
                f"{len(other.kept)} at {_at(other)}",
                where=line_of(extra),
                hint=_hint(base, other, extra, extra),
            )


def _difference(a: Step, b: Step, base: Skeleton, other: Skeleton) -> str:
    if a.target != b.target:
        return f"is {a.target} at {_at(base)}, but {b.target} at {_at(other)}"
    if [len(s) for s in a.shapes] != [len(s) for s in b.shapes]:
        return f"({a.target}) gives {a.shapes} at {_at(base)}, but {b.shapes} at {_at(other)}"
    if not _alike((a.args, a.kwargs), (b.args, b.kwargs), base, other):
        return f"({a.target}) does not read the same operands at {_at(base)} as at {_at(other)}"
    return ""


def _alike(a: object, b: object, base: Skeleton, other: Skeleton) -> bool:
    if isinstance(a, Ref) and isinstance(b, Ref):
        return a.index == b.index and base.key.get(a.name, (a.name,)) == other.key.get(b.name, (b.name,))
    if isinstance(a, tuple) and isinstance(b, tuple):
        ours, theirs = cast("tuple[object, ...]", a), cast("tuple[object, ...]", b)
        pairs = zip(ours, theirs, strict=False)
        return len(ours) == len(theirs) and all(_alike(x, y, base, other) for x, y in pairs)
    if isinstance(a, dict) and isinstance(b, dict):
        mine, its = cast("dict[str, object]", a), cast("dict[str, object]", b)
        return list(mine) == list(its) and _alike(tuple(mine.values()), tuple(its.values()), base, other)
    if is_number(a) and is_number(b):
        return True
    return a == b


def is_number(value: Any) -> bool:
    """Whether an argument is a number that may follow a law."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _at(skeleton: Skeleton) -> str:
    return ", ".join(f"{scale}={value}" for scale, value in skeleton.trace.sizes.items())


def line_of(step: Step) -> str:
    """The module and line of a call, for messages."""
    path, kind = step.stack[-1] if step.stack else ("", "")
    place = f"{path} ({kind})" if path else kind
    return ": ".join(part for part in (place, step.source) if part) or step.target


def _hint(base: Skeleton, other: Skeleton, a: Step, b: Step) -> str:
    line = f" (there: {b.source})" if b.source and b.source != a.source else ""
    return f"choose values of the scales between which the module takes the same branches{line}"


def same_tensors(skeletons: list[Skeleton]) -> None:
    """Raises `NotIsomorphic` where inputs, outputs or weights differ."""
    for what in ("inputs", "outputs"):
        counts = {_at(skeleton): len(getattr(skeleton.trace, what)) for skeleton in skeletons}
        if len(set(counts.values())) > 1:
            text = "; ".join(f"{count} at {sizes}" for sizes, count in counts.items())
            raise NotIsomorphic(f"the number of {what} depends on the scales: {text}")
    base = skeletons[0]
    for other in skeletons[1:]:
        names = set(base.weights) ^ set(other.weights) if len(base.weights) != len(other.weights) else set[str]()
        if names:
            raise NotIsomorphic(
                f"the weight {sorted(names)[0]!r} exists at one of {_at(base)} and {_at(other)} only",
                hint="name the scale that adds it so that its blocks can be folded, or hold it fixed",
            )

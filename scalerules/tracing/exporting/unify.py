"""Several traces of one module at different sizes become one, its numbers functions of the scales.

The traces must be isomorphic once their repeated blocks are folded: the same operations in the same order, reading
the same things. What differs then is numbers only, and `scalerules.tracing.sizes` finds their laws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from scalerules.errors import ScaleRulesError
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call, Initial, Input, Output, Ref, Run, Shape, Weight, references

from .number_laws import Laws
from .program import Step, Tensor, Trace
from .repeated_blocks import Repeat, find_runs


class NotIsomorphic(ScaleRulesError):
    """The computation itself, not only its numbers, depends on the sizes."""


@dataclass
class Skeleton:
    """A trace with all copies of a repeat but the first left out; `key` says what a reference stands for there."""

    trace: Trace
    repeats: list[Repeat]
    kept: list[int] = field(default_factory=list[int])
    key: dict[str, tuple[object, ...]] = field(default_factory=dict[str, "tuple[object, ...]"])
    weights: list[str] = field(default_factory=list[str])
    """Weights of the kept calls in the order in which they are first read, then those that nothing reads."""
    stands_for: dict[int, int] = field(default_factory=dict[int, int])
    """Position of every call of the trace -> place in `kept` of the call whose numbers it shares."""
    shares: dict[str, str] = field(default_factory=dict[str, str])
    """Weight of a later copy -> that of the first."""


def skeleton(trace: Trace, folded: bool) -> Skeleton:
    """`folded` False keeps every call (the repeats are found all the same)."""
    made = Skeleton(trace, find_runs(trace))
    first: dict[int, int] = {}
    last: set[int] = set()
    for repeat in made.repeats if folded else []:
        for copy, weights in zip(repeat.copies[1:], repeat.weights[1:], strict=True):
            first.update(zip(copy, repeat.copies[0], strict=True))
            made.shares.update({w: v for w, v in zip(weights, repeat.weights[0], strict=True) if w != v})
        last.update(repeat.copies[-1])
    made.kept = [index for index in range(len(trace.steps)) if index not in first]
    place = {index: number for number, index in enumerate(made.kept)}
    for index, step in enumerate(trace.steps):
        made.stands_for[index] = place[first.get(index, index)]
        which = "call" if index in place else "last" if index in last else f"copy of {step.name}"
        made.key[step.name] = (which, made.stands_for[index])
    for number, each in enumerate(trace.inputs):
        made.key[each.name] = ("input", number)
    _number_weights(made)
    return made


def _number_weights(made: Skeleton) -> None:
    known = {w.name for w in made.trace.weights}
    order: dict[str, None] = {}
    for index in made.kept:
        for ref in _refs(made.trace.steps[index]):
            if ref.name in known:
                order.setdefault(made.shares.get(ref.name, ref.name))
    order.update(dict.fromkeys(w.name for w in made.trace.weights if w.name not in made.shares))
    made.weights = list(order)
    numbers = {name: number for number, name in enumerate(made.weights)}
    for weight in made.trace.weights:
        made.key[weight.name] = ("weight", numbers[made.shares.get(weight.name, weight.name)])


def _refs(step: Step) -> Iterator[Ref]:

    yield from references((step.args, step.kwargs))


@dataclass
class Unified:
    """The first trace with laws for numbers."""

    inputs: tuple[Input, ...]
    weights: tuple[Weight, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Output, ...]
    runs: tuple[Run, ...]
    unresolved: list[str]


def unify(traces: Sequence[Trace], same_depth: bool = False) -> Unified:
    """One description of all traces; `same_depth`: they differ in depth only because copies were left out.

    Raises `NotIsomorphic` with the first call that differs, and at which sizes.
    """
    folded = len({len(trace.steps) for trace in traces}) > 1
    made = [skeleton(trace, folded) for trace in traces]
    laws = Laws([trace.sizes for trace in traces])
    _same_calls(made)
    _same_tensors(made)
    for columns in _columns(made):
        laws.learn(columns)
    counts = [] if same_depth else _counts(made)
    for column in counts:
        laws.learn(column)
    return _fitted(made, laws, counts)


def _same_calls(made: list[Skeleton]) -> None:
    base = made[0]
    for other in made[1:]:
        for place, (mine, its) in enumerate(zip(base.kept, other.kept, strict=False)):
            a, b = base.trace.steps[mine], other.trace.steps[its]
            why = _difference(a, b, base, other)
            if why:
                raise NotIsomorphic(
                    f"the computation is not the same at all sizes: call {place + 1} {why}",
                    where=_where(a),
                    hint=_hint(base, other, a, b),
                )
        if len(base.kept) != len(other.kept):
            longer = max((base, other), key=lambda s: len(s.kept))
            extra = longer.trace.steps[longer.kept[min(len(base.kept), len(other.kept))]]
            raise NotIsomorphic(
                f"the computation is not the same at all sizes: {len(base.kept)} calls at {_at(base)}, "
                f"{len(other.kept)} at {_at(other)}",
                where=_where(extra),
                hint=_hint(base, other, extra, extra),
            )


def _loop_counts(made: list[Skeleton], laws: Laws) -> list[Length]:
    """The number of steps of every loop of the first trace. Raises `NotIsomorphic` where it follows no law."""
    base, found = made[0], list[Length]()
    for number, loop in enumerate(base.trace.loops):
        column = tuple(each.trace.loops[number].count for each in made if number < len(each.trace.loops))
        if len(set(column)) > 1:
            laws.learn(column)
        law = laws.law(column, last=True) if len(column) == len(made) else None
        if law is None:
            step = next(step for step in base.trace.steps if step.name == loop.copies[0][0])
            counts = ", ".join(map(str, column))
            raise NotIsomorphic(
                f"a loop has {counts} steps at the traced sizes, which follows no law", where=_where(step)
            )
        found.append(law)
    return found


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
    if _is_number(a) and _is_number(b):
        return True
    return a == b


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _at(made: Skeleton) -> str:
    return ", ".join(f"{scale}={value}" for scale, value in made.trace.sizes.items())


def _where(step: Step) -> str:
    path, kind = step.stack[-1] if step.stack else ("", "")
    place = f"{path} ({kind})" if path else kind
    return ": ".join(part for part in (place, step.source) if part) or step.target


def _hint(base: Skeleton, other: Skeleton, a: Step, b: Step) -> str:
    line = f" (there: {b.source})" if b.source and b.source != a.source else ""
    return f"choose values of the scales between which the module takes the same branches{line}"


def _same_tensors(made: list[Skeleton]) -> None:
    for what in ("inputs", "outputs"):
        counts = {_at(each): len(getattr(each.trace, what)) for each in made}
        if len(set(counts.values())) > 1:
            text = "; ".join(f"{count} at {at}" for at, count in counts.items())
            raise NotIsomorphic(f"the number of {what} depends on the scales: {text}")
    base = made[0]
    for other in made[1:]:
        names = set(base.weights) ^ set(other.weights) if len(base.weights) != len(other.weights) else set[str]()
        if names:
            raise NotIsomorphic(
                f"the weight {sorted(names)[0]!r} exists at one of {_at(base)} and {_at(other)} only",
                hint="name the scale that adds it so that its blocks can be folded, or hold it fixed",
            )


def _columns(made: list[Skeleton]) -> Iterator[tuple[int, ...]]:
    """All lengths of axes, first those of weights, then of inputs and calls."""
    for number in range(len(made[0].weights)):
        yield from zip(*(_weight(each, number).shape for each in made), strict=True)
    for number in range(len(made[0].trace.inputs)):
        yield from zip(*(each.trace.inputs[number].shape for each in made), strict=True)
    for place in range(len(made[0].kept)):
        steps = [each.trace.steps[each.kept[place]] for each in made]
        for shapes in zip(*(step.shapes for step in steps), strict=True):
            yield from zip(*shapes, strict=True)


def _counts(made: list[Skeleton]) -> list[tuple[int, ...]]:
    if len({len(each.repeats) for each in made}) > 1:
        return []
    return [tuple(len(r.copies) for r in repeats) for repeats in zip(*(each.repeats for each in made), strict=True)]


def _weight(made: Skeleton, number: int) -> Tensor:
    by_name = made.trace.__dict__.setdefault("_by_name", {w.name: w for w in made.trace.weights})
    return by_name[made.weights[number]]


def _fitted(made: list[Skeleton], laws: Laws, counts: list[tuple[int, ...]]) -> Unified:
    base, unresolved = made[0], list[str]()

    def shape(tensors: Sequence[tuple[int, ...]], name: str) -> Shape:
        found = tuple(laws.law(column, last=True) for column in zip(*tensors, strict=True))
        if None in found:
            unresolved.append(name)
        return found

    inputs = tuple(
        Input(each.name, each.path, shape([m.trace.inputs[i].shape for m in made], each.name), each.dtype)
        for i, each in enumerate(base.trace.inputs)
    )
    laws_of = {
        name: shape([_weight(each, number).shape for each in made], name) for number, name in enumerate(base.weights)
    }
    constants = {
        name: _constant([_weight(each, number).value for each in made], laws)
        for number, name in enumerate(base.weights)
    }
    weights = tuple(
        Weight(
            w.name,
            laws_of[base.shares.get(w.name, w.name)],
            w.dtype,
            w.trained,
            constants[base.shares.get(w.name, w.name)],
            w.aliases,
            w.owner,
            w.frozen,
        )
        for w in base.trace.weights
    )
    by_data = base.trace.built == "values"
    numbers = [
        _numbers([each.trace.steps[each.kept[place]] for each in made], laws, by_data)
        for place in range(len(base.kept))
    ]
    shapes = [
        tuple(
            shape(each, base.trace.steps[base.kept[place]].name)
            for each in zip(*(m.trace.steps[m.kept[place]].shapes for m in made), strict=True)
        )
        for place in range(len(base.kept))
    ]
    calls: list[Call] = []
    for index, step in enumerate(base.trace.steps):
        place = base.stands_for[index]
        args, kwargs, missing = numbers[place]
        calls.append(
            Call(
                step.name,
                step.target,
                _with_refs(args, step.args),
                _with_refs(kwargs, step.kwargs),
                shapes[place],
                step.dtypes,
                step.stack,
                step.source,
                missing,
            )
        )
    outputs = tuple(
        Output(
            each.ref or Ref(each.name),
            each.path,
            shape([m.trace.outputs[i].shape for m in made], each.name),
            each.dtype,
            loss=not each.shape and each.dtype.startswith(("float", "bfloat")),
        )
        for i, each in enumerate(base.trace.outputs)
    )
    return Unified(inputs, weights, tuple(calls), outputs, tuple(_runs(made, laws, counts)), unresolved)


def _constant(values: list[float | None], laws: Laws) -> Initial:
    """What is known of a tensor that the module makes while it runs: its entries, as a power of the scales."""
    known = [value for value in values if value is not None]
    law = laws.law(tuple(known), last=True) if len(known) == len(values) else None
    if law is None or len(law.monomials) != 1:
        return Initial("unknown")
    return Initial("constant", known[0], {scale: float(power) for scale, power in law.monomials[0].powers}, known[0])


def _numbers(steps: list[Step], laws: Laws, by_data: bool) -> tuple[Any, Any, tuple[str, ...]]:
    """Arguments with a `Length` where a number varies, and the places where no law was found.

    `by_data`: data decide some numbers, and those have no law and are no sizes.
    """
    missing: list[str] = []

    def fit(values: tuple[Any, ...], where: str) -> Any:
        first = values[0]
        if isinstance(first, tuple):
            return tuple(fit(v, f"{where}[{i}]") for i, v in enumerate(zip(*values, strict=True)))  # pyright: ignore
        if isinstance(first, dict):
            return {key: fit(tuple(v[key] for v in values), f"{where}[{key}]") for key in first}  # pyright: ignore
        if not _is_number(first) or all(value == first for value in values):
            return first
        law = laws.law(values, last=True)
        if law is None and any(isinstance(value, float) for value in values):
            law = laws.leading(values)
        if law is None and by_data and isinstance(first, float):
            return first
        if law is None:
            missing.append(where)
        return law

    args = fit(tuple(step.args for step in steps), "args")
    kwargs = fit(tuple(step.kwargs for step in steps), "kwargs")
    return args, kwargs, tuple(missing)


def _with_refs(fitted: Any, plain: Any) -> Any:
    """`fitted` with the references of `plain` (the same call in another copy of a block)."""
    if isinstance(plain, Ref):
        return plain
    if isinstance(plain, tuple) and isinstance(fitted, tuple):
        return tuple(_with_refs(f, p) for f, p in zip(fitted, plain, strict=True))  # pyright: ignore
    if isinstance(plain, dict):
        return {key: _with_refs(fitted[key], plain[key]) for key in plain}  # pyright: ignore
    return fitted


def _runs(made: list[Skeleton], laws: Laws, counts: list[tuple[int, ...]]) -> Iterator[Run]:
    base = made[0]
    for loop, steps in zip(base.trace.loops, _loop_counts(made, laws), strict=True):
        yield Run("time", loop.path, steps, loop.copies, (), loop.carried)
    for number, repeat in enumerate(base.repeats):
        column = counts[number] if counts else (len(repeat.copies),) * len(made)
        count: Length | None = laws.law(column, last=True)
        copies = tuple(tuple(base.trace.steps[index].name for index in copy) for copy in repeat.copies)
        yield Run(
            "layers",
            repeat.path,
            count,
            copies,
            tuple(map(tuple, repeat.weights)),
            tuple(repeat.carried),
            tuple(repeat.captured),
            tuple(repeat.stepped),
            tuple(map(tuple, repeat.members)),
            tuple(repeat.lists),
            sum(bool({*other.lists} & {*repeat.lists}) for other in base.repeats) == 1,
        )

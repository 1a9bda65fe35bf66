"""The one description of isomorphic traces: that of the first, with a law wherever a number varies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call, Initial, Input, Output, Ref, Repetition, Shape, Weight

from .isomorphic import NotIsomorphic, is_number, line_of
from .number_laws import Laws
from .skeletons import Skeleton
from .traces import Step


@dataclass
class Unified:
    """The first trace with laws for numbers."""

    inputs: tuple[Input, ...]
    weights: tuple[Weight, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Output, ...]
    repetitions: tuple[Repetition, ...]
    unresolved: list[str]


class Fitting:
    """Isomorphic traces and the laws of their numbers; `counts` are how often each of their blocks repeats.

    `unresolved` collects the names of calls, inputs and weights that have a length without a law.
    """

    def __init__(self, skeletons: list[Skeleton], laws: Laws, counts: list[tuple[int, ...]]) -> None:
        self.skeletons, self.laws, self.counts = skeletons, laws, counts
        self.base = skeletons[0]
        self.unresolved: list[str] = []

    def unified(self) -> Unified:
        """Everything of the first trace with laws. Raises `NotIsomorphic` where a loop has no law."""
        inputs, weights, calls, outputs = self._inputs(), self._weights(), self._calls(), self._outputs()
        return Unified(inputs, weights, calls, outputs, (*self._loops(), *self._repeats()), self.unresolved)

    def _shape(self, shapes: Sequence[tuple[int, ...]], name: str) -> Shape:
        fitted = tuple(self.laws.law(column, last=True) for column in zip(*shapes, strict=True))
        if None in fitted:
            self.unresolved.append(name)
        return fitted

    def _inputs(self) -> tuple[Input, ...]:
        inputs: list[Input] = []
        for i, given in enumerate(self.base.trace.inputs):
            shape = self._shape([m.trace.inputs[i].shape for m in self.skeletons], given.name)
            inputs.append(Input(given.name, given.path, shape, given.dtype))
        return tuple(inputs)

    def _weights(self) -> tuple[Weight, ...]:
        tensors = {name: [skeleton.weight(number) for skeleton in self.skeletons]
                   for number, name in enumerate(self.base.weights)}  # fmt: skip
        shapes = {name: self._shape([tensor.shape for tensor in same], name) for name, same in tensors.items()}
        constants = {name: _constant([tensor.value for tensor in same], self.laws) for name, same in tensors.items()}
        first = self.base.shares
        return tuple(
            Weight(w.name, shapes[first.get(w.name, w.name)], w.dtype, w.trained, constants[first.get(w.name, w.name)],
                   w.aliases, w.owner, w.frozen)
            for w in self.base.trace.weights
        )  # fmt: skip

    def _calls(self) -> tuple[Call, ...]:
        by_data = self.base.trace.built == "values"
        places = [[skeleton.step(place) for skeleton in self.skeletons] for place in range(len(self.base.kept))]
        numbers = [_numbers(steps, self.laws, by_data) for steps in places]
        shapes = [tuple(self._shape(column, steps[0].name) for column in zip(*(s.shapes for s in steps), strict=True))
                  for steps in places]  # fmt: skip
        calls: list[Call] = []
        for index, step in enumerate(self.base.trace.steps):
            place = self.base.stands_for[index]
            args, kwargs, missing = numbers[place]
            calls.append(
                Call(step.name, step.target, _with_refs(args, step.args), _with_refs(kwargs, step.kwargs),
                     shapes[place], step.dtypes, step.stack, step.source, missing)
            )  # fmt: skip
        return tuple(calls)

    def _outputs(self) -> tuple[Output, ...]:
        return tuple(
            Output(output.ref or Ref(output.name), output.path,
                   self._shape([m.trace.outputs[i].shape for m in self.skeletons], output.name), output.dtype,
                   loss=not output.shape and output.dtype.startswith(("float", "bfloat")))
            for i, output in enumerate(self.base.trace.outputs)
        )  # fmt: skip

    def _loops(self) -> Iterator[Repetition]:
        """The loops over time of the first trace. Raises `NotIsomorphic` where the number of steps follows no law."""
        for number, loop in enumerate(self.base.trace.loops):
            all_loops = [skeleton.trace.loops for skeleton in self.skeletons]
            column = tuple(loops[number].count for loops in all_loops if number < len(loops))
            if len(set(column)) > 1:
                self.laws.learn(column)
            law = self.laws.law(column, last=True) if len(column) == len(self.skeletons) else None
            if law is None:
                step = next(step for step in self.base.trace.steps if step.name == loop.copies[0][0])
                counts = ", ".join(map(str, column))
                raise NotIsomorphic(
                    f"a loop has {counts} steps at the traced sizes, which follows no law", where=line_of(step)
                )
            yield Repetition("time", loop.path, law, loop.copies, (), loop.carried)

    def _repeats(self) -> Iterator[Repetition]:
        """The repeated blocks of the first trace."""
        for number, repeat in enumerate(self.base.repeats):
            column = self.counts[number] if self.counts else (len(repeat.copies),) * len(self.skeletons)
            count: Length | None = self.laws.law(column, last=True)
            copies = tuple(tuple(self.base.trace.steps[index].name for index in copy) for copy in repeat.copies)
            yield Repetition(
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
                sum(bool({*other.lists} & {*repeat.lists}) for other in self.base.repeats) == 1,
            )


def _constant(values: list[float | None], laws: Laws) -> Initial:
    """What is known of a tensor that the module makes while it runs: its entries, as a power of the scales."""
    entries = [value for value in values if value is not None]
    law = laws.law(tuple(entries), last=True) if len(entries) == len(values) else None
    if law is None or len(law.monomials) != 1:
        return Initial("unknown")
    exponents = {scale: float(power) for scale, power in law.monomials[0].powers}
    return Initial("constant", entries[0], exponents, entries[0])


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
        if not is_number(first) or all(value == first or value != value for value in values):  # NaN is not itself
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

"""Traces without the copies of their repeated blocks, and what a reference stands for there."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from scalerules.tracing.record import references

from .repeated_blocks import Repeat, find_repeats
from .traces import Step, Tensor, Trace


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

    @cached_property
    def _by_name(self) -> dict[str, Tensor]:
        return {weight.name: weight for weight in self.trace.weights}

    def weight(self, number: int) -> Tensor:
        """The weight of this number."""
        return self._by_name[self.weights[number]]

    def step(self, place: int) -> Step:
        """The kept call at a place."""
        return self.trace.steps[self.kept[place]]


def skeleton(trace: Trace, folded: bool) -> Skeleton:
    """`folded` False keeps every call (the repeats are found all the same)."""
    result = Skeleton(trace, find_repeats(trace, numbered=folded))
    first: dict[int, int] = {}
    last: set[int] = set()
    for repeat in result.repeats if folded else []:
        for copy, weights in zip(repeat.copies[1:], repeat.weights[1:], strict=True):
            first.update(zip(copy, repeat.copies[0], strict=True))
            result.shares.update({w: v for w, v in zip(weights, repeat.weights[0], strict=True) if w != v})
        last.update(repeat.copies[-1])
    result.kept = [index for index in range(len(trace.steps)) if index not in first]
    place = {index: number for number, index in enumerate(result.kept)}
    for index, step in enumerate(trace.steps):
        result.stands_for[index] = place[first.get(index, index)]
        which = "call" if index in place else "last" if index in last else f"copy of {step.name}"
        result.key[step.name] = (which, result.stands_for[index])
    for number, given in enumerate(trace.inputs):
        result.key[given.name] = ("input", number)
    _number_weights(result)
    return result


def _number_weights(bare: Skeleton) -> None:
    names = {w.name for w in bare.trace.weights}
    order: dict[str, None] = {}
    for index in bare.kept:
        step = bare.trace.steps[index]
        for ref in references((step.args, step.kwargs)):
            if ref.name in names:
                order.setdefault(bare.shares.get(ref.name, ref.name))
    order.update(dict.fromkeys(w.name for w in bare.trace.weights if w.name not in bare.shares))
    bare.weights = list(order)
    numbers = {name: number for number, name in enumerate(bare.weights)}
    for weight in bare.trace.weights:
        bare.key[weight.name] = ("weight", numbers[bare.shares.get(weight.name, weight.name)])

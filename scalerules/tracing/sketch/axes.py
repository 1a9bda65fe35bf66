"""Axes of a traced computation: lengths that are added, multiplied and compared, and which axes are the same one.

Two axes become one where an operation matches them entry by entry; equal lengths alone say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from scalerules.sizes.arithmetic import constant
from scalerules.sizes.lengths import Length


@dataclass(eq=False)
class Axis:
    """One axis, until it is found to be the same as another (`parent`). `hints` are words that it could be called."""

    length: Length
    hints: list[str] = field(default_factory=list[str])
    parent: Axis | None = None

    @property
    def whole(self) -> Axis:
        """The axis that stands for all that are the same as this one."""
        top = self
        while top.parent is not None:
            top = top.parent
        if top is not self:
            self.parent = top
        return top

    def join(self, other: Axis) -> None:
        """The two are one from now on."""
        a, b = self.whole, other.whole
        if a is not b:
            a.hints.extend(b.hints)
            b.parent = a


def names_of(axes: Sequence[Axis], scales: Iterable[str]) -> dict[int, str]:
    """A name for every axis (by identity of its whole), in order: what it was called most often, made unique."""
    taken = {*scales, "stream"}
    names: dict[int, str] = {}
    for axis in axes:
        whole = axis.whole
        if id(whole) in names:
            continue
        counts = {hint: whole.hints.count(hint) for hint in whole.hints}
        word = max(counts, key=lambda hint: counts[hint]) if counts else _word(whole.length)
        word = "n" if len(counts) > 3 else word  # what many modules share has no name of its own
        word = "".join(c if c.isalnum() else "_" for c in word).strip("_") or "axis"
        word = word if word[0].isalpha() else f"d{word}"
        name, number = word, 1
        while name in taken:
            number += 1
            name = f"{word}_{number}"
        taken.add(name)
        names[id(whole)] = name
    return names


def _word(length: Length) -> str:
    number = constant(length)
    if number is not None:
        return f"d{number:g}"
    only = length.monomials[0]
    return "_".join(name for name, _ in only.powers) + "_axis" if only.powers else "axis"

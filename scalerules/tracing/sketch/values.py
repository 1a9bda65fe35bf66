"""What the calls of a record compute, while they are lowered: values with axes, weights and their parts, constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

from scalerules.errors import ScaleRulesError
from scalerules.sizes.arithmetic import ONE, is_one, plus, product, same, times
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call, Initial, Shape, Weight

from .axes import Axis

HOLD = "hold that axis at one length at all sizes"
SUIT = "give scales that suit every division in the module, such as multiples of 64"
PARTS = "read it in the same parts everywhere, or make two weights of it"
APART = "view one axis at a time, so that each axis that grows stays one of its own"
"""What to write where an axis that grows, a length, a part of a weight or a view cannot be followed."""


class Unknown(ScaleRulesError):
    """A call that cannot be lowered: its name, the module that it stands in, and the line of the program."""


@dataclass(frozen=True)
class Factor:
    """One factor of a dimension of a weight: all of it, or the entries from `start` on (`axis` None: a single one)."""

    axis: Axis | None
    whole: Length
    start: Length | None = None

    @property
    def length(self) -> Length:
        """How many entries are read."""
        return self.axis.length if self.axis is not None else ONE


@dataclass(frozen=True, eq=False)
class Part:
    """A weight, or a part of one: for every dimension its factors (most often one: the dimension itself)."""

    weight: Weight
    factors: tuple[tuple[Factor, ...], ...]

    @property
    def slots(self) -> tuple[Axis, ...]:
        """Its axes in order; those of length 1 are left out."""
        return tuple(f.axis for dimension in self.factors for f in dimension if f.axis is not None)

    @property
    def is_whole(self) -> bool:
        """Whether no entry is left out."""
        return all(f.start is None for dimension in self.factors for f in dimension)

    @property
    def name(self) -> str:
        """The weight's name, and behind it which part: `c_attn.weight[:, 0:width]`."""
        if self.is_whole:
            return self.weight.name
        return f"{self.weight.name}[{', '.join(_dimension(d) for d in self.factors)}]"

    @property
    def initial(self) -> Initial:
        """What the module does to it at the start: in a run of entries that start alike, what it does to those."""
        for run in self.weight.initial.runs:
            start, length = stretch_of(self.factors[run.axis])
            if start is not None:
                first = round(start.value(run.sizes))
                if run.start <= first and first + length.at(run.sizes) <= run.stop:
                    return run.initial
        return self.weight.initial

    def where(self, slot: int) -> tuple[int, int]:
        """Dimension and factor of a slot."""
        places = [(i, j) for i, d in enumerate(self.factors) for j, f in enumerate(d) if f.axis is not None]
        return places[slot]

    def whole_at(self, slot: int) -> bool:
        """Whether no entry is left out along a slot."""
        i, j = self.where(slot)
        return self.factors[i][j].start is None

    def with_factors(self, slot: int, factors: Sequence[Factor]) -> Part:
        """The part with other factors in place of those of a slot."""
        i, j = self.where(slot)
        changed = (*self.factors[i][:j], *factors, *self.factors[i][j + 1 :])
        return replace(self, factors=(*self.factors[:i], changed, *self.factors[i + 1 :]))


def stretch_of(factors: Sequence[Factor]) -> tuple[Length | None, Length]:
    """Where the one stretch of a dimension that is read starts, and its length; no start where it is none."""
    first, rest = factors[0], factors[1:]
    inner = product(f.whole for f in rest)
    one = first.start is not None and all(f.start is None for f in rest)
    return times(first.start, inner) if first.start is not None and one else None, times(first.length, inner)


def _dimension(factors: Sequence[Factor]) -> str:
    if all(f.start is None for f in factors):
        return ":"
    start, length = stretch_of(factors)
    if start is not None:
        return f"{start}:{plus(start, length)}"
    shape = ", ".join(str(f.whole) for f in factors)
    cuts = ", ".join(":" if f.start is None else f"{f.start}:{plus(f.start, f.length)}" for f in factors)
    return f"({shape})[{cuts}]"


Source: TypeAlias = "str | Part"
"""What a value is read from: a node (by name) or a weight."""


@dataclass(frozen=True)
class Atom:
    """A factor of a dimension of a value: an axis, and at which place of its source it stands (None: copied along)."""

    axis: Axis
    slot: int | None


Dim: TypeAlias = "tuple[Atom, ...]"
"""The factors of one dimension, the slowest first; none: a dimension of length 1."""


def moved(dims: Sequence[Dim], place: Callable[[int], int]) -> tuple[Dim, ...]:
    """The dimensions of a value in whose source every slot has another place."""
    return tuple(tuple(Atom(a.axis, None if a.slot is None else place(a.slot)) for a in dim) for dim in dims)


@dataclass(frozen=True, eq=False)
class Curve:
    """A value as a function of each entry of another one: its values at `POINTS`."""

    base: Value
    samples: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Piece:
    """A value as a stretch of one dimension of another one."""

    base: Value
    dim: int
    start: Length
    length: Length


@dataclass(frozen=True, eq=False)
class Stat:
    """A value as a statistic of another one over some dimensions, raised to a power.

    `kind`: `square` (the mean of squares), `sum` (their sum), `variance`, or `centred` (the entries less their mean);
    `logsumexp`, or `log_softmax` (the entries less that).
    """

    kind: str
    base: Value
    dims: tuple[int, ...]
    power: Fraction = Fraction(1)


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that depends on data or weights: its source and how its dimensions lie there."""

    source: Source
    dims: tuple[Dim, ...]
    curve: Curve | None = None
    piece: Piece | None = None
    stat: Stat | None = None
    table: str = ""
    """The call or buffer whose fixed entries it was just multiplied with."""

    @property
    def is_weight(self) -> bool:
        """Whether it is a weight that nothing was done to."""
        return isinstance(self.source, Part)

    def length(self, dim: int) -> Length:
        """The length of a dimension."""
        return product(atom.axis.length for atom in self.dims[dim])

    def at(self, dims: Sequence[Dim]) -> Value:
        """The same entries with other dimensions."""
        return Value(self.source, tuple(dims))

    def __str__(self) -> str:
        return self.source if isinstance(self.source, str) else self.source.name


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that no weight and no real-valued data enter: masks, positions, indices. `number`: all its entries."""

    shape: Shape
    number: Length | float | None = None
    discrete: bool = False
    """Whole numbers or truth values: they carry no size."""
    ref: str = ""
    """The call, buffer or input that it is, where one can be named."""
    truth: Curve | None = None
    """Of truth values: where they hold, as a function of the value that decides them."""
    places: Value | None = None
    """Of whole numbers: a row of zeros and a one for each, along an axis that grows, of which they are places."""


@dataclass(frozen=True, eq=False)
class Put:
    """Entries that are zeros but for a fixed number, along a dimension that grows: `value`, made of these `entries`."""

    value: Value
    entries: Value
    places: Value
    dim: int


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss that the module computes, and the values that it is computed from.

    `terms` are what it adds to that: numbers that the module computes itself, such as a divergence.
    """

    sources: tuple[Value, ...]
    kind: str
    terms: tuple[Value, ...] = ()


@dataclass(frozen=True, eq=False)
class Filling:
    """A tensor of which parts of one dimension are written one after the other: (start, entries)."""

    shape: Shape
    dim: int
    parts: tuple[tuple[Length, Value], ...]


Operand: TypeAlias = "Value | Constant | Loss | Filling"
Result: TypeAlias = "Operand | tuple[Operand | None, ...]"


def same_source(a: Value, b: Value) -> bool:
    """Whether two values are the same entries in the same places."""
    if a.source is not b.source and not (isinstance(a.source, str) and a.source == b.source):
        return False
    return [[x.slot for x in dim] for dim in a.dims] == [[x.slot for x in dim] for dim in b.dims]


def whole(weight: Weight, where: str) -> Value:
    """A weight as it is. Raises `Unknown` where one of its lengths could not be found."""
    factors: list[tuple[Factor, ...]] = []
    dims: list[Dim] = []
    slot = 0
    for position, length in enumerate(weight.shape):
        if length is None:
            raise Unknown(
                f"axis {position} of the weight {weight.name!r} has no length that fits all traces", where=where
            )
        if is_one(length):
            factors.append((Factor(None, ONE),))
            dims.append(())
        else:
            axis = Axis(length)
            factors.append((Factor(axis, length),))
            dims.append((Atom(axis, slot),))
            slot += 1
    return Value(Part(weight, tuple(factors)), tuple(dims))


def place(call: Call) -> str:
    """Where a call stands, for messages: operation, module and line."""
    line = f", {call.source}" if call.source else ""
    return f"{call.target} in {call.module or 'the module'}{line}"


def fits(value: Value, dim: int, length: Length) -> bool:
    """Whether a dimension has this length."""
    return same(value.length(dim), length)

"""What a law is given while rules are derived: sizes and signs in place of tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, NoReturn

from scalerules.errors import ScaleRulesError, UnknownName

from .powers import BEHIND, GRADIENT, READ, TOGETHER, WEIGHT, Powers, atom, largest, smallest
from .vocabulary import Damping, Over

HALF = Fraction(1, 2)
FINEST = 64
"""The largest denominator of an exponent."""
TINY = 1e-2
"""A number below this, added to a size, is meant as an epsilon."""
WORDS = ("abs", "average", "clip", "left", "low_rank", "maximum", "minimum", "norm", "orthogonal", "right", "rms", "sign",  # noqa: E501
         "spectral", "sqrt", "square")  # fmt: skip
"""What can be done with a tensor or a size."""
Number = (int, float, Fraction)
Signs = frozenset[str]
OWN: Signs = frozenset({GRADIENT})


@dataclass(frozen=True)
class Facts:
    """What a law may ask of a parameter: its name, whether it is a matrix, and where it stands.

    `first`: no other matrix stands between the data and it; `last`: none between it and the outputs.
    """

    name: str = ""
    matrix: bool = False
    first: bool = False
    last: bool = False


@dataclass
class Notes:
    """What was noticed while a law was read: dampings by name, and where coupled decay is added."""

    facts: Facts
    dampings: dict[str, Powers] = field(default_factory=dict[str, Powers])
    decayed: Powers = field(default_factory=lambda: atom(GRADIENT))


@dataclass(frozen=True)
class Quantity:
    """A tensor or a number by its size.

    `signs`: whose random signs its entries carry (the gradient's, the parameter's; of a number None). `levelled`: its
    entries are alike along every axis. `whole`: it moves a matrix as a whole, by its singular values. `zero`: it is
    exactly zero; `late`: it was, at initialisation. `dense`: functions of the entries have given it full rank; `bulk`:
    the size of its entries, where the part that follows the gradient (`powers`) has become smaller than the rest.
    """

    powers: Powers
    notes: Notes
    signs: Signs | None = None
    levelled: bool = False
    whole: bool = False
    zero: bool = False
    late: bool = False
    dense: bool = False
    bulk: Powers | None = None

    @property
    def size(self) -> Powers:
        """The size of the root mean square of its entries."""
        return self.powers if self.bulk is None else self.bulk

    @property
    def tensor(self) -> bool:
        """Whether it has entries."""
        return self.signs is not None

    # --- arithmetic ---------------------------------------------------------------------------------------------

    def __mul__(self, other: Any) -> Quantity:
        if isinstance(other, Number):
            return self
        return self._product(_quantity(other), 1)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Quantity:
        if isinstance(other, Number):
            return self
        divisor = _quantity(other)
        if divisor.zero:
            hint = "trust(w, update), or maximum(rms(w), damping('floor'))"
            raise ScaleRulesError("divides by the size of a parameter that starts at zero", hint=hint)
        return self._product(divisor, -1)

    def __rtruediv__(self, other: Any) -> Quantity:
        return self**-1

    def _product(self, other: Quantity, share: int) -> Quantity:
        both = self.tensor and other.tensor
        signs = (self.signs or frozenset()) ^ (other.signs or frozenset()) if self.tensor or other.tensor else None
        whole = self.size.times(other.size, share)
        powers = self.powers.times(other.powers, share) if signs else whole
        return replace(
            self, powers=powers, bulk=whole if whole != powers else None, signs=signs,
            levelled=both or (self if self.tensor else other).levelled, dense=both or self.dense or other.dense,
            whole=self.whole or other.whole, zero=self.zero or other.zero,
        )  # fmt: skip

    def __pow__(self, exponent: Any) -> Quantity:
        if not isinstance(exponent, Number):
            raise ScaleRulesError(f"a power needs a fixed exponent, not {kind_of(exponent)}")
        share = _exponent(exponent)
        odd = share.denominator == 1 and share.numerator % 2
        return replace(
            self, powers=self.size.to(share), bulk=None, dense=True,
            signs=None if self.signs is None else self.signs if odd else frozenset(),
            levelled=self.levelled or share != 1,
        )  # fmt: skip

    def __add__(self, other: Any) -> Quantity:
        if isinstance(other, Damping):
            self.notes.dampings.setdefault(other.name, self.powers)
            return self
        if isinstance(other, Number):
            return self._beside(float(other))
        other = _quantity(other)
        if self.zero or other.zero:
            return other if self.zero else self
        if self.tensor is not other.tensor:
            raise ScaleRulesError(
                "adds a number to a tensor", hint="add eps, or damping('name'), whose size is derived"
            )
        if self.signs != other.signs:
            hint = "weight decay is no part of a law: it is added beside it" if WEIGHT in (
                (self.signs or OWN) ^ (other.signs or OWN)) else "such as m / (sqrt(v) + eps)"  # fmt: skip
            raise ScaleRulesError("adds tensors whose signs have nothing to do with each other", hint=hint)
        return replace(
            self, powers=largest(self.powers, other.powers), levelled=self.levelled and other.levelled,
            bulk=largest(self.size, other.size) if self.bulk or other.bulk else None, dense=self.dense or other.dense,
            whole=self.whole or other.whole,
        )  # fmt: skip

    __radd__ = __add__

    def __sub__(self, other: Any) -> Quantity:
        if isinstance(other, Damping):
            raise ScaleRulesError("subtracts a damping", hint="it is added to what is divided by")
        return self + other

    __rsub__ = __sub__

    def _beside(self, number: float) -> Quantity:
        if number == 0:
            return self
        if self.tensor or abs(number) < TINY:
            text = f"adds the fixed number {number:g} to {'a tensor' if self.tensor else 'a size'}"
            raise ScaleRulesError(text, hint="add eps, or damping('name'), whose size is derived")
        return replace(self, powers=largest(self.powers, Powers()), zero=False)

    def __neg__(self) -> Quantity:
        return self

    def __abs__(self) -> Quantity:
        return replace(self, powers=self.size, bulk=None, signs=frozenset(), dense=True) if self.tensor else self

    def __matmul__(self, other: Any) -> Quantity:
        if isinstance(other, Quantity):
            text = "products of matrices are not followed"
            raise ScaleRulesError(text, hint="left(x) is x x^T, right(x) is x^T x; power(left(x), -1/4) @ x")
        return other.applied(self) if isinstance(other, Applied) else _refuse(other)

    # --- the words ----------------------------------------------------------------------------------------------

    def abs(self) -> Quantity:
        """Absolute values."""
        return abs(self)

    def square(self) -> Quantity:
        """Squares of the entries."""
        return self**2

    def average(self, beta: float) -> Quantity:
        """A moving average, as large as what it averages."""
        return self

    def sign(self) -> Quantity:
        """Entries of size one."""
        return replace(self._entries("sign")._entrywise(), powers=Powers(), levelled=True, zero=False)

    def sqrt(self) -> Quantity:
        """The root; of a tensor with signs there is none."""
        if self.signs:
            raise ScaleRulesError("takes the root of a tensor with signs", hint="of a square, or of abs(x)")
        return replace(self, powers=self.powers.to(HALF))

    def clip(self, bound: float) -> Quantity:
        """At most of size 0."""
        return replace(self._entries("clip")._entrywise(), powers=smallest(Powers(), self.powers), levelled=True)

    def maximum(self, *options: Any) -> Quantity:
        """The largest; with a damping, a floor: one where this is zero at initialisation."""
        return self._among(options, largest)

    def minimum(self, *options: Any) -> Quantity:
        """The smallest."""
        return self._among(options, smallest)

    def _among(self, options: tuple[Any, ...], choice: Any) -> Quantity:
        floors = [x for x in options if isinstance(x, Damping)]
        rest = [_quantity(x) for x in options if not isinstance(x, (*Number, Damping))]
        fixed = [Powers()] if any(isinstance(x, Number) for x in options) else []
        for floor in floors:
            self.notes.dampings.setdefault(floor.name, self.powers)
        if floors and (self.zero or self.late):
            return replace(self, powers=Powers(), zero=False, late=False)
        there = [x for x in (self, *rest) if not x.zero] if choice is largest else [self, *rest]
        if not there and not fixed:
            return self
        zero = any(x.zero for x in there)
        return replace(self, powers=choice(*(x.powers for x in there), *fixed), zero=zero)

    def rms(self, over: Over) -> Quantity:
        """The size as a number; one number for each row or column where it runs over a side."""
        self._side(over)
        kept = replace(self._entries("rms"), signs=frozenset() if over else None)
        return replace(kept, powers=self.size, bulk=None, whole=False)

    def norm(self, over: Over) -> Quantity:
        """The size times the root of the number of entries that it runs over."""
        return self.rms(over)._times(atom(over or "entries", HALF))

    def spectral(self) -> Quantity:
        """The largest singular value: size times sqrt(fan_in fan_out), the larger alone of a random matrix."""
        if not self.notes.facts.matrix:
            return self.norm(None)
        sides = atom("fan_in", HALF), atom("fan_out", HALF)
        if GRADIENT in (self.signs or frozenset()):
            top = replace(self, bulk=None).rms(None)._times(sides[0].times(sides[1]))
            return top if self.bulk is None else replace(
                top, powers=largest(top.powers, self.bulk.times(largest(*sides))))  # fmt: skip
        return self.rms(None)._times(largest(*sides))

    def orthogonal(self) -> Quantity:
        """Singular values of one; where the rank is full there are many, and most do not follow the gradient."""
        self.follows("orthogonal")
        matrix = self.notes.facts.matrix
        unit = replace(self, bulk=None) / replace(self, bulk=None).spectral()
        all_of_them = largest(atom("fan_in"), atom("fan_out")).to(-HALF)
        return replace(
            unit, whole=matrix, levelled=True, dense=False, bulk=all_of_them if matrix and self.dense else None
        )

    def low_rank(self, rank: int) -> Quantity:
        """A part of low rank, as large as the whole: the largest singular value stays."""
        return replace(self._entries("low_rank"), whole=self.notes.facts.matrix)

    def gram(self, side: str) -> Curvature:
        """Its largest eigenvalue is the square of the largest singular value."""
        return Curvature(self.spectral().powers.to(2), self.notes)

    def covariance(self, side: str) -> Curvature:
        """Its largest eigenvalue is the trace; what is no matrix reads a number, and is what lies behind it."""
        if self.powers != atom(GRADIENT) or not self.signs:
            raise ScaleRulesError(f"{'inputs' if side == READ else 'outputs'}() is of the gradient alone")
        if self.notes.facts.matrix:
            return Curvature(atom(READ if side == READ else BEHIND), self.notes)
        return Curvature(Powers() if side == READ else self.spectral().powers.to(2), self.notes)

    def trusted(self, weight: Any) -> Quantity:
        """The ratio of two norms; 1 where the parameter is zero."""
        weight = _quantity(weight)
        if weight.zero or self.zero:
            return replace(self, powers=Powers(), signs=None, zero=False)
        norms = [x.norm(None) if x.tensor else x for x in (weight, self)]
        return norms[0] / norms[1]

    def decayed(self) -> Quantity:
        """The place of coupled decay."""
        self.notes.decayed = self.powers
        return self

    def global_norm(self) -> Quantity:
        """The norm of all gradients."""
        if self.powers != atom(GRADIENT) or not self.signs:
            raise ScaleRulesError("global_norm() is of the gradients alone", hint="global_norm(g)")
        return Quantity(atom(TOGETHER), self.notes)

    # --- what cannot be asked -----------------------------------------------------------------------------------

    def _entrywise(self) -> Quantity:
        """A function of the entries, which gives a matrix full rank."""
        return replace(self, bulk=None, dense=True)

    def _times(self, powers: Powers) -> Quantity:
        return replace(self, powers=self.powers.times(powers))

    def _entries(self, word: str) -> Quantity:
        if not self.tensor:
            raise ScaleRulesError(f"{word}() is of a tensor, not of a number")
        return self

    def follows(self, word: str) -> None:
        if GRADIENT not in self._entries(word).signs:  # type: ignore[operator]
            raise ScaleRulesError(f"{word}() is of the gradient, or of what was made of it")

    def _side(self, over: Over) -> None:
        if over not in (None, "fan_in", "fan_out"):
            raise UnknownName("side", str(over), ["fan_in", "fan_out"])
        if over and not self.notes.facts.matrix:
            where = f"parameter {self.notes.facts.name!r}" if self.notes.facts.name else None
            text = "a parameter that is no matrix has no rows and columns"
            raise ScaleRulesError(text, where=where, hint="ask p.matrix first")

    def _unknown(self, *_: Any) -> NoReturn:
        hint = "maximum(), minimum(), sqrt() of this vocabulary; p.matrix, p.first, p.last"
        raise ScaleRulesError("a law is read without numbers, only with sizes", hint=hint)

    __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __float__ = __int__ = __len__ = __iter__ = __getitem__ = _unknown

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnknownName("operation", name, WORDS)


@dataclass(frozen=True)
class Curvature:
    """A Gram matrix or covariance, or the Kronecker product of two, by its largest eigenvalue."""

    powers: Powers
    notes: Notes

    def __add__(self, other: Any) -> Curvature:
        if isinstance(other, Damping):
            self.notes.dampings.setdefault(other.name, self.powers)
            return self
        if isinstance(other, Number):
            text = f"adds the fixed number {float(other):g} to a matrix"
            raise ScaleRulesError(text, hint="add eps, or damping('name'), whose size is derived")
        if isinstance(other, Curvature):
            return replace(self, powers=largest(self.powers, other.powers))
        return _refuse(other)

    __radd__ = __add__

    def __mul__(self, other: Any) -> Curvature:
        if isinstance(other, Number):
            return self
        return replace(self, powers=self.powers.times(other.powers)) if isinstance(other, Curvature) else _refuse(other)

    __rmul__ = __mul__

    def average(self, beta: float) -> Curvature:
        """A moving average, as large as what it averages."""
        return self

    def power(self, exponent: Any) -> Applied:
        """A power of it, to be applied by `@`."""
        return Applied(self.powers.to(_exponent(exponent)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise ScaleRulesError(f"{name}() is not of a Gram matrix", hint="power(matrix, -1/4) @ g, inverse(matrix) @ g")


@dataclass(frozen=True)
class Applied:
    """A power of a curvature, waiting for what it is applied to."""

    powers: Powers

    def applied(self, x: Any) -> Quantity:
        """A singular value grows by the largest eigenvalue's power; the gradient lies in its range."""
        operand = _quantity(x)
        operand.follows("@")
        whole = operand.whole or operand.notes.facts.matrix
        return replace(operand, powers=operand.powers.times(self.powers), whole=whole, levelled=True)

    def __matmul__(self, other: Any) -> Quantity:
        return self.applied(other)


def given(facts: Facts, state: str) -> tuple[Quantity, Quantity, Place]:
    """The gradient, the parameter and its place, as a law is given them.

    The parameter is `there`, or exactly `zero`, or `late`: it started at zero and has moved.
    """
    notes = Notes(facts)
    gradient = Quantity(atom(GRADIENT), notes, OWN)
    weight = Quantity(atom(WEIGHT), notes, frozenset({WEIGHT}), zero=state == "zero", late=state == "late")
    lengths = {axis: Quantity(atom(axis), notes) for axis in ("fan_in", "fan_out", "entries")}
    return gradient, weight, Place(facts.name, facts.matrix, facts.first, facts.last, **lengths)


@dataclass(frozen=True)
class Place:
    """A parameter's facts, and the lengths of its axes: of a matrix fan-in and fan-out, and how many entries."""

    name: str
    matrix: bool
    first: bool
    last: bool
    fan_in: Any
    fan_out: Any
    entries: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnknownName("fact", name, ["name", "matrix", "first", "last", "fan_in", "fan_out", "entries"])


def _quantity(value: Any) -> Quantity:
    return value if isinstance(value, Quantity) else _refuse(value)


def _refuse(value: Any) -> NoReturn:
    hint = "Gram matrices are applied as power(matrix, -1/2) @ g" if isinstance(value, (Curvature, Applied)) else None
    raise ScaleRulesError(f"cannot calculate with {kind_of(value)} here", hint=hint)


def _exponent(value: Any) -> Fraction:
    if not isinstance(value, Number) or not math.isfinite(value):
        raise ScaleRulesError(f"a power needs a fixed exponent, not {kind_of(value)}")
    return Fraction(value).limit_denominator(FINEST)


NAMES: Mapping[type, str] = {Curvature: "a Gram matrix", Applied: "a power of a Gram matrix", Damping: "a damping",
                             Place: "the parameter's place"}  # fmt: skip


def kind_of(value: object) -> str:
    """How a message names a value."""
    if isinstance(value, Quantity):
        return "a tensor" if value.tensor else "a size"
    kind = type(value).__qualname__
    return "nothing" if value is None else NAMES.get(type(value), f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}")

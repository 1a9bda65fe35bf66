"""Terms: how large one part of a tensor is, and which independent randomness its signs carry along each axis.

A tensor is a list of terms; their sum is as large as the largest. A term knows the terms that it came from, so its
size can be read again as a linear form in the unknowns and the growths of the axes (`form`), and shown step by step.
Sizes are whole numbers of *ticks* (see `scalerules.passes.point.Point`) while they are propagated, and exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from typing import Literal

Symbol = tuple[str, str]
"""A growth `("growth", axis)` or an unknown `("init"|"lr"|"mult"|"update", name)`."""

Shift = tuple[tuple[Symbol, Fraction], ...]
Profile = tuple[int, ...]
_Counts = dict[Symbol, int | Fraction]

SUMMABLE = 1000
"""Profile of entries that decay exponentially along an axis: every power sum converges."""


STEEPEST = 12
"""Entries that fall faster than `i**-6` count as falling like that: no sum tells them apart."""


def exponential(halves: int) -> bool:
    """Whether entries fall exponentially along an axis: all but a few are nothing, and remain so in any update."""
    return halves > SUMMABLE // 2


def decayed(halves: int) -> int:
    """The profile of a product: times any power, what decays exponentially still does."""
    return SUMMABLE if exponential(halves) else min(halves, STEEPEST)


MOST_SOURCES = 2
"""A product of more sources than this seldom meets its like: of such terms only the largest are kept apart."""

KEPT = 2
"""How many of them."""


@dataclass(frozen=True, slots=True)
class Step:
    """One application of a law: in which pass (and after how many updates), at which node, and why.

    `at` is the key of the site where the law was applied, `of` the key of the site or parameter that the result is of.
    """

    stage: str
    time: int
    node: str
    reason: str
    at: str = ""
    of: str = ""


@dataclass(frozen=True, slots=True)
class Fresh:
    """A random matrix that has not been applied to anything yet: its name, and its source on all axes (a product's: 0).

    `both`: it has two axes beside that of depth, so it is still a matrix where rows and columns have signs. `order`:
    which axis of the matrix every axis is, where they are read in another order; it is the same matrix.
    """

    name: str
    source: int
    both: bool = True
    order: tuple[int, ...] | None = field(default=None, compare=False)

    def turned(self, places: Sequence[int]) -> Fresh:
        """The matrix with other axes first: for every axis, which one of this it is."""
        order = tuple([self.place(place) for place in places])
        return replace(self, order=None if order == tuple(range(len(order))) else order)

    def place(self, axis: int) -> int:
        """Which axis of the matrix an axis is."""
        return self.order[axis] if self.order else axis


class Term:
    """One term of a tensor.

    `size` in ticks. `signs`: for every growing axis a bit mask of the sources along it, modulo two. `profile`: for
    every growing axis `h` (in halves) of entries that decay like `i**-h`, or None. `parents` minus `minus` plus `shift`
    is where the size comes from. `matrix`: it is fresh over two or more growing axes, up to signs of rows and columns;
    `mirror` remembers of an image `W z` what `z` was. `log`: power of a logarithm that it carries (given is what this
    step adds to the parents'); `ramp`: entries that grow like `log i` along the last axis.
    """

    __slots__ = (
        "_counts", "_form", "degree", "log", "matrix", "minus", "mirror", "parents", "profile", "ramp", "shift",
        "signs", "size", "step",
    )  # fmt: skip

    def __init__(
        self,
        size: int,
        signs: tuple[int, ...] = (),
        parents: tuple[Term, ...] = (),
        shift: Shift = (),
        minus: tuple[Term, ...] = (),
        profile: Profile | None = None,
        mirror: Mirror | None = None,
        matrix: Fresh | None = None,
        log: int = 0,
        ramp: bool = False,
    ) -> None:
        self.size = size
        self.signs = signs
        self.parents = parents
        self.shift = shift
        self.minus = minus
        self.profile = profile
        self.mirror = mirror
        self.matrix = matrix
        self.ramp = ramp
        degree = 0 if parents else len(shift)
        for parent in parents:
            degree += parent.degree
            log += parent.log
        for parent in minus:
            degree -= parent.degree
            log -= parent.log
        self.degree: int = degree
        self.log: int = log
        self.step: Step | None = None
        self._form: dict[Symbol, Fraction] | None = None
        self._counts: _Counts | None = None

    def turned(self, labels: Sequence[str], beside: Mapping[str, int]) -> Term:
        """The term with the signs of the rows or columns of a matrix that it meets, by their labels."""
        if not any([beside.get(label) for label in labels]):
            return self
        return self.derived(signs=tuple([s ^ beside.get(x, 0) for s, x in zip(self.signs, labels, strict=True)]))

    def derived(
        self,
        size: int | None = None,
        signs: tuple[int, ...] | None = None,
        parents: tuple[Term, ...] | None = None,
        shift: Shift = (),
        minus: tuple[Term, ...] = (),
        profile: Profile | Literal["same"] | None = "same",
        mirror: Mirror | Literal["same"] | None = "same",
        matrix: Fresh | None = None,
    ) -> Term:
        """A term that follows from this one alone, with the given fields changed."""
        return Term(
            self.size if size is None else size,
            self.signs if signs is None else signs,
            (self,) if parents is None else parents,
            shift,
            minus,
            self.profile if profile == "same" else profile,
            self.mirror if mirror == "same" else mirror,
            matrix,
        )

    @property
    def form(self) -> dict[Symbol, Fraction]:
        """The size as a linear form: coefficients of unknowns and growths."""
        if self._form is None:
            counted = self.counts.items()
            self._form = {symbol: _fraction(value) if isinstance(value, int) else value for symbol, value in counted}
        return self._form

    @property
    def counts(self) -> Mapping[Symbol, int | Fraction]:
        """The form with whole numbers where coefficients are whole: most are, and fractions are slow."""
        if self._counts is None:
            stack: list[Term] = [self]
            while stack:
                top = stack[-1]
                if top._counts is not None:
                    stack.pop()
                    continue
                missing = [t for t in (*top.parents, *top.minus) if t._counts is None]
                if missing:
                    stack.extend(missing)
                    continue
                top._counts = top._added()
                stack.pop()
        return self._counts or {}

    def _added(self) -> _Counts:
        """The form from those of the parents, once these are known; that of a single parent is shared."""
        if len(self.parents) == 1 and not self.minus and not self.shift:
            return self.parents[0]._counts or {}
        form = dict(self.parents[0]._counts or {}) if self.parents else {}
        more = [pair for term in self.parents[1:] for pair in (term._counts or {}).items()]
        less = [(symbol, -value) for term in self.minus for symbol, value in (term._counts or {}).items()]
        shift = [(symbol, value.numerator if value.denominator == 1 else value) for symbol, value in self.shift]
        cancelled = False
        for symbol, value in (*more, *less, *shift):
            form[symbol] = total = form[symbol] + value if symbol in form else value
            cancelled = cancelled or not total
        return {symbol: value for symbol, value in form.items() if value} if cancelled else form

    def __repr__(self) -> str:
        return f"Term({self.size}, {self.signs}{', log' if self.log else ''})"


@cache
def _fraction(value: int) -> Fraction:
    return Fraction(value)


class Raised(Term):
    """The size of another term to a power. Its form is a shift; `base` and `power` say where it comes from."""

    __slots__ = ("base", "power")

    def __init__(self, base: Term, power: Fraction) -> None:
        shift = tuple((symbol, value * power) for symbol, value in base.form.items())
        super().__init__(base.size * power.numerator // power.denominator, (), (), shift)
        self.base, self.power = base, power


class Mirrored(Term):
    """What a matrix gives back of what was its image: it is read twice."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Mirror:
    """What an image `W z` (or of the transpose) was made of: `W`, `z`, and on which axes of it they lie."""

    matrix: Fresh
    bit: int
    image: Term
    preimage: tuple[Term, ...]
    labels: tuple[tuple[str, int | None], ...]
    """For every growing axis of `z`: its label, and the position of the parameter's axis there (None: not on it)."""
    by: Term
    """The term of the matrix that made it."""
    beside: Mapping[str, int]
    """By label the signs of the rows or columns of the matrix that `z` met there."""

    def met(self) -> Iterator[Term]:
        """What the image was made of, as the matrix met it; made when it is asked for, which is seldom."""
        labels = tuple(label for label, _ in self.labels)
        return (z.turned(labels, self.beside) for z in self.preimage)

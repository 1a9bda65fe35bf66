"""What an optimizer is to the calculus: from the terms of a gradient to the terms of the update.

Every rule here is a gradient divided by its own size, times powers of that size, of the parameter's size and of the
axes, times the learning rate. The table of the rules is in `scalerules.optimizers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from .ops.laws import HALF, Labels, Outer, Piece, Scope, explicit
from .terms import Symbol, Term, decayed, largest

if TYPE_CHECKING:
    from .lower import Held
    from .ops.forms import Point

Shares = tuple[tuple[str, Fraction], ...]
"""Powers of the lengths of axes."""
Decay = Literal["decoupled", "independent", "coupled"]


@dataclass(frozen=True)
class Damping:
    """The number that a rule adds to what it divides by: `size(gradient)**degree * (product of its axes)**power`.

    At this size it acts alike at every scale; `matrices`: only of a matrix the axes count.
    """

    degree: int = 1
    power: Fraction = Fraction(0)
    matrices: bool = False


@dataclass(frozen=True)
class Scaling:
    """What an update carries beside the normalised gradient, at one step.

    `factor`: powers of the sizes of the gradient and of the parameter; `weight`: the parameter's largest term (None:
    exactly zero).
    """

    factor: Term | None
    weight: Term | None


@dataclass(frozen=True)
class Optimizer:
    """The law of one optimizer.

    `degree`: power of the gradient's size in the update (1: plain gradient, 0: normalised). `entrywise`: entries are
    made alike, so index profiles are reset. `power`: the update of a matrix is divided by `(fan_in fan_out)**power`,
    as rules do that act on singular values (of a gradient of bounded rank the largest is its size times the root of
    both); `exponents`: those of the two Gram matrices. `vectors`: every other parameter is divided by its own axes in
    the same way, otherwise the entrywise rule moves those. `adjust`: what the implementation multiplies the rate with.
    `relative`: the update is multiplied by the size of the parameter; it says by what instead where that is exactly
    zero (`one`, or the `gradient`'s size), and `floor`: one, for a parameter that started at zero. `damping`: its
    epsilon. `sides`: the names of the traces that damp the two factors of a matrix (over fan-in, over fan-out).

    Options of the question: `decay` (how weight decay enters), `clip` (by the global norm, the threshold `fixed` or
    `scaled`). `steady`: the twin of the rule without degree and parameter, by which the solver finds the others.
    """

    name: str
    reason: str
    source: str
    degree: Fraction = Fraction(0)
    entrywise: bool = True
    power: Fraction | None = None
    vectors: bool = False
    exponents: tuple[Fraction, Fraction] | None = None
    adjust: Literal["none", "spectral", "original", "match_rms"] = "none"
    relative: Literal["one", "floor", "gradient"] | None = None
    damping: Damping | None = None
    sides: tuple[str, str] | None = None
    decay: Decay = "decoupled"
    clip: Literal["fixed", "scaled"] | None = None
    steady: bool = False

    @property
    def normalised(self) -> bool:
        """Whether the update does not depend on the sizes of the gradient and of the parameter."""
        return self.steady or (self.degree == 0 and self.relative is None)

    @property
    def spectral(self) -> bool:
        """Whether a matrix moves as a whole, by its singular values."""
        return self.power is not None

    @property
    def eps(self) -> bool:
        """Whether there is an epsilon."""
        return self.damping is not None

    @property
    def gauge(self) -> Fraction:
        """By how much the rate falls when the multiplier of a parameter grows by one and its std falls by one.

        The gradient then grows by one: `1 + degree`; relative to a parameter that is smaller by one, one less.
        """
        return 1 + self.degree - (1 if self.relative else 0)

    @property
    def decay_gauge(self) -> Fraction:
        """By how much the exponent of weight decay grows when the multiplier of a parameter grows by one."""
        if self.decay == "independent":
            return Fraction(0)
        if self.decay == "coupled" and self.degree != 1:
            return Fraction(1 if self.relative == "one" else 2)
        return self.gauge

    def damping_gauge(self, name: str) -> int:
        """The same of a further damping: what a parameter reads carries its multiplier, Adafactor's floor falls."""
        if self.sides is None:
            return -1
        return 2 if name == self.sides[0] else 0

    @property
    def grain(self) -> int:
        """The denominator of the powers, by which sizes must be divisible."""
        return self.degree.denominator * (self.power or Fraction(0)).denominator

    # --- the update ------------------------------------------------------------------------------------------------

    def update(
        self, at: Point, held: Held, pieces: list[Piece], weights: Sequence[Piece] = ()
    ) -> tuple[list[Piece], Term | None, Scaling]:
        """The pieces of the update, the largest term of the gradient (None where it is exactly zero), the scaling.

        `weights` are the pieces of the parameter before the update.
        """
        tops = [(piece, entries(at, piece)) for piece in pieces]
        top = largest(t for _, t in tops if t is not None)
        scaling = self._scaling(at, held, top, weights)
        if top is None:
            return [], None, scaling
        rate = self._rate(at, held)
        factor = self._divided(rate, top, scaling)
        return [self._scaled(at, piece, factor, top) for piece, t in tops if t is not None], top, scaling

    def loss(self, at: Point, held: Held, top: Term, scaling: Scaling) -> Term:
        """What the update changes in the loss, to first order: update times gradient, summed over all entries."""
        rate = self._rate(at, held)
        factor = None if self.normalised else scaling.factor
        size, growths = rate.size + top.size + (factor.size if factor else 0), list(rate.shift)
        for i, axis in enumerate(held.axes):
            # a rule that makes entries alike meets the profile of the gradient once, others twice
            share = Fraction(max(0, 2 - (1 if self.entrywise else 2) * (top.profile[i] if top.profile else 0)), 2)
            size += int(at.ticks(axis) * share)
            growths.append((("growth", axis), share))
        return Term(size, (), (top, *((factor,) if factor else ())), tuple(growths))

    def _divided(self, rate: Term, top: Term, scaling: Scaling) -> Term:
        """What the gradient is multiplied by: the rate, over its size, times the scaling's factor."""
        factor = None if self.normalised else scaling.factor
        if factor is None:
            return Term(rate.size - top.size, (), (), rate.shift, (top,))
        if self.degree == 1 and self.relative is None:
            return rate
        return Term(rate.size + factor.size - top.size, (), (factor,), rate.shift, (top,))

    def _scaling(self, at: Point, held: Held, top: Term | None, weights: Sequence[Piece]) -> Scaling:
        weight = largest(t for t in (entries(at, piece) for piece in weights) if t is not None)
        if top is None:
            return Scaling(None, weight)
        factor = _power(top, self.degree)
        if self.relative:
            started = bool(weights and weights[0])
            if weight is not None and (started or self.relative != "floor"):
                factor = Term(factor.size + weight.size, (), (*((factor,) if self.degree else ()), weight))
            elif self.relative == "gradient":
                factor = Term(factor.size + top.size, (), (*((factor,) if self.degree else ()), top))
        return Scaling(factor, weight)

    def _rate(self, at: Point, held: Held) -> Term:
        """The learning rate and the powers of the axes."""
        ticks = at.unknown("lr", held.name)
        shift: list[tuple[Symbol, Fraction]] = [(("lr", held.name), Fraction(1))]
        for axis, share in self._axes(at, held):
            ticks += at.ticks(axis) * share.numerator // share.denominator
            shift.append((("growth", axis), share))
        return Term(ticks, (), (), tuple(shift))

    def _axes(self, at: Point, held: Held) -> Shares:
        if self.power is None:
            return ()
        if not held.matrix:
            return tuple((axis, -self.power) for axis in held.axes if axis != held.depth) if self.vectors else ()
        fans = [(axis, -self.power) for axis in (*held.fan_in, *held.fan_out)]
        grows_in, grows_out = (sum(at.ticks(axis) for axis in fan) for fan in (held.fan_in, held.fan_out))
        raised = [(axis, HALF) for axis in held.fan_out]
        lowered = [(axis, -HALF) for axis in held.fan_in]
        if self.adjust == "spectral" or (self.adjust == "original" and grows_out > grows_in):
            fans += raised + lowered
        elif self.adjust == "match_rms":
            fans += raised if grows_out >= grows_in else [(axis, HALF) for axis in held.fan_in]
        return tuple(fans)

    def _scaled(self, at: Scope, piece: Piece, factor: Term, top: Term) -> Piece:
        if isinstance(piece, Outer):
            factors = piece.factors
            if self.entrywise:
                factors = tuple((labels, tuple(_levelled(list(terms)))) for labels, terms in factors)
            return Outer(factors, piece.labels, factor)
        terms = _levelled(piece) if self.entrywise else piece
        return [t.derived(size=t.size + factor.size, parents=(t, factor)) for t in terms]

    # --- epsilon ---------------------------------------------------------------------------------------------------

    def damped(self, held: Held | None) -> tuple[int, Shares]:
        """The size of epsilon: a power of the gradient's size, and powers of axes."""
        if self.damping is None:
            return 0, ()
        power = self.damping.power
        if held is None or not power or (self.damping.matrices and not held.matrix):
            return self.damping.degree, ()
        axes = (*held.fan_in, *held.fan_out) if held.matrix and self.spectral else held.axes
        return self.damping.degree, tuple((axis, power) for axis in axes if axis != held.depth)


def traces(at: Scope, labels: Labels, factors: Sequence[tuple[Labels, tuple[Term, ...]]]) -> tuple[Term, Term]:
    """The traces of the covariances of what a parameter reads, and of the gradient at what reads it (the first factor).

    They are the largest eigenvalues of the two factors of K-FAC, to which its dampings are added.
    """
    behind = [label for label in labels if label in factors[0][0]]
    sums = ([label for label in labels if label not in behind], behind)
    tops = [largest(terms) or Term(0) for _, terms in factors]
    found: list[Term] = []
    for parts, gone in zip((tops[1:], tops[:1]), sums, strict=True):
        shift = tuple((("growth", label.partition("|")[0]), Fraction(1)) for label in gone)
        size = 2 * sum(part.size for part in parts) + sum(at.ticks(label) for label in gone)
        found.append(Term(size, (), (*parts, *parts), shift))
    return found[0], found[1]


def _power(term: Term, degree: Fraction) -> Term:
    """The size of a term to a power."""
    if degree == 1:
        return term
    if degree == 0:
        return Term(0)
    shift = tuple((symbol, value * degree) for symbol, value in term.form.items())
    return Term(term.size * degree.numerator // degree.denominator, (), (), shift)


def entries(at: Scope, piece: Piece) -> Term | None:
    """The largest entries of a piece of a gradient or an update."""
    if not isinstance(piece, Outer):
        return largest(piece)
    parts = [largest(terms) for _, terms in piece.factors]
    if any(part is None for part in parts):
        return None
    tops = [part for part in (*parts, piece.factor) if part is not None]
    profile = [0] * len(piece.labels)
    for (labels, _), part in zip(piece.factors, parts, strict=True):
        for label, halves in zip(labels, (part.profile if part else None) or (), strict=False):
            if label in piece.labels:
                profile[piece.labels.index(label)] += halves
    falls = tuple(decayed(halves) for halves in profile) if any(profile) else None
    return Term(sum(t.size for t in tops), (), tuple(tops), profile=falls)


def _levelled(terms: list[Term]) -> list[Term]:
    """A sign-like rule makes all entries along an axis alike: profiles are counted from the largest term's."""
    top = largest(terms)
    if top is None or top.profile is None:
        return terms
    flat = [0] * len(top.profile)
    return [
        t.derived(
            profile=tuple(max(0, h - g) for h, g in zip(t.profile or flat, top.profile, strict=True)) or None,
            mirror=None,
        )
        for t in terms
    ]


def explicit_if_summed(at: Scope, outer: Outer) -> Piece:
    """The gradient of a parameter that is shared along a growing axis is a sum over it: multiplied out."""
    inside = {label for labels, _ in outer.factors for label in labels} - set(outer.labels)
    small = len(outer.labels) <= 1
    return explicit(at, [outer], outer.labels) if inside or small else outer

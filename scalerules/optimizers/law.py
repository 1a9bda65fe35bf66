"""What an optimizer is to the calculus: from the terms of a gradient to the terms of the update.

Every update is the gradient divided by its own size, times powers of that size, of the parameter's size, of curvatures
and of the axes, times the learning rate. Which powers follows from the optimizer's formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Literal

from scalerules.ops.law import Point
from scalerules.ops.site import Held
from scalerules.terms.pieces import Outer, Piece
from scalerules.terms.sums import root_mean_square
from scalerules.terms.term import Symbol, Term, exponential

from .form import KINDS, Form, Formula, form
from .gradients import common, entries, largest, levelled_terms, raised
from .powers import BEHIND, GRADIENT, READ, TOGETHER, WEIGHT, Resolved
from .symbolic import Facts

Decay = Literal["decoupled", "independent", "coupled"]

RADIUS = "rho"
"""The name of what a perturbation is multiplied with, among the dampings of a rule."""


@dataclass(frozen=True)
class Scaling:
    """What an update carries beside the normalised gradient, at one step.

    `factor`: powers of the sizes of the gradient, of the parameter and of curvatures; `weight`: the parameter's largest
    term (None: exactly zero). `powers` are those of the whole update, `dampings` those of what stands beside dampings
    and `decayed` of what stands beside coupled decay, where the choices of the formula fall here.
    """

    factor: Term | None
    weight: Term | None
    powers: Resolved
    dampings: Mapping[str, Resolved]
    decayed: Resolved


@dataclass(frozen=True)
class Optimizer:
    """The law of one optimizer.

    `formula`: the update from the gradient, the parameter and its place, in the words of `vocabulary`. `perturbation`:
    by which, times a radius, parameters are moved before the gradient is taken (SAM). `exponents`: those of Shampoo's
    two Gram matrices. `file`: where it was read, and `original` the function there, if a
    user wrote it.

    Options of the question: `decay` (how weight decay enters), `clip` (by the global norm, the threshold `fixed` or
    `scaled`). `steady`: the twin of the rule without gradient and parameter, by which the solver finds the others;
    `unknown`: the kind of unknown that its rate is.
    """

    name: str
    reason: str
    source: str
    formula: Formula
    perturbation: Formula | None = None
    exponents: tuple[Fraction, Fraction] | None = None
    file: str | None = None
    original: Formula | None = None
    decay: Decay = "decoupled"
    clip: Literal["fixed", "scaled"] | None = None
    steady: bool = False
    unknown: Literal["lr", "update"] = "lr"

    def form(self, facts: Facts, state: str = "there") -> Form:
        """The law of one parameter."""
        return form(self.formula, facts, state)

    @property
    def kinds(self) -> list[Form]:
        """The laws of every kind of parameter."""
        return [self.form(facts) for facts in KINDS]

    @property
    def matrix(self) -> Form:
        """The law of a hidden matrix."""
        return self.form(KINDS[0])

    def normalised(self, held: Iterable[Held] = ()) -> bool:
        """Whether no update depends on the sizes of the gradient and of the parameter."""
        forms = [*self.kinds, *(self.form(facts_of(h)) for h in held)]
        return self.steady or all(one.normalised for one in forms)

    @property
    def spectral(self) -> bool:
        """Whether a matrix moves as a whole, by its singular values."""
        return self.matrix.whole

    @property
    def eps(self) -> bool:
        """Whether there is an epsilon."""
        return any("eps" in one.dampings for one in self.kinds)

    @property
    def relative(self) -> bool:
        """Whether an update is relative to its parameter."""
        return any(one.powers.reads(WEIGHT) for one in self.kinds)

    @property
    def sides(self) -> bool:
        """Whether it asks for what a parameter reads, and for the gradient behind it."""
        powers_of = [p for one in self.kinds for p in (one.powers, *one.dampings.values())]
        return any(powers.reads(READ, BEHIND) for powers in powers_of)

    @property
    def together(self) -> bool:
        """Whether it divides by the norm of all gradients."""
        return any(one.powers.reads(TOGETHER) for one in self.kinds)

    def grain(self, held: Iterable[Held] = ()) -> int:
        """The denominator of the powers, by which sizes must be divisible."""
        forms = [*self.kinds, *(self.form(facts_of(h)) for h in held)]
        return lcm(*(one.powers.grain for one in forms)) ** 2

    def guess(self, facts: Facts) -> Resolved:
        """The powers of the update where nothing is known of sizes: a choice falls on what comes first."""
        return self.form(facts).powers.resolved(lambda _: 0)

    # --- the update ------------------------------------------------------------------------------------------------

    def update(
        self, point: Point, held: Held, pieces: list[Piece], weights: Sequence[Piece] = (),
        sides: tuple[Term, Term] | None = None,
    ) -> tuple[list[Piece], Term | None, Scaling]:  # fmt: skip
        """The pieces of the update, the largest term of the gradient (None where it is exactly zero), the scaling.

        `weights` are the pieces of the parameter before the update, the first one its start; `sides` the traces of the
        covariances of what it reads and of the gradient behind it.
        """
        tops = [(piece, entries(point, piece)) for piece in pieces]
        top = largest(t for _, t in tops if t is not None)
        known = (entries(point, piece) for piece in weights)
        weight = largest(_typical(point, held, t) for t in known if t is not None)
        state = "zero" if weight is None else "there" if weights[0] else "late"
        law, terms = self.form(facts_of(held), state), _terms(point, held, top, weight, sides)
        size = _sizes(point, held, terms)
        powers = law.powers.resolved(size) if law.moves else {}
        dampings = {name: beside.resolved(size) for name, beside in law.dampings.items()}
        steady = self.form(facts_of(held)).normalised
        factor = None if top is None or steady else _factor(powers, terms)
        scaling = Scaling(factor, weight, powers, dampings, law.decayed.resolved(size))
        if top is None or not law.moves:
            return [], top, scaling
        rate = self.rate(point, held, scaling, top)
        pieces, over = [piece for piece, t in tops if t is not None], top
        if law.levelled:
            pieces = [_levelled(piece, law.whole) for piece in pieces]
        own = [t for t in (entries(point, piece) for piece in pieces) if t is not None]
        if law.levelled:  # a few entries are made as large as all others
            over = min(top, common(own, law.whole) or top, key=lambda t: t.size)
        full = rate if law.whole and steady and held.woven else None
        update: list[Piece] = []
        for piece, t in zip(pieces, own, strict=True):
            place = law.whole and steady and isinstance(piece, Outer)  # it has singular values of its own
            apart = t.size > over.size or (place and t.size < over.size)
            by = self._divided(rate, t if apart else over, scaling)
            update.append(_scaled(point, held, piece, by, full))
        return update, top, scaling

    def loss(self, point: Point, held: Held, seen: Term, top: Term, scaling: Scaling) -> Term:
        """What the update changes in the loss, to first order: update times gradient, summed over all entries.

        `seen` is the gradient as a step sees it, `top` that of which the update is made.
        """
        rate = self.rate(point, held, scaling, top)
        factor, levelled = None if self.steady else scaling.factor, self.form(facts_of(held)).levelled
        size, growths = rate.size + seen.size + (factor.size if factor else 0), list(rate.shift)
        for i, axis in enumerate(held.axes):
            # a rule that makes entries alike meets the profile of the gradient once, others twice
            decay = sum(t.profile[i] for t in ((seen,) if levelled else (seen, top)) if t.profile)
            share = Fraction(max(0, 2 - decay), 2)
            size += int(point.ticks(axis) * share)
            growths.append((("growth", axis), share))
        return Term(size, (), (seen, *((factor,) if factor else ())), tuple(growths))

    def _divided(self, rate: Term, top: Term, scaling: Scaling) -> Term:
        """What the gradient is multiplied by: the rate, over its size, times the scaling's factor."""
        factor = None if self.steady else scaling.factor
        if factor is None:
            return Term(rate.size - top.size, (), (), rate.shift, (top,))
        if factor is top:
            return rate
        return Term(rate.size + factor.size - top.size, (), (factor,), rate.shift, (top,))

    def rate(self, point: Point, held: Held, scaling: Scaling, top: Term | None = None) -> Term:
        """The learning rate and the powers of the axes; of rows without a gradient (words not seen) none is long."""
        ticks = Fraction(point.unknown(self.unknown, held.name))
        shift: list[tuple[Symbol, Fraction]] = [((self.unknown, held.name), Fraction(1))]
        for name, power in scaling.powers.items():
            for axis in axes_of(held, name):
                ticks += point.ticks(axis) * power
                shift.append((("growth", axis), power))
        whole = self.form(facts_of(held)).whole
        for axis, halves in zip(held.axes, (top and top.profile) or (), strict=False):
            if whole and exponential(halves):
                ticks += Fraction(point.ticks(axis), 2)
                shift.append((("growth", axis), Fraction(1, 2)))
        return Term(int(ticks), (), (), tuple(shift))


def facts_of(held: Held) -> Facts:
    """The facts of a parameter of the calculus."""
    return Facts(held.name, held.matrix, held.first, held.last)


def axes_of(held: Held, name: str) -> tuple[str, ...]:
    """The growing axes that an atom stands for; of what is no matrix, all entries are one side."""
    axes = {"fan_in": held.fan_in, "fan_out": held.fan_out, "entries": held.axes}.get(name, ())
    return tuple(axis for axis in axes if axis != held.depth)


def _terms(
    point: Point, held: Held, top: Term | None, weight: Term | None, sides: tuple[Term, Term] | None
) -> dict[str, Term]:
    """The terms that the atoms stand for; where nothing is known of the two sides, they make up the gradient."""
    by_atom = {GRADIENT: top, WEIGHT: weight}
    if sides is None and top is not None:
        growths = tuple((("growth", axis), Fraction(1)) for axis in (*held.fan_in, *held.fan_out))
        size = 2 * top.size + sum(point.ticks(name) for (_, name), _ in growths)
        sides = Term(0), Term(size, (), (top, top), growths)
    by_atom |= dict(zip((READ, BEHIND), sides or (None, None), strict=True))
    return {name: term for name, term in by_atom.items() if term is not None}


def _typical(point: Point, held: Held, weight: Term) -> Term:
    """The root mean square of a weight whose entries fall along an axis: what a norm of it sees."""
    if not weight.profile:
        return weight
    ticks, discount = root_mean_square(point, weight, held.axes)
    return weight.derived(size=ticks, shift=discount, profile=None)


def _sizes(point: Point, held: Held, terms: Mapping[str, Term]) -> Callable[[str], int]:
    def size(name: str) -> int:
        return terms[name].size if name in terms else sum(point.ticks(axis) for axis in axes_of(held, name))

    return size


def _factor(powers: Resolved, terms: Mapping[str, Term]) -> Term:
    """The part of an update's size that is not of axes, as a term."""
    parts = [raised(terms[name], power) for name, power in powers.items() if name in terms]
    if len(parts) < 2:
        return parts[0] if parts else Term(0)
    return Term(sum(part.size for part in parts), (), tuple(parts))


def _levelled(piece: Piece, whole: bool) -> Piece:
    if isinstance(piece, Outer):
        factors = tuple((labels, tuple(levelled_terms(list(terms), whole))) for labels, terms in piece.factors)
        return Outer(factors, piece.labels, piece.factor)
    return levelled_terms(piece, whole)


def _scaled(point: Point, held: Held, piece: Piece, by: Term, rate: Term | None) -> Piece:
    """A piece of the update: the gradient times what it is multiplied by.

    `rate`: singular values are made alike, those of a part of full rank too; they are as many as its shorter side is
    long, where those of another part are few.
    """
    if isinstance(piece, Outer):
        return Outer(piece.factors, piece.labels, by)
    full = None if rate is None else largest(t for t in piece if t.matrix and t.matrix.both)
    if rate is None or full is None:
        return [t.derived(size=t.size + by.size, parents=(t, by), matrix=t.matrix) for t in piece]
    short = min((held.fan_in, held.fan_out), key=lambda axes: sum(point.ticks(axis) for axis in axes))
    size = rate.size + sum(point.ticks(axis) for axis in short) // 2 - full.size
    shift = tuple((("growth", axis), Fraction(1, 2)) for axis in short)
    return [
        t.derived(size=t.size + size, parents=(t, rate), shift=shift, minus=(full,), matrix=t.matrix)
        if t.matrix and t.matrix.both
        else t.derived(size=t.size + by.size, parents=(t, by), matrix=t.matrix)
        for t in piece
    ]

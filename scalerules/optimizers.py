"""Optimizers as laws: from the terms of a gradient to the terms of the update.

An update is the gradient divided by its own size to a power, times fixed powers of the axes, times the learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from .errors import UnknownName
from .ops.laws import HALF, Outer, Piece, Scope, explicit
from .terms import Shift, Symbol, Term, largest

if TYPE_CHECKING:
    from .lower import Held
    from .ops.forms import Point


@dataclass(frozen=True)
class Optimizer:
    """The law of one optimizer.

    `normalised`: the update does not depend on the size of the gradient (entries of the size of the rate);
    `spectral`: of a matrix, the update has spectral norm one, so entries `1 / sqrt(fan_in fan_out)`, times the
    `adjust`ment that the implementation applies to the rate; other parameters then follow the entrywise rule.
    """

    name: str
    reason: str
    source: str
    normalised: bool = True
    spectral: bool = False
    adjust: Literal["none", "spectral", "original", "match_rms"] = "none"
    eps: bool = True

    def update(self, at: Point, held: Held, pieces: list[Piece]) -> tuple[list[Piece], Term | None]:
        """The pieces of the update, and the largest term of the gradient (None where it is exactly zero)."""
        tops = [(piece, entries(at, piece)) for piece in pieces]
        top = largest(t for _, t in tops if t is not None)
        if top is None:
            return [], None
        ticks, shift = self._rate(at, held)
        minus = (top,) if self.normalised else ()
        factor = Term(ticks - (top.size if self.normalised else 0), (), (), shift, minus)
        return [self._scaled(at, piece, factor, top) for piece, t in tops if t is not None], top

    def loss(self, at: Point, held: Held, top: Term) -> Term:
        """What the update changes in the loss, to first order: update times gradient, summed over all entries."""
        ticks, shift = self._rate(at, held)
        size, growths = ticks + (1 if self.normalised else 2) * top.size, list(shift)
        for i, axis in enumerate(held.axes):
            share = Fraction(max(0, 2 - 2 * (top.profile[i] if top.profile else 0)), 2)
            size += int(at.ticks(axis) * share)
            growths.append((("growth", axis), share))
        return Term(size, (), (top,) if self.normalised else (top, top), tuple(growths))

    def _rate(self, at: Point, held: Held) -> tuple[int, Shift]:
        ticks = at.unknown("lr", held.name)
        shift: list[tuple[Symbol, Fraction]] = [(("lr", held.name), Fraction(1))]
        if self.spectral and held.matrix:
            fans = [(axis, -HALF) for axis in (*held.fan_in, *held.fan_out)]
            grows_in, grows_out = (sum(at.ticks(axis) for axis in fan) for fan in (held.fan_in, held.fan_out))
            raised = [(axis, HALF) for axis in held.fan_out]
            lowered = [(axis, -HALF) for axis in held.fan_in]
            if self.adjust == "spectral" or (self.adjust == "original" and grows_out > grows_in):
                fans += raised + lowered
            elif self.adjust == "match_rms":
                fans += raised if grows_out >= grows_in else [(axis, HALF) for axis in held.fan_in]
            for axis, share in fans:
                ticks += at.ticks(axis) * share.numerator // share.denominator
                shift.append((("growth", axis), share))
        return ticks, tuple(shift)

    def _scaled(self, at: Scope, piece: Piece, factor: Term, top: Term) -> Piece:
        if isinstance(piece, Outer):
            factors = piece.factors
            if self.normalised:
                factors = tuple((labels, tuple(_levelled(list(terms)))) for labels, terms in factors)
            return Outer(factors, piece.labels, factor)
        terms = _levelled(piece) if self.normalised else piece
        return [t.derived(size=t.size + factor.size, parents=(t, factor)) for t in terms]


def entries(at: Scope, piece: Piece) -> Term | None:
    """The largest entries of a piece of a gradient or an update."""
    if not isinstance(piece, Outer):
        return largest(piece)
    parts = [largest(terms) for _, terms in piece.factors]
    if any(part is None for part in parts):
        return None
    tops = [part for part in (*parts, piece.factor) if part is not None]
    return Term(sum(t.size for t in tops), (), tuple(tops), log=any(t.log for t in tops))


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


_ADAM = (
    "Every entry is divided by its own recent size, so the update has the size of the rate and the gradient's signs."
)

OPTIMIZERS: dict[str, Optimizer] = {
    rule.name: rule
    for rule in [
        Optimizer("sgd", "The update is the gradient times the rate; momentum changes no size.",
                  "Robbins and Monro 1951; Polyak 1964", normalised=False, eps=False),
        Optimizer("adam", _ADAM, "Kingma and Ba 2015, arXiv 1412.6980"),
        Optimizer("adamw", _ADAM, "Loshchilov and Hutter 2019, arXiv 1711.05101"),
        Optimizer("rmsprop", _ADAM, "Tieleman and Hinton 2012"),
        Optimizer("adagrad", _ADAM, "Duchi, Hazan and Singer 2011"),
        Optimizer("lion", "The update is the sign of an average of gradients.", "Chen et al. 2023, arXiv 2302.06675",
                  eps=False),
        Optimizer("sign", "The update is the sign of the gradient.", "Bernstein et al. 2018, arXiv 1802.04434",
                  eps=False),
        Optimizer("muon", "A matrix moves by an orthogonal one: spectral norm one at bounded rank, entries "
                  "1/sqrt(fan_in fan_out); other parameters move by the sign-like rule.",
                  "Jordan et al. 2024; no adjustment of the rate", spectral=True, eps=False),
        Optimizer("muon-spectral", "As muon, the rate times sqrt(fan_out/fan_in).",
                  "Bernstein and Newhouse 2024, arXiv 2409.20325", spectral=True, adjust="spectral", eps=False),
        Optimizer("muon-original", "As muon, the rate times sqrt(max(1, fan_out/fan_in)).",
                  "torch.optim.Muon, adjust_lr_fn='original'", spectral=True, adjust="original", eps=False),
        Optimizer("muon-match-rms", "As muon, the rate times sqrt(max(fan_out, fan_in)).",
                  "Liu et al. 2025, arXiv 2502.16982; torch.optim.Muon, adjust_lr_fn='match_rms_adamw'",
                  spectral=True, adjust="match_rms", eps=False),
    ]
}  # fmt: skip


def optimizer(name: str) -> Optimizer:
    """The optimizer called `name`. Raises `UnknownName` with the nearest one."""
    if name not in OPTIMIZERS:
        raise UnknownName("optimizer", name, OPTIMIZERS)
    return OPTIMIZERS[name]


def explicit_if_summed(at: Scope, outer: Outer) -> Piece:
    """The gradient of a parameter that is shared along a growing axis is a sum over it: multiplied out."""
    inside = {label for labels, _ in outer.factors for label in labels} - set(outer.labels)
    small = len(outer.labels) <= 1
    return explicit(at, [outer], outer.labels) if inside or small else outer

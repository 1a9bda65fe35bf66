"""Static sparsity: a random mask that keeps a part `d` of the entries of a parameter, as a law on its pieces.

A mask of zeros and ones is its mean `d` plus a fresh random matrix of entries `d^(1/2)`: with the mean, an aligned sum
over `n` entries becomes one over `d n` of them, with the random part an independent one `(d n)^(1/2)`. The parameter
itself is a random matrix anyway: of entries `d^(1/2)` times its std, for the root mean square counts the zeros.
Source: Dey et al. 2024, "Sparse maximal update parameterization", arXiv 2405.15743, section 3 (static masks).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from scalerules.terms.pieces import Outer, Piece
from scalerules.terms.point import Scope
from scalerules.terms.term import Fresh, Shift, Term

HALF = Fraction(1, 2)


def root(ticks: int, shift: Shift) -> tuple[int, Shift]:
    """The square root of a factor."""
    return ticks // 2, tuple((symbol, share * HALF) for symbol, share in shift)


def masked(scope: Scope, key: str, axes: int, pieces: Sequence[Piece], density: tuple[int, Shift]) -> list[Piece]:
    """The pieces of an update of the parameter `key`, of `axes` growing axes, under its mask."""
    ticks, shift = root(*density)
    bit = scope.bit("mask", key)
    mask = Term(ticks, (bit,) * axes, (), shift, matrix=Fresh(f"{key} mask", bit) if axes > 1 else None)
    kept: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Outer):
            mean = Term(piece.factor.size + density[0], (), (piece.factor,), density[1])
            kept.append(Outer(piece.factors, piece.labels, mean))
            kept.append(Outer((*piece.factors, (piece.labels, (mask,))), piece.labels, piece.factor))
        else:
            terms = [t.derived(size=t.size + density[0], shift=density[1]) for t in piece]
            terms += [
                Term(t.size + ticks, tuple(s ^ bit for s in t.signs), (t, mask), profile=t.profile) for t in piece
            ]
            kept.append(terms)
    return kept

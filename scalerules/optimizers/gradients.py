"""What an optimizer's law asks of a gradient: its entries, its two traces, whether it is better multiplied out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from scalerules.terms.contraction import explicit
from scalerules.terms.pieces import Labels, Outer, Piece
from scalerules.terms.point import Scope
from scalerules.terms.term import SUMMABLE, Raised, Term, decayed, exponential


def traces(scope: Scope, labels: Labels, factors: Sequence[tuple[Labels, tuple[Term, ...]]]) -> tuple[Term, Term]:
    """The traces of the covariances of what a parameter reads, and of the gradient at what reads it (the first factor).

    They are the largest eigenvalues of the two factors of K-FAC, to which its dampings are added.
    """
    behind = [label for label in labels if label in factors[0][0]]
    sums = ([label for label in labels if label not in behind], behind)
    tops = [largest(terms) or Term(0) for _, terms in factors]
    covariances: list[Term] = []
    for parts, gone in zip((tops[1:], tops[:1]), sums, strict=True):
        shift = tuple((("growth", label.partition("|")[0]), Fraction(1)) for label in gone)
        size = 2 * sum(part.size for part in parts) + sum(scope.ticks(label) for label in gone)
        covariances.append(Term(size, (), (*parts, *parts), shift))
    return covariances[0], covariances[1]


def raised(term: Term, degree: Fraction) -> Term:
    """The size of a term to a power."""
    if degree == 1:
        return term
    if degree == 0:
        return Term(0)
    return Raised(term, degree)


def largest(terms: Iterable[Term]) -> Term | None:
    """The largest term of a gradient; of equally large ones that which falls least along an axis."""
    return max(terms, key=lambda t: (t.size, -min(t.profile or (0,)), -t.degree), default=None)


def entries(scope: Scope, piece: Piece) -> Term | None:
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
    for i, label in enumerate(piece.labels):
        if label in piece.labels[:i]:  # a diagonal has one entry in a row
            profile[i] = SUMMABLE
    falls = tuple(decayed(halves) for halves in profile) if any(profile) else None
    return Term(sum(t.size for t in tops), (), tuple(tops), profile=falls)


def common(terms: Sequence[Term], whole: bool) -> Term | None:
    """The largest term of all entries: a few that are larger (where the largest of a row stands) do not count.

    `whole`: a rule that moves a matrix by its singular values counts them.
    """
    bulk = [] if whole else [t for t in terms if not any(map(exponential, t.profile or ()))]
    return largest(bulk or terms)


def levelled_terms(terms: list[Term], whole: bool = False) -> list[Term]:
    """A sign-like rule makes all entries along an axis alike: profiles are counted from the largest term's.

    But for entries of which every term falls exponentially: any epsilon is larger. `whole`: it moves a matrix by its
    singular values, and rows of which the largest term does not at all. Of entry by entry rules a few entries that are
    larger than all others are made as large as these.
    """
    top = common(terms, whole)
    if top is None:
        return terms
    if any(t.size > top.size for t in terms):
        terms = [t.derived(size=top.size, parents=(top,), matrix=t.matrix) if t.size > top.size else t for t in terms]
    if top.profile is None:
        return terms
    flat = [0] * len(top.profile)
    level = [
        0 if exponential(g) and (whole or all(t.profile and exponential(t.profile[i]) for t in terms)) else g
        for i, g in enumerate(top.profile)
    ]
    return [
        t.derived(
            profile=tuple(max(0, h - g) for h, g in zip(t.profile or flat, level, strict=True)) or None,
            mirror=None,
            matrix=t.matrix,
        )
        for t in terms
    ]


def explicit_if_summed(scope: Scope, outer: Outer) -> Piece:
    """The gradient of a parameter that is shared along a growing axis is a sum over it: multiplied out.

    So is one that another matrix stands in, entry by entry.
    """
    inside = {label for labels, _ in outer.factors for label in labels} - set(outer.labels)
    small = len(outer.labels) <= 1
    full = any(term.matrix for _, terms in outer.factors for term in terms)
    return explicit(scope, [outer], outer.labels) if inside or small or full else outer

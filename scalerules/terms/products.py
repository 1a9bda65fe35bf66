"""The products of two lists of terms, summed over the axes that they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from .merging import merged, rank
from .pieces import HALF, Labels, axis_name
from .point import Scope
from .sums import Axes, Part
from .term import KEPT, Mirror, Profile, Shift, Term


def inner(scope: Scope, a: list[Term], b: list[Term], label: str) -> list[Term]:
    """An inner product of two vectors: the best aligned pair, or the two largest at half the growth."""
    growth = scope.ticks(label)
    axis = axis_name(label)
    best: dict[int, Term] = {}
    for term in a:
        known = best.get(term.signs[0])
        if known is None or rank(term) > rank(known):
            best[term.signs[0]] = term
    aligned: tuple[int, Term, Term] | None = None
    for term in b:
        partner = best.get(term.signs[0])
        if partner is None or (term.signs[0] and not scope.coherent):
            continue
        if aligned is None or partner.size + term.size > aligned[0]:
            aligned = (partner.size + term.size, partner, term)
    top_a, top_b = max(a, key=rank), max(b, key=rank)
    half = top_a.size + top_b.size + growth // 2
    if aligned is not None and aligned[0] + growth >= half:
        size, first, second = aligned
        shift: Shift = ((("growth", axis), Fraction(1)),)
        return [Term(size + growth, (), (first, second), shift)]
    return [Term(half, (), (top_a, top_b), ((("growth", axis), HALF),))]


class _Product(NamedTuple):
    """The best product of one signature and profile so far, and what it remembers."""

    size: int
    log: int
    left: Part
    right: Part
    mirror: Mirror | None


_Best = dict[tuple[int, Profile | None], _Product]


def products(
    scope: Scope,
    la: Labels,
    a: list[Term],
    lb: Labels,
    b: list[Term],
    gone: list[str],
    result: Labels,
) -> list[Term]:
    """All products of two lists of terms, summed over `gone`."""
    axes = Axes(scope, (la, lb), gone, result, _sources(a) | _sources(b))
    left, right = (sorted(axes.parts(k, terms), key=_rank, reverse=True) for k, terms in enumerate((a, b)))
    floor = axes.floor(left, right)  # below it no product is kept
    alike = not gone and {t.profile for t in a} | {t.profile for t in b} == {None}
    best: _Best = {}
    profile, more, logs = None, 0, 0
    for x in left:
        laws = axes.laws(x) if not alike else []
        for y in right:
            size = x.size + y.size
            if size < floor:
                break
            if not alike:
                profile, more, logs = laws[y.kind]
                size += more
            signs, log = x.signs ^ y.signs, x.log + y.log + logs
            known = best.get((signs, profile))
            if known is None or size > known.size or (size == known.size and log > known.log):
                best[signs, profile] = _Product(size, log, x, y, _remembered(x, y, signs))
            elif size == known.size and log == known.log and known.mirror is None:
                mirror = _remembered(x, y, signs)
                if mirror is not None or x.degree + y.degree < known.left.degree + known.right.degree:
                    best[signs, profile] = _Product(size, log, x, y, mirror)
    terms: list[Term] = []
    for (signs, profile), (size, log, x, y, mirror) in _uncrowded(best, scope.reach, axes):
        fresh = None
        if x.term.matrix and la == result and not any(y.term.signs):
            fresh = x.term.matrix
        elif y.term.matrix and lb == result and not any(x.term.signs):
            fresh = y.term.matrix
        parents, more = (x.term, y.term), log - x.log - y.log
        terms.append(Term(size, axes.apart(signs), parents, axes.shift(x, y), (), profile, mirror, fresh, more))
    return merged(terms, scope.reach)


def _sources(terms: Sequence[Term]) -> int:
    """All sources that occur in the signs of some terms."""
    masks = 0
    for term in terms:
        for mask in term.signs:
            masks |= mask
    return masks


def _rank(part: Part) -> tuple[int, int]:
    return part.size, -part.degree


def _remembered(x: Part, y: Part, signs: int) -> Mirror | None:
    """What an image was made of is remembered as long as its source is among those of the product."""
    return x.term.mirror if signs & x.mirror else y.term.mirror if signs & y.mirror else None


def _uncrowded(best: _Best, reach: int, axes: Axes) -> Iterable[tuple[tuple[int, Profile | None], _Product]]:
    """The products that `merged` keeps: those of few sources, and the largest of those with many."""
    floor = max(product.size for product in best.values()) - reach
    crowd = [item for item in best.items() if item[1].size >= floor and axes.crowded(item[0][0])]
    if len(crowd) <= KEPT:
        return best.items()
    crowd.sort(key=lambda item: (item[1].size, -item[1].left.degree - item[1].right.degree), reverse=True)
    gone = {key for key, _ in crowd[KEPT:]}
    return [item for item in best.items() if item[0] not in gone]

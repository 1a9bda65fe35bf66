"""The products of two lists of terms, summed over the axes that they share."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from fractions import Fraction

from .merging import Merged, among_alike, left_out, merged, profiled, rank
from .pieces import HALF, Labels, axis_name
from .point import Scope
from .sums import Axes, Part
from .term import KEPT, Fresh, Mirror, Profile, Shift, Term


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


def scaled(a: list[Term], b: list[Term], reach: int) -> list[Term]:
    """The products of a tensor with a number; one of the two is a single term without axes."""
    behind = len(b) == 1
    whole, number = (a, b[0]) if behind else (b, a[0])
    done = isinstance(whole, Merged) and whole.reach == reach and not profiled(whole)
    terms: list[Term] = []
    for term in sorted(whole, key=rank, reverse=True):
        each = term if term.signs else number
        mirror, profile = each.mirror, each.profile
        if mirror is not None and not any([mirror.bit & mask for mask in each.signs]):
            mirror = None
        if profile is not None and not any(profile):
            profile = None
        parents = (term, number) if behind else (number, term)
        terms.append(Term(term.size + number.size, each.signs, parents, (), (), profile, mirror, each.matrix))
    return Merged(terms, reach) if done else merged(terms, reach)


AND = "\n"
"""Between the names of the matrices of which one is the product, entry by entry: no name of a parameter has it."""

_Product = tuple[int, int, int, int, Term, Term]
"""The best product of one signature and profile so far: size, log, degree, the images that it remembers, factors."""
_Kind = tuple[int, Profile | None]
"""A signature and a profile."""
_Best = dict[_Kind, _Product]


def products(
    scope: Scope,
    la: Labels,
    a: list[Term],
    lb: Labels,
    b: list[Term],
    gone: Sequence[str],
    result: Labels,
) -> list[Term]:
    """All products of two lists of terms, summed over `gone`."""
    axes = Axes(scope, (la, lb), gone, result, _sources(a) | _sources(b))
    left, right = (sorted(axes.parts(k, terms), key=_rank, reverse=True) for k, terms in enumerate((a, b)))
    best = _formed(axes, left, right) if result else _largest(axes, left, right)
    terms: list[Term] = []
    for (signs, profile), (size, log, _, remembers, x, y) in _uncrowded(best, axes):
        fresh = _fresh(x, la, y, lb, result)
        mirror = _remembered(x, y, axes.apart(remembers)) if remembers else None
        more = log - x.log - y.log
        terms.append(Term(size, axes.apart(signs), (x, y), axes.shift(x, y), (), profile, mirror, fresh, more))
    return merged(terms, scope.reach)


def _fresh(x: Term, lx: Labels, y: Term, ly: Labels, result: Labels) -> Fresh | None:
    """Whether the product of two terms, nothing of which is summed over, is a fresh matrix as one of them is.

    Of a matrix that is read for the second time nothing random is left: what else is in the product is.
    """
    whole_x, whole_y = {*lx} == {*result}, {*ly} == {*result}
    if x.matrix and y.matrix and whole_x and whole_y:
        names = set(x.matrix.name.split(AND)) ^ set(y.matrix.name.split(AND))
        made = Fresh(AND.join(sorted(names)), x.matrix.source ^ y.matrix.source, order=x.matrix.order)
        return made.turned([lx.index(label) for label in result]) if names else None
    for one, labels, whole, other in ((x, lx, whole_x, y), (y, ly, whole_y, x)):
        if one.matrix and whole and not (any(other.signs) and (not one.matrix.both or knows(other, one))):
            return one.matrix.turned([labels.index(label) for label in result])
    return None


def knows(term: Term, fresh: Term) -> bool:
    """Whether a term has to do with a fresh matrix: it carries a source of it."""
    sources = fresh.matrix.source if fresh.matrix else 0
    for mask in () if sources else fresh.signs:
        sources |= mask
    return any([mask & sources for mask in term.signs])


def _formed(axes: Axes, left: list[Part], right: list[Part]) -> _Best:
    """The best product of every signature and profile; of many sources only those that may be among the largest."""
    floor = axes.floor(left, right)  # below it no product is kept
    first, enough = [floor] * KEPT, floor  # sizes of some of many sources: none that is smaller is kept
    falling, most = [-y[0] for y in right], axes.most
    best: _Best = {}
    for x in left:
        size_x, log_x, degree_x, signs_x, mirror_x, _, term_x = x
        laws = axes.laws(x)
        end = bisect_right(falling, size_x - floor)
        near = min(end, bisect_right(falling, size_x + most - enough))
        partners = right[:near] + axes.few(signs_x, right[near:end])
        for size_y, log_y, degree_y, signs_y, mirror_y, kind, term_y in partners:
            profile, more, log = laws[kind]
            size, log, signs = size_x + size_y + more, log_x + log_y + log, signs_x ^ signs_y
            known = best.get((signs, profile))
            if known is None or size > known[0] or (size == known[0] and log > known[1]):
                if known is None and size > enough and axes.crowded(signs):
                    first = sorted([*first, size], reverse=True)[:KEPT]
                    enough = first[-1]
                remembers = signs & (mirror_x | mirror_y)
                best[signs, profile] = size, log, degree_x + degree_y, remembers, term_x, term_y
            elif size == known[0] and log == known[1] and not known[3]:
                remembers = signs & (mirror_x | mirror_y)
                if remembers or degree_x + degree_y < known[2]:
                    best[signs, profile] = size, log, degree_x + degree_y, remembers, term_x, term_y
    return best


def _largest(axes: Axes, left: list[Part], right: list[Part]) -> _Best:
    """The best product where no axis is left."""
    best: _Product | None = None
    top, profile = right[0][0] + axes.most, None
    for x in left:
        size_x, log_x, degree_x, _, _, _, term_x = x
        if best is not None and size_x + top < best[0]:
            break
        laws = axes.laws(x)
        for size_y, log_y, degree_y, _, _, kind, term_y in right:
            if best is not None and size_x + size_y + axes.most < best[0]:
                break
            profile, more, log = laws[kind]
            size, log, degree = size_x + size_y + more, log_x + log_y + log, degree_x + degree_y
            if best is None or (size, log, -degree) > (best[0], best[1], -best[2]):
                best = size, log, degree, 0, term_x, term_y
    return {(0, profile): best} if best is not None else {}


def _sources(terms: Sequence[Term]) -> int:
    """All sources that occur in the signs of some terms."""
    masks = 0
    for term in terms:
        for mask in term.signs:
            masks |= mask
    return masks


def _rank(part: Part) -> tuple[int, int]:
    return part[0], -part[2]


def _remembered(x: Term, y: Term, remembered: tuple[int, ...]) -> Mirror | None:
    """What an image was made of is remembered as long as its source is among those of the product."""
    return x.mirror if x.mirror is not None and any([x.mirror.bit & mask for mask in remembered]) else y.mirror


def _uncrowded(best: _Best, axes: Axes) -> Iterable[tuple[_Kind, _Product]]:
    """The products of few sources, and the highest of those with many."""
    crowd = {key: (product[0], -product[2]) for key, product in best.items() if axes.crowded(key[0])}
    gone = left_out(crowd, lambda key: among_alike(axes.apart(key[0]), key[1]))
    return [item for item in best.items() if item[0] not in gone] if gone else best.items()

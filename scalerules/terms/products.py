"""The products of two lists of terms, summed over the axes that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import product

from .merging import merged, rank
from .pieces import HALF, Labels, axis_name
from .point import Scope
from .term import Mirror, Profile, Shift, Term, decayed


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
    places = [(la.index(x) if x in la else -1, lb.index(x) if x in lb else -1) for x in result]
    sums = [(la.index(x) if x in la else -1, lb.index(x) if x in lb else -1, x) for x in gone]
    best: dict[tuple[tuple[int, ...], Profile | None], tuple[int, Term, Term, Mirror | None, int]] = {}
    plain = not any(t.profile for t in (*a, *b))
    growths = [scope.ticks(label) for _, _, label in sums]
    least = sum(growth // 2 for growth in growths) if plain else 0
    rising = any(h < 0 for t in (*a, *b) for h in t.profile or ())
    for ta, tb in _near(a, b, scope.reach + sum(growths) - least, not rising):
        sa, sb = ta.signs, tb.signs
        signs = tuple(sa[i] if j < 0 else sb[j] if i < 0 else sa[i] ^ sb[j] for i, j in places)
        size, log = ta.size + tb.size, ta.log + tb.log
        if plain:
            for (i, j, _), growth in zip(sums, growths, strict=True):
                mask_a, mask_b = sa[i] if i >= 0 else 0, sb[j] if j >= 0 else 0
                size += growth if _aligned(scope, mask_a, mask_b) else growth // 2
            key: tuple[tuple[int, ...], Profile | None] = (signs, None)
        else:
            laws = [_sum_law(scope, ta, tb, i, j, g) for (i, j, _), g in zip(sums, growths, strict=True)]
            size += sum(law[0] for law in laws)
            log += sum(law[2] for law in laws)
            key = (signs, _profile(ta, tb, places))
        known = best.get(key)
        if known is None or (size, log) > (known[0], known[4]):
            best[key] = (size, ta, tb, _kept_mirror(ta, tb, signs), log)
        elif (size, log) == (known[0], known[4]) and known[3] is None:
            mirror = _kept_mirror(ta, tb, signs)
            if mirror is not None or ta.degree + tb.degree < known[1].degree + known[2].degree:
                best[key] = (size, ta, tb, mirror, log)
    terms: list[Term] = []
    for (signs_key, profile), (size, ta, tb, mirror, log) in best.items():
        summed = zip(sums, growths, strict=True)
        shares = [(axis_name(x), _sum_law(scope, ta, tb, i, j, growth)[1]) for (i, j, x), growth in summed]
        shift = tuple((("growth", axis), share) for axis, share in shares if share)
        fresh = next((x.matrix for x, y, lx in ((ta, tb, la), (tb, ta, lb)) if lx == result and not any(y.signs)), None)
        more = log - ta.log - tb.log
        terms.append(Term(size, signs_key, (ta, tb), shift, (), profile, mirror, fresh, more))
    return merged(terms, scope.reach)


def _near(a: list[Term], b: list[Term], reach: int, falling: bool) -> Iterator[tuple[Term, Term]]:
    """The pairs whose product may come within reach of the largest; of entries that rise along an axis, all."""
    if not falling:
        yield from product(a, b)
        return
    a, b = sorted(a, key=rank, reverse=True), sorted(b, key=rank, reverse=True)
    floor = a[0].size + b[0].size - reach
    for ta in a:
        for tb in b:
            if ta.size + tb.size < floor:
                break
            yield ta, tb


def _kept_mirror(ta: Term, tb: Term, signs: Sequence[int]) -> Mirror | None:
    """What an image was made of is remembered as long as its source is among those of the product."""
    if ta.mirror is None and tb.mirror is None:
        return None
    for mirror in (ta.mirror, tb.mirror):
        if mirror is not None:
            for mask in signs:
                if mask & mirror.bit:
                    return mirror
    return None


def _aligned(scope: Scope, mask_a: int, mask_b: int) -> bool:
    """Whether nothing random is left on an axis; of two factors with randomness, where coherence is counted."""
    return mask_a == mask_b and (scope.coherent or not mask_a)


def _sum_law(scope: Scope, ta: Term, tb: Term, i: int, j: int, growth: int) -> tuple[int, Fraction, bool]:
    """Ticks, share of the growth, and whether a logarithm appears, of the sum over one axis.

    An aligned sum of `i**-h` contributes `g max(0, 1 - h)` (a logarithm at h = 1), an independent one
    `g max(0, 1/2 - h)` (the root of one at h = 1/2). Profiles count halves.
    """
    aligned = _aligned(scope, ta.signs[i] if i >= 0 else 0, tb.signs[j] if j >= 0 else 0)
    decay = (ta.profile[i] if i >= 0 and ta.profile else 0) + (tb.profile[j] if j >= 0 and tb.profile else 0)
    halves = (2 if aligned else 1) - decay
    share = max(0, halves)
    return growth * share // 2, share_of(share), bool(decay and halves == 0 and growth)


@cache
def share_of(count: int) -> Fraction:
    """So many halves."""
    return Fraction(count, 2)


def _profile(ta: Term, tb: Term, places: list[tuple[int, int]]) -> tuple[int, ...] | None:
    profile = tuple(
        decayed((ta.profile[i] if i >= 0 and ta.profile else 0) + (tb.profile[j] if j >= 0 and tb.profile else 0))
        for i, j in places
    )
    return profile if any(profile) else None

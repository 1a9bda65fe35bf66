"""The contraction law: how large a sum of products is, from what is left on the axes that are summed over.

Every multilinear operation (dense layers, gains, attention, convolutions, outer products of gradients, sums over depth)
goes through `contract`; it is the only place that knows of alignment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Protocol

from scalerules.terms import Mirror, Profile, Shift, Symbol, Term, decayed, merged, rank

from .entrywise import entrywise

HALF = Fraction(1, 2)
Labels = tuple[str, ...]


class Scope(Protocol):
    """What the laws ask of the point at which sizes are propagated."""

    reach: int
    coherent: bool

    def ticks(self, label: str) -> int: ...
    def bit(self, *key: object) -> int: ...


@dataclass(frozen=True, slots=True)
class Outer:
    """A change of a parameter, kept as the factors of its contraction: `factor * einsum(factors) -> labels`."""

    factors: tuple[tuple[Labels, tuple[Term, ...]], ...]
    labels: Labels
    factor: Term


def axis_name(label: str) -> str:
    """The axis of a label: labels are written `axis|word`, unique within one contraction."""
    return label.partition("|")[0]


Piece = list[Term] | Outer
Operand = Sequence[Piece]


def contract(
    at: Scope, operands: Sequence[tuple[Labels, Operand]], result: Labels
) -> list[Term]:
    """Terms of `einsum(operands) -> result`, all over growing axes only.

    For every axis that is summed over: nothing left on it, `s^g` (law of large numbers); sources left, `s^(g/2)`
    (central limit); a fresh matrix, `s^(g/2)` and a fresh image, and for the image of a transpose the mirror term.
    """
    terms: list[Term] = []
    for pieces in product(*(pieces for _, pieces in operands)):
        flat: list[tuple[Labels, list[Term]]] = []
        factors: list[Term] = []
        for number, ((labels, _), piece) in enumerate(zip(operands, pieces, strict=True)):
            if isinstance(piece, Outer):
                flat.extend(_renamed(piece, labels, number))
                factors.append(piece.factor)
            else:
                flat.append((labels, piece))
        terms.extend(_times(_contract_flat(at, flat, result), factors))
    return merged(terms, at.reach)


def explicit(at: Scope, pieces: Operand, labels: Labels) -> list[Term]:
    """The pieces of one operand multiplied out to terms."""
    if all(isinstance(piece, list) for piece in pieces):
        return merged((term for piece in pieces for term in piece), at.reach)  # type: ignore[union-attr]
    return contract(at, [(labels, pieces)], labels)


def _renamed(outer: Outer, labels: Labels, number: int) -> list[tuple[Labels, list[Term]]]:
    """The factors of an outer product with the parameter's labels of this use; the others made unique."""
    here = dict(zip(outer.labels, labels, strict=True))
    flat: list[tuple[Labels, list[Term]]] = []
    for names, terms in outer.factors:
        new = tuple(here.get(name, f"{name}'{number}") for name in names)
        flat.append((new, list(terms)))
    return flat


def _times(terms: list[Term], factors: list[Term]) -> list[Term]:
    if not factors:
        return terms
    extra = sum(factor.size for factor in factors)
    return [t.derived(size=t.size + extra, parents=(t, *factors)) for t in terms]


def _contract_flat(
    at: Scope, flat: list[tuple[Labels, list[Term]]], result: Labels
) -> list[Term]:
    """Pairwise contraction: always the pair that sums an axis away soonest, fresh matrices last."""
    flat = [_summed(at, flat, index, result) for index in range(len(flat))]
    if any(not terms for _, terms in flat):
        return []
    while len(flat) > 1:
        i, j = _best_pair(flat, result)
        others = [part for index, part in enumerate(flat) if index not in (i, j)]
        keep = set(result).union(*(labels for labels, _ in others))
        flat = [*others, _pair(at, flat[i], flat[j], keep)]
        if not flat[-1][1]:
            return []
    labels, terms = flat[0]
    if labels != result:
        order = [labels.index(label) for label in result]
        terms = [
            t.derived(
                signs=tuple(t.signs[i] for i in order),
                profile=t.profile and tuple(t.profile[i] for i in order),
            )
            for t in terms
        ]
    return terms


def _summed(
    at: Scope, flat: list[tuple[Labels, list[Term]]], index: int, result: Labels
) -> tuple[Labels, list[Term]]:
    """One operand, summed over the axes that no other operand and not the result have."""
    labels, terms = flat[index]
    elsewhere = set(result).union(*(other for i, (other, _) in enumerate(flat) if i != index))
    if all(label in elsewhere for label in labels):
        return labels, terms
    return _pair(at, (labels, terms), ((), [Term(0)]), elsewhere)


def _best_pair(flat: list[tuple[Labels, list[Term]]], result: Labels) -> tuple[int, int]:
    def cost(i: int, j: int) -> tuple[int, int, int]:
        outside = set(result).union(*(labels for k, (labels, _) in enumerate(flat) if k not in (i, j)))
        joint = {*flat[i][0], *flat[j][0]}
        gone = len(joint - outside)
        fresh = any(term.matrix for part in (flat[i], flat[j]) for term in part[1])
        return (fresh, -gone, len(joint))

    pairs = [(i, j) for i in range(len(flat)) for j in range(i + 1, len(flat))]
    return min(pairs, key=lambda pair: cost(*pair)) if len(pairs) > 1 else pairs[0]


def _pair(
    at: Scope,
    left: tuple[Labels, list[Term]],
    right: tuple[Labels, list[Term]],
    keep: set[str],
) -> tuple[Labels, list[Term]]:
    (la, a), (lb, b) = left, right
    if len(a) == 1 and a[0].matrix:
        (la, a), (lb, b) = (lb, b), (la, a)
    gone = [label for label in dict.fromkeys(la + lb) if label not in keep]
    result = tuple(label for label in dict.fromkeys(la + lb) if label in keep)
    if len(b) == 1 and b[0].matrix and any(label in gone for label in lb) and any(label in keep for label in lb):
        return result, _image(at, la, a, lb, b[0], result)
    if not result and len(gone) == 1 and len(la) == len(lb) == 1 and not any(t.profile for t in (*a, *b)):
        return result, _inner(at, a, b, gone[0])
    if la == lb == result and len(result) == 1 and not any(t.profile for t in (*a, *b)):
        return result, entrywise(a, b, at.reach)
    return result, _products(at, la, a, lb, b, gone, result)


def _inner(at: Scope, a: list[Term], b: list[Term], label: str) -> list[Term]:
    """An inner product of two vectors: the best aligned pair, or the two largest at half the growth."""
    growth = at.ticks(label)
    axis = axis_name(label)
    best: dict[int, Term] = {}
    for term in a:
        known = best.get(term.signs[0])
        if known is None or rank(term) > rank(known):
            best[term.signs[0]] = term
    aligned: tuple[int, Term, Term] | None = None
    for term in b:
        partner = best.get(term.signs[0])
        if partner is None or (term.signs[0] and not at.coherent):
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


def _products(
    at: Scope,
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
    growths = [at.ticks(label) for _, _, label in sums]
    least = sum(growth // 2 for growth in growths) if plain else 0
    rising = any(h < 0 for t in (*a, *b) for h in t.profile or ())
    for ta, tb in _near(a, b, at.reach + sum(growths) - least, not rising):
        sa, sb = ta.signs, tb.signs
        signs = tuple(sa[i] if j < 0 else sb[j] if i < 0 else sa[i] ^ sb[j] for i, j in places)
        size, log = ta.size + tb.size, ta.log + tb.log
        if plain:
            for (i, j, _), growth in zip(sums, growths, strict=True):
                mask_a, mask_b = sa[i] if i >= 0 else 0, sb[j] if j >= 0 else 0
                size += growth if _aligned(at, mask_a, mask_b) else growth // 2
            key: tuple[tuple[int, ...], Profile | None] = (signs, None)
        else:
            laws = [_sum_law(at, ta, tb, i, j, g) for (i, j, _), g in zip(sums, growths, strict=True)]
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
        shares = [(axis_name(x), _sum_law(at, ta, tb, i, j, g)[1]) for (i, j, x), g in zip(sums, growths, strict=True)]
        shift = tuple((("growth", axis), share) for axis, share in shares if share)
        terms.append(Term(size, signs_key, (ta, tb), shift, profile=profile, mirror=mirror, log=log - ta.log - tb.log))
    return merged(terms, at.reach)


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


def _aligned(at: Scope, mask_a: int, mask_b: int) -> bool:
    """Whether nothing random is left on an axis; of two factors with randomness, where coherence is counted."""
    return mask_a == mask_b and (at.coherent or not mask_a)


def _sum_law(at: Scope, ta: Term, tb: Term, i: int, j: int, growth: int) -> tuple[int, Fraction, bool]:
    """Ticks, share of the growth, and whether a logarithm appears, of the sum over one axis.

    An aligned sum of `i**-h` contributes `g max(0, 1 - h)` (a logarithm at h = 1), an independent one
    `g max(0, 1/2 - h)` (the root of one at h = 1/2). Profiles count halves.
    """
    aligned = _aligned(at, ta.signs[i] if i >= 0 else 0, tb.signs[j] if j >= 0 else 0)
    decay = (ta.profile[i] if i >= 0 and ta.profile else 0) + (tb.profile[j] if j >= 0 and tb.profile else 0)
    halves = (2 if aligned else 1) - decay
    share = max(0, halves)
    return growth * share // 2, _half(share), bool(decay and halves == 0 and growth)


@cache
def _half(count: int) -> Fraction:
    """So many halves."""
    return Fraction(count, 2)


def _profile(ta: Term, tb: Term, places: list[tuple[int, int]]) -> tuple[int, ...] | None:
    profile = tuple(
        decayed((ta.profile[i] if i >= 0 and ta.profile else 0) + (tb.profile[j] if j >= 0 and tb.profile else 0))
        for i, j in places
    )
    return profile if any(profile) else None


def _image(
    at: Scope, lx: Labels, x: list[Term], lw: Labels, w: Term, result: Labels
) -> list[Term]:
    """A fresh Gaussian matrix applied to `x`: one image per sign pattern on the axes that it does not touch.

    The mirror term: `W W^T z` is `s^g var(W) z`, `g` the growth of the axes summed over.
    """
    summed = [label for label in (*lw, *lx) if label not in result]
    summed = list(dict.fromkeys(summed))
    kept = [label for label in lw if label in result]
    positions = frozenset(lw.index(label) for label in kept)
    bit = at.bit("image", w.matrix, positions)
    index_x = {label: i for i, label in enumerate(lx)}
    rest = [label for label in result if label not in lw]
    labels_z = tuple((label, lw.index(label) if label in lw else None) for label in lx)
    groups: dict[tuple[tuple[int, ...], Profile | None], list[tuple[int, Shift, int, Term]]] = {}
    for term in x:
        size, log = term.size + w.size, 0
        shift: list[tuple[Symbol, Fraction]] = []
        for label in summed:
            decay = term.profile[index_x[label]] if term.profile and label in index_x else 0
            growth = at.ticks(label)
            aligned = label not in lw and not term.signs[index_x[label]]
            halves = max(0, (2 if aligned else 1) - decay)
            size += growth * halves // 2
            log += bool(decay == 1 and growth)
            shift.append((("growth", axis_name(label)), _half(halves)))
        profile = tuple(
            term.profile[index_x[label]] if term.profile and label in index_x else 0
            for label in result
        )
        key = (tuple(term.signs[index_x[label]] for label in rest), profile if any(profile) else None)
        groups.setdefault(key, []).append((size, tuple(s for s in shift if s[1]), log, term))
    terms: list[Term] = []
    for (rest_signs, profile), members in groups.items():
        size, shares, log, top = max(members, key=lambda member: (member[0], -member[3].degree))
        signs_of = dict(zip(rest, rest_signs, strict=True))
        signs = tuple(bit if label in kept else signs_of[label] for label in result)
        image = Term(size, signs, (top, w), shares, profile=profile, log=log)
        preimage = tuple(member[3] for member in members)
        image.mirror = Mirror(str(w.matrix), bit, image, preimage, labels_z)
        terms.append(image)
    if at.coherent:
        terms.extend(_mirrored(at, lx, x, lw, w, result))
    return terms


def _mirrored(
    at: Scope, lx: Labels, x: Iterable[Term], lw: Labels, w: Term, result: Labels
) -> list[Term]:
    terms: list[Term] = []
    for term in x:
        mirror = term.mirror
        if mirror is None or mirror.matrix != w.matrix:
            continue
        on_w = {lw.index(label): term.signs[i] for i, label in enumerate(lx) if label in lw}
        if set(on_w.values()) != {mirror.bit}:
            continue
        was = {position: i for i, (_, position) in enumerate(mirror.labels) if position is not None}
        shared = [position for position in was if position in on_w]
        summed = [label for label in lw if label not in result]
        if len(on_w) + len(was) - len(shared) != len(lw):
            continue
        rest = [label for label in result if label not in lw]
        old_rest = [i for i, (_, position) in enumerate(mirror.labels) if position is None]
        if len(old_rest) != len(rest):
            continue
        growth = sum(at.ticks(label) for label in summed)
        shift = tuple((("growth", axis_name(label)), Fraction(1)) for label in summed)
        offset = term.size - mirror.image.size + 2 * w.size + growth
        rest_now = [term.signs[lx.index(label)] for label in rest]
        for z in mirror.preimage:
            if [z.signs[i] for i in old_rest] != rest_now:
                continue
            signs: list[int] = []
            profile: list[int] = []
            usable = True
            for label in result:
                if label in lw:
                    position = lw.index(label)
                    if position not in was:
                        usable = False
                        break
                    signs.append(z.signs[was[position]])
                    profile.append(z.profile[was[position]] if z.profile else 0)
                else:
                    signs.append(term.signs[lx.index(label)])
                    profile.append(term.profile[lx.index(label)] if term.profile else 0)
            if usable:
                parents, kept = (z, term, w, w), tuple(profile) if any(profile) else None
                terms.append(Term(z.size + offset, tuple(signs), parents, shift, (mirror.image,), kept))
    return terms

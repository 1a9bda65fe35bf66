"""What a random matrix makes of a vector: a fresh image, and the mirror of what was its image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from .pieces import Labels, axis_name
from .point import Scope
from .sums import share_of
from .term import Mirror, Profile, Shift, Symbol, Term

Place = tuple[bool, int]
"""An axis of what an image was made of (True) or of the image, by its number."""


def image_of(scope: Scope, lx: Labels, x: list[Term], lw: Labels, w: Term, result: Labels) -> list[Term]:
    """A fresh Gaussian matrix applied to `x`: one image per sign pattern on the axes that it does not touch.

    The mirror term: `W W^T z` is `s^g var(W) z`, `g` the growth of the axes summed over.
    """
    bit = scope.bit("image", w.matrix, frozenset(lw.index(label) for label in lw if label in result))
    rest = [lx.index(label) for label in result if label not in lw]
    lonely = [place for place, label in enumerate(lx) if label not in lw and label not in result]
    laws: dict[object, _Law] = {}
    groups: dict[tuple[tuple[int, ...], Profile | None], list[tuple[int, _Law, Term]]] = {}
    for term in x:
        alike = term.profile, *[not term.signs[place] for place in lonely]
        law = laws.get(alike)
        if law is None:
            law = laws[alike] = _law(scope, lx, term, lw, result)
        key = tuple([term.signs[place] for place in rest]), law.profile
        groups.setdefault(key, []).append((term.size + w.size + law.more, law, term))
    labels_z = tuple((label, lw.index(label) if label in lw else None) for label in lx)
    terms: list[Term] = []
    for (kept, profile), members in groups.items():
        size, law, top = max(members, key=lambda member: (member[0], -member[2].degree))
        others = iter(kept)
        signs = tuple([bit if label in lw else next(others) for label in result])
        image = Term(size, signs, (top, w), law.shift, profile=profile, log=law.log)
        image.mirror = Mirror(str(w.matrix), bit, image, tuple([member[2] for member in members]), labels_z)
        terms.append(image)
    return [*terms, *_mirrored(scope, lx, x, lw, w, result)] if scope.coherent else terms


class _Law(NamedTuple):
    """What the sums over the axes that are not kept add: ticks, shares of growths, powers of a logarithm; what is left.

    `profile`: along the axes of the image.
    """

    more: int
    shift: Shift
    log: int
    profile: Profile | None


def _law(scope: Scope, lx: Labels, term: Term, lw: Labels, result: Labels) -> _Law:
    more, log = 0, 0
    shift: list[tuple[Symbol, Fraction]] = []
    for label in dict.fromkeys((*lw, *lx)):
        if label in result:
            continue
        place, growth = lx.index(label) if label in lx else -1, scope.ticks(label)
        decay = term.profile[place] if term.profile and place >= 0 else 0
        aligned = label not in lw and not term.signs[place]
        halves = max(0, (2 if aligned else 1) - decay)
        more, log = more + growth * halves // 2, log + bool(decay == 1 and growth)
        if halves:
            shift.append((("growth", axis_name(label)), share_of(halves)))
    profile = tuple(term.profile[lx.index(x)] if term.profile and x in lx else 0 for x in result)
    return _Law(more, tuple(shift), log, profile if any(profile) else None)


def _mirrored(scope: Scope, lx: Labels, x: Iterable[Term], lw: Labels, w: Term, result: Labels) -> list[Term]:
    """What comes back of what was an image of this matrix, or of its transpose: along what the image was made of."""
    summed = [label for label in lw if label not in result]
    growth = sum(scope.ticks(label) for label in summed)
    shift = tuple((("growth", axis_name(label)), Fraction(1)) for label in summed)
    terms: list[Term] = []
    for term in x:
        mirror = term.mirror
        places = _places(lx, term, lw, mirror, result) if mirror and mirror.matrix == w.matrix else None
        if mirror is None or places is None:
            continue
        offset = term.size - mirror.image.size + 2 * w.size + growth
        untouched = [i for i, (_, position) in enumerate(mirror.labels) if position is None]
        now = [term.signs[place] for before, place in places if not before]
        for z in mirror.preimage:
            if [z.signs[i] for i in untouched] == now:
                signs = tuple((z if before else term).signs[place] for before, place in places)
                profile = tuple(_decay(z if before else term, place) for before, place in places)
                kept = profile if any(profile) else None
                terms.append(Term(z.size + offset, signs, (z, term, w, w), shift, (mirror.image,), kept))
    return terms


def _places(lx: Labels, term: Term, lw: Labels, mirror: Mirror, result: Labels) -> Sequence[Place] | None:
    """Where every axis of the result comes from: what the image was made of, or the image; None where they do not fit.

    The image has to lie on the axes of the matrix that it was made on, and both together on all of them.
    """
    on_w = {lw.index(label): term.signs[i] for i, label in enumerate(lx) if label in lw}
    was = {position: i for i, (_, position) in enumerate(mirror.labels) if position is not None}
    if set(on_w.values()) != {mirror.bit} or len(on_w.keys() | was.keys()) != len(lw):
        return None
    places: list[Place] = []
    for label in result:
        if label not in lw:
            places.append((False, lx.index(label)))
        elif lw.index(label) in was:
            places.append((True, was[lw.index(label)]))
        else:
            return None
    untouched = sum(position is None for _, position in mirror.labels)
    return places if sum(not before for before, _ in places) == untouched else None


def _decay(term: Term, place: int) -> int:
    return term.profile[place] if term.profile else 0

"""What a random matrix makes of a vector: a fresh image, and the mirror of what was its image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from .pieces import Labels, axis_name
from .point import Scope
from .sums import sum_law
from .term import Mirror, Profile, Shift, Term

Place = tuple[bool, int]
"""An axis of what an image was made of (True) or of the image, by its number."""


def image_of(scope: Scope, lx: Labels, x: list[Term], lw: Labels, w: Term, result: Labels) -> list[Term]:
    """A fresh Gaussian matrix applied to `x`: one image per sign pattern on the axes that it does not touch.

    The mirror term: `W W^T z` is `s^g var(W) z`, `g` the growth of the axes summed over.
    """
    bit = scope.bit("image", w.matrix, frozenset(lw.index(label) for label in lw if label in result))
    rest = [lx.index(label) for label in result if label not in lw]
    laws: dict[Profile | None, _Law] = {}
    groups: dict[tuple[tuple[int, ...], Profile | None], list[tuple[int, _Law, Term]]] = {}
    for term in x:
        law = laws.get(term.profile)
        if law is None:
            law = laws[term.profile] = _law(scope, lx, term.profile, lw, result)
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


def _law(scope: Scope, lx: Labels, x: Profile | None, lw: Labels, result: Labels) -> _Law:
    """The law of all terms that decay alike."""
    decays = dict(zip(lx, x, strict=True)) if x else {}
    gone = [label for label in lw if label not in result]
    sums = [sum_law(False, decays.get(label, 0), scope.ticks(label)) for label in gone]
    shares = zip(gone, sums, strict=True)
    shift = tuple((("growth", axis_name(label)), share) for label, (_, share, _) in shares if share)
    profile = tuple(decays.get(label, 0) for label in result)
    more, log = sum(more for more, _, _ in sums), sum(log for *_, log in sums)
    return _Law(more, shift, log, profile if any(profile) else None)


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

"""What a random matrix makes of a vector: a fresh image, and the mirror of what was its image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .pieces import Labels, axis_name
from .point import Scope
from .sums import sum_law
from .term import Fresh, Mirror, Mirrored, Profile, Shift, Term

Place = tuple[bool, int]
"""An axis of what an image was made of (True) or of the image, by its number."""


def image_of(scope: Scope, lx: Labels, x: list[Term], lw: Labels, w: Term, result: Labels) -> list[Term]:
    """A fresh Gaussian matrix applied to `x`: one image per sign pattern on the axes that it does not touch.

    The mirror term: `W W^T z` is `s^g var(W) z`, `g` the growth of the axes summed over.
    """
    matrix = w.matrix
    if matrix is None:
        return []
    bit = scope.bit("image", matrix.name, frozenset(matrix.place(i) for i, label in enumerate(lw) if label in result))
    beside = {label: mask ^ matrix.source for label, mask in zip(lw, w.signs, strict=True)}
    rest = [lx.index(label) for label in result if label in lx]
    laws: dict[Profile | None, _Law] = {}
    groups: dict[tuple[tuple[int, ...], Profile | None], list[tuple[int, _Law, Term]]] = {}
    for term in x:
        law = laws.get(term.profile)
        if law is None:
            law = laws[term.profile] = _law(scope, lx, term.profile, lw, result)
        key = tuple([term.signs[place] for place in rest]), law.profile
        groups.setdefault(key, []).append((term.size + w.size + law.more, law, term))
    labels_z = tuple((label, matrix.place(lw.index(label)) if label in lw else None) for label in lx)
    terms: list[Term] = []
    for (kept, profile), members in groups.items():
        size, law, top = max(members, key=lambda member: (member[0], -member[2].degree))
        others = dict(zip([label for label in result if label in lx], kept, strict=True))
        signs = tuple([(bit ^ beside[x] if x in lw else 0) ^ others.get(x, 0) for x in result])
        both = f"({top.matrix.name}.{matrix.name})" if top.matrix else ""
        fresh = Fresh(both, 0) if both and _full(scope, lx, lw, result) else None
        image = Term(size, signs, (top, w), law.shift, profile=profile, matrix=fresh, log=law.log)
        made_of = tuple([member[2] for member in members])
        image.mirror = Mirror(matrix, bit, image, made_of, labels_z, w, beside)
        terms.append(image)
    return [*terms, *_mirrored(scope, lx, x, lw, w, result, beside)] if scope.coherent else terms


def _full(scope: Scope, lx: Labels, lw: Labels, result: Labels) -> bool:
    """Whether the product of two fresh matrices is like one: the axis in between is as long as the shorter side."""
    both = {*lx} & {*lw}
    between, *sides = (
        sum(scope.ticks(label) for label in labels) for labels in (both - {*result}, {*lx} - both, {*lw} - both)
    )
    return between >= min(sides) > 0


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


def _mirrored(
    scope: Scope, lx: Labels, x: Iterable[Term], lw: Labels, w: Term, result: Labels, beside: Mapping[str, int]
) -> list[Term]:
    """What comes back of what was an image of this matrix, or of its transpose: along what the image was made of."""
    summed = [label for label in lw if label not in result]
    terms: list[Term] = []
    for each in x:
        mirror = each.mirror
        if mirror is None or w.matrix is None or mirror.matrix != w.matrix:
            continue
        term = each.turned(lx, beside)
        places = _places(lx, term, lw, mirror, result, w.matrix)
        if places is None:
            continue
        decays = dict(zip(lx, term.profile, strict=True)) if term.profile else {}
        sums = [sum_law(True, decays.get(label, 0), scope.ticks(label)) for label in summed]
        shares = zip(summed, sums, strict=True)
        shift = tuple((("growth", axis_name(label)), share) for label, (_, share, _) in shares if share)
        offset = term.size - mirror.image.size + w.size + mirror.by.size + sum(more for more, _, _ in sums)
        untouched = [i for i, (_, position) in enumerate(mirror.labels) if position is None]
        now = [term.signs[place] for before, place in places if not before]
        for z in mirror.met():
            if [z.signs[i] for i in untouched] == now:
                signs = tuple((z if before else term).signs[place] for before, place in places)
                signs = tuple(mask ^ beside.get(label, 0) for mask, label in zip(signs, result, strict=True))
                profile = tuple(_decay(z if before else term, place) for before, place in places)
                kept = profile if any(profile) else None
                parents = (z, term, w, mirror.by)
                log = sum(log for *_, log in sums)
                terms.append(Mirrored(z.size + offset, signs, parents, shift, (mirror.image,), kept, log=log))
    return terms


def _places(
    lx: Labels, term: Term, lw: Labels, mirror: Mirror, result: Labels, matrix: Fresh
) -> Sequence[Place] | None:
    """Where every axis of the result comes from: what the image was made of, or the image; None where they do not fit.

    The image has to lie on the axes of the matrix that it was made on, and both together on all of them.
    """
    on = {label: matrix.place(i) for i, label in enumerate(lw)}
    on_w = {on[label]: term.signs[i] for i, label in enumerate(lx) if label in on}
    was = {position: i for i, (_, position) in enumerate(mirror.labels) if position is not None}
    if set(on_w.values()) != {mirror.bit} or len(on_w.keys() | was.keys()) != len(lw):
        return None
    places: list[Place] = []
    for label in result:
        if label not in on:
            places.append((False, lx.index(label)))
        elif on[label] in was:
            places.append((True, was[on[label]]))
        else:
            return None
    untouched = sum(position is None for _, position in mirror.labels)
    return places if sum(not before for before, _ in places) == untouched else None


def _decay(term: Term, place: int) -> int:
    return term.profile[place] if term.profile else 0

"""What a random matrix makes of a vector: a fresh image, and the mirror of what was its image."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from .pieces import Labels, axis_name
from .point import Scope
from .products import share_of
from .term import Mirror, Profile, Shift, Symbol, Term


def image_of(scope: Scope, lx: Labels, x: list[Term], lw: Labels, w: Term, result: Labels) -> list[Term]:
    """A fresh Gaussian matrix applied to `x`: one image per sign pattern on the axes that it does not touch.

    The mirror term: `W W^T z` is `s^g var(W) z`, `g` the growth of the axes summed over.
    """
    summed = [label for label in (*lw, *lx) if label not in result]
    summed = list(dict.fromkeys(summed))
    kept = [label for label in lw if label in result]
    positions = frozenset(lw.index(label) for label in kept)
    bit = scope.bit("image", w.matrix, positions)
    index_x = {label: i for i, label in enumerate(lx)}
    rest = [label for label in result if label not in lw]
    labels_z = tuple((label, lw.index(label) if label in lw else None) for label in lx)
    groups: dict[tuple[tuple[int, ...], Profile | None], list[tuple[int, Shift, int, Term]]] = {}
    for term in x:
        size, log = term.size + w.size, 0
        shift: list[tuple[Symbol, Fraction]] = []
        for label in summed:
            decay = term.profile[index_x[label]] if term.profile and label in index_x else 0
            growth = scope.ticks(label)
            aligned = label not in lw and not term.signs[index_x[label]]
            halves = max(0, (2 if aligned else 1) - decay)
            size += growth * halves // 2
            log += bool(decay == 1 and growth)
            shift.append((("growth", axis_name(label)), share_of(halves)))
        profile = tuple(term.profile[index_x[label]] if term.profile and label in index_x else 0 for label in result)
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
    if scope.coherent:
        terms.extend(_mirrored(scope, lx, x, lw, w, result))
    return terms


def _mirrored(scope: Scope, lx: Labels, x: Iterable[Term], lw: Labels, w: Term, result: Labels) -> list[Term]:
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
        growth = sum(scope.ticks(label) for label in summed)
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

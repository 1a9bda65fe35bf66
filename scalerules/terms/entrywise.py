"""Products entry by entry of two tensors with one growing axis: gates, and every chain rule through a function.

Of the products of two lists of terms those are kept that `merging.uncrowded` keeps: all of few sources, and the
highest ones of many.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from .edges import Found, Part, best_of_few, best_of_many
from .merging import among_alike, left_out, rank
from .term import KEPT, MOST_SOURCES, Term

SMALL = 3000
"""So few products are formed one by one."""


def entrywise(a: Sequence[Term], b: Sequence[Term], reach: int, kept: int = KEPT, mirrors: bool = True) -> list[Term]:
    """The largest product of every signature, none more than `reach` below the largest of all.

    Of those of many sources the `kept` highest. Without `mirrors` no product remembers what an image was made of.
    """
    left, right = _parts(a, mirrors), _parts(b, mirrors)
    floor = left[0][0] + right[0][0] - reach
    if len(left) * len(right) <= SMALL:
        found = _all(left, right, floor, kept)
    else:
        found = sorted([*best_of_few(left, right, floor), *best_of_many(left, right, floor, kept)], key=itemgetter(0))
    return [
        # What an image was made of is remembered as long as its source is among those of the product.
        Term(x.size + y.size, (mask,), (x, y), mirror=(x if mask & one else y).mirror if remembers else None)
        for _, mask, remembers, (_, _, _, one, x), (_, _, _, _, y) in found
    ]


def _parts(terms: Sequence[Term], mirrors: bool) -> list[Part]:
    ordered = sorted(terms, key=rank, reverse=True)
    return [(t.size, t.signs[0], t.degree, t.mirror.bit if mirrors and t.mirror else 0, t) for t in ordered]


def _all(left: Sequence[Part], right: Sequence[Part], floor: int, kept: int) -> list[Found]:
    """The same, from all products."""
    best: dict[int, tuple[int, int, int, Part, Part]] = {}
    for x in left:
        size_x, mask_x, degree_x, image_x, _ = x
        for y in right:
            size_y, mask_y, degree_y, image_y, _ = y
            size = size_x + size_y
            if size < floor:
                break
            mask = mask_x ^ mask_y
            known = best.get(mask)
            if known is None or size > known[0]:
                best[mask] = size, degree_x + degree_y, mask & (image_x | image_y), x, y
            elif size == known[0] and not known[2]:
                remembers = mask & (image_x | image_y)
                if remembers or degree_x + degree_y < known[1]:
                    best[mask] = size, degree_x + degree_y, remembers, x, y
    crowd = {mask: (size, -degree) for mask, (size, degree, *_) in best.items() if mask.bit_count() > MOST_SOURCES}
    for mask in left_out(crowd, lambda mask: among_alike((mask,)), kept):
        del best[mask]
    return [(0, mask, bool(remembers), x, y) for mask, (_, _, remembers, x, y) in best.items()]

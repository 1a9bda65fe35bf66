"""Products entry by entry of two tensors with one growing axis: gates, and every chain rule through a function.

Of the products of two lists of terms only those are formed that `merging.uncrowded` keeps: all of few sources, and the
largest ones of many. What comes out is what all products would give, in the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from .merging import rank
from .term import KEPT, MOST_SOURCES, Mirror, Term

Standing = tuple[int, int, int]
"""Of what is kept of one mask: size, how few parameters it is a product of, and how early it comes; larger is first."""


SMALL = 1000
"""So few products are all formed."""
FEW = 6
"""So few masks are all compared."""


class _Part(NamedTuple):
    """A term as the products see it; `mirror` is the source of the image that it remembers (0: of none)."""

    size: int
    mask: int
    degree: int
    mirror: int
    term: Term


def entrywise(a: Sequence[Term], b: Sequence[Term], reach: int, kept: int = KEPT, mirrors: bool = True) -> list[Term]:
    """The largest product of every signature, none more than `reach` below the largest of all.

    Of those of many sources the `kept` largest. Without `mirrors` no product remembers what an image was made of.
    """
    left, right = _parts(a, mirrors), _parts(b, mirrors)
    floor = left[0].size + right[0].size - reach
    few = len(left) * len(right) <= SMALL
    index, many = None, list[int]()
    if not few:
        index = _Index(right)
        many = _largest_of_many(left, index, floor, kept)
    best: dict[int, tuple[int, int, int, Term, Term]] = {}
    for size_a, mask_a, degree_a, mirror_a, ta in left:
        for size_b, mask_b, degree_b, mirror_b, tb in index.near(mask_a, many) if index else right:
            size = size_a + size_b
            if size < floor:
                break
            mask = mask_a ^ mask_b
            known = best.get(mask)
            if known is None or size > known[0]:
                best[mask] = size, degree_a + degree_b, mask & (mirror_a | mirror_b), ta, tb
            elif size == known[0] and not known[2]:
                remembers = mask & (mirror_a | mirror_b)
                if remembers or degree_a + degree_b < known[1]:
                    best[mask] = size, degree_a + degree_b, remembers, ta, tb
    crowd = [mask for mask in best if mask.bit_count() > MOST_SOURCES] if few else []
    for mask in sorted(crowd, key=lambda mask: (best[mask][0], -best[mask][1]), reverse=True)[kept:]:
        del best[mask]
    return [
        Term(size, (mask,), (ta, tb), mirror=_remembered(ta, tb, mask) if remembers else None)
        for mask, (size, _, remembers, ta, tb) in best.items()
    ]


def _remembered(ta: Term, tb: Term, mask: int) -> Mirror | None:
    """What an image was made of is remembered as long as its source is among those of the product."""
    return ta.mirror if ta.mirror is not None and mask & ta.mirror.bit else tb.mirror


def _parts(terms: Sequence[Term], mirrors: bool) -> list[_Part]:
    ordered = sorted(terms, key=rank, reverse=True)
    return [_Part(t.size, t.signs[0], t.degree, t.mirror.bit if mirrors and t.mirror else 0, t) for t in ordered]


class _Index:
    """Terms in the order of their ranks, by mask, by source, and by number of sources."""

    def __init__(self, parts: list[_Part]) -> None:
        self.parts = parts
        self.places: dict[int, list[int]] = {}
        self._holding: dict[int, list[int]] = {}
        self._numbers: list[list[int]] = [[] for _ in range(MOST_SOURCES + 1)]
        for place, part in enumerate(parts):
            sources = _sources(part.mask)
            self.places.setdefault(part.mask, []).append(place)
            for source in sources:
                self._holding.setdefault(source, []).append(place)
            if len(sources) <= MOST_SOURCES:
                self._numbers[len(sources)].append(place)

    def near(self, mask: int, also: Collection[int]) -> list[_Part]:
        """The terms whose product with one of this mask has few sources, or has one of the masks `also`; in order."""
        parts, sources = self.parts, _sources(mask)
        open_ = {p for source in sources for p in self._holding.get(source, ())}
        found = {p for p in open_ if (parts[p].mask ^ mask).bit_count() <= MOST_SOURCES}
        for few in self._numbers[: max(0, MOST_SOURCES + 1 - len(sources))]:  # what shares none adds all of its own
            found.update(few)
        found.update(p for other in also for p in self.places.get(mask ^ other, ()))
        return [parts[p] for p in sorted(found)]


def _sources(mask: int) -> list[int]:
    """The bits of a mask."""
    found: list[int] = []
    while mask:
        found.append(mask & -mask)
        mask &= mask - 1
    return found


def _largest_of_many(left: list[_Part], right: _Index, floor: int, kept: int) -> list[int]:
    """The masks of the `kept` largest products of many sources.

    Products are looked at in the order of their ranks. What is kept of a mask may be of lower rank than the first that
    is found, for it prefers what remembers an image.
    """
    levels = _levels(left), _levels(right.parts)
    ranks = [(x[0] + y[0], x[1] + y[1], x, y) for x in levels[0] for y in levels[1] if x[0] + y[0] >= floor]
    found: dict[int, Standing] = {}
    last: tuple[int, int] | None = None
    for size, degree, x, y in sorted(ranks, reverse=True):
        if last is not None and (size, degree) < last:
            break
        masks = {mask_a ^ mask_b for mask_a in levels[0][x] for mask_b in levels[1][y]}
        open_ = {mask for mask in masks if mask.bit_count() > MOST_SOURCES and mask not in found}
        few, missing = len(open_) <= FEW, kept
        for mask in open_ if few else _as_they_come(open_, left, right.parts):
            found[mask] = _standing(mask, left, right, floor)
            missing -= not few and found[mask][:2] == (size, degree)
            if not missing:  # no other one is of higher rank, or as high and earlier
                break
        if len(found) >= kept:
            last = sorted(found.values(), reverse=True)[kept - 1][:2]
    return sorted(found, key=found.__getitem__, reverse=True)[:kept]


def _as_they_come(masks: set[int], left: list[_Part], right: list[_Part]) -> Iterator[int]:
    """These masks of products in the order in which the products come."""
    rest = set(masks)
    for part in left:
        for other in right:
            if part.mask ^ other.mask in rest:
                rest.discard(part.mask ^ other.mask)
                yield part.mask ^ other.mask


def _levels(parts: list[_Part]) -> dict[tuple[int, int], list[int]]:
    """The masks of every rank."""
    levels: dict[tuple[int, int], list[int]] = {}
    for part in parts:
        levels.setdefault((part.size, -part.degree), []).append(part.mask)
    return levels


def _standing(mask: int, left: list[_Part], right: _Index, floor: int) -> Standing:
    """What `entrywise` would keep of one mask."""
    size, degree, remembers, first = floor - 1, 0, 0, 0
    for i, part in enumerate(left):
        for j in right.places.get(mask ^ part.mask, ()):
            other = right.parts[j]
            together, count = part.size + other.size, part.degree + other.degree
            if together < floor:
                break
            first = first or -(i * len(right.parts) + j) - 1
            if together > size:
                size, degree, remembers = together, count, mask & (part.mirror | other.mirror)
            elif together == size and not remembers and (count < degree or mask & (part.mirror | other.mirror)):
                degree, remembers = count, mask & (part.mirror | other.mirror)
    return size, -degree, first

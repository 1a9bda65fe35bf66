"""Products entry by entry of two tensors with one growing axis: gates, and every chain rule through a function.

Of the products of two lists of terms only those are formed that `merging.uncrowded` keeps: all of few sources, and the
largest ones of many. What comes out is what all products would give, in the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import combinations

from .merging import rank
from .term import KEPT, MOST_SOURCES, Mirror, Term

SMALL = 800
"""So few products are all formed."""
TRIES = 32
"""So many masks are looked up in the hope that the first ones are the largest."""
TIED = 2
"""So many times the products of one term are looked at in the hope that the largest of many sources are among them."""


_Part = tuple[int, int, int, int, Term]
"""A term as the products see it: size, mask, degree, and the source of the image that it remembers (0: of none)."""
_Best = tuple[int, int, int, Term, Term]
"""What is kept of one mask: size, degree, the sources whose images it remembers, both factors."""
_Found = dict[int, _Best]


def entrywise(a: Sequence[Term], b: Sequence[Term], reach: int, kept: int = KEPT, mirrors: bool = True) -> list[Term]:
    """The largest product of every signature, none more than `reach` below the largest of all.

    Of those of many sources the `kept` largest. Without `mirrors` no product remembers what an image was made of.
    """
    left, right = _parts(a, mirrors), _parts(b, mirrors)
    floor = left[0][0] + right[0][0] - reach
    few = len(left) * len(right) <= SMALL
    best = None if few else _Products(left, right, floor).found(kept)
    if best is None:
        best = _all(left, right, floor)
        crowd = [mask for mask in best if mask.bit_count() > MOST_SOURCES]
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
    return [(t.size, t.signs[0], t.degree, t.mirror.bit if mirrors and t.mirror else 0, t) for t in ordered]


def _all(left: list[_Part], right: list[_Part], floor: int) -> _Found:
    """What is kept of every mask, from all products: the largest; as large, the first one that remembers an image."""
    best: _Found = {}
    for size_a, mask_a, degree_a, mirror_a, ta in left:
        for size_b, mask_b, degree_b, mirror_b, tb in right:
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
    return best


class _Products:
    """The same without forming all: those of few sources, and of many those that may be among the largest.

    A tensor that has been trained for a while has terms of nearly all signs of few sources, and nearly all as large.
    A mask of one or two sources is like an edge between them, or to `ground`: what two edges at one end have a product
    of is the edge between their other ends, so the factors of a product of few sources are found at its ends.
    """

    def __init__(self, left: list[_Part], right: list[_Part], floor: int) -> None:
        self.left, self.right, self.floor = left, right, floor
        self.ground = 1 << _union(part[1] for part in (*left, *right)).bit_length()
        self.here, self.places = _places(left), _places(right)
        self.anywhere = [place for place, part in enumerate(left) if len(self.ends(part[1])) != 2]
        self.at: dict[int, list[int]] = {}
        for place, part in enumerate(left):
            for end in self.ends(part[1]):
                self.at.setdefault(end, []).append(place)
        self.crowd = [mask for mask in self.places if mask.bit_count() > MOST_SOURCES]
        self.lightest = min([part[2] for part in left]) + min([part[2] for part in right])
        self.mirrors = _union(part[3] for part in (*left, *right))

    def ends(self, mask: int) -> list[int]:
        """The sources of a mask, and of an odd number of them the ground."""
        return _sources(mask | self.ground if mask.bit_count() % 2 else mask)

    def found(self, kept: int) -> _Found | None:
        """What is kept of every mask of few sources, and of the `kept` largest of many; None where that is slow."""
        many = self._first(kept)
        many = self._largest(kept) if many is None else many
        if many is None:
            return None
        found = [(mask, *best) for mask in (*self._few(), *many) if (best := self.best(mask)) is not None]
        return {mask: best for mask, _, best in sorted(found, key=lambda item: item[1])}

    def _few(self) -> Iterable[int]:
        """The masks of few sources that are there."""
        ours, others = self._ends_beside(self.here), self._ends_beside(self.places)
        found: set[int] = set()
        for end in ours.keys() | others.keys():
            reached = _union(others.get(beside, 0) for beside in _sources(ours.get(end, 0)))
            found.update((end ^ other) & (self.ground - 1) for other in _sources(reached))
        found.update(one ^ other for one in self.here for other in (self.places if self._many(one) else self.crowd))
        return [mask for mask in found if not self._many(mask)]

    def _ends_beside(self, masks: Collection[int]) -> dict[int, int]:
        """For every end those that masks of few sources join it to; without a source every one to itself."""
        beside = {end: end if 0 in masks else 0 for end in _sources(2 * self.ground - 1)}
        for mask in masks:
            ends = self.ends(mask)
            if len(ends) == 2:
                beside[ends[0]] |= ends[1]
                beside[ends[1]] |= ends[0]
        return beside

    def _many(self, mask: int) -> bool:
        return mask.bit_count() > MOST_SOURCES

    def _factors(self, mask: int) -> Sequence[int]:
        """The places of the terms of the first tensor that may have a product of these sources."""
        count = mask.bit_count()
        if not count:
            return range(len(self.left))
        if count <= MOST_SOURCES:
            low = mask & -mask
            found = {*self.anywhere, *self.at.get(low, ()), *self.at.get(mask ^ low or self.ground, ())}
        else:
            found = set(self.anywhere)
            for one, other in combinations(self.ends(mask), 2) if count <= 2 * MOST_SOURCES else ():
                found.update(self.here.get((one ^ other) & (self.ground - 1), ()))
        for other in self.crowd:
            found.update(self.here.get(mask ^ other, ()))
        return sorted(found)

    def best(self, mask: int) -> tuple[int, _Best] | None:
        """How early the first product of a mask comes, and what is kept of it."""
        top, least, remembered = self.right[0][0], self.floor, mask & self.mirrors
        first, best = -1, None
        for i in self._factors(mask):
            size_a, mask_a, degree_a, mirror_a, ta = self.left[i]
            if size_a + top < least:  # of no size that matters any more
                break
            for j in self.places.get(mask ^ mask_a, ()):
                size_b, _, degree_b, mirror_b, tb = self.right[j]
                size, degree, remembers = size_a + size_b, degree_a + degree_b, mask & (mirror_a | mirror_b)
                if size < least:
                    break
                if best is None:
                    first = i * len(self.right) + j
                elif size == best[0] and (best[2] or not remembers and degree >= best[1]):
                    continue
                best = size, degree, remembers, ta, tb
                settled = remembers or (not remembered and degree == self.lightest)
                least = size + 1 if settled else size
        return None if best is None else (first, best)

    def _first(self, kept: int) -> list[int] | None:
        """The masks of the `kept` largest products of many sources, where they are as large as any and come early."""
        top = self.left[0][0] + self.right[0][0], -self.left[0][2] - self.right[0][2]
        seen: set[int] = set()
        largest: list[int] = []
        for size, mask in ((one[0] + other[0], one[1] ^ other[1]) for one in self.left for other in self.right):
            if size < top[0] or len(seen) == TRIES:
                break
            if mask.bit_count() > MOST_SOURCES and mask not in seen:
                seen.add(mask)
                found = self.best(mask)
                largest += [mask] if found and (found[1][0], -found[1][1]) == top else []
            if len(largest) == kept:
                return largest
        return None

    def _largest(self, kept: int) -> list[int] | None:
        """The masks of the `kept` largest products of many sources; None where too many are as large.

        A mask may come to less than its largest product, for one that remembers an image goes before a lighter one.
        """
        ranks: dict[int, tuple[int, int, int]] = {}
        tried = 0
        for size, degree, pairs in self._in_order():
            if sum(rank[:2] > (size, degree) for rank in ranks.values()) >= kept:
                break
            for ones, others in pairs:
                tried += len(ones) * len(others)
                if tried > TIED * len(self.right):
                    return None
                for mask in {one ^ other for one in ones for other in others}:
                    if mask.bit_count() > MOST_SOURCES and mask not in ranks and (found := self.best(mask)):
                        first, best = found
                        ranks[mask] = best[0], -best[1], -first
        return sorted(ranks, key=ranks.__getitem__, reverse=True)[:kept]

    def _in_order(self) -> Iterator[tuple[int, int, list[tuple[list[int], list[int]]]]]:
        """Sizes and degrees (negative) of products, the first first, each with the masks of both factors."""
        ours, others = (_alike(parts) for parts in (self.left, self.right))
        pairs: dict[tuple[int, int], list[tuple[list[int], list[int]]]] = {}
        for (size_a, degree_a), ones in ours.items():
            for (size_b, degree_b), more in others.items():
                if size_a + size_b >= self.floor:
                    pairs.setdefault((size_a + size_b, -degree_a - degree_b), []).append((ones, more))
        for size, degree in sorted(pairs, reverse=True):
            yield size, degree, pairs[size, degree]


def _places(parts: Iterable[_Part]) -> dict[int, list[int]]:
    """The places of terms by their mask."""
    found: dict[int, list[int]] = {}
    for place, part in enumerate(parts):
        found.setdefault(part[1], []).append(place)
    return found


def _alike(parts: Iterable[_Part]) -> dict[tuple[int, int], list[int]]:
    """The masks of terms by size and degree."""
    found: dict[tuple[int, int], list[int]] = {}
    for size, mask, degree, _, _ in parts:
        found.setdefault((size, degree), []).append(mask)
    return found


def _union(masks: Iterable[int]) -> int:
    """The bits that any mask has."""
    bits = 0
    for mask in masks:
        bits |= mask
    return bits


def _sources(mask: int) -> list[int]:
    """The bits of a mask."""
    found: list[int] = []
    while mask:
        found.append(mask & -mask)
        mask &= mask - 1
    return found

"""The best product of every mask of few sources, of two tensors entry by entry: all masks at once.

A tensor that has been trained for a while has terms of nearly all masks of few sources. One of one or two sources is
like an edge between them, or to the ground, and one of none a loop at every end: a product of few sources is that of
two edges that meet, the edge between their other ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from .merging import Alike, Rank, among_alike
from .term import MOST_SOURCES, Term

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]


Part = tuple[int, int, int, int, Term]
"""A term as the products see it: size, mask, degree, and the source of the image that it remembers (0: of none)."""
Standing = tuple[Rank, Alike]
"""How high a product of many sources stands."""
Found = tuple[int, int, bool, Part, Part]
"""What is kept of one mask: how early it comes, the mask, whether it remembers an image, both factors."""

MASK = itemgetter(1)
"""The mask of a term."""


def best_of_few(left: Sequence[Part], right: Sequence[Part], floor: int) -> list[Found]:
    """Of every mask of few sources the largest product, unless that is below the floor.

    Of several as large the first that remembers an image; where none does, the first of the fewest parameters.
    """
    import numpy as np

    count = 1 + max([part[1].bit_length() for part in (*left, *right)])
    pairs = _meeting(_edges(left, count), _edges(right, count), count)
    if apart := [(p, q, *_ends(left[p][1] ^ right[q][1])) for p, q in _apart(left, right)]:
        pairs = np.append(pairs, np.array(apart, np.int64).T, axis=1)
    ours, theirs = (
        np.array([(size, degree, image.bit_length()) for size, _, degree, image, _ in parts], np.int64)
        for parts in (left, right)
    )
    size = ours[pairs[0], 0] + theirs[pairs[1], 0]
    pairs, size = pairs[:, size >= floor], size[size >= floor]
    degree = ours[pairs[0], 1] + theirs[pairs[1], 1]
    alone = np.ones(len(size), np.int64)
    for image in (ours[pairs[0], 2], theirs[pairs[1], 2]):
        alone[(image > 0) & ((image == pairs[2]) | (image == pairs[3]))] = 0
    edge, order = pairs[2] * count + pairs[3], pairs[0] * len(right) + pairs[1]
    kept = np.arange(len(edge))
    first = _least(order, edge, count)
    for worse in (-size, alone, degree * alone, order):
        kept = kept[worse[kept] == _least(worse[kept], edge[kept], count)]
    found: dict[int, Found] = {}
    rows: list[list[int]] = np.stack([*pairs[:2, kept], alone[kept], first[kept]]).T.tolist()
    for p, q, lonely, early in rows:
        mask = left[p][1] ^ right[q][1]
        found[mask] = early, mask, not lonely, left[p], right[q]
    return list(found.values())


def _least(numbers: Numbers, edge: Numbers, count: int) -> Numbers:
    """For each number the least of those of the same edge."""
    import numpy as np

    found: Numbers = np.full(count * count, np.iinfo(np.int64).max)
    np.minimum.at(found, edge, numbers)
    return found[edge]


def best_of_many(left: Sequence[Part], right: Sequence[Part], floor: int, kept: int) -> list[Found]:
    """The largest products of the `kept` masks of many sources that stand highest, unless they are below the floor.

    Of several as large the first that remembers an image; where none does, the first of the fewest parameters.
    """
    theirs = _places(right, MASK)
    crowd: dict[int, tuple[Standing, Found]] = {}
    for rank, mask in _in_order(left, right, floor):
        if sum((*its, fewest) >= rank for (its, (fewest, *_)), _ in crowd.values()) >= kept:
            break
        if mask not in crowd:
            crowd[mask] = _best(mask, left, right, theirs, floor)
    return [found for _, found in sorted(crowd.values(), key=itemgetter(0), reverse=True)[:kept]]


def _best(
    mask: int, left: Sequence[Part], right: Sequence[Part], theirs: dict[int, list[int]], floor: int
) -> tuple[Standing, Found]:
    """Where a mask stands in the crowd, and the product that is kept of it."""
    ways: list[tuple[int, bool, int, int, int]] = []
    for p, (size, its, degree, image, _) in enumerate(left):
        for q in theirs.get(its ^ mask, ()):
            alone = not mask & (image | right[q][3])
            ways.append((-size - right[q][0], alone, alone * (degree + right[q][2]), p, q))
    first = min([p * len(right) + q for smaller, _, _, p, q in ways if -smaller >= floor])
    smaller, lonely, _, p, q = min(ways)
    rank = -smaller, -left[p][2] - right[q][2]
    return (rank, among_alike((mask,))), (first, mask, not lonely, left[p], right[q])


def _in_order(left: Sequence[Part], right: Sequence[Part], floor: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """The masks of many sources of all products and how high these stand by all but the mask, the highest first."""
    import numpy as np

    width = max([part[1].bit_length() for part in (*left, *right)]) // 8 + 1
    (ours, mine), (theirs, its) = _numbers(left, width), _numbers(right, width)
    sizes, degrees = (ours[k][:, None] + theirs[k] for k in range(2))
    counts = (mine.sum(1)[:, None] + its.sum(1) - 2 * (mine @ its.T)).astype(np.int64)
    ranks = (sizes * (degrees.max() - degrees.min() + 1) - degrees) * (counts.max() + 1) - counts
    ranks[(counts <= MOST_SOURCES) | (sizes < floor)] = (none := np.iinfo(np.int64).min)
    while (rank := ranks.max()) > none:
        rows, columns = np.nonzero(ranks == rank)
        one = rows[0], columns[0]
        masks = {left[p][1] ^ right[q][1] for p, q in zip(rows.tolist(), columns.tolist(), strict=True)}
        stands = int(sizes[one]), -int(degrees[one]), -int(counts[one])
        yield from [(stands, mask) for mask in sorted(masks, reverse=True)]
        ranks[rows, columns] = none


def _numbers(parts: Sequence[Part], width: int) -> tuple[Numbers, NDArray[np.float64]]:
    """The sizes and degrees of terms, and in a row for each 1 at each of its sources."""
    import numpy as np

    masks = b"".join([part[1].to_bytes(width, "little") for part in parts])
    rows = np.frombuffer(masks, np.uint8).reshape(len(parts), width)
    numbers = np.array([(part[0], part[2]) for part in parts], np.int64)
    return numbers.T, np.unpackbits(rows, axis=1).astype(np.float64)


def _edges(parts: Sequence[Part], count: int) -> Numbers:
    """The terms of few sources as edges, one in each direction: where they start and end, and their places."""
    import numpy as np

    edges: list[tuple[int, int, int]] = []
    for place, part in enumerate(parts):
        if not part[1]:
            edges += [(end, end, place) for end in range(count)]
        elif part[1].bit_count() <= MOST_SOURCES:
            one, other = _ends(part[1])
            edges += [(one, other, place), (other, one, place)]
    return np.array(edges, np.int64).reshape(-1, 3).T


def _meeting(ours: Numbers, theirs: Numbers, count: int) -> Numbers:
    """The edges that meet: the places of both, and the ends of their product, the lower one first."""
    import numpy as np

    theirs = theirs[:, np.argsort(theirs[0], kind="stable")]
    starts = np.searchsorted(theirs[0], np.arange(count + 1))
    many = np.diff(starts)[ours[1]]
    mine = np.repeat(np.arange(len(many)), many)
    its = np.arange(len(mine)) - np.repeat(np.cumsum(many) - many - starts[ours[1]], many)
    start, end = ours[0][mine], theirs[1][its]
    pairs = np.stack([ours[2][mine], theirs[2][its], np.minimum(start, end), np.maximum(start, end)])
    return pairs[:, start != end]


def _apart(left: Sequence[Part], right: Sequence[Part]) -> Iterable[tuple[int, int]]:
    """The places of factors whose product has no or few sources, although they are no edges, or the same one."""
    places = _places(right, MASK)
    crowd = [(mask, found) for mask, found in places.items() if mask.bit_count() > MOST_SOURCES]
    for p, part in enumerate(left):
        mask = part[1]
        yield from [(p, q) for q in places.get(mask, ())]
        others = places.items() if mask.bit_count() > MOST_SOURCES else crowd
        for other, found in others:
            if 0 < (other ^ mask).bit_count() <= MOST_SOURCES:
                yield from [(p, q) for q in found]


def _places(parts: Sequence[Part], alike: Callable[[Part], Any]) -> dict[Any, list[int]]:
    """The places of terms by what they are alike in."""
    found: dict[Any, list[int]] = {}
    for place, part in enumerate(parts):
        found.setdefault(alike(part), []).append(place)
    return found


@lru_cache(maxsize=1 << 16)
def _ends(mask: int) -> tuple[int, int]:
    """The ends of a mask of few sources: the ground, which is 0, stands in for what it lacks."""
    return (mask & (mask - 1) and mask & -mask).bit_length(), mask.bit_length()

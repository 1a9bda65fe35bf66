"""Which terms of a tensor are kept: one for each signature, the largest, the few that can still decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from .term import KEPT, MOST_SOURCES, Profile, Term

Name = TypeVar("Name")
Rank = tuple[int, int]
"""Size, and how few parameters: larger terms stand higher, of equally large ones the product of fewest parameters."""
Alike = tuple[int, tuple[int, ...], Profile]
"""Where a term stands among those of its rank."""


def largest(terms: Iterable[Term]) -> Term | None:
    """The term of the largest size, None of an empty tensor (which is exactly zero)."""
    return max(terms, key=rank, default=None)


def relative(terms: Sequence[Term]) -> list[Term]:
    """Terms over the whole that they make up: the largest are of size 0 whatever else is as large at this point."""
    top = largest(terms)
    if top is None:
        return []
    high = top.size, top.log
    over = [(t, t if (t.size, t.log) == high else top) for t in terms]
    return [t.derived(size=t.size - top.size, minus=(by,), matrix=t.matrix) for t, by in over]


def rank(term: Term) -> Rank:
    """Larger terms first, of equally large ones the product of fewest parameters."""
    return term.size, -term.degree


def profiled(terms: Iterable[Term]) -> bool:
    """Whether a term decays or grows along an axis."""
    for term in terms:  # noqa: SIM110 - a quarter of all contractions ask, and a generator is slow
        if term.profile:
            return True
    return False


class Merged(list[Term]):
    """Terms that have been merged: they are not merged again, and nothing is ever added to them."""

    def __init__(self, terms: Iterable[Term], reach: int) -> None:
        super().__init__(terms)
        self.reach = reach


def merged(terms: Iterable[Term], reach: int) -> list[Term]:
    """One term per signature and profile, the largest; terms more than `reach` below the largest are dropped."""
    if isinstance(terms, Merged) and terms.reach == reach:
        return terms
    best: dict[tuple[Any, ...], Term] = {}
    for term in terms:
        key = (term.signs, term.profile) if term.profile else term.signs
        known = best.get(key)
        if known is None or term.size > known.size or (term.size == known.size and _told(term) > _told(known)):
            best[key] = term
    floor = max([term.size for term in best.values()], default=0) - reach
    kept = uncrowded([term for term in best.values() if term.size >= floor])
    return Merged(_outermost(kept) if profiled(kept) else kept, reach)


def uncrowded(terms: list[Term]) -> list[Term]:
    """The terms of few sources and fresh matrices, and the highest of those with many."""
    crowd = {term: rank(term) for term in terms if term.matrix is None and crowded(term.signs)}
    gone = left_out(crowd, lambda term: among_alike(term.signs, term.profile))
    return [term for term in terms if term not in gone] if gone else terms


def left_out(crowd: Mapping[Name, Rank], alike: Callable[[Name], Alike], kept: int = KEPT) -> set[Name]:
    """Which terms of many sources are not followed, by their ranks.

    `alike` says where a term stands among those of its rank; only where not all of them are kept, it is asked.
    """
    if len(crowd) <= kept:
        return set()
    last = sorted(crowd.values(), reverse=True)[kept - 1]
    higher = {name for name, its in crowd.items() if its > last}
    level = sorted((name for name, its in crowd.items() if its == last), key=alike, reverse=True)
    return crowd.keys() - higher - {*level[: kept - len(higher)]}


def among_alike(signs: tuple[int, ...], profile: Profile | None = None) -> Alike:
    """Where a term stands among those of its rank: highest with the fewest sources, which meet their like soonest.

    Then with the last ones. The order in which terms come about, and with it that in which a graph is written, has no
    say.
    """
    return -sources(signs), signs[::-1], profile or ()


@lru_cache(maxsize=1 << 16)
def sources(signs: tuple[int, ...]) -> int:
    """How many sources a signature has; where several axes have the same ones, these count once."""
    return sum([mask.bit_count() for mask in set(signs)])


@lru_cache(maxsize=1 << 16)
def crowded(signs: tuple[int, ...]) -> bool:
    """Whether a signature has many sources."""
    return sources(signs) > MOST_SOURCES


def _outermost(terms: list[Term]) -> list[Term]:
    """Without the terms that another one with the same signs is at least as large as at every index."""
    alike: dict[tuple[int, ...], list[Term]] = {}
    for term in sorted(terms, key=rank, reverse=True):
        group = alike.setdefault(term.signs, [])
        if not any(_above(other, term) for other in group):
            group.append(term)
    return [term for group in alike.values() for term in group]


def _above(a: Term, b: Term) -> bool:
    """Whether `a`, which is at least as large, decays nowhere faster, and nothing is known of `b` alone."""
    if b.log > a.log or b.ramp:
        return False
    flat = (0,) * len(a.signs)
    return all(x <= y for x, y in zip(a.profile or flat, b.profile or flat, strict=True))


def _told(term: Term) -> tuple[int, bool, int]:
    """Which of two equally large terms with the same signs is kept."""
    return term.log, term.mirror is not None, -term.degree

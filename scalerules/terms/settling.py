"""What has moved and what has not: tensors that came out as before, and updates that add nothing to those before them.

Sizes are all that the calculus knows: a term that is as large as another one with the same signs changes nothing beside
it. A training that has settled so repeats itself, and nothing that stands still is computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .merging import merged
from .pieces import Outer, Piece
from .term import Mirror, Term


def settled(before: list[Term] | None, now: list[Term]) -> list[Term]:
    """The terms as they were before, where they are the same ones again, and else as they are now."""
    if before is None or len(before) != len(now):
        return now
    there = {(term.signs, term.profile): term for term in before}
    for term in now:
        known = there.get((term.signs, term.profile))
        if known is None or _story(known) != _story(term) or not _alike(known.mirror, term.mirror):
            return now
    return before


def joined(before: list[Piece], update: Sequence[Piece], reach: int) -> list[Piece]:
    """The pieces of a change with those of one more update: what is multiplied out as one list, the others apart.

    The very list from before where the update adds nothing to it.
    """
    outers = [piece for piece in before if isinstance(piece, Outer)]
    known = next((piece for piece in before if not isinstance(piece, Outer)), None)
    new = [piece for piece in update if isinstance(piece, Outer) and not any(_covers(outer, piece) for outer in outers)]
    lists = [piece for piece in update if not isinstance(piece, Outer)]
    terms = settled(known, merged((t for piece in (known or [], *lists) for t in piece), reach)) if lists else known
    if not new and terms is known:
        return before
    return [*([terms] if terms is not None else []), *outers, *new]


def together(before: list[Piece], update: Sequence[Piece], reach: int) -> list[Piece]:
    """The pieces of a change with all of one more update: what is multiplied out as one list, the others apart."""
    pieces = [*before, *update]
    outers = [piece for piece in pieces if isinstance(piece, Outer)]
    lists = [piece for piece in pieces if not isinstance(piece, Outer)]
    return [*([merged((t for piece in lists for t in piece), reach)] if lists else []), *outers]


def content(terms: Iterable[Term]) -> frozenset[object]:
    """What laws read of terms: signs, sizes, profiles."""
    return frozenset((term.signs, term.size, term.profile) for term in terms)


def _story(term: Term) -> tuple[int, int, int]:
    """What decides which of several terms is followed."""
    return term.size, term.log, term.degree


def _alike(a: Mirror | None, b: Mirror | None) -> bool:
    """Whether two images remember the same."""
    if a is b or a is None or b is None:
        return a is b
    one, other = ((m.bit, m.image.size, m.labels, m.beside, len(m.preimage)) for m in (a, b))
    return one == other and content(a.preimage) == content(b.preimage)


def _covers(a: Outer, b: Outer) -> bool:
    """Whether `b` changes no size beside `a`: every factor of it is within one there."""
    if b.factor.size > a.factor.size or a.labels != b.labels:
        return False
    if [labels for labels, _ in a.factors] != [labels for labels, _ in b.factors]:
        return False
    return all(_within(some, more) for (_, some), (_, more) in zip(b.factors, a.factors, strict=True))


def _within(some: Sequence[Term], more: Sequence[Term]) -> bool:
    """Whether each of `some` terms has its like among `more`, at least as large and with no longer a story."""
    there = {(term.signs, term.profile): term for term in more}
    for term in some:
        known = there.get((term.signs, term.profile))
        if known is None or (known.size, known.log) < (term.size, term.log):
            return False
        if known.size == term.size and (known.degree > term.degree or (term.mirror and not known.mirror)):
            return False
    return True

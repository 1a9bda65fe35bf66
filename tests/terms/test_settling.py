"""What has not moved keeps its terms, and an update that adds nothing is left out."""

from __future__ import annotations

from scalerules.terms.pieces import Outer, Piece
from scalerules.terms.settling import joined, settled
from scalerules.terms.term import Term

BEFORE = [Term(0, (2,)), Term(-4, (4,))]


def outer(size: int, *signs: int) -> Outer:
    """An outer product of a vector with these signs and a constant."""
    return Outer(((("n|o",), tuple(Term(0, (mask,)) for mask in signs)),), ("n|o",), Term(size))


def test_the_same_terms_in_any_order_are_those_from_before():
    assert settled(BEFORE, [Term(-4, (4,)), Term(0, (2,))]) is BEFORE
    for now in ([Term(0, (2,)), Term(-3, (4,))], [Term(0, (2,)), Term(-4, (8,))], [Term(0, (2,))]):
        assert settled(BEFORE, now) is now


def test_an_update_that_adds_nothing_leaves_the_pieces_as_they_are():
    pieces: list[Piece] = [BEFORE, outer(0, 2, 4)]
    assert joined(pieces, [[Term(0, (2,))], outer(-1, 4)], 100) is pieces
    assert len(joined(pieces, [outer(1, 4)], 100)) == 3
    assert len(joined(pieces, [outer(0, 8)], 100)) == 3
    assert [term.size for term in joined(pieces, [[Term(5, (4,))]], 100)[0]] == [0, 5]  # type: ignore[union-attr]

"""What has not moved keeps its terms, and an update that adds nothing is left out."""

from __future__ import annotations

from fractions import Fraction

import pytest

from scalerules.terms.pieces import Outer, Piece
from scalerules.terms.settling import joined, settled, together
from scalerules.terms.term import KEPT, Fresh, Mirror, Shift, Term

BEFORE = [Term(0, (2,)), Term(-4, (4,))]


def outer(size: int, *signs: int) -> Outer:
    """An outer product of a vector with these signs and a constant."""
    return Outer(((("n|o",), tuple(Term(0, (mask,)) for mask in signs)),), ("n|o",), Term(size))


def test_the_same_terms_in_any_order_are_those_from_before():
    assert settled(BEFORE, [Term(-4, (4,)), Term(0, (2,))]) is BEFORE
    longer = Term(-4, (4,), shift=((("lr", "W"), Fraction(1)),))
    for now in (
        [Term(0, (2,)), Term(-3, (4,))],
        [Term(0, (2,)), Term(-4, (8,))],
        [Term(0, (2,))],
        [Term(0, (2,)), longer],
    ):
        assert settled(BEFORE, now) is now


def test_an_update_that_adds_nothing_leaves_the_pieces_as_they_are():
    pieces: list[Piece] = [BEFORE, outer(0, 2, 4)]
    assert joined(pieces, [[Term(0, (2,))], outer(-1, 4)], 100) is pieces
    several = [*pieces, outer(5, 8)]
    assert joined(several, [outer(-1, 4)], 100) is several, "within one of them"
    assert len(joined(pieces, [outer(1, 4)], 100)) == 3
    assert len(joined(pieces, [outer(0, 8)], 100)) == 3
    assert [term.size for term in joined(pieces, [[Term(5, (4,))]], 100)[0]] == [0, 5]  # type: ignore[union-attr]


def test_what_is_multiplied_out_is_one_list_and_all_else_stays_apart():
    """As many terms of many sources as of one list: of each update by itself there would be more."""
    crowds = [[Term(0, (mask,)) for mask in masks] for masks in ((14, 22), (26, 28))]
    pieces = together([crowds[0], outer(0, 2)], [crowds[1], outer(-1, 2)], 100)
    assert [len(piece) if isinstance(piece, list) else piece.factor.size for piece in pieces] == [KEPT, 0, -1]


def one(size: int = 0, degree: int = 0, log: int = 0, image: Mirror | None = None) -> Term:
    """A term of this degree, with or without an image that it remembers."""
    shift: Shift = tuple((("lr", f"W{k}"), Fraction(1)) for k in range(degree))
    return Term(size, (2,), (), shift, log=log, mirror=image)


def mirror(bit: int = 2, size: int = 0, of: tuple[Term, ...] = (Term(0, (4,)),), axis: str = "n|i") -> Mirror:
    """What an image remembers."""
    return Mirror(Fresh("W", 2), bit, Term(size), of, ((axis, 0),), Term(0), {})


@pytest.mark.parametrize(
    ("there", "update", "adds"),
    [
        (one(), one(), False),
        (one(degree=2), one(degree=1), True),  # of fewer parameters: another story
        (one(degree=1), one(degree=2), False),
        (one(), one(image=mirror()), True),
        (one(image=mirror()), one(), False),
        (one(image=mirror()), one(image=mirror()), False),
        (one(degree=2), one(-1, degree=1, image=mirror()), False),  # smaller, and so whatever it is
        (one(), one(1), True),
        (one(log=1), one(), False),
        (one(), one(log=1), True),
        (one(), Term(0, (2,), profile=(1,)), True),
    ],
)
def test_an_update_adds_what_is_larger_or_has_a_shorter_story(there: Term, update: Term, adds: bool):
    def of(term: Term) -> Outer:
        return Outer(((("n|o",), (term,)),), ("n|o",), Term(0))

    assert len(joined([of(there)], [of(update)], 100)) == 1 + adds


def test_an_update_on_other_axes_or_of_other_factors_is_another_one():
    there = outer(0, 2)
    for other in (
        Outer(there.factors, ("n|i",), there.factor),
        Outer(((("m|o",), there.factors[0][1]),), there.labels, there.factor),
        Outer((*there.factors, *there.factors), there.labels, there.factor),
    ):
        assert len(joined([there], [other], 100)) == 2
        assert joined([there], [other, there], 100)[-1] is other


@pytest.mark.parametrize(
    "other",
    [
        one(log=1), one(), one(image=mirror(bit=8)), one(image=mirror(size=1)), one(image=mirror(axis="m|i")),
        one(image=mirror(of=(Term(1, (4,)),))), one(image=mirror(of=(Term(0, (4,)), Term(-1, (8,))))),
    ],
)  # fmt: skip
def test_terms_that_remember_something_else_have_changed(other: Term):
    before = [one(image=mirror())]
    assert settled(before, [one(image=mirror())]) is before
    assert settled(before, [other]) == [other] and settled([other], before) is before


def test_a_list_stays_where_an_update_is_within_it():
    known = [one(image=mirror()), Term(-1, (4,))]
    pieces: list[Piece] = [known]
    assert joined(pieces, [[Term(-2, (4,))], [Term(-3, (8,))]], 2) is pieces, "beyond the reach"
    (now,) = joined(pieces, [[Term(-2, (8,))]], 100)
    assert not isinstance(now, Outer)
    assert [(t.size, t.signs) for t in now] == [(0, (2,)), (-1, (4,)), (-2, (8,))]

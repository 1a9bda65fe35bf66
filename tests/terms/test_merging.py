"""What is kept of terms: sizes over the whole that they make up, and of equals the first, so that one story is told."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import permutations

import pytest
from plain_terms import GROWTHS, A, B, C, D, M, N, S, Scope, base, evaluated, pair

from scalerules.terms.contraction import contract, explicit
from scalerules.terms.merging import crowded, largest, merged, relative
from scalerules.terms.pieces import Labels, Outer
from scalerules.terms.term import Fresh, Mirror, Term


def term(size: int, degree: int = 0, signs: tuple[int, ...] = (A,), log: int = 0) -> Term:
    """A term of this many parameters."""
    return Term(size, signs, (), tuple((("lr", f"V{k}"), Fraction(1)) for k in range(degree)), log=log)


def test_terms_over_the_whole_that_they_make_up():
    top, also, less, smaller = term(7, 1, log=1), term(7, 2, (B,), log=1), term(7, 3, (D,)), term(3, 1, (A | B,))
    top.matrix = Fresh("W", D)
    found = relative([smaller, less, also, top])
    assert [(t.size, t.signs, t.parents[0].size) for t in found] == [
        (-4, (A | B,), 3), (0, (D,), 7), (0, (B,), 7), (0, (A,), 7),
    ]  # fmt: skip
    assert [t.minus for t in found] == [(top,), (top,), (also,), (top,)]
    assert [t.degree for t in found] == [0, 2, 0, 0]
    assert [t.matrix for t in found] == [None, None, None, top.matrix]
    assert relative([]) == [] and largest([]) is None
    rng = random.Random("relative")
    for _ in range(20):
        terms = [base(rng, 1, range(20), False, 0) for _ in range(4)]
        assert all(evaluated(t) == t.size for t in relative(terms))


def test_the_largest_is_of_the_fewest_parameters():
    terms = [term(1), term(2, 3), term(2, 1), term(2, 2)]
    assert largest(terms) is terms[2]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (term(0), term(1), 1),
        (term(1), term(0), 0),
        (term(0), term(0, log=1), 1),
        (term(0, 2), term(0, 1), 1),
        (term(0, 1), term(0, 2), 0),
        (term(0, 1), term(0, 1), 0),
        (term(0, 2, log=1), term(0, 1), 0),
    ],
)
def test_of_terms_with_the_same_signs_the_largest_is_kept(first: Term, second: Term, kept: int):
    (found,) = merged([first, second], 10)
    assert found is (first, second)[kept]


def test_what_is_within_reach_is_kept():
    terms = [term(0), term(-10, 0, (B,)), term(-11, 0, (D,))]
    assert merged(terms, 10) == terms[:2] and merged(terms[::-1], 10) == terms[1::-1]


@pytest.mark.parametrize(
    ("signs", "many"),
    [((0, 0), False), ((A, B), False), ((A | B, A | B), False), ((A | B, A), True), ((A | B | D,), True)],
)
def test_a_crowd_is_more_than_two_sources_where_the_same_on_two_axes_count_once(signs: tuple[int, ...], many: bool):
    assert crowded(signs) is many


SHAPES: list[tuple[Labels, Labels, Labels]] = [
    ((N,), (N,), (N,)), ((N,), (N,), ()), ((N, S), (N,), (S,)), ((N, S), (N, S), ()), ((N,), (), (N,)), ((M, N), (N,), (M,)),
]  # fmt: skip


@pytest.mark.parametrize("decays", (False, True), ids=("flat", "decaying"))
@pytest.mark.parametrize(("la", "lb", "result"), SHAPES, ids=lambda labels: "".join(x[0] for x in labels) or "1")
def test_of_equals_the_first_is_multiplied(la: Labels, lb: Labels, result: Labels, decays: bool):
    rng = random.Random(f"{la} {lb} {result} {decays}")
    for _ in range(20):
        a, b = ([base(rng, len(side), range(3), decays, 0.2) for _ in range(4)] for side in (la, lb))
        again = [
            [Term(t.size, t.signs, (), t.shift, profile=t.profile, mirror=t.mirror, log=t.log) for t in side]
            for side in (a, b)
        ]
        found = contract(Scope(40), [(la, [a + again[0]]), (lb, [b + again[1]])], result)
        assert found and {*(part for t in found for part in t.parents)} <= {*a, *b}


@pytest.mark.parametrize(
    ("la", "lb", "result"),
    [shape for shape in SHAPES if shape[2] and M not in shape[0]],
    ids=lambda labels: "".join(x[0] for x in labels) or "1",
)
def test_of_equals_the_product_of_the_fewest_parameters_is_kept(la: Labels, lb: Labels, result: Labels):
    rng = random.Random(f"{la} {lb} {result}")
    for _ in range(30):
        a, b = (
            [term(-rng.randrange(3), rng.randrange(5), tuple(rng.choice((0, A, B)) for _ in side)) for _ in range(12)]
            for side in (la, lb)
        )
        b = b[:1] if not lb else b
        least: dict[object, tuple[int, int]] = {}
        for one in [pair(Scope(40), la, x, lb, y, result) for x in a for y in b]:
            least[one.signs] = min(least.get(one.signs, (99, 0)), (-one.size, one.degree))
        for found in contract(Scope(40), [(la, [a]), (lb, [b])], result):
            assert (-found.size, found.degree) == least[found.signs]


def test_of_an_aligned_and_an_independent_sum_that_are_as_large_the_aligned_one_is_told():
    half = GROWTHS["n"] // 2
    for lower, told in ((half - 1, 1), (half, 1), (half + 1, Fraction(1, 2))):
        a, b = [term(0, 0, (A,)), term(-lower, 0, (B,))], [term(0, 0, (B,))]
        (whole,) = contract(Scope(40), [((N,), [a]), ((N,), [b])], ())
        assert whole.shift == ((("growth", "n"), told),) and whole.size == max(half, 2 * half - lower)


THREE: list[tuple[Labels, Labels]] = [((N,), (N,)), ((N, S), (N, S)), ((N, S), ())]


@pytest.mark.parametrize(("labels", "result"), THREE, ids=("a vector", "a matrix", "a number"))
def test_of_three_equally_large_products_the_one_of_fewest_parameters_is_kept(labels: Labels, result: Labels):
    """Whichever comes first: what has been found so far is known by the parameters of both factors."""

    def of(size: int, degree: int, mask: int) -> Term:
        return term(size, degree, (mask,) * len(labels))

    pairs = [((0, 4), (-2, 4)), ((-1, 0), (-1, 5)), ((-2, 1), (0, 1))]
    masks = [(A, A ^ D), (B, B ^ D), (C, C ^ D)] if result else [(A, A), (B, B), (C, C)]
    a = [of(*one, mask) for (one, _), (mask, _) in zip(pairs, masks, strict=True)]
    b = [of(*other, mask) for (_, other), (_, mask) in zip(pairs, masks, strict=True)]
    for order in permutations(range(3)):
        found = contract(Scope(40), [(labels, [[a[i] for i in order]]), (labels, [[b[i] for i in order]])], result)
        (kept,) = [t for t in found if t.signs == (D,) * len(result)]
        assert (kept.size, kept.degree) == (-2 + (0 if result else GROWTHS["n"] + GROWTHS["s"]), 2)


def image_in(made: Term, bit: int) -> Term:
    """The term as one that remembers what an image of this source was made of."""
    made.mirror = Mirror(Fresh("W", bit), bit, made, (), (), made, {})
    return made


@pytest.mark.parametrize("labels", [(N,), (N, S)], ids=("a vector", "a matrix"))
def test_a_product_remembers_the_image_whose_source_it_has(labels: Labels):
    """Of two images that which is still seen; of two products the first, and the first are those of fewest parameters."""

    def of(degree: int, *bits: int) -> Term:
        return term(0, degree, tuple(sum(bits) if k == 0 else 0 for k, _ in enumerate(labels)))

    def product_of(a: list[Term], b: list[Term]) -> Term:
        found = contract(Scope(40), [(labels, [a]), (labels, [b])], labels)
        return next(t for t in found if t.signs[0] == D)

    x, y = image_in(of(1, A), A), image_in(of(1, A, D), D)
    for a, b in ((x, y), (y, x)):
        assert product_of([a], [b]).mirror is y.mirror
    few, many = (image_in(of(degree, mask, D), D) for degree, mask in ((1, A), (3, B)))
    for a in ([few, many], [many, few]):
        assert product_of(a, [of(2, A), of(2, B)]).mirror is few.mirror
    assert product_of([of(0, A, D), many], [of(0, A), of(2, B)]).mirror is many.mirror, "before those that do not"


def test_of_a_matrix_with_many_sources_the_largest_products_of_fewest_parameters_are_kept_and_of_fewest_sources():
    """In whatever order they come."""
    kinds = ((0, 2, A), (0, 2, C), (0, 3, C), (0, 2, A | B | C), (0, 3, 0), (-1, 0, A | C))
    a = [term(size, degree, (mask, 0)) for size, degree, mask in kinds]
    for first in permutations(a):
        found = contract(Scope(40), [((N, S), [[*first]]), ((N, S), [[term(0, 1, (D, A | B))]])], (N, S))
        assert sorted((t.signs, t.degree) for t in found) == [((A | D, A | B), 3), ((C | D, A | B), 3)]


@pytest.mark.parametrize("profile", (None, (1,)), ids=("flat", "decaying"))
def test_which_of_many_equally_large_terms_are_kept_does_not_depend_on_their_order(profile: tuple[int, ...] | None):
    crowd = [term(0, 1, (mask,)) for mask in (A | B | C | D, A | B | C, A | B | D, B | C | D)]
    for each in crowd:
        each.profile = profile
    for terms in permutations(crowd):
        halves = merged([*merged(terms[:2], 40), *merged(terms[2:], 40)], 40)
        for found in (merged(terms, 40), halves):
            assert {t.signs for t in found} == {(B | C | D,), (A | B | D,)}


def test_what_grows_like_a_logarithm_is_kept_beside_what_is_above_it():
    """An exponential makes something else of it."""
    above, below, ramp = term(0), term(-1), term(-1)
    below.profile = ramp.profile = (2,)
    ramp.ramp = True
    assert merged([above, below], 40) == [above] and merged([above, ramp], 40) == [above, ramp]


def test_what_is_multiplied_out_are_the_terms_of_all_pieces():
    """One list that was merged is that list."""
    first, second = [term(0, 0, (A,))], [term(-1, 0, (B,))]
    for pieces in ([first, second], [second, first]):
        assert {t.signs for t in explicit(Scope(40), pieces, (N,))} == {(A,), (B,)}
    one = Outer((((N,), (term(-1, 0), term(0, 0), term(0, 0, (B,)))),), (N,), term(-3, 0, ()))
    assert [(t.size, t.signs) for t in explicit(Scope(40), [one], (N,))] == [(-3, (A,)), (-3, (B,))]
    whole = merged(first + second, 40)
    assert explicit(Scope(40), [whole], (N,)) is whole and explicit(Scope(40), [], (N,)) == []

"""An identity in a contraction puts one axis in another's place, and is itself a matrix of rows with one entry."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from plain_terms import GROWTHS, A, B, C, M, N, S, Scope, base, evaluated, told

from scalerules.terms.contraction import contract
from scalerules.terms.diagonals import is_identity
from scalerules.terms.merging import merged
from scalerules.terms.pieces import Labels, Operand, Outer
from scalerules.terms.term import SUMMABLE, Term

N2, N3, S2 = "n|j", "n|k", "s|p"
FACTOR = Term(-4, (), (), ((("lr", "W"), Fraction(-4)),))
IDENTITY = Outer((), ("a", "a"), FACTOR)
PAIR = Outer((), ("a", "b", "a", "b"), FACTOR)
"""An identity over two axes."""


def listed(rng: random.Random, axes: int) -> list[Term]:
    """Some terms that remember nothing."""
    terms = [base(rng, axes, range(20), True, 0.2) for _ in range(5)]
    return merged([term.derived(mirror=None) for term in terms], 40)


@pytest.mark.parametrize(
    ("identities", "labels", "result", "there"),
    [
        ([(N, N2)], (N,), (N2,), (N,)),
        ([(N2, N)], (N,), (N2,), (N,)),
        ([(N, N2), (N2, N3)], (N,), (N3,), (N,)),
        ([(N2, N3), (N, N2)], (N,), (N3,), (N,)),
        ([(N3, N2), (N2, N)], (N,), (N3,), (N,)),
        ([(N, N2), (N3, N2), (N, N3)], (N2,), (N,), (N2,)),
        ([(N2, N)], (S, N), (N2, S), (N, S)),
        ([(N, N2)], (N, S), (S,), (S,)),
        ([(N, N2)], (N,), (), ()),
    ],
)
def test_an_identity_gives_another_axis_its_place(
    identities: list[Labels], labels: Labels, result: Labels, there: Labels
):
    rng = random.Random(f"{identities} {labels} {result}")
    for _ in range(20):
        scope = Scope(40)
        x = listed(rng, len(labels))
        operands: list[tuple[Labels, Operand]] = [(labels, [x]), *((each, [IDENTITY]) for each in identities)]
        found = contract(scope, rng.sample(operands, len(operands)), result)
        alone = contract(scope, [(labels, [x]), *[((), [[FACTOR]])] * len(identities)], there)
        assert told(found) == told(alone)
        assert all(evaluated(term) == term.size for term in found)


def test_identities_over_several_axes_put_each_in_its_place():
    rng = random.Random("several")
    x = listed(rng, 2)
    found = contract(Scope(40), [((N, S), [x]), ((N, S, N2, S2), [PAIR])], (N2, S2))
    assert told(found) == told(contract(Scope(40), [((N, S), [x]), ((), [[FACTOR]])], (N, S)))


@pytest.mark.parametrize(
    ("signs", "profile", "left", "falls"),
    [
        ((A, B, C), None, (A | B, C), None),
        ((A, A, 0), None, (A, 0), None),
        ((A, A | B, C), (1, 0, 2), (A | B, C), (1, 2)),
        ((0, 0, 0), (2, 3, 0), (0, 0), (5, 0)),
        ((0, 0, 0), (8, 9, 0), (0, 0), (12, 0)),
        ((0, 0, 0), (SUMMABLE, -1, 1), (0, 0), (SUMMABLE, 1)),
    ],
)
def test_along_the_diagonal_entries_are_random_as_either_axis_is_and_fall_along_both(
    signs: tuple[int, ...], profile: tuple[int, ...] | None, left: tuple[int, ...], falls: tuple[int, ...] | None
):
    x = Term(-1, signs, profile=profile)
    (found,) = contract(Scope(40), [((N, N2, S), [[x]]), ((N, N2), [IDENTITY])], (N, S))
    assert (found.size, found.signs, found.profile, found.mirror) == (-5, left, falls, None)


def test_a_trace_is_the_sum_along_the_diagonal():
    for signs, more in (((A, B), GROWTHS["n"] // 2), ((A, A), GROWTHS["n"] // 2), ((0, 0), GROWTHS["n"])):
        (found,) = contract(Scope(40), [((N, N2), [[Term(-1, signs)]]), ((N, N2), [IDENTITY])], ())
        assert found.size == -1 - 4 + more


@pytest.mark.parametrize(
    ("labels", "result", "signs", "profile"),
    [
        ((N,), (N, N2), (A, 0), (1, SUMMABLE)),
        ((N,), (N2, N), (A, 0), (1, SUMMABLE)),
        ((N2,), (N, N2), (A, 0), (1, SUMMABLE)),
        ((S,), (N, S, N2), (0, A, 0), (0, 1, SUMMABLE)),
        ((S,), (S, N, N2), (A, 0, 0), (1, 0, SUMMABLE)),
    ],
)
def test_the_rows_of_a_diagonal_have_one_entry_each(
    labels: Labels, result: Labels, signs: tuple[int, ...], profile: tuple[int, ...]
):
    for decay in (0, 1):
        x = Term(-1, (A,), profile=(decay,) if decay else None)
        (found,) = contract(Scope(40), [(labels, [[x]]), ((N, N2), [IDENTITY])], result)
        wanted = tuple(decay if halves == 1 else halves for halves in profile)
        assert (found.size, found.signs, found.profile) == (-5, signs, wanted)


def test_an_identity_alone_is_a_matrix_and_its_sums_are_ones():
    scope = Scope(40)
    for result, size, signs, profile in (
        ((N, N2), 0, (0, 0), (0, SUMMABLE)), ((N2, N), 0, (0, 0), (0, SUMMABLE)), ((N,), 0, (0,), None),
        ((N2,), 0, (0,), None), ((), GROWTHS["n"], (), None),
    ):  # fmt: skip
        (found,) = contract(scope, [((N, N2), [IDENTITY])], result)
        assert (found.size, found.signs, found.profile) == (size - 4, signs, profile)
    (both,) = contract(scope, [((N, S, N2, S2), [PAIR])], ())
    assert both.size == GROWTHS["n"] + GROWTHS["s"] - 4
    skip = contract(scope, [((N, N2), [IDENTITY, [Term(1, (A, B))]]), ((N,), [[Term(0, (A,))]])], (N2,))
    assert {t.signs: t.size for t in skip} == {(A,): -4, (B,): 1 + GROWTHS["n"]}


def test_what_is_an_identity():
    number = Term(0)
    assert is_identity([IDENTITY])
    for other in (
        [], [[number]], [IDENTITY, IDENTITY], [PAIR], [Outer((((M,), (number,)),), ("a", "b"), number)],
        [Outer((), ("a",), number)],
    ):  # fmt: skip
        assert not is_identity(other)

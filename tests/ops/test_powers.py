"""The terms of a function of terms are those that a plain look at every pair gives."""

from __future__ import annotations

import random
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from plain_terms import A, B, C, D, N, Pair, Point, S, Scope, base, evaluated, kept, told

from scalerules.ops.elementwise import Elementwise, powers
from scalerules.ops.functions import FUNCTIONS
from scalerules.terms.merging import merged, rank
from scalerules.terms.pieces import Outer
from scalerules.terms.term import SUMMABLE, Fresh, Profile, Term


def pairs(terms: list[Term], homogeneous: bool) -> list[Pair]:
    """Products of two terms, the largest with itself too; of a homogeneous function as large as the smaller one."""
    found: list[Pair] = []
    ordered = sorted(terms, key=rank, reverse=True)
    for i, a in enumerate(ordered):
        for b in ordered[i + 1 if i else 0 :]:
            signs = tuple(p ^ q for p, q in zip(a.signs, b.signs, strict=True))
            if homogeneous:
                found.append(Pair(b.size, b.log, (), b.degree, signs, b.profile, None))
            else:
                found.append(Pair(a.size + b.size, a.log + b.log, (), a.degree + b.degree, signs, None, None))
    return found


@pytest.mark.parametrize("decays", (False, True), ids=("flat", "decaying"))
@pytest.mark.parametrize("homogeneous", (False, True), ids=("smooth", "homogeneous"))
@pytest.mark.parametrize("parity", ("odd", "even", "generic"))
def test_powers_are_the_best_of_all_pairs(parity: str, homogeneous: bool, decays: bool):
    rng = random.Random(f"{parity} {homogeneous} {decays}")
    for _ in range(60):
        axes, spread = rng.choice((1, 2)), rng.choice((range(1), range(0, 9, 4), range(20)))
        scope = Scope(rng.choice((3, 12, 40)))
        terms = merged([base(rng, axes, spread, decays, 0.2) for _ in range(rng.choice((1, 4, 9)))], scope.reach)
        for term in terms:
            term.log = 0  # which of two equally large products has more logarithms is not looked at
        found = powers(scope, terms, parity, homogeneous, constant=False)  # type: ignore[arg-type]
        alone = [Pair(t.size, t.log, (1,) if t.mirror else (), t.degree, t.signs, t.profile, None) for t in terms]
        wanted = (alone if parity != "even" else []) + (pairs(terms, homogeneous) if parity != "odd" else [])
        assert told(found) == told(kept(wanted, scope.reach))
        assert all(evaluated(t) == t.size for t in found)
        with_one = powers(scope, terms, parity, homogeneous, constant=True)  # type: ignore[arg-type]
        one = Pair(0, 0, (), 0, (0,) * axes, None, None)
        assert told(with_one) == told(kept([*wanted, one] if parity != "odd" else wanted, scope.reach))


def test_of_products_of_many_sources_those_of_fewest_parameters_are_kept():
    """Degrees are sums of different powers of two, so that each pair has its own."""
    terms = [
        Term(0, signs, (), tuple((("lr", f"V{k}"), Fraction(1)) for k in range(degree)))
        for degree, signs in ((1, (A, 0)), (2, (B, C)), (4, (D, A)), (8, (C, D)))
    ]
    for order in (terms, terms[::-1]):
        found = powers(Point(40), order, "even", False, constant=False)
        assert sorted(t.degree for t in found if any(t.signs)) == [3, 5]


def test_of_no_terms_there_are_no_powers():
    assert all(powers(Scope(9), [], parity, False, True) == [] for parity in ("odd", "even", "generic"))  # type: ignore[arg-type]


def test_what_grows_like_a_logarithm_stands_apart_in_an_exponential():
    plain, ramp = Term(-2, (A,)), Term(0, (0,), ramp=True)
    site: Any = SimpleNamespace(labels=[(N,)], result=(N,))
    for name, apart in (("exp", ([plain], [ramp])), ("tanh", ([ramp, plain], []))):
        x, ramps = Elementwise(FUNCTIONS[name].shape)._argument(Scope(99), site, [[[ramp, plain]]])  # type: ignore[arg-type]
        assert (list(x), list(ramps)) == apart


BOTH = (N, S)
BIT = 64
MATRIX = Term(-3, (D, D), matrix=Fresh("W", D))


class Scattered(Point):
    """A point at which what scatters has a source of its own."""

    def bit(self, *key: object) -> int:
        assert key == ("scatter", "site")
        return BIT


AT: Any = Scattered(400)


def function(name: str) -> Elementwise:
    return Elementwise(FUNCTIONS[name].shape)


def of(labels: tuple[str, ...]) -> Any:
    return SimpleNamespace(key="site", labels=[labels], result=labels)


@pytest.mark.parametrize("profile", [None, (2, 0), (0, 1), (0, -2), (-1, 0)], ids=str)
def test_an_exponential_of_what_grows_falls_exponentially(profile: Profile | None):
    """`exp(-i x)` along the axis of the index alone; of what falls it is one plus something that falls as much."""
    operands = [[[Term(-2, (A, 0), profile=profile)]]]
    found = {t.signs: t.profile for t in function("exp").value(AT, of(BOTH), operands)}
    grown = tuple(SUMMABLE if halves < 0 else 0 for halves in profile or (0, 0))
    if any(grown):
        assert set(found.values()) == {grown} and set(found) == {(0, 0), (A, 0)}
    else:
        assert found == {(0, 0): None, (A, 0): profile}
    assert {t.signs: t.profile for t in function("tanh").value(AT, of(BOTH), operands)} == {(A, 0): profile}


@pytest.mark.parametrize("profile", [None, (0, 1), (1, 0)], ids=str)
def test_an_exponential_of_a_logarithm_of_the_index_grows_like_it(profile: Profile | None):
    """`exp(x + log i)` is `i exp(x)`, along the last axis; the logarithm itself is none of its terms."""
    x, ramp = Term(-2, (A, 0), profile=profile), Term(0, (0, 0), ramp=True)
    for terms in ([x, ramp], [ramp, x]):
        found = {t.signs: t.profile for t in function("exp").value(AT, of(BOTH), [[terms]])}
        a, b = profile or (0, 0)
        assert found == {(0, 0): (0, -2), (A, 0): (a, b - 2)}
    alone = function("exp").value(AT, of(BOTH), [[[ramp]]])
    assert [(t.size, t.signs, t.profile) for t in alone] == [(0, (0, 0), (0, -2))]
    assert {t.profile for t in function("tanh").value(AT, of(BOTH), [[[ramp]]])} == {None}


@pytest.mark.parametrize(
    ("name", "scatters"),
    [("tanh", True), ("sin", True), ("sigmoid", False), ("cos", False), ("identity", False), ("relu", False)],
)
def test_the_derivative_of_an_odd_function_of_a_random_matrix_scatters(name: str, scatters: bool):
    """`f'(u) = 1 - c u^2`: beside the mean of the squares, which is a number, they are a matrix of the size of one."""
    smaller, pieces = Term(-5, (C, C), matrix=Fresh("V", C)), Outer((), BOTH, Term(0))
    few = Term(-1, (A, A), matrix=Fresh("row", A, both=False))
    d = [Term(-9, (A, 0)), Term(-7, (B, 0), profile=(1, 0))]
    for terms in ([MATRIX, smaller], [smaller, MATRIX], [MATRIX, few]):
        found = function(name).pull(AT, of(BOTH), [[terms]], 0, d)
        (more,) = [t for t in found if t.signs[1] & BIT] or [None]
        assert (more is not None) is scatters
        if more is not None:
            assert (more.size, more.signs, more.profile) == (-7 - 6, (B ^ BIT, BIT), (1, 0))
            assert more.matrix is not None and more.matrix.source == BIT
    law = function(name)
    assert (law._scatter(AT, of(BOTH), [[pieces, [MATRIX]]]) is not None) is scatters  # pyright: ignore[reportPrivateUsage]
    for others in ([[few]], [[Term(-3, (D, D))]], [pieces], []):
        assert law._scatter(AT, of(BOTH), [others]) is None  # pyright: ignore[reportPrivateUsage]
    assert law.pull(AT, of(BOTH), [[[MATRIX]]], 0, []) == []


def test_what_has_moved_along_what_scatters_adds_up_with_it():
    """A change with the signs of the scattered part alone comes back without them: its square is no matrix."""
    along, other = Term(-8, (BIT, BIT)), Term(-8, (A, A))
    found = {t.signs: t for t in function("tanh").push(AT, of(BOTH), [[[MATRIX]]], 0, [[along, other]])}
    assert set(found) >= {(BIT, BIT), (A, A), (0, 0)} and (A ^ BIT, A ^ BIT) not in found
    assert found[0, 0].size == -8 - 6 and found[0, 0].matrix is None

"""What laws ask of a gradient: its largest entries, its traces, what has to be multiplied out."""

from __future__ import annotations

from fractions import Fraction

from plain_terms import GROWTHS, A, B, C, D, M, N, S, Scope, evaluated

from scalerules.optimizers import optimizer
from scalerules.optimizers.gradients import entries, explicit_if_summed, largest, levelled_terms, raised, traces
from scalerules.terms.pieces import Outer
from scalerules.terms.term import SUMMABLE, Profile, Shift, Term


def term(size: int, *signs: int, profile: Profile | None = None, degree: int = 0) -> Term:
    shift: Shift = (("lr", "W"), Fraction(size)), *((("lr", f"V{k}"), Fraction(1)) for k in range(degree))
    return Term(size, signs, (), shift, profile=profile)


def outer(*factors: tuple[tuple[str, ...], Term], labels: tuple[str, ...] = (M, N), size: int = -1) -> Outer:
    return Outer(tuple((axes, (factor,)) for axes, factor in factors), labels, term(size))


PLAIN = outer(((M,), term(-2, A, profile=(1,))), ((N,), term(-3, B)))
SHARED = outer(((M, S), term(0, A, C)), ((N, S), term(0, B, D)))


def test_a_gradient_that_is_a_sum_along_a_shared_axis_or_of_a_vector_is_multiplied_out():
    assert explicit_if_summed(Scope(99), PLAIN) is PLAIN
    (summed,) = explicit_if_summed(Scope(99), SHARED)  # type: ignore[misc]
    assert (summed.size, summed.signs) == (-1 + GROWTHS["s"] // 2, (A, B))
    (vector,) = explicit_if_summed(Scope(99), outer(((N,), term(-2, A)), labels=(N,)))  # type: ignore[misc]
    assert (vector.size, vector.signs) == (-3, (A,))


def test_the_largest_entries_fall_least_along_an_axis():
    falls, flat, grows = (term(0, A, profile=profile) for profile in ((2,), None, (-1,)))
    assert largest([falls, flat]) is flat and largest([flat, grows]) is grows and largest([falls, term(1, A)]).size == 1  # type: ignore[union-attr]
    one, both = term(0, A, B, profile=(2, 0)), term(0, A, B, profile=(1, 1))
    assert largest([both, one]) is one, "along one of them it does not fall at all"
    more, less = term(0, A, degree=2), term(0, A, degree=1)
    assert largest([more, less]) is less and largest([]) is None


def test_the_entries_of_an_outer_product():
    found = entries(Scope(99), PLAIN)
    assert found is not None and (found.size, found.profile) == (-6, (1, 0)) and evaluated(found) == -6
    both = outer(((M, N), term(-2, A, B, profile=(1, 2))), ((N, M), term(0, A, B, profile=(3, -1))))
    assert (entries(Scope(99), both) or found).profile == (0, 5)
    flat = outer(((M,), term(-2, A, profile=(1,))), ((M,), term(0, A, profile=(-1,))))
    assert (entries(Scope(99), flat) or found).profile is None
    assert entries(Scope(99), Outer((((M,), ()),), (M,), term(0))) is None
    assert entries(Scope(99), Outer((((M,), ()), ((N,), (term(0, A),))), (M, N), term(0))) is None
    assert entries(Scope(99), [term(-2, A), term(-1, B)]).size == -1  # type: ignore[union-attr]


def test_the_traces_of_the_two_covariances():
    read, behind = traces(Scope(99), (M, N), PLAIN.factors)
    assert (read.size, behind.size) == (2 * -3 + GROWTHS["n"], 2 * -2 + GROWTHS["m"])
    assert (evaluated(read), evaluated(behind)) == (read.size, behind.size)


def test_a_power_of_a_size():
    base = term(-4, A)
    assert raised(base, Fraction(1)) is base and raised(base, Fraction(0)).size == 0
    for power, size in ((Fraction(2), -8), (Fraction(-1, 2), 2), (Fraction(1, 4), -1)):
        assert raised(base, power).size == size == evaluated(raised(base, power))


def test_what_signs_make_alike_falls_from_the_largest_on():
    top, other, rising = term(0, A, profile=(1,)), term(-1, B, profile=(3,)), term(-2, C)
    assert [t.profile for t in levelled_terms([top, other, rising])] == [(0,), (2,), (0,)]
    flat = [rising, term(-3, A, profile=(2,))]
    assert levelled_terms(flat) is flat and levelled_terms([]) == []
    few = Term(10, (4,), profile=(SUMMABLE,))
    assert [t.size for t in levelled_terms([few, Term(0, (2,))])] == [0, 0], "the few that do not fall are made alike"
    assert [t.size for t in levelled_terms([few, Term(0, (2,))], whole=True)] == [10, 0]
    top, also = term(0, A), term(0, B, degree=1)
    assert levelled_terms([few, top, also])[1:] == [top, also], "what is as large stays what it is"


def test_what_falls_exponentially_in_every_term_alone_stays_so():
    first, other = Term(0, (A, B), profile=(SUMMABLE, 0)), Term(-1, (A, C), profile=(0, SUMMABLE))
    assert [t.profile for t in levelled_terms([first, other])] == [(0, 0), (0, SUMMABLE)]
    both = Term(-1, (A, C), profile=(SUMMABLE, 1))
    assert [t.profile for t in levelled_terms([first, both])] == [(SUMMABLE, 0), (SUMMABLE, 1)]
    assert [t.profile for t in levelled_terms([first, other], whole=True)] == [(SUMMABLE, 0), (0, SUMMABLE)]


def test_what_shampoo_says_of_its_exponents():
    assert optimizer("shampoo(1/64,1/64)").exponents == (Fraction(1, 64), Fraction(1, 64)), "the finest"
    assert "each becomes its power 1/4;" in optimizer("shampoo(1/4,1/8)").reason

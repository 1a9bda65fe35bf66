"""Inequalities: how far they are broken, and that a programme is given those that bind, in any order."""

from __future__ import annotations

from collections.abc import Hashable
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from scalerules.solving.inequalities import Inequality, programme_of
from scalerules.solving.programme import Infeasible

F = Fraction
A, M = ("init", "W"), ("mult", "W")


def test_how_far_an_inequality_is_broken():
    found = Inequality({A: F(1, 2), M: F(-2)}, (F(3, 4), F(1)))
    assert found.excess({A: 1.0, M: 0.5}) == 0.75 + 0.5 - 1.0
    assert (
        found.key
        == Inequality({M: F(-2), A: F(1, 2)}, (F(3, 4), F(1))).key
        != Inequality({A: F(1, 2)}, (F(3, 4), F(1))).key
    )


VARIABLES: tuple[Hashable, ...] = ("x", "y", "z")
NUMBERS = st.integers(-3, 3).map(lambda n: F(n, 2))
ROWS = st.lists(st.tuples(st.tuples(*[st.integers(-2, 2)] * 3), NUMBERS), min_size=1, max_size=9)


def bounds_and_rows(rows, bounds):
    """Upper bounds, and the rows as inequalities by name."""
    upper = {variable: (bound,) for variable, bound in zip(VARIABLES, bounds, strict=True)}
    return upper, {
        str(number): Inequality({v: F(c) for v, c in zip(VARIABLES, form, strict=True) if c}, (constant,))
        for number, (form, constant) in enumerate(rows)
    }


def outcome(solve):
    """The solution of a programme, or what clashes."""
    try:
        return solve().solution()
    except Infeasible as infeasible:
        return infeasible.clash


@given(ROWS, st.tuples(NUMBERS, NUMBERS, NUMBERS), st.lists(st.integers(0, 8), unique=True))
def test_the_order_in_which_inequalities_are_added_does_not_matter(rows, bounds, first):
    """One by one, the most broken first, or these first and then all that are broken at once: the same solution.

    Where there is none, what clashes is what clashes without any that come first.
    """
    upper, named = bounds_and_rows(rows, bounds)
    one_by_one = outcome(lambda: programme_of(upper, named, ()))
    assert outcome(lambda: programme_of(upper, named, [str(n) for n in first if n < len(rows)])) == one_by_one
    if isinstance(one_by_one, dict):
        for form, constant in rows:
            assert sum(share * one_by_one[v][0] for v, share in zip(VARIABLES, form, strict=True)) + constant <= 0

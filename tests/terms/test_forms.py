"""Where a size comes from: the form of a term is that of all that it was made of, and a mean square's too."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

import pytest
from plain_terms import GROWTHS, A, M, N, S, Scope, evaluated

from scalerules.terms.pieces import Labels
from scalerules.terms.sums import root_mean_square
from scalerules.terms.term import SUMMABLE, Profile, Raised, Shift, Symbol, Term

SYMBOLS: list[Symbol] = [("growth", "n"), ("lr", "V"), ("init", "U")]


def added(term: Term) -> dict[Symbol, Fraction]:
    """The form of a term, written out."""
    total: Counter[Symbol] = Counter()
    for sign, others in ((1, term.parents), (-1, term.minus)):
        for other in others:
            for symbol, value in added(other).items():
                total[symbol] += sign * value  # type: ignore[assignment]
    for symbol, value in term.shift:
        total[symbol] += value  # type: ignore[assignment]
    return {symbol: Fraction(value) for symbol, value in total.items() if value}


def test_the_form_of_a_term_is_that_of_its_parents_less_what_it_is_divided_by_and_its_own():
    rng = random.Random("forms")
    for _ in range(20):
        terms = [Term(0, (), (), ((symbol, Fraction(1)),), log=rng.choice((0, 1))) for symbol in SYMBOLS]
        for _ in range(12):
            values = (Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-3, 2))
            shift: Shift = tuple(
                (symbol, rng.choice(values)) for symbol in rng.sample(SYMBOLS, rng.choice((0, 0, 1, 2)))
            )
            over = tuple(rng.choices(terms, k=rng.choice((0, 0, 1))))
            parents, log = tuple(rng.choices(terms, k=rng.choice((1, 1, 2, 3)))), rng.choice((0, 0, 1))
            made = Term(0, (), parents, shift, over, log=log)
            assert made.degree == sum(t.degree for t in parents) - sum(t.degree for t in over)
            assert made.log == log + sum(t.log for t in parents) - sum(t.log for t in over)
            terms.append(made)
        asked = rng.sample(terms, len(terms))  # a form is kept once it was asked for
        assert [t.form for t in asked] == [added(t) for t in asked]
        assert all(t.form == {symbol: Fraction(value) for symbol, value in t.counts.items()} for t in terms)


@pytest.mark.parametrize(("power", "size"), [(Fraction(1, 2), -6), (Fraction(-1), 12), (Fraction(3, 2), -18)])
def test_a_power_of_a_size(power: Fraction, size: int):
    base = Term(-12, (A,), (), ((("lr", "W"), Fraction(-12)), (("lr", "V"), Fraction(2))))
    raised = Raised(base, power)
    assert (raised.size, raised.signs, raised.base, raised.power) == (size, (), base, power)
    assert raised.form == {("lr", "W"): -12 * power, ("lr", "V"): 2 * power}


@pytest.mark.parametrize("profile", (None, (0, 1, 0), (1, 2, 0), (SUMMABLE, 0, 12), (-1, 0, 1), (-2, -1, 0)), ids=str)
def test_the_root_mean_square_over_all_entries_lies_below_the_first_ones(profile: Profile | None):
    """Of entries like `i**-h` by the power `h` of the axis, at most by half of it: the first entry alone then counts."""
    labels: Labels = (N, S, M)
    term = Term(3, (A,) * 3, (), ((("lr", "W"), Fraction(3)),), profile=profile)
    ticks, shift = root_mean_square(Scope(40), term, labels)
    lower = sum(
        min(halves, 1) * GROWTHS[label[0]] // 2 for label, halves in zip(labels, profile or (0, 0, 0), strict=True)
    )
    assert ticks == 3 - lower == evaluated(term.derived(size=ticks, shift=shift))
    assert {symbol for symbol, _ in shift} == {
        ("growth", label[0]) for label, halves in zip(labels, profile or (0, 0, 0), strict=True) if halves
    }


@pytest.mark.parametrize(("labels", "signs"), [((N, S), (2 ^ 8, 4)), ((S, N), (2, 4 ^ 8))])
def test_signs_of_rows_that_are_met_are_known_by_their_labels(labels: Labels, signs: tuple[int, int]):
    term = Term(0, (2, 4))
    assert term.turned(labels, {N: 8, M: 16}).signs == signs
    assert term.turned(labels, {N: 0, M: 16}) is term

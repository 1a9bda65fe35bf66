"""The algebra of products of powers, held against numbers: their logarithms, where every atom has a size."""

from __future__ import annotations

import random
from fractions import Fraction

from scalerules.optimizers.powers import BEHIND, GRADIENT, READ, WEIGHT, Powers, atom, largest, shift, smallest

NAMES = (GRADIENT, WEIGHT, READ, BEHIND)
POWERS = [Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-2, 3), Fraction(0)]


def drawn(rng: random.Random, depth: int) -> Powers:
    """A product of powers, with choices inside of choices."""
    made = Powers()
    for name in rng.sample(NAMES, rng.choice((0, 1, 2))):
        made = made.times(atom(name, rng.choice(POWERS)))
    if depth:
        options = [drawn(rng, depth - 1) for _ in range(rng.choice((1, 2, 3)))]
        made = made.times(rng.choice((largest, smallest))(*options), rng.choice(POWERS))
    return made


def size(powers: Powers, sizes: dict[str, Fraction]) -> Fraction:
    """The logarithm of a product where the atoms have these."""
    inside = [power * max(size(option, sizes) for option in options) for power, options in powers.largest]
    return sum((power * sizes[name] for name, power in powers.atoms), Fraction(0)) + sum(inside, Fraction(0))


def test_products_powers_and_choices_are_those_of_the_numbers():
    rng = random.Random("powers")
    for _ in range(200):
        sizes = {name: Fraction(rng.randrange(-6, 7)) for name in NAMES}
        a, b, power = drawn(rng, 2), drawn(rng, 2), rng.choice(POWERS)
        one, other = size(a, sizes), size(b, sizes)
        assert size(a.times(b), sizes) == one + other and size(a.times(b, power), sizes) == one + power * other
        assert size(a.to(power), sizes) == power * one
        assert size(largest(a, b), sizes) == max(one, other) and size(smallest(a, b), sizes) == min(one, other)
        assert largest(a, a, a) == a
        for each in (a, b):
            resolved = each.resolved(sizes.__getitem__)
            assert sum(p * sizes[name] for name, p in resolved.items()) == size(each, sizes)
            assert all(p and (p * each.grain).denominator == 1 for p in resolved.values())
            assert each.reads(*resolved) or not resolved


def test_of_equally_large_products_the_first_is_taken_and_nothing_that_cancels_is_left():
    first, second = atom(GRADIENT, 2), atom(WEIGHT)
    assert largest(first, second).resolved(lambda name: 0) == {GRADIENT: 2}
    assert largest(second, first).resolved(lambda name: 0) == {WEIGHT: 1}
    assert largest(first, second).times(first, -1).resolved(lambda name: 1) == {}
    assert first.times(first, -1) == Powers() and first.times(largest(first, second), 0) == first
    assert largest(first, first.times(second)).to(0) == Powers()


def test_what_is_read_and_how_fine_the_powers_are():
    inside = largest(atom(GRADIENT), atom(READ, Fraction(1, 3))).to(Fraction(1, 2)).times(atom(WEIGHT, Fraction(1, 4)))
    assert inside.reads(READ) and inside.reads(BEHIND, WEIGHT) and not inside.reads(BEHIND)
    assert inside.grain == 12 and Powers().grain == 1
    assert not Powers().reads(*NAMES)


def test_how_much_a_product_grows_with_the_multiplier_of_its_parameter():
    """The gradient as the multiplier, the parameter against it, what it reads as its square; the rest stays."""
    powers = {GRADIENT: Fraction(1, 2), WEIGHT: Fraction(3), READ: Fraction(1), BEHIND: Fraction(5)}
    assert shift(powers) == Fraction(1, 2) - 3 + 2 and shift({}) == 0

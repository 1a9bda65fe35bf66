"""How exponents are printed in a table."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations, product

from scalerules.sizes.exponents import Exponents
from scalerules.solution.views import power

POWERS = [Fraction(text) for text in ("0", "1", "-1", "1/2", "-1/2", "2", "-2", "3/2", "-3/2", "1/3", "-5/7")]


def test_a_power_is_written_as_sympy_prints_it() -> None:
    for names in [names for count in (1, 2, 3) for names in permutations(("width", "depth", "Batch"), count)]:
        for powers in product(POWERS if len(names) < 3 else POWERS[2:8], repeat=len(names)):
            exponents = Exponents(dict(zip(names, powers, strict=True)))
            assert power(exponents) == str(exponents.expr).replace("**", "^")

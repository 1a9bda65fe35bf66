"""The terms of a function of terms are those that a plain look at every pair gives."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from plain_terms import A, N, Pair, Scope, base, evaluated, kept, told

from scalerules.ops.elementwise import Elementwise, powers
from scalerules.ops.functions import FUNCTIONS
from scalerules.terms.merging import merged, rank
from scalerules.terms.term import Term


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


def test_of_no_terms_there_are_no_powers():
    assert all(powers(Scope(9), [], parity, False, True) == [] for parity in ("odd", "even", "generic"))  # type: ignore[arg-type]


def test_what_grows_like_a_logarithm_stands_apart_in_an_exponential():
    plain, ramp = Term(-2, (A,)), Term(0, (0,), ramp=True)
    site: Any = SimpleNamespace(labels=[(N,)], result=(N,))
    for name, apart in (("exp", ([plain], [ramp])), ("tanh", ([ramp, plain], []))):
        x, ramps = Elementwise(FUNCTIONS[name].shape)._argument(Scope(99), site, [[[ramp, plain]]])  # type: ignore[arg-type]
        assert (list(x), list(ramps)) == apart

"""What an optimizer makes of the terms of a gradient: sizes by hand, of a parameter with two growing axes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from plain_terms import GROWTHS, A, B, C, D, Point, evaluated

from scalerules.ops.site import Held
from scalerules.optimizers import OPTIMIZERS, Optimizer, optimizer, vocabulary
from scalerules.optimizers.law import axes_of
from scalerules.optimizers.symbolic import Facts
from scalerules.terms.pieces import Outer
from scalerules.terms.term import SUMMABLE, Fresh, Profile, Term

RATE, IN, OUT = -7, GROWTHS["n"], GROWTHS["m"]
GRADIENT, WEIGHT, READ, BEHIND = -4, -6, -2, -9
AT = Point(99)
HELD = Held("P", "P", ("m", "n"), None, ("n",), ("m",), matrix=True)
VECTOR = Held("P", "P", ("m",), None)


def term(size: int, *signs: int, profile: Profile | None = None, matrix: Fresh | None = None, more: int = 0) -> Term:
    """A term of this size; `more` further unknowns stand in its form."""
    shift = ((("lr", "W"), Fraction(size)), *((("lr", f"V{k}"), Fraction(1)) for k in range(more)))
    return Term(size, signs or (A, B), (), shift, profile=profile, matrix=matrix)


def outer(size: int) -> Outer:
    return Outer(((("m",), (term(size, A),)), (("n",), (term(0, B),))), ("m", "n"), term(0, 0))


def own(formula: Any) -> Optimizer:
    return Optimizer("own", "", "", formula)


def moved(law: Optimizer | str, *pieces: Any, held: Held = HELD, weights: Any = None, sides: Any = None) -> list[Any]:
    """The sizes of an update, piece by piece, of which the forms say the same."""
    rule = optimizer(law) if isinstance(law, str) else law
    weights = ([term(WEIGHT)],) if weights is None else weights
    found: list[Any] = []
    for piece in rule.update(AT, held, list(pieces), weights, sides)[0]:
        terms = [piece.factor] if isinstance(piece, Outer) else piece
        assert all(evaluated(t) == t.size for t in terms)
        found.append(piece.factor.size if isinstance(piece, Outer) else [t.size for t in piece])
    return found


# The largest singular value of a gradient of bounded rank is its size times the root of fan_in fan_out: -4 + 14.
UPDATES = {
    "sgd": GRADIENT,
    "adam": 0,
    "sign": 0,
    "adafactor": WEIGHT,
    "lamb": WEIGHT,
    "lars": WEIGHT,
    "muon": -(IN + OUT) // 2,
    "soap": -(IN + OUT) // 2,
    "muon-spectral": -IN,
    "muon-original": -(IN + OUT) // 2,  # fan_out is the smaller side here
    "muon-match-rms": -OUT // 2,
    "shampoo": -(IN + OUT) // 2,
    "shampoo(1/2,1/4)": GRADIENT - 3 * (GRADIENT + 14) // 2,
    "kfac": -GRADIENT - IN - OUT,  # of a rank-one gradient the two covariances make up its square
}


@pytest.mark.parametrize("name", UPDATES)
def test_the_size_of_an_update(name: str):
    assert moved(name, [term(GRADIENT)]) == [[RATE + UPDATES[name]]]


def test_sides_are_divided_by_where_they_are_known():
    """`B^-1 G A^-1`: the size of the gradient over both traces."""
    sides = (term(READ), term(BEHIND))
    assert moved("kfac", [term(GRADIENT)], sides=sides) == [[RATE + GRADIENT - READ - BEHIND]]
    assert moved("sgd", [term(GRADIENT)], sides=sides) == moved("sgd", [term(GRADIENT)])


@pytest.mark.parametrize(
    ("name", "size"), [("sgd", GRADIENT), ("muon", 0), ("shampoo", -OUT // 2), ("kfac", -GRADIENT - OUT)]
)
def test_the_update_of_a_vector(name: str, size: int):
    """It has one singular value, its norm, and one Gram matrix; as a layer it reads the number 1 and keeps `m`."""
    layer = replace(VECTOR, fan_out=("m",))
    assert moved(name, [term(GRADIENT, A)], held=layer, weights=([term(WEIGHT, A)],)) == [[RATE + size]]


@pytest.mark.parametrize(("name", "size"), [("sgd", GRADIENT), ("sign", 0), ("muon", -14), ("lamb", WEIGHT)])
def test_what_is_smaller_stays_as_much_smaller(name: str, size: int):
    top, less = term(GRADIENT), term(GRADIENT - 3, C, D)
    assert moved(name, [less, top]) == [[RATE + size - 3, RATE + size]]
    assert moved(name, [less], [top]) == [[RATE + size - 3], [RATE + size]]
    assert moved(name, [], [top], []) == [[RATE + size]], "a piece of zeros is none"


def test_what_is_made_of_few_numbers_has_singular_values_of_its_own():
    """Only where the update is orthogonal, whatever its size, and of a piece that stays an outer product."""
    top, less = [term(GRADIENT)], outer(GRADIENT - 5)
    unit = own(lambda g, w: vocabulary.orthogonal(g) * vocabulary.rms(w))
    assert moved("muon", top, less) == [[RATE - 14], RATE - 14 - (GRADIENT - 5)], "the factor is over its own size"
    assert moved("muon", top, [term(GRADIENT - 5)]) == [[RATE - 14], [RATE - 19]]
    for law, size in (("sign", 0), ("sgd", GRADIENT), (unit, WEIGHT - 14)):
        assert moved(law, top, less) == [[RATE + size], RATE + size - GRADIENT]


def test_a_few_entries_that_are_larger_are_made_as_large_as_all_others():
    few, all_of_them = term(GRADIENT + 6, C, D, profile=(SUMMABLE, 0)), term(GRADIENT)
    for pieces in ([[few], [all_of_them]], [[all_of_them], [few]]):
        assert moved("sign", *pieces) == [[RATE], [RATE]]
    assert moved("sign", [few, all_of_them]) == [[RATE, RATE]]
    assert moved("sign", [few], [term(GRADIENT + 8)]) == [[RATE - 2], [RATE]], "those that are smaller stay so"
    assert moved("sgd", [few], [all_of_them]) == [[RATE + GRADIENT + 6], [RATE + GRADIENT]]


def test_a_few_rows_with_a_gradient_are_longer_in_an_orthogonal_update():
    """Over `k` rows of one size `u v^T` has entries `(k fan_in)^-1/2`: of a bounded number the root of `m` more."""
    few, flat = term(GRADIENT, profile=(SUMMABLE, 0)), term(GRADIENT, profile=(1, 0))
    assert moved("muon", [few]) == [[RATE - 14 + OUT // 2]] and moved("muon", [flat]) == [[RATE - 14]]
    assert moved("sign", [few]) == [[RATE]] and moved("muon", [few], held=replace(HELD, matrix=False)) == [[RATE]]


def test_of_full_rank_the_singular_values_are_as_many_as_the_shorter_side():
    """A random `m` by `n` matrix becomes one with entries `n^-1/2`; what is of low rank beside it `(m n)^-1/2`."""
    woven, full = replace(HELD, woven=True), Fresh("W", C)
    bulk, low = term(GRADIENT, matrix=full), term(GRADIENT, C, D)
    rows = term(GRADIENT, C, B, matrix=replace(full, both=False))
    assert moved("muon", [bulk, low, rows], held=woven) == [[RATE - IN // 2, RATE - 14, RATE - 14]]
    assert moved("muon", [low], held=woven) == [[RATE - 14]]
    assert moved("muon", [bulk], [low], held=woven) == [[RATE - IN // 2], [RATE - 14]]
    turned = replace(woven, fan_in=("m",), fan_out=("n",))
    assert moved("muon", [bulk], held=turned) == [[RATE - IN // 2]], "whichever side is longer"
    for law, held, size in (("muon", HELD, -14), ("sign", woven, 0)):
        assert moved(law, [bulk], held=held) == [[RATE + size]], "in a layer and entry by entry it is as any other"
    relative = own(lambda g, w: vocabulary.orthogonal(g) * vocabulary.rms(w))
    assert moved(relative, [bulk], held=woven) == [[RATE + WEIGHT - 14]]


def test_of_a_weight_that_falls_along_an_axis_a_norm_sees_the_root_mean_square():
    """Entries `i^-1/2` along `m`: their mean square is `1/m`, up to a logarithm."""
    falling = ([term(WEIGHT, profile=(1, 0))],)
    assert moved("lamb", [term(GRADIENT)], weights=falling) == [[RATE + WEIGHT - OUT // 2]]
    assert moved("lamb", [term(GRADIENT)], weights=(*falling, [term(WEIGHT - 1)])) == [[RATE + WEIGHT - 1]]


@pytest.mark.parametrize(
    ("name", "there", "late", "zero"), [("lamb", WEIGHT, WEIGHT, 0), ("adafactor", WEIGHT, 0, 0), ("sgd", -4, -4, -4)]
)
def test_what_starts_at_zero(name: str, there: int, late: int, zero: int):
    """LAMB's ratio is 1 as long as the parameter is zero; Adafactor's floor stays the one that held at the start."""
    some = [term(WEIGHT)]
    for weights, size in (([some], there), ([[], some], late), ([[]], zero), ([], zero), ([some, []], there)):
        assert moved(name, [term(GRADIENT)], weights=weights) == [[RATE + size]]


def test_what_is_a_multiple_of_a_zero_does_not_move():
    relative = own(lambda g, w: g * vocabulary.rms(w))
    update, top, scaling = relative.update(AT, HELD, [[term(GRADIENT)]], [[]])
    assert update == [] and top is not None and scaling.powers == {}
    assert relative.update(AT, HELD, [[term(GRADIENT)]], [[term(WEIGHT)]])[2].powers == {"gradient": 1, "weight": 1}


def test_what_an_update_carries_beside_its_direction():
    """Nothing where the law is normalised or the gradient is zero; else the powers of what has a size."""

    def factor(name: str, *pieces: Any) -> int | None:
        found = optimizer(name).update(AT, HELD, list(pieces), [[term(WEIGHT)]])[2].factor
        return None if found is None else found.size

    some = [term(GRADIENT)]
    assert [factor(name, some) for name in ("sign", "muon", "sgd", "lamb", "lars")] == [None, None, -4, -6, -6]
    assert [factor(name) for name in ("sign", "sgd", "lamb")] == [None, None, None]
    both = own(lambda g, w: g * vocabulary.rms(w)).update(AT, HELD, [some], [[term(WEIGHT)]])[2].factor
    assert both is not None and both.size == GRADIENT + WEIGHT == evaluated(both)


def test_of_equally_large_gradients_it_is_divided_by_the_one_that_falls_least():
    """Its form alone tells, and so does a derivation: what is over itself is the rate, and needs no other step."""
    falls, flat = term(GRADIENT, C, D, profile=(1, 1)), term(GRADIENT, A, B, more=1)
    (other,), (least,) = optimizer("sign").update(AT, HELD, [[falls], [flat]])[0]  # type: ignore[misc]
    assert set(least.form) == {("lr", "P")}, "that over itself is the rate"
    assert set(other.form) == {("lr", "P"), ("lr", "V0")}
    _, factors = optimizer("muon").update(AT, HELD, [[flat], outer(GRADIENT)])[0]
    assert isinstance(factors, Outer) and ("lr", "V0") in factors.factor.form


# --- what it changes in the loss -----------------------------------------------------------------------


def lost(law: str, top: Term, seen: Term | None = None, held: Held = HELD) -> int:
    """The size of update times gradient, summed."""
    rule = optimizer(law)
    scaling = rule.update(AT, held, [[top]], [[term(WEIGHT)]])[2]
    found = rule.loss(AT, held, seen or top, top, scaling)
    assert evaluated(found) == found.size
    return found.size


def test_what_an_update_changes_in_the_loss():
    """`sum of update times gradient`: of SGD the rate times the sum of squares."""
    assert lost("sgd", term(GRADIENT)) == RATE + 2 * GRADIENT + IN + OUT
    assert lost("sign", term(GRADIENT)) == RATE + GRADIENT + IN + OUT
    assert lost("muon", term(GRADIENT)) == RATE - 14 + GRADIENT + IN + OUT
    assert lost("lamb", term(GRADIENT)) == RATE + WEIGHT + GRADIENT + IN + OUT
    assert lost("sgd", term(GRADIENT), term(GRADIENT - 3)) == RATE + 2 * GRADIENT - 3 + IN + OUT
    assert lost("sgd", term(GRADIENT, A), held=VECTOR) == RATE + 2 * GRADIENT + OUT


@pytest.mark.parametrize(
    ("halves", "alike", "squares"), [(1, Fraction(1, 2), 0), (2, 0, 0), (3, 0, 0), (-1, Fraction(3, 2), 2)]
)
def test_of_entries_that_fall_the_sum_is_as_large_as_it_converges(halves: int, alike: Fraction, squares: int):
    """`sum i^-h` is `m^(1 - h)`, of squares `m^(1 - 2h)`, or a number; signs are alike, so they meet `i^-h` once."""
    falls = term(GRADIENT, profile=(halves, 0))
    assert lost("sign", falls) == RATE + GRADIENT + IN + alike * OUT
    assert lost("sgd", falls) == RATE + 2 * GRADIENT + IN + squares * OUT
    assert lost("sgd", falls, term(GRADIENT)) == RATE + 2 * GRADIENT + IN + alike * OUT, "what a step sees falls less"


# --- axes and kinds ------------------------------------------------------------------------------------


def test_the_axes_that_an_atom_stands_for():
    """Copies of a block move one by one: depth is no side of a matrix, and none of the entries of one."""
    deep = replace(HELD, axes=("s", "m", "n"), depth="s")
    sides = {name: axes_of(deep, name) for name in ("fan_in", "fan_out", "entries", "gradient")}
    assert sides == {"fan_in": ("n",), "fan_out": ("m",), "entries": ("m", "n"), "gradient": ()}
    assert axes_of(replace(deep, depth=None), "entries") == ("s", "m", "n")


def test_how_finely_sizes_are_divided():
    """Twice the denominator of the powers: the size of an update may be raised once more."""
    grains = {name: law.grain() for name, law in OPTIMIZERS.items()}
    assert [grains[name] for name in ("sgd", "adam", "muon", "shampoo")] == [1, 1, 4, 4]
    eighth = own(lambda g, w, p: g * p.fan_in ** Fraction(1, 8) if p.name == "P" else g)
    assert (eighth.grain(), eighth.grain([HELD])) == (1, 64)


def test_the_powers_where_no_sizes_are_known():
    assert optimizer("muon-original").guess(Facts("P", matrix=True)) == {"fan_in": -1}, "the first of a choice"
    assert optimizer("muon-original").guess(Facts("P")) == {} and optimizer("sgd").guess(Facts()) == {"gradient": 1}


def test_a_law_is_normalised_for_the_parameters_that_there_are():
    named = own(lambda g, w, p: g if p.name == "P" else vocabulary.sign(g))
    assert named.normalised() and not named.normalised([HELD]) and replace(named, steady=True).normalised([HELD])
    assert not optimizer("sgd").normalised() and replace(optimizer("sgd"), steady=True).normalised()
    assert replace(optimizer("sgd"), steady=True).update(AT, HELD, [[term(GRADIENT)]])[0][0][0].size == RATE  # type: ignore[index]

"""Contractions of two operands are what a plain look at every pair of terms gives."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import product

import pytest
from plain_terms import GROWTHS, IMAGE, A, B, C, D, M, N, Pair, S, Scope, base, evaluated, kept, pair, told

from scalerules.terms.contraction import contract
from scalerules.terms.merging import merged
from scalerules.terms.pieces import Labels
from scalerules.terms.term import SUMMABLE, Fresh, Term


def image(lx: Labels, x: Term, result: Labels) -> Pair:
    """A fresh matrix of size 0 along `m` and `n` applied to a term."""
    decays = dict(zip(lx, x.profile or (0,) * len(lx), strict=True))
    signs = dict(zip(lx, x.signs, strict=True))
    power = 1 - decays.get(N, 0)
    profile = tuple(decays.get(label, 0) for label in result)
    kept = tuple(signs.get(label, IMAGE) for label in result)
    size, log = x.size + max(0, power) * GROWTHS["n"] // 2, x.log + (power == 0)
    return Pair(size, log, (IMAGE,), x.degree, kept, profile if any(profile) else None, None)


SHAPES: list[tuple[Labels, Labels, Labels]] = [
    ((N,), (N,), (N,)), ((N,), (), (N,)), ((), (N, S), (N, S)), ((N,), (S,), (N, S)), ((N, S), (N,), (S,)),
    ((N, S), (N, S), (N, S)), ((N, S), (N,), (N, S)), ((N, S), (N, S), ()), ((N,), (N,), ()), ((N, S), (S,), (N,)),
]  # fmt: skip


@pytest.mark.parametrize("coherent", (True, False), ids=("coherent", "independent"))
@pytest.mark.parametrize("decays", (False, True), ids=("flat", "decaying"))
@pytest.mark.parametrize(("la", "lb", "result"), SHAPES, ids=lambda labels: "".join(x[0] for x in labels) or "1")
def test_a_contraction_of_two_operands_keeps_the_best_of_all_pairs(
    la: Labels, lb: Labels, result: Labels, decays: bool, coherent: bool
):
    rng = random.Random(f"{la} {lb} {result} {decays} {coherent}")
    for _ in range(25):
        scope = Scope(rng.choice((3, 12, 40)), coherent)
        spread = rng.choice((range(1), range(0, 9, 4), range(20)))
        a, b = (
            merged([base(rng, len(side), spread, decays, 0.2) for _ in range(rng.choice((1, 4, 9)))], scope.reach)
            for side in (la, lb)
        )
        found = contract(scope, [(la, [a]), (lb, [b])], result)
        pairs = [pair(scope, la, x, lb, y, result) for x, y in product(a, b)]
        if result:
            assert told(found) == told(kept(pairs, scope.reach))
        else:
            (whole,) = found
            assert (whole.size, whole.log) == max((p.size, p.log) for p in pairs)
            if len(la) > 1:  # a sum over several axes is of the fewest parameters, too
                assert whole.degree == min(p.degree for p in pairs if (p.size, p.log) == (whole.size, whole.log))
        assert all(evaluated(term) == term.size for term in found)


@pytest.mark.parametrize("decays", (False, True), ids=("flat", "decaying"))
@pytest.mark.parametrize(("la", "lb", "result"), SHAPES, ids=lambda labels: "".join(x[0] for x in labels) or "1")
def test_an_operand_that_is_larger_makes_every_product_as_much_larger(
    la: Labels, lb: Labels, result: Labels, decays: bool
):
    """Whatever the unit of a size is: what no product can reach is found from sums of sizes, of either sign."""
    rng = random.Random(f"{la} {lb} {result} {decays}")
    for _ in range(8):
        scope = Scope(rng.choice((3, 12, 40)))
        a, b = (
            merged([base(rng, len(side), range(20), decays, 0.2) for _ in range(rng.choice((4, 9)))], scope.reach)
            for side in (la, lb)
        )
        plain = contract(scope, [(la, [a]), (lb, [b])], result)
        for more, other in ((1000, 0), (0, 1000), (-1000, 1000), (500, 500)):
            sides = [[t.derived(size=t.size + by) for t in terms] for terms, by in ((a, more), (b, other))]
            moved = contract(scope, [(la, [sides[0]]), (lb, [sides[1]])], result)
            assert [(t.size - more - other, t.log, t.signs, t.profile, t.degree) for t in moved] == [
                (t.size, t.log, t.signs, t.profile, t.degree) for t in plain
            ]


def test_of_equally_large_sums_the_one_with_more_logarithms_is_left_and_then_the_one_of_fewest_parameters():
    def of(mask: int, log: int, degree: int) -> Term:
        return Term(0, (mask, mask), (), tuple((("lr", f"V{k}"), Fraction(1)) for k in range(degree)), log=log)

    for first, second, log, degree in (
        ((0, 1, 0, 1), (1, 2, 0, 2), 1, 4),
        ((0, 1, 0, 1), (0, 2, 1, 2), 1, 4),
        ((0, 1, 0, 5), (0, 2, 0, 1), 0, 3),
        ((0, 5, 0, 1), (0, 1, 0, 2), 0, 3),
    ):
        (a, b), (c, d) = ([of(m, *x[:2]), of(m, *x[2:])] for m, x in ((A, first), (B, second)))
        for left, right in (([a, c], [b, d]), ([c, a], [d, b])):
            (whole,) = contract(Scope(40), [((N, S), [left]), ((N, S), [right])], ())
            assert (whole.size, whole.log, whole.degree) == (24, log, degree)


def test_what_comes_back_of_an_image_decays_as_both_do():
    """`W^T W z` along n as z does, along s as the image does now: its profile there may have become another one."""
    scope, matrix = Scope(60), Term(-5, (IMAGE, IMAGE), matrix=Fresh("V", IMAGE))
    for decay, (before, after) in product((2, SUMMABLE, 0), ((0, 0), (0, 1), (1, 0), (1, 3))):
        z = Term(-2, (A, B), profile=(decay, before) if decay or before else None)
        (image,) = contract(scope, [((N, S), [[z]]), ((M, N), [[matrix]])], (M, S))
        moved = image.derived(size=image.size - 3, profile=(0, after) if after else None)
        back = contract(scope, [((M, S), [[moved]]), ((M, N), [[matrix]])], (N, S))
        (mirrored,) = (t for t in back if t.signs == (A, B))
        assert (mirrored.size, mirrored.profile) == (
            -2 - 3 - 10 + GROWTHS["m"],
            (decay, after) if decay or after else None,
        )
        (fresh,) = (t for t in back if t.signs != (A, B))
        assert fresh.size == moved.size - 5 + GROWTHS["m"] // 2 and fresh.mirror is not None
    other = image.derived(signs=(IMAGE, C))
    assert all(t.signs[0] == IMAGE for t in contract(scope, [((M, S), [[other]]), ((M, N), [[matrix]])], (N, S)))


def test_what_comes_back_of_a_part_of_an_image_adds_up_along_that_part():
    """`W^T p W z`: over one row that `p` chooses nothing adds up, over rows that fall like 1/i^(1/2) the root."""
    scope, matrix, z = Scope(60), Term(-5, (IMAGE, IMAGE), matrix=Fresh("V", IMAGE)), Term(-2, (A,))
    (image,) = contract(scope, [((N,), [[z]]), ((M, N), [[matrix]])], (M,))
    for decay, more in ((0, GROWTHS["m"]), (1, GROWTHS["m"] // 2), (SUMMABLE, 0)):
        part = image.derived(profile=(decay,) if decay else None)
        back = contract(scope, [((M,), [[part]]), ((M, N), [[matrix]])], (N,))
        (mirrored,) = (t for t in back if t.signs == (A,))
        assert mirrored.size == -2 - 10 + more


@pytest.mark.parametrize("decays", (False, True), ids=("flat", "decaying"))
@pytest.mark.parametrize(
    ("lx", "result"), [((N,), (M,)), ((N, S), (M, S)), ((N, S), (S, M))],
    ids=lambda labels: "".join(x[0] for x in labels),
)  # fmt: skip
def test_an_image_is_as_large_as_the_largest_that_it_is_made_of(lx: Labels, result: Labels, decays: bool):
    rng, fresh = random.Random(f"{lx} {result} {decays}"), Term(0, (IMAGE, IMAGE), matrix=Fresh("V", IMAGE))
    for _ in range(25):
        scope, spread = Scope(60), rng.choice((range(1), range(20)))
        x = merged([base(rng, len(lx), spread, decays, 0.2) for _ in range(rng.choice((1, 4, 9)))], scope.reach)
        groups: dict[object, list[tuple[Pair, Term]]] = {}
        for one in [(image(lx, term, result), term) for term in x]:
            groups.setdefault((one[0].signs, one[0].profile), []).append(one)
        found = contract(scope, [(lx, [x]), ((M, N), [[fresh]])], result)
        largest = max(pair.size for group in groups.values() for pair, _ in group)
        assert max(t.size for t in found) == largest and all(evaluated(t) == t.size for t in found)
        for t in found:
            group = groups[t.signs, t.profile]
            assert (t.size, -t.degree) == max((pair.size, -pair.degree) for pair, _ in group)
            assert t.mirror is not None and (t.mirror.bit, t.mirror.image.size) == (IMAGE, t.size)
            assert tuple(t.mirror.met()) == tuple(z for _, z in group)


@pytest.mark.parametrize("decays", (False, True), ids=("flat", "decaying"))
def test_of_a_sum_the_best_of_all_terms_are_kept(decays: bool):
    rng = random.Random(f"sum {decays}")
    for _ in range(60):
        axes, reach, spread = rng.choice((1, 2)), rng.choice((3, 12, 40)), rng.choice((range(1), range(20)))
        terms = [base(rng, axes, spread, decays, 0.2) for _ in range(rng.choice((1, 8, 20)))]
        alone = [Pair(t.size, t.log, (1,) if t.mirror else (), t.degree, t.signs, t.profile, None) for t in terms]
        assert told(merged(terms, reach)) == told(kept(alone, reach))
        labels = (N, S)[:axes]
        assert told(contract(Scope(reach), [(labels, [terms])], labels)) == told(kept(alone, reach))


def test_a_matrix_stays_fresh_beside_signs_of_rows_or_columns():
    """Without two axes beside that of depth it does so beside what has no sources."""
    scope, labels = Scope(100), (N, S)
    cases: list[tuple[bool, int, bool, bool]] = [(True, A, True, True), (True, D, False, True), (False, 0, True, False)]
    moved = Term(-4, (A, B))
    for both, sign, first, second in [*cases, (False, A, False, False)]:
        w, gain = Fresh("W", D, both), [Term(0, (sign,)), Term(-1, (B,))]
        matrix = Term(-3, (D, D), (), ((("lr", "W"), Fraction(-3)),), matrix=w)
        for weight, order in product(([matrix], [matrix, moved]), (1, -1)):
            operands = [(labels, [weight]), ((N,), [gain])][::order]
            wanted = {w if first else None, w if second else None} | {None for _ in weight[1:]}
            assert {term.matrix for term in contract(scope, operands, labels)} == wanted
    (same,) = contract(scope, [(labels, [[matrix]]), ((), [[Term(1)]])], labels)
    assert same.matrix is not None and (same.matrix.name, same.size) == ("W", -2)

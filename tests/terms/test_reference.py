"""Contractions of two operands are what a plain look at every pair of terms gives: no bound, no order, no shortcut."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import pytest

from scalerules.terms.contraction import contract
from scalerules.terms.merging import merged
from scalerules.terms.pieces import Labels
from scalerules.terms.term import KEPT, MOST_SOURCES, SUMMABLE, Mirror, Profile, Term

GROWTHS = {"n": 16, "s": 8, "m": 12}
VALUES = {("growth", axis): growth for axis, growth in GROWTHS.items()} | {("lr", "W"): 1}
"""The values of the unknowns at which terms have their sizes; all others are 0."""
N, S, M = "n|i", "s|o", "m|k"
A, B, C, D, IMAGE = 2, 4, 8, 16, 32


class Scope:
    """A point with three growing axes."""

    def __init__(self, reach: int, coherent: bool = True) -> None:
        self.reach, self.coherent = reach, coherent

    def ticks(self, label: str) -> int:
        return GROWTHS[label[0]]

    def bit(self, *key: object) -> int:
        return IMAGE


class Pair(NamedTuple):
    """What is known of one product."""

    size: int
    log: int
    remembered: tuple[int, ...]
    degree: int
    signs: tuple[int, ...]
    profile: Profile | None
    matrix: str | None


def base(rng: random.Random, axes: int, sizes: Sequence[int], decays: bool, many: float) -> Term:
    """A term whose size is that of its form, of one to three parameters."""
    size = -rng.choice(sizes)
    shift = ((("lr", "W"), Fraction(size)), *((("lr", f"V{k}"), Fraction(1)) for k in range(rng.choice((0, 0, 1, 2)))))
    sources = [
        sum(rng.sample((A, B, C, D), 3 if rng.random() < many else rng.choice((0, 1, 1, 2)))) for _ in range(axes)
    ]
    profile = tuple(rng.choice((0, 0, 1, 2, -1, SUMMABLE)) for _ in sources) if decays else ()
    log = rng.choice((0, 0, 1)) if any(profile) else 0
    made = Term(size, tuple(sources), (), shift, profile=profile if any(profile) else None, log=log)
    if axes and rng.random() < 0.4:
        made.mirror = Mirror("W", rng.choice((A, B, C, D)), made, (), ())
    return made


def pair(scope: Scope, la: Labels, x: Term, lb: Labels, y: Term, result: Labels) -> Pair:
    """The product of two terms, summed over what is not in the result."""

    def of(term: Term, labels: Labels, label: str, values: Sequence[int] | None) -> int:
        return values[labels.index(label)] if values and label in labels else 0

    size, log = x.size + y.size, x.log + y.log
    for label in dict.fromkeys((*la, *lb)):
        if label in result:
            continue
        p, q = of(x, la, label, x.signs), of(y, lb, label, y.signs)
        decay = of(x, la, label, x.profile) + of(y, lb, label, y.profile)
        power = (2 if p == q and (scope.coherent or p == 0) else 1) - decay
        size += max(0, power) * GROWTHS[label[0]] // 2
        log += power == 0 and decay != 0
    signs = tuple(of(x, la, label, x.signs) ^ of(y, lb, label, y.signs) for label in result)
    halves = [of(x, la, label, x.profile) + of(y, lb, label, y.profile) for label in result]
    profile = tuple(SUMMABLE if h > SUMMABLE // 2 else h for h in halves)
    remembered = tuple(t.mirror.bit for t in (x, y) if t.mirror and any(t.mirror.bit & mask for mask in signs))
    fresh = x.matrix if la == result and not any(y.signs) else y.matrix if lb == result and not any(x.signs) else None
    return Pair(size, log, remembered[:1], x.degree + y.degree, signs, profile if any(profile) else None, fresh)


def kept(found: Sequence[Pair], reach: int) -> list[Pair]:
    """One of every signature and profile; none too small; few of many sources; none that another one is above."""

    def rank(p: Pair) -> tuple[int, int]:
        return p.size, -p.degree

    groups: dict[Any, list[Pair]] = {}
    for p in found:
        groups.setdefault((p.signs, p.profile), []).append(p)
    best: list[Pair] = []
    for members in groups.values():
        top = max((p.size, p.log) for p in members)
        tied = [p for p in members if (p.size, p.log) == top]
        best.append(max(tied, key=lambda p: (bool(p.remembered), -p.degree)))
    best = [p for p in best if p.size >= max(p.size for p in best) - reach]
    crowd = [p for p in best if sum(mask.bit_count() for mask in set(p.signs)) > MOST_SOURCES]
    gone = sorted(crowd, key=rank, reverse=True)[KEPT:]
    best = sorted((p for p in best if p not in gone), key=rank, reverse=True)
    if not any(p.profile for p in best):
        return best
    outer: list[Pair] = []
    for p in best:
        flat = (0,) * len(p.signs)
        above = [q for q in outer if q.signs == p.signs and q.log >= p.log]
        if not any(all(x <= y for x, y in zip(q.profile or flat, p.profile or flat, strict=True)) for q in above):
            outer.append(p)
    return outer


def told(found: Sequence[Term | Pair]) -> tuple[list[object], list[int]]:
    """What tells terms apart where nothing is left to the order among equals; of those of many sources the sizes."""
    few: list[object] = []
    crowd: list[int] = []
    for t in found:
        if sum(mask.bit_count() for mask in set(t.signs)) > MOST_SOURCES:
            crowd.append(t.size)
            continue
        mirror = bool(t.remembered) if isinstance(t, Pair) else t.mirror is not None
        few.append((t.size, t.log, t.signs, str(t.profile), mirror, None if mirror else t.degree, t.matrix))
    return sorted(few, key=str), sorted(crowd)


def image(lx: Labels, x: Term, result: Labels) -> Pair:
    """A fresh matrix of size 0 along `m` and `n` applied to a term."""
    decays = dict(zip(lx, x.profile or (0,) * len(lx), strict=True))
    signs = dict(zip(lx, x.signs, strict=True))
    power = 1 - decays.get(N, 0)
    profile = tuple(decays.get(label, 0) for label in result)
    kept = tuple(signs.get(label, IMAGE) for label in result)
    size, log = x.size + max(0, power) * GROWTHS["n"] // 2, x.log + (power == 0)
    return Pair(size, log, (IMAGE,), x.degree, kept, profile if any(profile) else None, None)


def evaluated(term: Term) -> Fraction | int:
    """The size that the form of a term has."""
    return sum(VALUES.get(symbol, 0) * value for symbol, value in term.form.items())


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
@pytest.mark.parametrize(
    ("lx", "result"), [((N,), (M,)), ((N, S), (M, S)), ((N, S), (S, M))],
    ids=lambda labels: "".join(x[0] for x in labels),
)  # fmt: skip
def test_an_image_is_as_large_as_the_largest_that_it_is_made_of(lx: Labels, result: Labels, decays: bool):
    rng, fresh = random.Random(f"{lx} {result} {decays}"), Term(0, (IMAGE, IMAGE), matrix="V")
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
            assert t.mirror.preimage == tuple(z for _, z in group)


@pytest.mark.parametrize("decays", (False, True), ids=("flat", "decaying"))
def test_of_a_sum_the_best_of_all_terms_are_kept(decays: bool):
    rng = random.Random(f"sum {decays}")
    for _ in range(60):
        axes, reach, spread = rng.choice((1, 2)), rng.choice((3, 12, 40)), rng.choice((range(1), range(20)))
        terms = [base(rng, axes, spread, decays, 0.2) for _ in range(rng.choice((1, 8, 20)))]
        alone = [Pair(t.size, t.log, (1,) if t.mirror else (), t.degree, t.signs, t.profile, None) for t in terms]
        assert told(merged(terms, reach)) == told(kept(alone, reach))


def test_a_matrix_stays_fresh_beside_what_has_no_sources():
    scope, labels = Scope(100), (N, S)
    matrix = Term(-3, (D, D), (), ((("lr", "W"), Fraction(-3)),), matrix="W")
    for signs, fresh in (((0,), "W"), ((A,), None)):
        gain = [Term(0, signs), Term(-1, (B,))]
        for operands in ([(labels, [[matrix]]), ((N,), [gain])], [((N,), [gain]), (labels, [[matrix]])]):
            assert {term.matrix for term in contract(scope, operands, labels)} == {fresh, None}
    (same,) = contract(scope, [(labels, [[matrix]]), ((), [[Term(1)]])], labels)
    assert (same.matrix, same.size) == ("W", -2)

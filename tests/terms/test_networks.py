"""Contractions of several operands: what all products of their terms give, and matrices applied where they stand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations, product

import plain_terms
import pytest
from plain_terms import GROWTHS, IMAGE, A, B, D, M, N, Pair, S, base, evaluated, kept, told

from scalerules.terms.contraction import contract, explicit
from scalerules.terms.merging import merged
from scalerules.terms.pieces import Labels, Operand, Outer
from scalerules.terms.term import SUMMABLE, Fresh, Term

E = 64
NAMES = {"n": N, "s": S, "m": M}
Flat = tuple[Labels, list[Term]]


class Scope(plain_terms.Scope):
    """A point at which every image has a source of its own."""

    def __init__(self) -> None:
        super().__init__(reach=200)
        self.bits: dict[tuple[object, ...], int] = {}

    def bit(self, *key: object) -> int:
        return self.bits.setdefault(key, IMAGE << 8 + len(self.bits))


def read(spec: str) -> tuple[list[Labels], Labels]:
    """The labels of the operands and of the result of an einsum string."""
    *operands, result = (tuple(NAMES[letter] for letter in word) for word in spec.replace("->", ",").split(","))
    return operands, result


def together(operands: Sequence[Labels], terms: Sequence[Term], result: Labels) -> Pair:
    """The product of a term of each operand, summed over what is not in the result."""
    signs, decays = dict.fromkeys(NAMES.values(), 0), dict.fromkeys(NAMES.values(), 0)
    for labels, term in zip(operands, terms, strict=True):
        for label, mask, halves in zip(labels, term.signs, term.profile or (0,) * len(labels), strict=True):
            signs[label], decays[label] = signs[label] ^ mask, decays[label] + halves
    size, log = sum(t.size for t in terms), sum(t.log for t in terms)
    for label in dict.fromkeys(label for labels in operands for label in labels if label not in result):
        power = (1 if signs[label] else 2) - decays[label]
        size += max(0, power) * GROWTHS[label[0]] // 2
        log += power == 0 and decays[label] != 0
    profile = tuple(SUMMABLE if decays[label] > SUMMABLE // 2 else decays[label] for label in result)
    degree = sum(t.degree for t in terms)
    return Pair(size, log, (), degree, tuple(signs[x] for x in result), profile if any(profile) else None, None)


def looks(found: Sequence[Term | Pair]) -> set[object]:
    """What is told of terms where it is left open what they remember, but for those that others are above."""

    def above(p: Term | Pair, q: Term | Pair) -> bool:
        flat = (0,) * len(p.signs)
        lower = all(x <= y for x, y in zip(p.profile or flat, q.profile or flat, strict=True))
        return lower and p.signs == q.signs and p.size >= q.size and p.log >= q.log

    outer = [q for q in found if all(above(q, p) for p in found if above(p, q))]
    return {(t.size, t.log, t.signs, t.profile) for t in outer}


@pytest.mark.parametrize("decays", (False, True), ids=("flat", "decaying"))
@pytest.mark.parametrize(
    "spec",
    ("n,n,n->n", "n,n,n->", "n,s,n->s", "ns,n,s->", "ns,sm,n->m", "ns,sm,mn->", "n,,s->sn", "ns,m,ns->m", "n,n,s,s->",
     "nm->n", "n,s->", "nsm,s->mn"),
)  # fmt: skip
def test_a_contraction_keeps_the_best_of_all_products(spec: str, decays: bool):
    rng, (labels, result) = random.Random(f"{spec} {decays}"), read(spec)
    for _ in range(12):
        scope, spread = Scope(), rng.choice((range(1), range(0, 9, 4), range(20)))
        operands = [
            (side, merged([simple(rng, len(side), spread, decays) for _ in range(rng.choice((1, 3)))], scope.reach))
            for side in labels
        ]
        pairs = [together(labels, terms, result) for terms in product(*(terms for _, terms in operands))]
        wanted = kept(pairs, scope.reach)
        if not result:
            wanted = [max(wanted, key=lambda pair: (pair.size, pair.log))]
        for order in permutations(operands):
            found = contract(scope, [(side, [terms]) for side, terms in order], result)
            assert looks(found) == looks(wanted)
            assert all(evaluated(term) == term.size for term in found)


def simple(rng: random.Random, axes: int, sizes: Sequence[int], decays: bool) -> Term:
    """A term of at most one source."""
    term = base(rng, axes, sizes, decays, 0)
    return term.derived(signs=tuple(rng.choice((0, A)) for _ in term.signs), mirror=None)


ORDERS = [
    ("n,n,MN->m", [(0, 1), (0, 1)]),  # a gain of the inputs is made one with them, before the matrix
    ("n,n,MN->m", [(1, 2), (0, 1)]),  # or with the matrix, which stays fresh
    ("n,MN,m->m", [(0, 1), (0, 1)]),  # one of the outputs is multiplied afterwards
    ("n,MN,m->m", [(1, 2), (0, 1)]),
    ("nm,m,MN->m", [(0, 1), (0, 1)]),  # each output has inputs of its own
    ("nm,m,MN->m", [(1, 2), (0, 1)]),
    ("n,MN,m->", [(0, 1), (0, 1)]),  # a matrix of which no axis is left: first to one side, then to the other
    ("n,s,MNS->m", [(0, 1), (0, 1)]),  # but where one is left, to both sides at once
    ("n,s,MNS,m->m", [(0, 1), (1, 2), (0, 1)]),
    ("n,NS,SM->m", [(0, 1), (0, 1)]),  # two layers: one after the other
    ("n,MN,MN->m", [(1, 2), (0, 1)]),  # a matrix of two, entry by entry, is one
    ("n,MN,MN,m->m", [(1, 2), (0, 2), (0, 1)]),
    ("n,n,MN,m,m->", [(0, 1), (1, 2), (0, 2), (0, 1)]),
]
"""In which order operands are multiplied, by their places (the product of two comes last); random matrices in capitals."""


def one_by_one(scope: Scope, operands: Sequence[Flat], result: Labels, order: Sequence[tuple[int, int]]) -> list[Term]:
    """The contraction as its products of two."""
    flat = list(operands)
    for i, j in order:
        others = [flat[k] for k in range(len(flat)) if k not in (i, j)]
        wanted = {*result, *(label for labels, _ in others for label in labels)}
        labels = tuple(dict.fromkeys(label for label in flat[i][0] + flat[j][0] if label in wanted))
        labels = labels if others else result
        flat = [*others, (labels, contract(scope, [(side, [terms]) for side, terms in (flat[i], flat[j])], labels))]
    ((_, terms),) = flat
    return terms


def random_matrix(name: str, source: int, axes: int) -> Term:
    """A fresh matrix (or one of three axes)."""
    return Term(-3, (source,) * axes, (), ((("lr", "W"), Fraction(-3)),), matrix=Fresh(name, source))


def operands_of(rng: random.Random, scope: Scope, spec: str) -> tuple[list[Flat], Labels]:
    """Some terms for each operand; the first has images of the matrices, too, where an axis is left."""
    labels, result = read(spec.lower())
    fresh, operands = iter((("W", D), ("V", E))), list[Flat]()
    for word, side in zip(spec.split(","), labels, strict=True):
        terms = [simple(rng, len(side), range(9), False) for _ in range(rng.choice((1, 2)))]
        operands.append((side, [random_matrix(*next(fresh), len(side)), *terms[1:]] if word[0].isupper() else terms))
    vector, terms = operands[0]
    for side, (matrix, *_) in [each for each in operands if len(each[0]) > 1 and {*vector} < {*each[0]}]:
        others = tuple(label for label in side if label not in vector)
        z = Term(0, tuple(rng.choice((0, A, B)) for _ in others))
        terms += contract(scope, [(others, [[z]]), (side, [[matrix]])], vector) if result else []
    return operands, result


@pytest.mark.parametrize(("spec", "order"), ORDERS, ids=str)
def test_matrices_are_applied_where_they_stand(spec: str, order: Sequence[tuple[int, int]]):
    """Among others to what was their image, of which they give back what it was made of."""
    rng = random.Random(spec)
    for _ in range(20):
        operands, result = operands_of(rng, scope := Scope(), spec)
        wanted = looks(one_by_one(scope, operands, result, order))
        for turned in rng.sample([*permutations(operands)], 6):
            assert looks(contract(scope, [(side, [terms]) for side, terms in turned], result)) == wanted


@pytest.mark.parametrize("spec", (*dict(ORDERS), "MN,n->m", "MN,NM->mn"))
def test_a_contraction_is_linear_in_every_operand(spec: str):
    """Of a matrix that has moved, what has is multiplied apart from what is still random."""
    rng = random.Random(spec)
    for _ in range(20):
        operands, result = operands_of(rng, scope := Scope(), spec)
        whole = contract(scope, [(side, [terms]) for side, terms in operands], result)
        for place, (_, terms) in enumerate(operands):
            parts: list[Term] = []
            for term in terms:
                one = [[term] if k == place else others for k, (_, others) in enumerate(operands)]
                flat = [(side, [chosen]) for (side, _), chosen in zip(operands, one, strict=True)]
                parts += contract(scope, flat, result)
            assert looks(whole) == looks(merged(parts, scope.reach))


def test_a_matrix_is_random_to_what_another_has_moved_by():
    w, v, moved = random_matrix("W", D, 2), random_matrix("V", E, 2), Term(-1, (A, B))
    for second in ([v, moved], [moved, v]):
        scope = Scope()
        found = contract(scope, [((M, N), [[w]]), ((N, S), [second])], (M, S))
        parts = [t for term in second for t in contract(scope, [((M, N), [[w]]), ((N, S), [[term]])], (M, S))]
        assert looks(found) == looks(parts) == looks(contract(scope, [((N, S), [second]), ((M, N), [[w]])], (M, S)))
        assert {t.signs[1] for t in found} == {E, B} and all(t.mirror for t in found)
        assert {t.signs[1]: t.matrix is not None for t in found} == {E: True, B: False}, "of two random ones alone"


def test_of_a_matrix_that_is_multiplied_twice_nothing_is_left():
    """`W * V * V` is `W` again, up to signs, and `W * W` no random matrix."""
    scope, sides = Scope(), (M, N)
    w, v = random_matrix("W", D, 2), random_matrix("V", E, 2)
    (both,) = contract(scope, [(sides, [[w]]), (sides, [[v]])], sides)
    (again,) = contract(scope, [(sides, [[both]]), (sides, [[v]])], sides)
    (none,) = contract(scope, [(sides, [[w]]), (sides, [[w]])], sides)
    assert both.matrix is not None and both.matrix.source == D | E
    assert again.matrix == Fresh("W", D) and again.signs == (D, D) and none.matrix is None


def test_images_have_one_source_for_each_way_in_which_a_matrix_is_applied():
    scope, matrix, x = Scope(), random_matrix("W", D, 2), Term(0, (A,))

    def bit(labels: Labels, vector: Labels, w: Term = matrix) -> int:
        (image,) = contract(scope, [(vector, [[x]]), (labels, [[w]])], tuple(k for k in labels if k not in vector))
        return image.signs[0]

    turned = matrix.derived(signs=(D, D), matrix=Fresh("W", D).turned((1, 0)))
    assert bit((M, N), (N,)) == bit((S, N), (N,)) == bit((N, M), (N,), turned)
    assert bit((M, N), (M,)) == bit((N, M), (M,), turned) != bit((M, N), (N,))
    assert len({bit((M, N), (N,)), bit((M, N), (M,)), bit((M, N), (N,), random_matrix("V", E, 2))}) == 3
    assert bit((M, N), (N,), matrix.derived(signs=(D | A, D), matrix=matrix.matrix)) == bit((M, N), (N,)) | A
    row = matrix.derived(signs=(D ^ bit((M, N), (N,)), D), matrix=matrix.matrix)
    assert bit((M, N), (N,), row) == 0, "rows with the signs of the image"


@pytest.mark.parametrize(
    ("signs", "known"), [((D, 0), True), ((0, A | D), True), ((D, D), True), ((A, B), False)], ids=str
)
def test_to_what_is_made_of_a_matrix_entry_by_entry_the_matrix_is_not_applied_as_a_random_one(
    signs: tuple[int, int], known: bool
):
    (found,) = contract(scope := Scope(), [((M, N), [[Term(0, signs)]]), ((M, N), [[random_matrix("W", D, 2)]])], (M,))
    (bit,) = scope.bits.values() if not known else (0,)
    assert found.signs == ((signs[0] ^ D,) if known else (signs[0] | bit,))
    assert found.size == -3 + GROWTHS["n"] // (1 if signs[1] == D else 2)


@pytest.mark.parametrize(
    ("spec", "full"),
    [("nm,ms->ns", True), ("ns,sm->nm", False), ("sn,nm->sm", True), ("sm,mn->sn", True), ("ms,sn->mn", False)],
)
def test_a_product_of_two_matrices_is_one_where_the_axis_between_is_as_long_as_the_shorter_side(spec: str, full: bool):
    (first, second), result = read(spec)
    w, v = random_matrix("W", D, 2), random_matrix("V", E, 2)
    for operands in ([(first, [[w]]), (second, [[v]])], [(second, [[v]]), (first, [[w]])]):
        (product_of_both,) = contract(Scope(), operands, result)
        assert (product_of_both.matrix is not None) is full


T = "s|t"
"""An axis inside of a change, over which its factors are summed."""


def numbered(size: int) -> Term:
    """A number of this size."""
    return Term(size, (), (), ((("lr", "W"), Fraction(size)),))


def test_a_change_is_contracted_as_its_factors_and_each_piece_alone():
    """Factors may have an axis of the same name inside of two operands: it is not the same one."""
    rng = random.Random("pieces")
    for _ in range(30):
        scope, few = Scope(), rng.choice((1, 2))

        def listed(axes: int, count: int = few, scope: Scope = scope) -> list[Term]:
            return merged([simple(rng, axes, range(9), True) for _ in range(count)], scope.reach)

        x, d, y, more, v = listed(2), listed(2), listed(2), listed(2), listed(1)
        change = Outer((((T, "n|a"), tuple(x)), (("m|b", T), tuple(d))), ("m|b", "n|a"), numbered(-5))
        value = Outer((((T, "n|a"), tuple(y)),), ("n|a",), numbered(-2))
        axes: tuple[Labels, Labels] = (M, N), (N,)
        parts: dict[str, list[tuple[Labels, Operand]]] = {
            "change": [((T, N), [x]), ((M, T), [d]), ((), [[numbered(-5)]])],
            "more": [((M, N), [more])],
            "value": [(("s|other", N), [y]), ((), [[numbered(-2)]])],
            "v": [((N,), [v])],
        }
        pieces: dict[str, list[Term] | Outer] = {"change": change, "more": more, "value": value, "v": v}
        for ours, theirs in (
            (["change"], ["v"]), (["more"], ["value"]), (["change"], ["value"]),
            (["change", "more"], ["v"]), (["more"], ["v", "value"]), (["change", "more"], ["v", "value"]),
        ):  # fmt: skip
            operands = [(axes[0], [pieces[name] for name in ours]), (axes[1], [pieces[name] for name in theirs])]
            found = contract(scope, operands, (M,))
            alone = [contract(scope, parts[a] + parts[b], (M,)) for a in ours for b in theirs]
            assert looks(found) == looks(merged([t for terms in alone for t in terms], scope.reach))
            assert told(found) == told(merged(found, scope.reach))
            assert all(evaluated(t) == t.size for t in found)
        for names in (["more"], ["change"], ["change", "more"], ["more", "more"]):
            alone = [contract(scope, parts[name], (M, N)) for name in names]
            for found in (
                explicit(scope, [pieces[name] for name in names], (M, N)),
                contract(scope, [((M, N), [pieces[name] for name in names])], (M, N)),
            ):
                assert looks(found) == looks(merged([t for terms in alone for t in terms], scope.reach))
                assert told(found) == told(merged(found, scope.reach))
        for nothing in ([], [[]]):
            assert contract(scope, [((M, N), [change]), ((N,), nothing)], (M,)) == []
            assert explicit(scope, nothing, (M, N)) == []

"""Identities of laws: gradients are pulled back by the transpose of what pushes changes; degrees of homogeneity."""

from __future__ import annotations

import random
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from plain_terms import GROWTHS, A, B, M, N, Point, S, base, evaluated

from scalerules.ops.arrange import Arrangement, Constant, Power
from scalerules.ops.elementwise import Elementwise
from scalerules.ops.forms import Contraction, Factor, Layout, Mean, Stretch, Sum, fitted, read
from scalerules.ops.functions import FUNCTIONS
from scalerules.ops.law import Law
from scalerules.ops.normalise import Norm, Softmax
from scalerules.ops.scan import FLAT, Discretised, Falls, Recurrence
from scalerules.terms.contraction import contract
from scalerules.terms.merging import merged
from scalerules.terms.pieces import Labels
from scalerules.terms.term import SUMMABLE, Fresh, Profile, Term

NODE = SimpleNamespace(axis="s")


def site(labels: tuple[Labels, ...], result: Labels) -> Any:
    """What a law asks of a site."""
    names = [f"x{k}" for k in range(len(labels))]
    return SimpleNamespace(
        key="site", name="site", labels=labels, result=result, node=NODE, inputs=names, parameters=()
    )


def listed(rng: random.Random, axes: int, count: int, decays: bool = False) -> list[Term]:
    """Terms that remember nothing, of at most one source."""
    terms = [base(rng, axes, range(0, 48, 8), decays, 0) for _ in range(count)]
    return merged([t.derived(signs=tuple(s & A for s in t.signs), mirror=None) for t in terms], 200)


def inner(point: Point, labels: Labels, a: list[Term], b: list[Term]) -> tuple[int, int] | None:
    """How large the sum of the products of two tensors is, and with what power of a logarithm; None of zero."""
    whole = contract(point, [(labels, [a]), (labels, [b])], ())
    return max((t.size, t.log) for t in whole) if whole else None


BOTH, WORDS = (N, S), ("n|a", "s|b")
LINEAR: list[tuple[str, Law, tuple[Labels, ...], Labels]] = [
    ("sum", Sum(), (BOTH, BOTH), BOTH), ("sum of a row", Sum(), (BOTH, (S,)), BOTH), ("sum turned", Sum(), (BOTH,), (S, N)),
    ("factor", Factor(), (BOTH,), BOTH), ("mean", Mean(), (BOTH,), (N,)), ("mean of all", Mean(), ((S,),), ()),
    ("dense", Contraction(), (BOTH, (M, N)), (M, S)), ("gain", Contraction(), (BOTH, (S,)), BOTH),
    ("three", Contraction(), (BOTH, (N,), (S, M)), (M,)), ("total", Contraction(), (BOTH,), ()),
    ("layout", Layout(), (BOTH,), BOTH), ("turned", Arrangement(), (BOTH,), (S, N)), ("same", Arrangement(), (BOTH,), BOTH),
    ("copied", Arrangement(), ((N,),), BOTH), ("constant", Constant(), (BOTH,), BOTH),
    ("recurrence", Recurrence(), (BOTH, BOTH), BOTH), ("recurrence of a row", Recurrence(), ((S,), BOTH), BOTH),
]  # fmt: skip
CURVED: list[tuple[str, Law, tuple[Labels, ...], Labels]] = [
    *((name, Elementwise(function.shape), ((N,),), (N,)) for name, function in FUNCTIONS.items()),
    ("tanh of two axes", Elementwise(FUNCTIONS["tanh"].shape), (BOTH,), BOTH),
    ("norm", Norm(), (BOTH,), BOTH), ("norm of a fixed axis", Norm(), ((N,),), (N,)), ("softmax", Softmax(), (BOTH,), BOTH),
    ("decay", Discretised(Falls(0, 2, 4)), ((N,), BOTH), BOTH), ("complex", Discretised(FLAT), ((N,), BOTH, (S,)), BOTH),
    ("euler", Discretised(FLAT, reads_a=False), ((N,), BOTH), BOTH), ("root", Power(Fraction(1, 2)), (BOTH,), BOTH), ("reciprocal", Power(Fraction(-1)), ((N,),), (N,)),
]  # fmt: skip


@pytest.mark.parametrize(("law", "labels", "result"), [row[1:] for row in LINEAR + CURVED],
                         ids=[row[0] for row in LINEAR + CURVED])  # fmt: skip
def test_a_gradient_is_pulled_back_by_the_transpose_of_what_pushes_a_change(
    law: Law, labels: tuple[Labels, ...], result: Labels
):
    """`<d, J v> = <J^T d, v>`."""
    rng, point, here = random.Random(f"{labels} {result}"), Point(400), site(labels, result)
    for _ in range(12):
        operands = [[listed(rng, len(side), rng.choice((1, 3)))] for side in labels]
        for k, side in enumerate(labels):
            v, d = listed(rng, len(side), 2), listed(rng, len(result), 2)
            pushed, pulled = law.push(point, here, operands, k, [v]), law.pull(point, here, operands, k, d)
            assert inner(point, result, d, pushed) == inner(point, side, pulled, v)
            still = isinstance(law, Constant) or (k > 0 and isinstance(law, Discretised) and not law.reads_a)
            assert bool(pushed) is bool(pulled) is not still
            assert all(evaluated(t) == t.size and len(t.signs) == len(result) for t in pushed)
            assert all(evaluated(t) == t.size and len(t.signs) == len(side) for t in pulled)


def top(terms: list[Term]) -> int:
    """The size of the largest."""
    return max(t.size for t in terms)


DEGREES: list[tuple[str, Law, Fraction]] = [
    *((name, Elementwise(f.shape), Fraction(f.shape.degree)) for name, f in FUNCTIONS.items() if f.shape.degree),
    ("norm", Norm(), Fraction(0)), ("root", Power(Fraction(1, 2)), Fraction(1, 2)), ("inverse", Power(Fraction(-1)), Fraction(-1)),
    ("inverse root", Power(Fraction(-1, 2)), Fraction(-1, 2)), ("sum", Sum(), Fraction(1)), ("mean", Mean(), Fraction(1)),
]  # fmt: skip


@pytest.mark.parametrize(("law", "degree"), [row[1:] for row in DEGREES], ids=[row[0] for row in DEGREES])
def test_a_homogeneous_function_of_what_is_larger(law: Law, degree: Fraction):
    """`f(c x) = c**p f(x)`, and its derivative is of degree `p - 1`."""
    rng, point, here = random.Random(str(degree)), Point(400), site(((N,),), (N,))
    for _ in range(12):
        terms = listed(rng, 1, rng.choice((1, 3)))
        v = listed(rng, 1, 2)
        larger = [t.derived(size=t.size + 8, parents=(t,), shift=((("lr", "W"), Fraction(8)),)) for t in terms]
        for name, more in (("value", degree), ("push", degree - 1), ("pull", degree - 1)):
            found = [
                law.value(point, here, [[x]]) if name == "value"
                else law.push(point, here, [[x]], 0, [v]) if name == "push" else law.pull(point, here, [[x]], 0, v)
                for x in (terms, larger)
            ]  # fmt: skip
            before, now = ({t.signs: t.size for t in each} for each in found)
            assert now == {signs: size + 8 * more for signs, size in before.items()}


def test_what_a_change_of_an_operand_is_multiplied_with():
    """Where none of it has moved, the change is that of the step before: of a sum nothing, of a product the others."""
    operands: list[Any] = [[[Term(k, ())]] for k in range(3)]
    for k, others in ((0, operands[1:]), (1, [operands[0], operands[2]]), (2, operands[:2])):
        assert read(Contraction(), operands, k) == read(Mean(), operands, k) == others
        assert list(read(Sum(), operands, k)) == list(read(Factor(), operands, k)) == []
        assert read(Norm(), operands, k) == read(Recurrence(), operands, k) == operands


def test_what_lacks_an_axis_is_constant_along_it():
    (found,) = fitted(Point(400), [Term(-1, (A, B), profile=(1, 2))], BOTH, (S, M, N))
    assert (found.size, found.signs, found.profile) == (-1, (B, 0, A), (2, 0, 1))


def test_means_and_factors_are_smaller_sums():
    point, x = Point(400), [[[Term(0, (A, 0)), Term(-3, (0, A))]]]
    assert [(t.size, t.signs) for t in Mean().value(point, site((BOTH,), (N,)), x)] == [(0, (A,)), (-3 - 4, (0,))]
    found = Mean().pull(point, site((BOTH,), (N,)), x, 0, [Term(1, (A,))])
    assert [(t.size, t.signs) for t in found] == [(1 - GROWTHS["s"], (A, 0))]
    assert [t.size for t in Factor().value(point, site((BOTH,), BOTH), x)] == [-5, -8]


def test_of_a_softmax_every_entry_is_as_small_as_the_axis_is_long():
    point, x = Point(400), [[[Term(0, (A, A))]]]
    for law, size in ((Softmax(), -GROWTHS["s"]), (Elementwise(FUNCTIONS["exp"].shape), 0)):
        here = site((BOTH,), BOTH)
        assert top(law.value(point, here, x)) == size
        assert top(law.push(point, here, x, 0, [[Term(-2, (A, 0))]])) == size - 2


@pytest.mark.parametrize(
    ("profile", "less"), [((2, 1), 4), ((2, 0), 0), ((0, SUMMABLE), 4), ((1, 2), 4), ((0, -2), -8)]
)
def test_entries_that_fall_along_the_axis_of_a_norm_are_over_the_root_of_their_mean_square(profile: Profile, less: int):
    """Few of many entries are larger than that, by up to the root of the axis; how they fall along others is theirs."""
    point, here = Point(400), site((BOTH,), BOTH)
    falls, flat = Term(-2, (A, A), profile=profile), Term(-12, (B, B))
    assert [(t.size, t.profile) for t in Norm().value(point, here, [[[falls]]])] == [(less, profile)]
    found = {t.signs: t.size for t in Norm().value(point, here, [[[flat, falls]]])}
    assert found == {(A, A): less, (B, B): -12 + 2 + less}
    for law in (
        Norm().push(point, here, [[[falls]]], 0, [[Term(-3, (A, B))]]),
        Norm().pull(point, here, [[[falls]]], 0, [Term(-3, (A, B))]),
    ):
        assert max(t.size for t in law if t.signs == (A, B)) == -3 + 2 + less


@pytest.mark.parametrize(
    ("beside", "change", "kept"),
    [
        ([], (B, B), False), ([Term(-4, (A, A))], (B, B), False), ([Term(0, (A, A))], (B, B), True),
        ([], (B, A), True), ([], (B | A, B), False), ([], (A, B), True), ([], (0, B), True),
    ],
)  # fmt: skip
def test_of_a_random_matrix_that_is_normalised_longer_rows_leave_nothing(
    beside: list[Term], change: tuple[int, int], kept: bool
):
    """Of two that are as large neither is what they make up."""
    x = [[[Term(0, (B, B), matrix=Fresh("W", B)), *beside]]]
    found = Norm().push(Point(400), site((BOTH,), BOTH), x, 0, [[Term(-2, change)]])
    assert bool([t for t in found if t.signs == change]) is kept


@pytest.mark.parametrize(
    ("law", "labels", "result", "signs", "there", "profile"),
    [
        (Layout(), (N, S), (N, S), (A, B), (A, B), (1, 0)), (Layout(), (N, S), (M,), (A, B), (A | B,), None),
        (Layout(), (M,), (N, S), (A,), (A, A), None), (Layout(), (M, N, S), (M, "n|all"), (A, 0, B), (A, B), None),
        (Layout(), (M, "n|all"), (M, N, S), (A, B), (A, B, B), None), (Layout(), ("n|a", S), (N, "s|b"), (A, B), (A, B), (1, 0)),
        (Stretch(), (N, S), (N,), (A, B), (A,), None), (Stretch(), (N, S), (N, "s|part"), (A, B), (A, B), (1, 0)),
    ],
)  # fmt: skip
def test_of_axes_that_are_merged_or_split_each_has_the_sources_of_all(
    law: Layout, labels: Labels, result: Labels, signs: tuple[int, ...], there: tuple[int, ...], profile: Profile | None
):
    falls = (1, *(0 for _ in labels[1:]))
    (found,) = law.value(Point(400), site((labels,), result), [[[Term(-1, signs, profile=falls)]]])
    assert (found.size, found.signs, found.profile) == (-1, there, profile)
    (back,) = law.pull(Point(400), site((labels,), result), [[]], 0, [found])
    if isinstance(law, Stretch) and len(labels) > len(result):
        assert (back.size, back.signs, back.profile) == (-1, (*there, 0), (0, SUMMABLE)), "of the others none"
    else:
        assert len(back.signs) == len(labels) and back.size == -1
        assert {*back.signs} == {*there} or len(labels) > len(result)

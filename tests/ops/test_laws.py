"""The laws of single operations: contraction, elementwise functions, and that every operation has laws and a reason."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import scalerules as sr
from scalerules.architecture.builder import Builder
from scalerules.derivation.question import problem_of
from scalerules.ops import OPS
from scalerules.ops.elementwise import powers
from scalerules.ops.functions import FUNCTIONS
from scalerules.ops.registry import LAWS, register, same_axes
from scalerules.terms.contraction import contract, explicit
from scalerules.terms.merging import largest, merged
from scalerules.terms.pieces import Outer
from scalerules.terms.products import AND
from scalerules.terms.term import KEPT, SUMMABLE, Fresh, Term

UNIT = 8
"""Ticks per unit of size."""
A, B, C, D = 2, 4, 8, 16


def top(terms: list[Term]) -> int:
    """Size of the largest term."""
    term = largest(terms)
    assert term is not None
    return term.size


class At:
    """A point with given growths, in ticks."""

    reach = 100 * UNIT
    coherent = True

    def __init__(self, **growths: int) -> None:
        self.growths = growths
        self.bits: dict[tuple[object, ...], int] = {}

    def ticks(self, label: str) -> int:
        return self.growths[label.partition("|")[0]]

    def bit(self, *key: object) -> int:
        return self.bits.setdefault(key, 1 << (20 + len(self.bits)))


AT = At(n=UNIT, m=UNIT)
I, O = ("n|i",), ("m|o",)  # noqa: E741


def vector(sign: int, size: int = 0, profile: tuple[int, ...] | None = None) -> list[list[Term]]:
    return [[Term(size, (sign,), profile=profile)]]


def matrix(at: At, size: int, name: str = "W") -> list[list[Term]]:
    """A fresh Gaussian matrix with axes (m, n)."""
    return [[Term(size, (D, D), matrix=Fresh(name, D))]]


def sizes(terms: list[Term]) -> dict[tuple[int, ...], int]:
    return {term.signs: term.size for term in terms}


# contraction


@pytest.mark.parametrize(
    ("a", "b", "power"),
    [
        (A, A, UNIT),  # the same source twice: aligned, law of large numbers
        (0, 0, UNIT),  # no source: a mean that does not average out
        (A, B, UNIT // 2),  # independent: central limit
        (A, 0, UNIT // 2),
        (A ^ B, A ^ B, UNIT),  # sources count modulo two
        (A ^ B, A, UNIT // 2),
        (A ^ B ^ C ^ D, A ^ B ^ C ^ D, UNIT),  # many sources or few
        (A ^ B ^ C ^ D, A ^ B ^ C, UNIT // 2),
    ],
)
def test_sum_over_an_axis(a, b, power):
    (term,) = contract(AT, [(I, vector(a, -3)), (I, vector(b, 1))], ())
    assert term.size == power - 2
    assert term.signs == ()
    assert term.form == {("growth", "n"): Fraction(power, UNIT)}


def test_products_keep_the_sources_of_both():
    assert sizes(contract(AT, [(I, vector(A, 1)), (I, vector(B, 2))], I)) == {(A ^ B,): 3}
    assert sizes(contract(AT, [(I, vector(A)), (I, vector(A))], I)) == {(0,): 0}
    assert sizes(contract(AT, [(O, vector(A)), (I, vector(B))], (*O, *I))) == {(A, B): 0}


def test_of_products_of_many_sources_the_largest_are_kept():
    few, many = [Term(-2, (A,)), Term(-3, (A ^ B,))], [Term(-i, (A ^ B ^ C ^ (256 << i),)) for i in range(5)]
    kept = merged([*reversed(many), *few], 100)
    assert {term.signs for term in kept} == {term.signs for term in (*few, *many[:KEPT])}


def test_a_sum_of_terms_is_as_large_as_its_largest_pair():
    """A small aligned part overtakes a large independent one where the axis is long enough."""
    x = [[Term(0, (A,)), Term(-3, (B,))]]
    assert top(contract(AT, [(I, x), (I, vector(B))], ())) == UNIT - 3
    assert top(contract(AT, [(I, x), (I, vector(C))], ())) == UNIT // 2


def test_a_sum_over_an_axis_of_one_operand():
    assert sizes(contract(AT, [(I, vector(0))], ())) == {(): UNIT}
    assert sizes(contract(AT, [(I, vector(A))], ())) == {(): UNIT // 2}


def test_fixed_axes_are_not_there_and_zero_stays_zero():
    assert contract(AT, [((), [[Term(1)]]), ((), [[Term(2)]])], ())[0].size == 3
    assert contract(AT, [(I, [[]]), (I, vector(A))], ()) == []
    assert contract(AT, [(I, [[]])], ()) == []


def test_a_matrix_is_fresh_still_behind_linear_operations_on_it():
    """Signs of rows and columns, another matrix entry by entry, a product with one of enough rank; not itself twice."""
    at, both = At(n=UNIT, m=UNIT, k=UNIT, r=UNIT // 2), (*O, *I)
    other = [[Term(0, (B, B), matrix=Fresh("V", B))]]
    (turned,) = contract(at, [(both, matrix(at, 0)), (I, vector(A)), (O, vector(C))], both)
    (product,) = contract(at, [(both, matrix(at, 0)), (both, other)], both)
    assert turned.matrix == Fresh("W", D) and product.matrix == Fresh(f"V{AND}W", B ^ D)
    assert contract(at, [(both, matrix(at, 0)), (both, matrix(at, 0))], both)[0].matrix is None
    for between, full in (("k|k", True), ("r|k", False)):
        (term,) = contract(at, [((*O, between), matrix(at, 0)), ((between, *I), other)], both)
        assert (term.matrix is not None) is full
    image, mirror = contract(at, [(I, vector(A ^ C)), (both, [[turned]])], O), UNIT // 2
    assert [t.size for t in image] == [mirror] and image[0].signs[0] & C


def test_a_fresh_matrix_makes_a_fresh_image():
    (image,) = contract(AT, [(I, vector(A)), ((*O, *I), matrix(AT, -UNIT // 2))], O)
    assert image.size == 0
    assert image.signs[0] not in (0, A, D)
    (mean,) = contract(AT, [(I, vector(0)), ((*O, *I), matrix(AT, -UNIT // 2))], O)
    assert mean.size == 0 and mean.signs == image.signs, "images of one matrix may be aligned, and are taken to be"


def test_a_matrix_is_applied_to_the_whole_product_of_the_others():
    """Found by mutation: to one of them first, there would be no image, and no way back."""
    factors = [(I, vector(A, -2)), (I, vector(B)), ((*O, *I), matrix(AT, -UNIT // 2))]
    for operands in permutations(factors):
        (image,) = contract(AT, operands, O)
        assert image.mirror is not None and [t.signs for t in image.mirror.met()] == [(A ^ B,)]
        assert (image.size, image.signs) == (-2, (image.mirror.bit,))


@pytest.mark.parametrize(("n", "m"), [(UNIT, UNIT), (UNIT, UNIT // 2), (UNIT // 2, UNIT)])
def test_the_image_of_a_transpose_comes_back(n, m):
    """`W W^T z` is `s^g var(W) z`; with `W^T z` brought to size 0, that is `s^(g - g'/2)` times the std."""
    at, std = At(n=n, m=m), -n // 2
    w = ((*O, *I), matrix(at, std))
    (back,) = contract(at, [(O, vector(A)), w], I)
    assert back.size == std + m // 2
    found = sizes(contract(at, [(I, [[back.derived(size=0)]]), w], O))
    mirrored = found.pop((A,))
    assert mirrored == std + n - m // 2
    assert list(found.values()) == [std + n // 2], "and the fresh image is still there"


def test_what_comes_back_of_a_matrix_with_turned_rows_is_what_it_was():
    """Found by mutation: `D W W^T D z` is `z` again, with neither the signs of `D` nor those of both."""
    both = (*O, *I)
    (turned,) = contract(AT, [(both, matrix(AT, 0)), (O, vector(C))], both)
    (back,) = contract(AT, [(O, vector(A)), (both, [[turned]])], I)
    found = sizes(contract(AT, [(I, [[back]]), (both, [[turned]])], O))
    assert (A,) in found and (A | C,) not in found


def test_the_mirror_needs_the_same_matrix_and_nothing_else_on_the_axis():
    w, other = ((*O, *I), matrix(AT, 0)), ((*O, *I), matrix(AT, 0, "V"))
    (back,) = contract(AT, [(O, vector(A)), w], I)
    assert (A,) in sizes(contract(AT, [(I, [[back]]), w], O))
    assert (A,) not in sizes(contract(AT, [(I, [[back]]), other], O))
    masked = contract(AT, [(I, [[back]]), (I, vector(C))], I)
    assert (A,) not in sizes(contract(AT, [(I, [masked]), w], O))


@pytest.mark.parametrize(
    ("halves", "aligned", "independent"),
    [
        # decay i^-h with h = halves / 2: power of the axis (in units), and whether a logarithm appears
        ((0, 0), (Fraction(1), False), (Fraction(1, 2), False)),
        ((1, 0), (Fraction(1, 2), False), (Fraction(0), True)),
        ((1, 1), (Fraction(0), True), (Fraction(0), False)),
        ((2, 0), (Fraction(0), True), (Fraction(0), False)),
        ((2, 2), (Fraction(0), False), (Fraction(0), False)),
        ((SUMMABLE, 0), (Fraction(0), False), (Fraction(0), False)),
        ((2, -2), (Fraction(1), False), (Fraction(1, 2), False)),
    ],
)
def test_index_profiles(halves, aligned, independent):
    first, second = halves
    for sign, (power, log) in ((A, aligned), (B, independent)):
        x, y = vector(A, profile=(first,)), vector(sign, profile=(second,))
        (term,) = contract(AT, [(I, x), (I, y)], ())
        assert (Fraction(term.size, UNIT), term.log) == (power, log)


@pytest.mark.parametrize(("h", "sign"), [(2, A), (1, B)])
def test_index_profiles_against_sums(h, sign):
    """The logarithm is there: the sum of i^-h grows by more and more slowly rising steps, like (ln n)^(1 or 1/2)."""
    sums = [sum(i ** (-h / 2 if sign == A else -h) for i in range(1, n + 1)) for n in (10**3, 10**4, 10**5)]
    assert sums[2] - sums[1] == pytest.approx(sums[1] - sums[0], rel=1e-3) == pytest.approx(math.log(10), rel=1e-3)


def test_products_add_profiles():
    (term,) = contract(AT, [(I, vector(A, profile=(2,))), (I, vector(B, profile=(1,)))], I)
    assert term.profile == (3,)
    (term,) = contract(AT, [(I, vector(A, profile=(SUMMABLE,))), (I, vector(B, profile=(2,)))], I)
    assert term.profile == (SUMMABLE,)


def test_a_profile_stays_on_its_axis_beside_a_flat_factor():
    """Found by mutation: one factor alone decays, along an axis of both or of its own."""
    same = contract(AT, [(I, vector(A, profile=(1,))), (I, vector(A))], I)
    assert [(t.size, t.profile) for t in same] == [(0, (1,))]
    outer = contract(AT, [(I, vector(A, profile=(1,))), (O, vector(B))], (*I, *O))
    assert [(t.size, t.signs, t.profile) for t in outer] == [(0, (A, B), (1, 0))]
    turned = contract(AT, [(O, vector(B)), (I, vector(A, profile=(1,)))], (*O, *I))
    assert [t.profile for t in turned] == [(0, 1)]


def test_an_outer_product_need_not_be_multiplied_out():
    """`dW x` with `dW = d x'^T`, kept as its factors, has the terms of the matrix multiplied out."""
    update = Outer(((O, tuple(vector(B)[0])), (I, tuple(vector(A)[0]))), (*O, *I), Term(-UNIT))
    for sign, size in ((A, 0), (C, -UNIT // 2)):
        (term,) = contract(AT, [(I, vector(sign)), ((*O, *I), [update])], O)
        assert (term.size, term.signs) == (size, (B,))
        whole = explicit(AT, [update], (*O, *I))
        assert sizes(contract(AT, [(I, vector(sign)), ((*O, *I), [whole])], O)) == {(B,): size}


TERMS = st.lists(
    st.builds(lambda size, sign: Term(size, (sign,)), st.integers(-8, 4), st.sampled_from([0, A, B, A ^ B])),
    min_size=1,
    max_size=3,
)


@given(a=TERMS, b=TERMS, c=TERMS)
def test_contraction_does_not_depend_on_the_order_of_operands(a, b, c):
    operands = [(I, [a]), (O, [b]), ((*I,), [c])]
    for result in ((), O):
        forward, backward = contract(AT, operands, result), contract(AT, operands[::-1], result)
        assert top(forward) == top(backward)


@given(a=TERMS, b=TERMS)
def test_a_sum_lies_between_independent_and_aligned(a, b):
    pair = max(t.size for t in a) + max(t.size for t in b)
    assert pair + UNIT // 2 <= top(contract(AT, [(I, [a]), (I, [b])], ())) <= pair + UNIT


# elementwise functions


@pytest.mark.parametrize(
    ("parity", "homogeneous", "kept"),
    [
        ("odd", False, {(A,): -4, (B,): -6}),
        ("even", False, {(0,): -8, (A ^ B,): -10}),
        ("even", True, {(0,): -4, (A ^ B,): -6}),
        ("generic", False, {(A,): -4, (B,): -6, (0,): -8, (A ^ B,): -10}),
        ("generic", True, {(A,): -4, (B,): -6, (0,): -4, (A ^ B,): -6}),
    ],
)
def test_parity_decides_which_products_are_kept(parity, homogeneous, kept):
    """Terms of size -1/2 and -3/4; the constant part of a homogeneous function is as large as its argument."""
    found = powers(AT, [Term(-4, (A,)), Term(-6, (B,))], parity, homogeneous, constant=False)  # type: ignore[arg-type]
    assert sizes(found) == kept


def averaged(function: str):
    """A hidden value of size -1/4, a function of it, and the mean of that over the width."""
    g = Builder("averaged", axes={"batch": 4, "in": 4, "n": "width"})
    h = g.dense("input", g.input("x", "batch in"), "n in")
    y = g.node("y", function, h)
    return g.build(g.node("average", "mean", y, axis="n"))


WIDE = (2**9, 2**15)


@pytest.fixture(scope="module")
def normal() -> list[torch.Tensor]:
    """Standard normal numbers at each width."""
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(256, n, generator=rng, dtype=torch.float64) for n in WIDE]


def slopes(function: str, size: float, normal: list[torch.Tensor]) -> tuple[float, float]:
    """Measured exponents of the root mean square of f(x) and of its mean over the width, x Gaussian of this size."""
    f = {"identity": lambda x: x, "stop_gradient": torch.Tensor.detach, "negative": torch.neg, "leaky_relu": torch.nn.functional.leaky_relu,
         "negative_exp": lambda x: -x.exp(), "relu_squared": lambda x: x.relu().square(),
         "some_function": torch.sigmoid, "some_function_through_zero": torch.nn.functional.gelu}.get(function)  # fmt: skip
    f = f or getattr(torch, function, None) or getattr(torch.nn.functional, function)
    whole: list[float] = []
    means: list[float] = []
    for x in normal:
        y = f(x.shape[1] ** size * x)
        whole.append(float(y.square().mean().sqrt()))
        means.append(float(y.mean(1).square().mean().sqrt()))
    run = math.log(WIDE[1] / WIDE[0])
    return math.log(whole[1] / whole[0]) / run, math.log(means[1] / means[0]) / run


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_as_measured(function, normal):
    """Parity, f(0) and homogeneity of every function, as the sizes that torch shows for an argument of size -1/4."""
    size = Fraction(-1, 4)
    run = problem_of(averaged(function), "sgd").run({("init", "input"): size}, 0)
    found = {e.node: run.point.size(e.ticks) for e in run.events if e.kind == "value"}
    whole, mean = slopes(function, float(size), normal)
    assert float(found["y"]) == pytest.approx(whole, abs=0.06)
    assert float(found["average"]) == pytest.approx(mean, abs=0.1)


def test_no_gradient_comes_back_through_what_is_stopped() -> None:
    """A target network: its own layer never moves, and what it reads moves by its other reader alone."""
    g = Builder("target", axes={"batch": 4, "in": 4, "n": "width", "out": 2})
    h = g.relu(g.dense("first", g.input("x", "batch in"), "n in"))
    online, target = (g.dense(name, h, "out n") for name in ("online", "target"))
    graph = g.build(g.node("y", "add", online, g.node("stopped", "stop_gradient", target), equation="b o, b o -> b o"))
    solution = sr.derive(graph, "sgd")
    assert [w for w in solution.warnings if w.startswith("the gradient of 'target' is exactly zero")]
    alone = Builder("alone", axes={"batch": 4, "in": 4, "n": "width", "out": 2})
    h = alone.relu(alone.dense("first", alone.input("x", "batch in"), "n in"))
    plain = sr.derive(alone.build(alone.dense("online", h, "out n")), "sgd")
    assert {name: (solution[name].init, solution[name].lr) for name in plain.parameters} == {
        name: (plain[name].init, plain[name].lr) for name in plain.parameters
    }


# completeness

OPENED = {"input", "scan", "repeat", "top_k"}
"""What is not propagated as it stands: data, a scan (opened into its parts), a repeat (folded), a choice (taken)."""


@pytest.mark.parametrize("name", OPS)
def test_every_operation_has_a_reason_and_laws(name):
    op = OPS[name]
    assert len(op.reason) > 20 and op.reason.endswith(".")
    if name not in OPENED:
        for question in ("value", "push", "pull"):
            assert callable(getattr(op.laws, question))


@pytest.mark.parametrize("name", LAWS)
def test_every_part_of_a_scan_has_a_reason_and_laws(name):
    assert LAWS[name].reason.endswith(".") and callable(LAWS[name].laws.value)


def test_an_operation_without_a_reason_is_refused():
    for reason in (None, "", "  "):
        with pytest.raises(ValueError, match="reason"):
            register("new", reason, same_axes)
    with pytest.raises(ValueError, match="twice"):
        register("relu", "Another one.", same_axes)
    assert "new" not in OPS

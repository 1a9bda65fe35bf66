"""Slopes, their errors, and what is concluded from them, on samples whose law is known."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from random import Random
from statistics import NormalDist, fmean, stdev
from types import SimpleNamespace
from typing import Any

import pytest

from scalerules.measurement.verification.judge import (
    Measured,
    Name,
    Row,
    above,
    below,
    far_above,
    floor_of,
    judge,
    measured,
    milder,
    student,
    warned,
)
from scalerules.measurement.verification.predicted import beside_gradients, climbing
from scalerules.measurement.verification.slopes import fit, tends


def samples(*terms: tuple[float, float], noise: float = 0.02) -> list[list[float]]:
    """Four seeds at four sizes of the root of a sum of squared powers."""
    jitter = [[1 + noise * math.sin(7 * seed + 3 * size) for size in range(4)] for seed in range(4)]
    sizes = [2.0**i for i in range(4)]
    return [[j * math.sqrt(sum(c * s ** (2 * p) for c, p in terms)) for j, s in zip(row, sizes, strict=True)]
            for row in jitter]  # fmt: skip


LOGS = [i * math.log(2) for i in range(4)]


def test_slope_of_a_power_is_its_exponent() -> None:
    slope = fit(LOGS, samples((1, -0.5)))
    assert slope is not None
    assert slope.value == pytest.approx(-0.5, abs=0.03) and 0 < slope.stderr < 0.03
    late = fit(LOGS, samples((1, 0), (0.05, 0.5), noise=0))
    assert late is not None and 0 < late.value < late.late and late.bend > 0


def test_seeds_that_are_missing_at_large_sizes_do_not_pull_the_slope() -> None:
    effects = (1.0, 3.0, 0.2, 7.0)  # as large as the seed's data are
    table = [[effect * 2.0 ** (-0.5 * k) if k < 4 - seed // 2 else None for k in range(4)]
             for seed, effect in enumerate(effects)]  # fmt: skip
    slope = fit(LOGS, table)
    assert slope is not None and slope.value == pytest.approx(-0.5, abs=1e-9) and slope.estimate == pytest.approx(-0.5)
    assert slope.freedom == 14 - 4 - 4 + 1


def test_standard_errors_are_what_the_noise_gives() -> None:
    random, found, errors = Random(1), [], []
    for _ in range(300):
        effects = [random.gauss(0, 1) for _ in range(4)]
        table = [[math.exp(e + random.gauss(0, 0.1)) if k < 3 or seed < 2 else None for k in range(4)]
                 for seed, e in enumerate(effects)]  # fmt: skip
        slope = fit(LOGS, table)
        assert slope is not None
        found.append(slope.estimate)
        errors.append(slope.noise * slope.spread[1])
    assert stdev(found) == pytest.approx(math.sqrt(fmean(errors)), rel=0.12)
    assert fmean(found) == pytest.approx(0, abs=4 * stdev(found) / math.sqrt(300))


@pytest.mark.parametrize(("freedom", "value"), [(12, 3.759), (30, 3.270), (1000, 3.008)])
def test_student(freedom: int, value: float) -> None:
    assert student(3, freedom) == pytest.approx(value, rel=0.01)  # scipy.stats.t.isf(scipy.stats.norm.sf(3), freedom)


def test_every_term_of_the_expansion() -> None:
    """At 2 standard errors, by freedom; the terms in 1/f, 1/f^2, 1/f^3 by hand: 10/4, 294/96, 1098/384."""
    for freedom in (1, 2, 5):
        terms = 10 / 4, 294 / 96, 1098 / 384
        assert student(2, freedom) == pytest.approx(2 + sum(t / freedom**k for k, t in enumerate(terms, 1)))


def test_what_is_zero_or_not_finite_has_no_slope() -> None:
    assert fit(LOGS, [[0.0] * 4] * 4) is None
    assert fit(LOGS, [[1.0, 2.0, math.inf, 4.0]] * 4) is None


def test_a_small_aligned_term_is_told_from_none() -> None:
    assert tends(LOGS, samples((1, -0.5), (0.2, 0)), 0)
    assert not tends(LOGS, samples((1, -0.5)), 0)
    assert not tends(LOGS, samples((1, -1)), 0)


@pytest.mark.parametrize(("coefficient", "late"), [(2, False), (20, True)])
def test_only_what_is_below_its_size_is_said_to_tend_to_it(coefficient: float, late: bool) -> None:
    """`1 + c n^(-1/2)` tends to 1 either way; within the tolerance it is there."""
    assert measured(("value", "n", 0, None), Fraction(0), LOGS, samples((coefficient, -0.5), (1, 0))).tends is late


def exact(quantity: str, estimate: float, noise: float = 1e-4, bend: float = 0.0) -> Measured:
    sizes = [math.exp(estimate * x + bend * x * x) for x in LOGS]
    jitter = [[1 + noise * math.sin(7 * seed + 3 * k) for k in range(4)] for seed in range(4)]
    table = [[j * s for j, s in zip(row, sizes, strict=True)] for row in jitter]
    return measured((quantity, "n", 1, None), Fraction(0), LOGS, table)


@pytest.mark.parametrize(
    ("quantity", "estimate", "noise", "status"),
    [
        ("value", 0.1, 1e-4, "agrees"), ("value", 0.4, 1e-4, "wrong"), ("value", -0.6, 1e-4, "wrong"),
        ("own", -0.6, 1e-4, "wrong"), ("gradient", 0.4, 1e-4, "wrong"), ("gradient", 0.4, 0.3, "undecided"),
        ("change", -0.5, 1e-4, "agrees"), ("change", -0.9, 1e-4, "wrong"), ("change", 0.4, 1e-4, "wrong"),
        ("change", -0.9, 0.3, "undecided"), ("change", 0.22, 0.3, "agrees"), ("change", 1.4, 0.3, "wrong"),
    ],
)  # fmt: skip
def test_verdicts(quantity: str, estimate: float, noise: float, status: str) -> None:
    company = [exact("unrelated", 0) for _ in range(60)]
    assert judge([exact(quantity, estimate, noise), *company], {})[0].status == status


def test_what_bends_back_is_undecided_and_what_bends_away_is_wrong() -> None:
    row = judge([exact("change", 0.6, bend=-0.12)], {})[0]
    assert row.excess > 0.25 and row.status == "undecided" and "less so at larger sizes" in row.why
    assert judge([exact("change", 0.2, bend=0.12)], {})[0].status == "wrong"


def test_a_row_says_what_it_would_have_noticed() -> None:
    """An excess as large as `detects` says is called wrong in 95 of 100 cases, or nearly so: the bend has noise too."""
    random, called, noise = Random(2), 0, 0.1
    known = fit(LOGS, [[1.0] * 4] * 4)
    assert known is not None
    error = noise * math.sqrt(known.spread[1])
    excess = 0.2 + (student(1.645, 12) + 1.645) * error  # one row: one in twenty
    for _ in range(400):
        table = [[math.exp(excess * x + random.gauss(0, noise)) for x in LOGS] for _ in range(4)]
        row: Row = judge([measured(("own", "n", 1, None), Fraction(0), LOGS, table)], {})[0]
        called += row.status == "wrong"
    assert 0.88 < called / 400 < 0.99


def test_a_contribution_that_scatters_with_its_gradient_is_judged_beside_it() -> None:
    """Under SGD both scatter by a third from run to run; a rate half a power too large shows in their quotient."""
    random = Random(3)
    gradients = [[math.exp(random.gauss(0, 0.4)) for _ in LOGS] for _ in range(4)]
    own = [[g * math.exp(0.5 * x) for g, x in zip(row, LOGS, strict=True)] for row in gradients]
    key, of = ("own", "n", 1, "W"), ("gradient", "W", 1, None)
    predicted = {key: Fraction(0), of: Fraction(0)}
    pairs = beside_gradients(predicted, LOGS, {key: own, of: gradients})
    rows = [measured(key, Fraction(0), LOGS, own), *(exact("unrelated", 0) for _ in range(60))]
    alone, beside = judge(rows, {})[0], judge(rows, {}, beside=pairs)[0]
    assert alone.agrees and beside.status == "wrong" and beside.why.endswith("beside its gradient")
    assert (beside.detects or 1) < (alone.detects or 0) and beside.estimate == alone.estimate


@pytest.mark.parametrize(("short", "status"), [(0.5, "undecided"), (0.0, "wrong"), (-0.5, "wrong")])
def test_what_a_normalised_rule_divides_by_a_gradient_that_is_still_small(short: float, status: str) -> None:
    """A readout that is tied, behind a neck: a coherent part will decide the gradient's size, the readout's does so yet."""
    own, gradients = ([[math.exp(size * x) for x in LOGS]] * 4 for size in (0.5, -short))
    key, of = ("own", "n", 1, "W"), ("gradient", "W", 1, None)
    pairs = beside_gradients({key: Fraction(0), of: Fraction(0)}, LOGS, {key: own, of: gradients}, normalised=True)
    row = judge([measured(key, Fraction(0), LOGS, own)], {}, beside=pairs, normalised=True)[0]
    assert row.status == status and row.beside is None


def row(excess: float, width: float = 0.0, predicted: Fraction | None = Fraction(1, 4), **more: Any) -> Row:
    """A row that lies so far above its size, known up to `width`."""
    estimate = float(predicted or 0) + excess
    return Row("value", "n", 1, predicted, estimate, 0.0, estimate=estimate, width=width, **more)


@pytest.mark.parametrize(
    ("measured", "status"),
    [
        (row(0.1875), None), (row(0.1875, bend=1.0), None), (row(0.21875, 0.0625), None), (row(-1.0), None),
        (row(0.21875), "wrong"), (row(0.3125, 0.125), "undecided"), (row(0.25, 0.125), "undecided"),
        (row(0.375, 0.25, chance=0.5), None), (row(0.5, 0.375, chance=0.5), "undecided"),
        (row(0.4375, bend=-0.0625), "wrong"), (row(0.4375, bend=-0.125), "undecided"), (row(0.21875, bend=0.25), "wrong"),
    ],
)  # fmt: skip
def test_what_grows_faster(measured: Row, status: str | None) -> None:
    found = above(measured)
    assert (found and found.status) == status
    if found is not None:
        assert ("less so" in found.why) == (measured.bend < -0.1) and f"by {measured.excess:.2f} ±" in found.why


@pytest.mark.parametrize(
    ("measured", "top", "allowance", "status"),
    [
        (row(-0.1875), row(-0.1875), 0.0, "agrees"), (row(-0.21875), row(-0.21875), 0.0, "wrong"),
        (row(-0.21875), row(-0.1875), 0.0, "agrees"), (row(-0.1875), row(-0.21875), 0.0, "agrees"),
        (row(-0.21875, 0.0625), row(-0.21875), 0.0, "agrees"), (row(-0.21875), row(-0.21875, 0.0625), 0.0, "agrees"),
        (row(-0.25, 0.125), row(-0.25), 0.0, "undecided"), (row(-0.25), row(-0.25, 0.125), 0.0, "undecided"),
        (row(-0.6875), row(-0.6875), 0.5, "agrees"), (row(-0.71875), row(-0.71875), 0.5, "wrong"),
        (row(-0.75, 0.125), row(-0.75), 0.5, "undecided"), (row(-0.71875, 0.125), row(-0.71875), 0.5, "agrees"),
        (row(-0.5), row(-0.5, tends=True), 0.0, "agrees"), (row(-0.5, tends=True), row(-0.5), 0.0, "wrong"),
        (row(-0.4375, 0.25), row(-0.4375, 0.25, chance=0.5), 0.0, "agrees"),
        (row(-0.4375), row(-0.4375, bend=0.0625), 0.0, "wrong"), (row(-0.4375), row(-0.4375, bend=0.125), 0.0, "undecided"),
        (row(-0.4375), row(-0.4375, bend=-0.5), 0.0, "wrong"),
    ],
)  # fmt: skip
def test_what_is_smaller(measured: Row, top: Row, allowance: float, status: str) -> None:
    found = below(measured, top, allowance)
    assert found.status == status
    if status != "agrees":
        assert found.why.startswith(f"smaller than predicted, by {-top.excess:.2f}")
        assert below(measured, replace(top, step=2), allowance).why.startswith("smaller than predicted at every step")


def test_a_number_that_is_not_there_is_told_by_what_was_predicted() -> None:
    zeros, infinite = [[0.0] * 4] * 4, [[math.inf] * 4] * 4
    some = [[1.0, 0.0, 0.0, 0.0]] * 4

    def status(table: list[list[float]], predicted: Fraction | None, top: list[list[float]] | None = None) -> str:
        key = ("own", "n", 1, None)
        peaks: dict[Name, Measured] = {("own", "n", None): measured(key, predicted, LOGS, top)} if top else {}
        return judge([measured(key, predicted, LOGS, table)], peaks)[0].status

    assert status(zeros, Fraction(0)) == "missing" and status(some, Fraction(0)) == "undecided"
    assert status(zeros, None) == "agrees" and status(samples((1, 0)), None) == "unpredicted"
    assert status(infinite, Fraction(0)) == "wrong"
    assert status(zeros, Fraction(0), samples((1, 0))) == "agrees", "it is there at another step"


@pytest.mark.parametrize(
    ("quantity", "peak", "slow", "status"),
    [
        ("own", 1, 0.0, "wrong"), ("own", 2, 0.0, "agrees"), ("own", 1, 0.5, "agrees"), ("value", 2, 0.0, "wrong"),
        ("gradient", 2, 0.0, "agrees"), ("change", 1, 0.0, "agrees"), ("change", 1, 0.1, "agrees"), ("own", 1, 0.1, "wrong"),
    ],
)  # fmt: skip
def test_what_is_slow_is_allowed_to_be_smaller(quantity: str, peak: int, slow: float, status: str) -> None:
    found = exact(quantity, -0.5)
    top = replace(found, key=(quantity, "n", peak, None))
    company = [exact("unrelated", 0) for _ in range(60)]
    assert judge([found, *company], {(quantity, "n", None): top}, {(quantity, "n", None): slow})[0].status == status


def test_two_rows_that_are_surely_far_above_settle_it() -> None:
    far, near = row(0.5, 0.125, status="wrong"), row(0.4375, 0.125, status="wrong")
    assert (
        far_above([far, far]) and not far_above([far, near]) and not far_above([far, replace(far, status="undecided")])
    )


def test_what_lies_at_the_edge_does_not_settle_it() -> None:
    edge = row(0.2 + 0.15, predicted=Fraction(0), status="wrong")
    assert not far_above([edge, edge]) and far_above([edge, edge], more=0.1)


def test_a_row_as_data() -> None:
    found = row(0.5, 0.125, error=0.0625, parameter="W", why="so").to_dict()
    assert (found["interval"], found["estimate"], found["predicted"]) == ([0.625, 0.875], 0.75, "1/4")
    assert found["detects"] == pytest.approx(0.2 + 0.125 + 1.645 * 0.0625, abs=1e-4)
    assert (found["parameter"], found["why"], found["agrees"]) == ("W", "so", True)
    bare = Row("value", "n", 1, None, None, None).to_dict()
    assert bare["interval"] == [None, None] and "why" not in bare and bare["predicted"] is None


def test_the_typical_noise_is_mixed_in_as_three_further_measurements() -> None:
    for noise, typical, floor in ((0.1, 0.04, 0.0), (0.01, 0.25, 0.0), (0.1, 0.0, 0.05)):
        found = replace(exact("value", 0.0, noise), floor=floor)
        slope = found.slope
        assert slope is not None
        freedom = slope.freedom + 3
        mixed = max(floor, (slope.freedom * slope.noise + 3 * typical) / freedom)
        row = found.row(typical, 10)
        assert row.error == pytest.approx(math.sqrt(mixed * slope.spread[1]))
        assert row.width == pytest.approx(row.error * student(NormalDist().inv_cdf(1 - 0.05 / 10), freedom))
        assert row.chance == pytest.approx(row.error * student(NormalDist().inv_cdf(1 - 0.5 / 10), freedom))


def test_what_is_off_at_one_rate_only_is_not_called_wrong() -> None:
    agrees, wrong = (judge([exact("value", estimate)], {})[0] for estimate in (0.0, -0.6))
    undecided = replace(wrong, status="undecided")
    assert milder(wrong, agrees) is agrees and milder(undecided, wrong) is undecided and milder(wrong, wrong) is wrong


def test_few_numbers_spread_from_run_to_run_and_are_called_nothing():
    """The logarithm of one normal number has variance pi^2/8, of two pi^2/24: four runs do not show the slope of one."""
    assert floor_of(1) == pytest.approx(math.pi**2 / 8, rel=1e-3) and floor_of(2) == pytest.approx(
        math.pi**2 / 24, rel=1e-3
    )
    assert floor_of(8) == 0
    found = [
        measured(("gradient", "number", 1, None), Fraction(0), LOGS, samples((1.0, -1.0), noise=noise)[:2], floor=floor)
        for noise, floor in ((0.3, 0.0), (0.3, floor_of(1)), (0.0, floor_of(1)))  # no noise: Adam's step of one number
    ]
    statuses = [judge([m], {("gradient", "number", None): m})[0].status for m in found]
    assert statuses == ["wrong", "undecided", "wrong"]


def test_growth_from_a_saddle_that_the_rule_warns_of_is_no_fault() -> None:
    """A parameter that contributes -1/2 at first may come up to 0 (and its gradient 1/2 higher), no further."""
    solution: Any = SimpleNamespace(warnings=("'W' starts at a saddle: its own contribution is of size -1/2 at first",))
    sizes: Any = {("own", "h", 1, "W"): Fraction(-1, 2), ("own", "g", 1, "V"): Fraction(-1, 2)}
    gaps = climbing(solution, sizes)
    assert gaps == {"W": 0.5}
    grown = Row("gradient", "W", 3, Fraction(-1), -0.5, 0.01, estimate=-0.5, status="wrong", why="grows")
    assert warned(grown, gaps).status == "warned"
    for other in (
        replace(grown, step=1),
        replace(grown, node="V"),
        replace(grown, estimate=-0.2),
        replace(grown, quantity="change"),
        replace(grown, estimate=-1.5),
        replace(grown, status="agrees"),
    ):
        assert warned(other, gaps) is other

"""How a discretised transition falls along a ramp of `A`: the laws against slopes of the numbers themselves."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import plain_terms
import pytest
from plain_terms import A, B, D, N, S

from scalerules.ops.registry import law_of
from scalerules.ops.scan import Discretised
from scalerules.terms.term import STEEPEST, SUMMABLE, Profile, Term

FAR, TURN = 64, 128
RAMP = Term(0, (0,), profile=(-2,))
FUNCTIONS: dict[str, Callable[[float, complex], complex]] = {
    "decay": lambda dt, a: cmath.exp(dt * a),
    "decay_bilinear": lambda dt, a: (1 + dt * a / 2) / (1 - dt * a / 2),
    "step_zoh": lambda dt, a: (cmath.exp(dt * a) - 1) / a,
    "step_bilinear": lambda dt, a: dt / (1 - dt * a / 2),
}


class Point(plain_terms.Point):
    """A point at which turns far and near have a source each."""

    def bit(self, *key: object) -> int:
        assert key[1] == "A"
        return {"far": FAR, "turn": TURN}[str(key[0])]


AT: Any = Point(400)


def law(name: str) -> Discretised:
    return law_of(name).laws


def site(labels: Sequence[tuple[str, ...]], result: tuple[str, ...]) -> Any:
    return SimpleNamespace(key="site", labels=tuple(labels), result=result, inputs=["dt", "A", "A.imaginary"])


def along(parts: int) -> Any:
    """A site at which the step is as long as the ramp, so that nothing is summed."""
    return site([(S,)] * (1 + parts), (S,))


def slope(f: Callable[[float], complex]) -> int:
    """By which power of the index, in halves, numbers fall: the mean square over a few phases at two large indices."""

    def size(i: int) -> float:
        return math.sqrt(sum(abs(f(i * (1 + phase / 40))) ** 2 for phase in range(5)))

    low, high = size(60), size(240)
    halves = 2 * math.log(low / high) / math.log(4) if high else SUMMABLE
    return SUMMABLE if halves > STEEPEST else round(halves)


def derivative(f: Callable[[float], complex], x: float) -> complex:
    return (f(x + 1e-6) - f(x - 1e-6)) / 2e-6


@pytest.mark.parametrize("turning", [False, True], ids=("real", "imaginary"))
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_a_ramp_fall_as_their_numbers_do(name: str, turning: bool):
    """At `dt = 1/2` and `A = -i`, or with `i` as the imaginary part beside a fixed real one."""
    f, unit = FUNCTIONS[name], 1j if turning else -1
    start = -0.1 if turning else 0.0
    value = slope(lambda i: f(0.5, start + unit * i))
    by_dt = slope(lambda i: derivative(lambda dt: f(dt, start + unit * i), 0.5))
    by_a = slope(lambda i: derivative(lambda a: f(0.5, start + unit * a), i))
    parts = [[Term(0, (B,))], [RAMP]] if turning else [[RAMP]]
    here, operands = along(len(parts)), [[[Term(0, (A,))]], *([part] for part in parts)]

    def profiles(terms: list[Term]) -> set[Profile | None]:
        return {t.profile for t in terms}

    def told(halves: int) -> set[Profile | None]:
        return {(halves,) if halves else None}

    last, flat = len(parts), [Term(0, (D,))]
    assert profiles(law(name).value(AT, here, operands)) == told(value)
    assert profiles(law(name).pull(AT, here, operands, 0, flat)) == told(by_dt)
    assert profiles(law(name).pull(AT, here, operands, last, flat)) == told(by_a)
    assert profiles(law(name).secant(AT, here, operands, 0, flat)) == told(max(value, by_dt))
    assert profiles(law(name).secant(AT, here, operands, last, flat)) == told(max(value, by_a))
    assert law(name).steep(AT, here, operands) is (min(by_dt, by_a) < value)
    for step in (0, 1):  # what is pushed is no more than the function itself
        change = [Term(-3, (D,), profile=(step,) if step else None)]
        pushed = law(name).push(AT, here, operands, last, [change])
        most = max(value, SUMMABLE if SUMMABLE in (by_a,) else by_a + step)
        assert profiles([t for t in pushed if t.signs[0] & D]) == told(most)


def signs(terms: list[Term]) -> set[int]:
    return {t.signs[-1] for t in terms}


def test_along_an_imaginary_ramp_derivatives_are_a_quarter_turn_away():
    """By `dt` and by the imaginary part; a change of `dt` turns every entry to somewhere else."""
    here, operands = along(2), [[[Term(-6, (A,))]], [[Term(-40, (B,))]], [[RAMP]]]
    flat = [Term(0, (D,))]
    for k, turn in ((0, TURN), (1, 0), (2, TURN)):
        assert all((mask & (TURN | FAR)) == turn for mask in signs(law("decay").pull(AT, here, operands, k, flat)))
    for k, turn, even in ((0, FAR, True), (1, 0, False), (2, TURN, True)):
        pushed = law("decay").push(AT, here, operands, k, [[Term(-3, (D,))]])
        assert {mask & (TURN | FAR) for mask in signs([t for t in pushed if t.signs[0] & D])} == {turn}
        assert any(t.signs == (0,) and t.size == -6 for t in pushed) is even, "its square is no turn"
    turned = [[[Term(-6, (TURN,))]], *operands[1:]]
    assert signs(law("decay").pull(AT, here, turned, 0, flat)) >= {TURN ^ D, D}, "what is there twice is not there"


def test_of_two_axes_only_the_ramp_decides():
    """`dt A` with `A` along both, growing along one: the other keeps its signs and has no profile."""
    here = site([(N,), (N, S)], (N, S))
    operands = [[[Term(-6, (A,))]], [[Term(0, (0, 0), profile=(0, -2)), Term(-2, (B, 0))]]]
    found = {t.signs: (t.size, t.profile) for t in law("decay").value(AT, here, operands)}
    falls = (0, SUMMABLE)
    assert found[0, 0] == (0, falls) and found[A, 0] == (-6, falls) and found[B, 0] == (-2, falls)
    complex_ = site([(N,), (S,), (N, S)], (N, S))
    imaginary = [operands[0], [[Term(0, (B,))]], [[Term(0, (0, 0), profile=(0, -2))]]]
    assert law("decay").steep(AT, complex_, imaginary), "along one of them"
    pulled = law("decay").pull(AT, complex_, imaginary, 2, [Term(0, (D, D))])
    assert {t.signs[1] & TURN for t in pulled} == {TURN} and {t.signs[0] & TURN for t in pulled} == {0}


def test_the_step_of_eulers_rule_is_the_step():
    here, operands = along(1), [[[Term(-6, (A,))]], [[RAMP]]]
    euler = law("step_euler")
    assert max((t.size, t.signs, t.profile) for t in euler.value(AT, here, operands)) == (-6, (A,), None)
    assert not any(t.signs == (0,) and t.size == 0 for t in euler.value(AT, here, operands))
    for k, moves in ((0, True), (1, False)):
        assert bool(euler.push(AT, here, operands, k, [[Term(-3, (D,))]])) is moves
        assert bool(euler.pull(AT, here, operands, k, [Term(-3, (D,))])) is moves
    assert not euler.steep(AT, here, operands)

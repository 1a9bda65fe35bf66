"""A transition that is a ramp of the state: how gradients fall with the index, by the law and in plain torch."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace

import pytest
from plain_terms import IMAGE, A, B, C, D, N, S, Scope

import scalerules as sr
from scalerules.derivation.question import problem_of
from scalerules.ops.elementwise import Elementwise
from scalerules.ops.functions import FUNCTIONS
from scalerules.ops.scan import FLAT, Discretised, Falls, _turned
from scalerules.terms.term import SUMMABLE, Term

torch = pytest.importorskip("torch")

SIZES, SEEDS, STEPS = (32, 128, 512), 64, 6


def layer(ramp: str, discretisation: str, shared: bool) -> sr.Graph:
    """A diagonal state-space layer; `shared`: the state has an axis of its own, and `dt` is one for all of it."""
    axes = {"batch": 8, "time": 6, "in": 4, "state": "width", "parts": 2, "out": 4}
    g = sr.Builder("ramp", axes=axes)
    u, states = g.input("u", "batch time in"), "in state" if shared else "state"
    g.parameter("A_log", states, init="zeros" if ramp == "imaginary" else "log_range")
    rate = g.negative_exp(parameters=("A_log",), name="A_real")
    g.parameter("A_imag", states, init="zeros" if ramp == "real" else "range")
    rate = g.complex(rate, g.node("A_imag", "scale", parameters=("A_imag",), factor=math.pi), name="A")
    g.parameter("log_dt", "in" if shared else "state")
    dt = g.exp(parameters=("log_dt",), name="dt")
    if shared:
        for name in "BC":
            g.parameter(name, "in state parts")
        projections = [g.node(name, "complex", parameters=(name,)) for name in "BC"]
        y = g.node("ssm", "scan", u, dt, rate, *projections, discretisation=discretisation)
    else:
        g.parameter("B", "state parts in")
        g.parameter("C", "in state parts")
        driven = g.complex(g.einsum("B", "b t i, s p i -> b t s p", u, parameters=("B",)), name="driven")
        x = g.node("ssm", "scan", driven, dt, rate, discretisation=discretisation)
        y = g.einsum("C", "b t s p, i s p -> b t i", g.parts(x, axis="parts", name="parts"), parameters=("C",))
    return g.build(g.dense("W", y, "out in", "b t"))


def derived(ramp: str, discretisation: str, shared: bool, moved: bool) -> dict[str, Fraction]:
    """The sizes of gradients where everything starts at size 0; `moved`: once C has moved along its own gradient."""
    graph = layer(ramp, discretisation, shared)
    rates = {("lr", name): Fraction(0 if name == "C" else -9) for name in graph.parameters}
    run = problem_of(graph, "adamw").run(rates, 1 + moved)
    gradients = [e for e in run.events if e.kind == "gradient" and e.step == 1 + moved]
    return {e.node: run.point.size(e.ticks) for e in gradients if e.node[0] in "Al"}


def measured(ramp: str, discretisation: str, shared: bool, moved: bool) -> dict[str, float]:
    """Slopes of the same gradients: `SEEDS` layers at once, written out."""
    levels: dict[str, list[float]] = {}
    for size in SIZES:
        drawn = torch.Generator().manual_seed(0)
        log_steps, *parts = torch.randn(5, SEEDS, SIZES[-1], generator=drawn, dtype=torch.float64)[..., :size]
        index = torch.arange(1, size + 1, dtype=torch.float64)
        A_log = torch.zeros(size) if ramp == "imaginary" else index.log()
        parameters = {
            "log_dt": (log_steps[:, :1] if shared else log_steps) / 2 - 1,
            "A_log": A_log.double().expand(SEEDS, size).clone(),
            "A_imag": (0 * index if ramp == "real" else index).expand(SEEDS, size).clone(),
        }
        log_dt, A_log, A_imag = (p.requires_grad_() for p in parameters.values())
        dt, A = log_dt.exp(), torch.complex(-A_log.exp(), math.pi * A_imag)
        decay, step = torch.exp(dt * A), (torch.exp(dt * A) - 1) / A
        if discretisation == "bilinear":
            decay, step = (1 + dt * A / 2) / (1 - dt * A / 2), dt / (1 - dt * A / 2)
        elif discretisation == "euler":
            step = dt
        B, C = (torch.complex(*parts[k : k + 2]) for k in (0, 2))
        state, pulled = torch.zeros_like(B), torch.zeros_like(B)
        for u, pull in torch.randn(STEPS, 2, SEEDS, 1, generator=drawn, dtype=torch.float64):
            state = decay * state + step * B * u
            pulled = pulled + pull * state
        loss = ((pulled.detach().sgn().conj() if moved else C) * pulled).real.sum()
        for name, gradient in zip(parameters, torch.autograd.grad(loss, [log_dt, A_log, A_imag]), strict=True):
            levels.setdefault(name, []).append(float(gradient.square().mean().log()) / 2)
    return {name: (there[-1] - there[0]) / math.log(SIZES[-1] / SIZES[0]) for name, there in levels.items()}


@pytest.mark.parametrize("shared, moved", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("discretisation", ["zoh", "bilinear", "euler"])
@pytest.mark.parametrize("ramp", ["real", "imaginary", "complex"])
def test_gradients_fall_along_a_ramp_as_plain_torch_has_them(
    ramp: str, discretisation: str, shared: bool, moved: bool
) -> None:
    """One power of the index for each division by `A`, none where the decay only turns (docs/theory.md, Ramps)."""
    sizes, slopes = (f(ramp, discretisation, shared, moved) for f in (derived, measured))
    assert {name: float(size) for name, size in sizes.items()} == pytest.approx(slopes, abs=0.2)


@pytest.mark.parametrize(
    ("falls", "steep"),
    [([Falls(0, -2, 0)], True), ([Falls(0, 0, -1)], True), ([Falls(2, 2, 4), FLAT], False), ([FLAT, Falls(2, 4, 1)], True)],
)  # fmt: skip
def test_a_small_step_alone_sees_a_derivative_that_is_larger_than_the_function(
    falls: list[Falls], steep: bool, monkeypatch: pytest.MonkeyPatch
):
    law = Discretised(FLAT)
    monkeypatch.setattr(law, "_falls", lambda *_: falls)
    assert law.steep(None, None, []) == steep  # type: ignore[arg-type]


@pytest.mark.parametrize(("falls", "signs"), [(FLAT, {(A,)}), (Falls(0, -2, 0, turns=True), {(A ^ IMAGE,), (0,)})])
def test_only_what_turns_far_leaves_nothing_of_what_was_there(
    falls: Falls, signs: set[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
):
    law, site = Discretised(FLAT), SimpleNamespace(labels=[(N,), (N,)], result=(N,), inputs=["dt", "a"])
    monkeypatch.setattr(law, "_falls", lambda *_: [falls])
    monkeypatch.setattr(law, "_now", lambda *_: [Term(0, (0,))])
    changed = law.push(Scope(99), site, [], 0, [[Term(-2, (A,))]])  # type: ignore[arg-type]
    assert {t.signs for t in changed} == signs


def test_a_rate_that_is_random_along_one_axis_alone_is_so_in_what_is_made_of_it():
    site = SimpleNamespace(labels=[(N,), (N, S), (S, N)], result=(N, S), inputs=["dt", "re", "im"], key="decay")
    real, imaginary = [[Term(-1, (A, 0)), Term(0, (0, 0))]], [[Term(-2, (B, 0)), Term(-3, (B, C))]]
    found = Discretised(Falls(0, 2, 4))._terms(Scope(99), site, [[[Term(-4, (D,))]], real, imaginary])  # type: ignore[arg-type]
    sizes = {t.signs: t.size for t in found}
    assert [sizes.get(s) for s in ((0, 0), (D, 0), (A, 0), (0, B), (C, B))] == [0, -4, -1, -2, -3]


@pytest.mark.parametrize(
    ("name", "profile", "ramp", "value", "slope"),
    [
        ("exp", -2, False, {SUMMABLE}, {SUMMABLE}), ("negative_exp", -1, False, {SUMMABLE}, {SUMMABLE}),
        ("exp", 2, False, {2, 0}, {2, 0}), ("exp", 0, True, {-2}, {-2}), ("exp", 0, False, {0}, {0}),
        ("relu", -2, False, {-2}, {-2, 0}), ("relu", 2, False, {2}, {2, 0}), ("relu", 0, True, {0}, {0}),
        ("tanh", -2, False, {-2}, {0}), ("tanh", 2, False, {2}, {0}), ("tanh", 0, True, {0}, {0}),
    ],
)  # fmt: skip
def test_an_exponential_alone_turns_growth_along_an_axis_into_another_kind(
    name: str, profile: int, ramp: bool, value: set[int], slope: set[int]
):
    """exp(-i) is summable, exp(log i) is i; entries that fall have a constant part that does not."""
    law, x = Elementwise(FUNCTIONS[name].shape), Term(0, (0, A), profile=(0, profile) if profile else None, ramp=ramp)
    site = SimpleNamespace(key="y", labels=[(S, N)], result=(S, N))
    point = Scope(99)
    for found, wanted in ((law.value, value), (law._derivative, slope)):
        falls = [term.profile or (0, 0) for term in found(point, site, [[[x]]])]  # type: ignore[arg-type]
        assert {along for _, along in falls} == wanted and {across for across, _ in falls} == {0}


@pytest.mark.parametrize(("k", "far"), [(0, False), (0, True), (1, False), (2, False)])
def test_a_quarter_turn_is_a_source_along_imaginary_ramps_alone(k: int, far: bool):
    """Twice is none; the derivative by the real part of the rate, the first of two, does not turn."""
    falls, site = [FLAT, Falls(0, -2, 0, turns=True)], SimpleNamespace(inputs=["dt", "re", "im"])
    found = _turned(Scope(99), site, falls, k, [Term(0, (A, B)), Term(0, (A, IMAGE))], far)  # type: ignore[arg-type]
    assert [t.signs for t in found] == [(A, B if k == 1 else B ^ IMAGE), (A, IMAGE if k == 1 else 0)]
    terms = [Term(0, (A, B))]
    assert _turned(Scope(99), site, [FLAT, FLAT], k, terms) is terms  # type: ignore[arg-type]

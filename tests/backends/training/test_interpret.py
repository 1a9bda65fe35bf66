"""The interpreter: every op has an entry, and what it computes is what the formulas say."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch
from scalerules.backends.training import measure, operations, optimizer_steps, singular
from scalerules.backends.training.program import Program
from torch.nn import functional

from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph
from scalerules.catalogue.graphs import graph as catalogue
from scalerules.ops import OPS

NONE = SimpleNamespace(parameters={}, multipliers={}, optimizer="sgd", sizes=[])


class Power(dict[str, Fraction]):
    def change(self, ratios):
        return math.prod(ratios[scale] ** float(power) for scale, power in self.items())


def rules(graph: Graph, **powers: float | Fraction) -> SimpleNamespace:
    """A solution that gives every parameter the same exponents of the width."""
    numbers = {name: Power(width=Fraction(powers.get(name, 0))) for name in ("init", "mult", "lr", "eps", "wd")}
    each = {name: SimpleNamespace(**numbers, dampings={}) for name in graph.parameters}
    return SimpleNamespace(parameters=each, multipliers={}, optimizer="adam", sizes=[])


def program(graph: Graph, solution=NONE, double: bool = True, **sizes: float):
    base = graph.base_sizes()
    return Program(graph, solution, base | sizes, base, torch.float64 if double else torch.float32)


def values(graph: Graph, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    made = program(graph)
    data = made.data(0)
    data.inputs.update(inputs)
    return made.forward(made.initial(0), data).all_values()


def test_every_op_has_an_entry() -> None:
    assert set(operations.TABLE) == set(OPS) - {"repeat"}, "the program walks through the body of a repeat itself"


def test_mlp_is_its_formula() -> None:
    made = program(catalogue("mlp"), width=32)
    weights, data = made.initial(0), made.data(0)
    hidden = data.inputs["x"] @ weights["input"].T
    for name in ("h1", "h2"):
        hidden = torch.relu(hidden) @ weights[name].T
    run = made.forward(weights, data)
    torch.testing.assert_close(run.values["output"], torch.relu(hidden) @ weights["output"].T)
    expected = (run.values["output"] - data.targets[0]).square().sum(-1).mean() / 2
    torch.testing.assert_close(made.loss(run, data), expected)


def test_attention_is_torchs() -> None:
    made = program(catalogue("transformer"), width=16, depth=1)
    run = made.forward(made.initial(0), made.data(0))
    inside = run.blocks["blocks"][0]
    q, k, v = (inside[f"attention.{letter}"].transpose(1, 2) for letter in "qkv")
    expected = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=made.factors["attention.scores"])
    torch.testing.assert_close(inside["attention.heads"].transpose(1, 2), expected)


@pytest.mark.parametrize("discretisation", ["zoh", "euler"])
def test_scan_is_its_recurrence(discretisation: str) -> None:
    made = program(catalogue("mamba", discretisation=discretisation), width=16)
    inside = made.forward(made.initial(0), made.data(0)).blocks["blocks"][0]
    u, dt, a, b, c = (inside[name] for name in ("u", "dt", "A", "W_B", "W_C"))
    state, y = torch.zeros(u.shape[0], *a.shape, dtype=u.dtype), []
    for t in range(u.shape[1]):
        decay = torch.exp(dt[:, t, :, None] * a)
        weight = (decay - 1) / a if discretisation == "zoh" else dt[:, t, :, None]
        state = decay * state + weight * b[:, t, None, :] * u[:, t, :, None]
        y.append((state * c[:, t, None, :]).sum(-1))
    torch.testing.assert_close(inside["ssm.state"], state)
    torch.testing.assert_close(inside["ssm"], torch.stack(y, 1))


def test_operations_that_move_entries() -> None:
    g = Builder("moves", axes={"b": 2, "t": 3, "n": 4, "m": 2, "taps": 2, "both": 6, "p": 2, "q": 2})
    x, y = g.input("x", "b t n"), g.input("y", "b t m")
    g.node("window", "window", x, axis="taps")
    g.node("shift", "shift", x, axis="t")
    g.node("joined", "concat", x, y, axis="both")
    g.node("part", "slice", "joined", axis="m", offset="n")
    g.node("split", "reshape", x, axes="b t p q")
    g.node("mean", "mean", x, axis="t")
    g.node("sum", "add", x, "mean")
    found = values(g.build("sum"))
    x_, y_ = found["x"], found["y"]
    torch.testing.assert_close(found["window"][:, 1], x_[:, :2])
    torch.testing.assert_close(found["window"][:, 0, 0], torch.zeros_like(x_[:, 0]))
    torch.testing.assert_close(found["shift"][:, 1:], x_[:, :-1])
    torch.testing.assert_close(found["part"], y_)
    torch.testing.assert_close(found["split"], x_.reshape(2, 3, 2, 2))
    torch.testing.assert_close(found["sum"], x_ + x_.mean(1)[:, None])


def test_norms_have_no_floor() -> None:
    """A tensor of any size comes out at size one: an epsilon would bend slopes where values shrink."""
    g = Builder("norms", axes={"b": 2, "n": 8})
    x = g.scale("small", g.input("x", "b n"), "1/1000000000")
    g.rms_norm(x, axis="n", name="rms")
    g.layer_norm(x, axis="n", name="layer")
    found = values(g.build("rms", "layer"))
    for name in ("rms", "layer"):
        torch.testing.assert_close(found[name].square().mean(-1), torch.ones(2, dtype=torch.float64))


def test_numbers_are_constants_at_the_base_times_powers() -> None:
    graph = catalogue("transformer")
    solution = rules(graph, init=-1, mult=Fraction(1, 2))
    solution.multipliers = {"attention.scores": Power(width=Fraction(-1))}
    large = program(graph, solution, width=256)
    assert large.factors["attention.scores"] == pytest.approx(16**-0.5 / 4)
    weights = large.initial(0)
    assert weights["W_E"].std().item() == pytest.approx(1 / 4, rel=0.05)  # one-hot: std 1 at the base
    assert weights["W_U"].std().item() == pytest.approx(64**-0.5 / 4, rel=0.05)
    assert weights["attention.W_Q"].shape == (2, 4, 64, 256)
    assert weights["attention.gain"].unique().tolist() == [1 / 4]


def test_own_contribution_of_a_matrix_and_of_a_value_behind_a_scan() -> None:
    made = program(catalogue("mamba"), width=16)
    data, start = made.data(0), made.initial(0)
    moved = {name: value + 0.1 * torch.randn_like(value) for name, value in start.items()}
    run = made.forward(moved, data)
    inside = run.blocks["blocks"][0]
    own = made.own(run, start, "W_B", "W_B")
    torch.testing.assert_close(own[0], inside["u"] @ (moved["W_B"] - start["W_B"])[0].T)
    assert made.own(run, start, "W_U", "logits").shape == run.values["logits"].shape
    behind = made.own(run, start, "A_log", "ssm")
    a = -torch.exp(start["A_log"][0])
    before = training_scan(inside["u"], inside["dt"], a, inside["W_B"], inside["W_C"])
    torch.testing.assert_close(behind[0], inside["ssm"] - before)
    after = made.own(run, start, "W_B", "logits")
    torch.testing.assert_close(
        after, run.values["logits"] - made.forward(moved | {"W_B": start["W_B"]}, data).values["logits"]
    )


def training_scan(u, dt, a, b, c):
    from scalerules.backends import scan

    u, dt, b, c = (x.transpose(1, 2) for x in (u, dt, b, c))
    return scan.selective_scan(u, dt, a, b, c, discretisation="zoh").transpose(1, 2)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.1)),
        ("momentum", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
        ("adam", lambda p: torch.optim.Adam(p, lr=0.1, eps=1e-10)),
        ("adamw", lambda p: torch.optim.AdamW(p, lr=0.1, eps=1e-10, weight_decay=0.5)),
    ],
)
def test_optimizers_are_torchs(name: str, other) -> None:
    torch.manual_seed(0)
    mine = torch.randn(5, 3, dtype=torch.float64)
    theirs = mine.clone().requires_grad_()
    optimizer, setting = other([theirs]), optimizer_steps.Setting(0.1, weight_decay=0.5 if name == "adamw" else 0.0)
    for _ in range(3):
        gradient = torch.randn_like(mine)
        theirs.grad = gradient.clone()
        optimizer.step()
        mine = measure.step({"w": mine}, {"w": gradient}, {"w": setting}, optimizer_steps.optimizer(name))["w"]
    torch.testing.assert_close(mine, theirs.detach())


def test_muon_moves_matrices_by_orthogonal_ones() -> None:
    graph = catalogue("transformer")
    made = program(graph, rules(graph), width=16)
    chosen = measure.settings(made, measure.Trial(1.0, optimizer="muon"))
    assert chosen["attention.W_O"].matrix == ([1], [2, 3])  # n out of heads and head, blocks in front
    assert chosen["attention.gain"].matrix is None
    low = torch.randn(2, 8, 3, dtype=torch.float64) @ torch.randn(2, 3, 6, dtype=torch.float64)
    values = torch.linalg.svdvals(singular.orthogonal(low, [1], [2]))
    torch.testing.assert_close(values, torch.tensor([[1.0] * 3 + [0.0] * 3] * 2, dtype=torch.float64))


def test_measurement_has_every_quantity() -> None:
    graph = catalogue("mlp")
    found = measure.measure(program(graph, rules(graph), double=False), measure.Trial(0.01, steps=2))
    assert found.rms["value", "h1", 0, None] == pytest.approx(1, abs=0.6)
    for key in [("gradient", "h1", 2, None), ("own", "h1", 2, "h1"), ("change", "output", 1, None)]:
        assert found.rms[key] > 0
    assert len(found.losses) == 3 and found.losses[2] < found.losses[0]


def test_what_does_not_move_is_exactly_zero() -> None:
    graph = catalogue("mlp")
    solution = rules(graph)
    del solution.parameters["h1"]  # not trained
    found = measure.measure(program(graph, solution, double=False), measure.Trial(0.01, steps=1))
    assert found.rms["own", "h1", 1, "h1"] == 0
    assert found.rms["change", "h1", 1, None] > 0


def test_a_small_own_contribution_is_not_lost_beside_the_value() -> None:
    """A millionth of the value, seen in single precision: it comes from the difference of the parameters."""
    graph, trial = catalogue("mlp"), measure.Trial(5e-8, steps=1)
    single, double = (measure.measure(program(graph, rules(graph), double=d), trial).rms for d in (False, True))
    for name in ("input", "h1", "output"):
        own = single["own", name, 1, name]
        assert own < 4e-6 * single["value", name, 0, None], name
        assert own == pytest.approx(double["own", name, 1, name], rel=0.5), name  # other random numbers


def test_what_nothing_depends_on_is_named() -> None:
    """A number that is added to all channels is taken out again by a norm that subtracts the mean."""
    g = Builder("shifted", axes={"batch": 4, "time": 5, "in": 6, "n": "width", "out": 3})
    x = g.dense("first", g.input("x", "batch time in"), "n in", "b t")
    g.parameter("shift", "time", init="zeros")
    shifted = g.add(x, name="shifted", equation="b t n, t -> b t n", parameters=("shift",))
    graph = g.build(g.dense("last", g.gelu(g.layer_norm(shifted, axis="n")), "out n", "b t"))
    assert measure.silent(program(graph, rules(graph), double=False)) == ["shift"]
    assert measure.silent(program(catalogue("mlp"), rules(catalogue("mlp")), double=False)) == []


def test_same_seed_same_numbers() -> None:
    graph = catalogue("mlp")
    one, two = (program(graph, rules(graph)).initial(3) for _ in range(2))
    other = program(graph, rules(graph)).initial(4)
    for name, value in one.items():
        assert torch.equal(value, two[name]) and not torch.equal(value, other[name])


def test_a_choice_is_one_hot_and_gets_no_gradient() -> None:
    made = program(catalogue("moe"), width=16)
    leaves = {name: value.requires_grad_() for name, value in made.initial(0).items()}
    run = made.forward(leaves, made.data(0))
    inside = run.blocks["blocks"][0]
    choice, logits = inside["choice"], inside["W_router"]
    assert choice.shape[-2:] == (2, 4) and not choice.requires_grad
    torch.testing.assert_close(choice.sum(-1), torch.ones_like(choice[..., 0]))
    torch.testing.assert_close((logits[..., None, :] * choice).sum(-1), logits.topk(2).values)
    torch.testing.assert_close(inside["scores"], logits.topk(2).values)


def test_what_a_mask_leaves_out_stays_zero() -> None:
    graph = catalogue("sparse")
    made = program(graph, rules(graph), width=64, density=0.25)
    start = made.initial(0)
    kept = start["mlp.W_up"] != 0
    assert kept.double().mean().item() == pytest.approx(0.25, abs=0.01)
    assert start["mlp.W_up"][kept].std().item() == pytest.approx(1 / 4, rel=0.05)  # 1/sqrt(64 * 0.25)
    assert bool((start["W_E"] != 0).all())
    leaves = {name: value.requires_grad_() for name, value in start.items()}
    run = made.forward(leaves, made.data(0))
    gradient = torch.autograd.grad(made.loss(run, made.data(0)), leaves["mlp.W_up"])[0]
    assert bool((gradient[~kept] == 0).all()) and bool((gradient[kept] != 0).any())


@pytest.mark.parametrize("name", ["s5", "lru"])
def test_a_scan_of_channels_is_its_recurrence(name: str) -> None:
    made = program(catalogue(name), width=16)
    inside = made.forward(made.initial(0), made.data(0)).blocks["blocks"][0]
    driven = inside["driven" if name == "s5" else "normalised"]
    a = inside["A" if name == "s5" else "log_lambda"]
    dt = inside["dt" if name == "s5" else "one"]
    decay = torch.exp(dt * a)
    weight = (decay - 1) / a if name == "s5" else dt
    state, states = torch.zeros_like(driven[:, 0]), []
    for t in range(driven.shape[1]):
        state = decay * state + weight * driven[:, t]
        states.append(state)
    torch.testing.assert_close(inside["ssm"], torch.stack(states, 1))


def test_a_scan_in_heads_has_one_rate_and_one_step_a_head() -> None:
    made = program(catalogue("mamba2"), width=16)
    inside = made.forward(made.initial(0), made.data(0)).blocks["blocks"][0]
    u, dt, a, b, c = (inside[name] for name in ("by_head", "dt", "A", "B", "C"))
    state = torch.zeros(*u.shape[:1], *u.shape[2:], b.shape[-1], dtype=u.dtype)
    for t in range(u.shape[1]):
        driven = (dt[:, t, :, None] * u[:, t])[..., None] * b[:, t, None, None]
        state = torch.exp(dt[:, t] * a)[..., None, None] * state + driven
        torch.testing.assert_close(inside["ssm"][:, t], (state * c[:, t, None, None]).sum(-1))


def test_complex_rates_give_twice_the_real_part() -> None:
    made = program(catalogue("s4d", A="lin"), width=16)
    inside = made.forward(made.initial(0), made.data(0)).blocks["blocks"][0]
    dt, a, b, c, u = inside["dt"][:, None], inside["A"], inside["B"], inside["C"], inside["gain"]
    decay = torch.exp(dt * a)
    state = torch.zeros(u.shape[0], *a.shape, dtype=a.dtype)
    for t in range(u.shape[1]):
        state = decay * state + (decay - 1) / a * b * u[:, t, :, None]
        torch.testing.assert_close(inside["ssm"][:, t], 2 * (state * c).sum(-1).real)


def test_fourier_modes_there_and_back() -> None:
    g = Builder("waves", axes={"b": 2, "points": 8, "modes": 5, "parts": 2, "n": 3})
    x = g.input("x", "b points n")
    g.rfft(x, axis="points", axes="modes parts", name="there")
    g.irfft("there", axis="modes", axes="points", name="back")
    found = values(g.build("back"))
    assert found["there"].shape == (2, 5, 3, 2)
    torch.testing.assert_close(found["back"], found["x"])


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_examples_that_get_more_have_something_in_common_to_learn(loss: str) -> None:
    """Targets drawn anew for each of 256 times would have means of 1/16, and their gradient would vanish with them."""
    g = Builder("over_times", axes={"batch": 2, "time": "width", "in": 3, "out": 4}, loss=loss)
    made = program(g.build(g.dense("last", g.input("x", "batch time in"), "out in", "b t")), width=256)
    (target,) = made.data(0).targets
    spread = target.mean(1) - target.mean((1, 2), keepdim=True)[..., 0]
    assert measure.root_mean_square(spread) > 0.15

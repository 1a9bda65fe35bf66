"""Optimizers as laws: their rates, epsilons, decay and clipping against papers, and against what training measures."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from fractions import Fraction

import pytest
from scalerules.backends.training import measure, optimizer_steps, singular
from scalerules.backends.training.program import Program

import scalerules as sr
from scalerules.architecture.builder import Builder
from scalerules.architecture.graph import Graph
from scalerules.commands.main import main
from scalerules.derivation.gauges.gauge import GAUGES
from scalerules.optimizers import OPTIMIZERS
from scalerules.optimizers import optimizer as law_of

torch = pytest.importorskip("torch")

H, Q = Fraction(1, 2), Fraction(1, 4)
LAYERS = ("input", "h1", "output")
ZERO = (0, 0, 0)


@functools.cache
def derived(optimizer: str, gauge: str = "plain", **asked) -> sr.Solution:
    return sr.derive("mlp", optimizer=optimizer, gauge=gauge, **asked)


def sizes(solution: sr.Solution, quantity: str) -> tuple[Fraction, ...]:
    return tuple(getattr(solution[name], quantity).fractions["width"] for name in LAYERS)


# --- rates and epsilons -----------------------------------------------------------------------

# (input, hidden, output) of the perceptron in the plain gauge: rates, epsilons.
RULES = {
    "sgd": ((1, 0, -1), ZERO),  # Tensor Programs V, table 3; momentum as SGD
    "momentum": ((1, 0, -1), ZERO),
    "nesterov": ((1, 0, -1), ZERO),
    "adam": ((0, -1, -1), (-1, -1, 0)),  # epsilon: 1/fan_out, arXiv 2512.05620
    "adamw": ((0, -1, -1), (-1, -1, 0)),
    "rmsprop": ((0, -1, -1), (-1, -1, 0)),
    "adagrad": ((0, -1, -1), (-1, -1, 0)),
    "adam-atan2": ((0, -1, -1), ZERO),  # no epsilon
    "lion": ((0, -1, -1), ZERO),
    "sign": ((0, -1, -1), ZERO),
    "learned": ((0, -1, -1), ZERO),  # muLO, arXiv 2406.00153
    "adafactor": ((0, -H, 0), (-2, -2, 0)),  # Tensor Programs V, table 8 gauge: hidden -1/2, and no gauge changes it
    "lamb": ((0, -H, 0), (-1, -1, 0)),
    "lars": ((0, -H, 0), (-H, 0, H)),  # its epsilon stands beside a norm
    "muon": ((H, 0, -H), (-H, 0, H)),  # arXiv 2512.05620, table 1; epsilon stands beside the Frobenius norm
    "muon-spectral": (ZERO, (-H, 0, H)),
    "muon-original": ((0, 0, -H), (-H, 0, H)),
    "muon-match-rms": ((0, -H, -1), (-H, 0, H)),
    "shampoo": ((H, 0, -H), (-1, 0, 1)),  # arXiv 2312.12226, exponents 1/4 and 1/4
    "soap": ((H, 0, -H), (-H, 0, H)),
    "kfac": (ZERO, (-1, 0, 1)),  # arXiv 2312.12226
}


@pytest.mark.parametrize("optimizer", RULES)
def test_rates_and_epsilons(optimizer):
    solution = derived(optimizer)
    rates, epsilons = RULES[optimizer]
    assert sizes(solution, "init") == (0, -H, -1)
    assert sizes(solution, "lr") == rates
    assert sizes(solution, "eps") == epsilons
    assert solution.warnings == ()


def test_every_optimizer_has_a_row_a_reason_and_a_step():
    assert set(RULES) == set(OPTIMIZERS) >= set(optimizer_steps.OPTIMIZERS)
    for name, rule in OPTIMIZERS.items():
        assert optimizer_steps.optimizer(name).law.name == name
        assert rule.name == name and rule.reason.endswith(".") and rule.source


def test_the_list_shows_them_all(capsys):
    assert main(["list", "optimizers"]) == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == list(OPTIMIZERS)


@pytest.mark.parametrize("optimizer", ["kfac", "shampoo", "soap", "lamb", "adafactor"])
def test_blocks_that_repeat_have_a_derivation_that_holds(optimizer):
    """Each copy of a block has the curvature of its own gradients."""
    solution = sr.derive("transformer", optimizer=optimizer)
    solution.check()
    assert sr.Solution.from_json(solution.to_json()).parameters == solution.parameters


@pytest.mark.parametrize("optimizer", ["adafactor", "lamb", "lars"])
@pytest.mark.parametrize("gauge", GAUGES)
def test_no_gauge_changes_the_rate_of_a_rule_relative_to_the_parameter(optimizer, gauge):
    assert sizes(derived(optimizer, gauge), "lr") == (0, -H, 0)


@pytest.mark.parametrize(
    "exponents", [(0, Fraction(1, 8)), (Fraction(1, 8), Fraction(1, 8)), (Q, Q), (H, 0), (Q, H), (H, H)]
)
def test_shampoo_goes_from_the_gradient_to_its_inverse(exponents):
    """With e = e_L + e_R: the rates of SGD at e = 0, of Muon at 1/2, of K-FAC at 1; one Gram matrix is as good as both."""
    e = sum(exponents)
    solution = derived(f"shampoo({exponents[0]},{exponents[1]})")
    assert sizes(solution, "lr") == (1 - e, 0, e - 1)
    assert sizes(solution, "eps") == (-1, 0, 1)


def test_the_dampings_of_kfac():
    """arXiv 2312.12226: A ~ fan_in (hidden, output), B ~ 1/fan_out (input, hidden)."""
    solution = derived("kfac")
    found = {name: {side: int(e["width"]) for side, e in solution[name].dampings.items()} for name in LAYERS}
    assert found == {"input": {"A": 0, "B": -1}, "h1": {"A": 1, "B": -1}, "output": {"A": 1, "B": 0}}
    assert sr.Solution.from_json(solution.to_json())["h1"].dampings == solution["h1"].dampings


def test_the_floor_of_adafactor_follows_the_parameter():
    assert [str(derived("adafactor")[name].dampings["eps2"]["width"]) for name in LAYERS] == ["0", "-1/2", "-1"]
    assert [str(derived("adafactor", "ntk")[name].dampings["eps2"]["width"]) for name in LAYERS] == ["0", "0", "0"]


def zero_output(bias: bool = True) -> Graph:
    """A perceptron whose output starts at zero, and which has a bias."""
    g = Builder("zero", axes={"batch": 16, "in": 8, "n": "width", "out": 4})
    h = g.dense("input", g.input("x", "batch in"), "n in")
    h = g.dense("h1", g.tanh(h, name="a1"), "n n")
    h = g.bias("b1", h, "n") if bias else h
    return g.build(g.dense("output", g.tanh(h, name="a2"), "out n", init="zeros"))


@pytest.mark.parametrize(
    ("optimizer", "output", "bias"),
    [
        ("adam", -1, 0),
        ("adafactor", -1, 0),  # times eps2, held fixed, where the parameter is zero
        ("lamb", -1, 0),  # times 1 at the first step
        ("lars", -1, 0),  # a plain gradient at the first step; then the bias would move by its own, much larger, size
    ],
)
def test_what_starts_at_zero_has_no_size_to_be_relative_to(optimizer, output, bias):
    solution = sr.derive(zero_output(), optimizer=optimizer)
    assert solution["output"].lr["width"] == output
    assert solution["b1"].lr["width"] == bias
    assert any("'b1' starts at a saddle" in text for text in solution.warnings) == (optimizer == "lars")


# --- weight decay and clipping -----------------------------------------------------------------------

DECAY = {
    "adamw": (0, 1, 1),
    "adamw(decay=decoupled)": (0, 1, 1),  # lr * wd keeps one time scale: arXiv 2405.13698
    "adamw(decay=independent)": ZERO,
    "adam(decay=coupled)": (-1, -H, 1),  # the size of the gradient over that of the parameter
    "sgd(decay=coupled)": (-1, 0, 1),  # the same as decoupled
    "lamb(decay=coupled)": (0, H, 1),  # beside an update of size 1
    "lars(decay=coupled)": (-1, -H, 1),
    "muon(decay=independent)": ZERO,
}


@pytest.mark.parametrize("optimizer", DECAY)
def test_weight_decay(optimizer):
    assert sizes(derived(optimizer), "wd") == DECAY[optimizer]
    assert derived(optimizer).optimizer == optimizer


def test_a_clipped_gradient_is_divided_by_the_norm_of_all():
    """In the plain gauge the output's gradient makes the norm grow like sqrt(width); in table 8 its multiplier does not."""
    assert sizes(derived("sgd(clip=fixed)"), "lr") == (Fraction(3, 2), H, -H)
    assert "has size width^(1/2) (by 'output')" in " ".join(derived("sgd(clip=fixed)").assumptions)
    assert sizes(derived("sgd(clip=fixed)", "table8"), "lr") == sizes(derived("sgd", "table8"), "lr")
    assert sizes(derived("sgd(clip=scaled)"), "lr") == sizes(derived("sgd"), "lr")
    assert sizes(derived("adamw(clip=fixed)"), "lr") == (0, -1, -1)
    assert sizes(derived("adamw(clip=fixed)"), "eps") == (-Fraction(3, 2), -Fraction(3, 2), -H)
    assert sizes(derived("kfac(clip=fixed)"), "lr") == (H, H, H)


MISTAKES = {
    "shampo": "did you mean 'shampoo'",
    "adamw(decy=coupled)": "did you mean 'decay'",
    "adamw(decay=couple)": "did you mean 'coupled'",
    "adamw(1/4,1/4)": "takes no exponents",
    "shampoo(1/4)": "needs two exponents",
    "shampoo(0,0)": "needs two exponents",
    "shampoo(1/0,1)": "needs two exponents",
    "muon(decay=coupled)": "as a matrix of full rank",
    "adamw(": "cannot read the optimizer",
}


@pytest.mark.parametrize("optimizer", MISTAKES)
def test_mistakes_are_told(optimizer, capsys):
    assert main(["derive", "mlp", "--optimizer", optimizer]) == 2
    assert MISTAKES[optimizer] in capsys.readouterr().err


# --- prescribed alignment -----------------------------------------------------------------------

# Everett et al. 2024, arXiv 2407.05872, table 1: largest stable rates of embedding, hidden, readout in each
# parametrization's own gauge, for alignments (1, 1/2, 1) and (1/2, 1/2, 1/2).
OWN_GAUGE = {"standard": "plain", "ntk": "ntk", "mup": "table9", "mean-field": "ntk"}
EVERETT = {
    ("adam", "full", "standard"): (0, -1, -1),
    ("adam", "full", "ntk"): (0, -H, -H),
    ("adam", "full", "mup"): (-H, -1, -H),
    ("adam", "full", "mean-field"): (0, -H, 0),
    ("adam", "none", "standard"): (0, -H, -H),
    ("adam", "none", "ntk"): (0, 0, 0),
    ("adam", "none", "mup"): (-H, -H, 0),
    ("adam", "none", "mean-field"): (0, 0, H),
    ("sgd", "full", "standard"): (H, -H, -1),
    ("sgd", "full", "mup"): (0, 0, 0),
    ("adafactor", "full", "mup"): (0, -H, 0),
    ("adafactor", "none", "mup"): (
        0,
        0,
        0,
    ),  # the formula says 1/2 for the readout; a rule that grows itself forbids it
}


@pytest.mark.parametrize(("optimizer", "alignment", "parametrization"), EVERETT)
def test_tables_that_prescribe_an_alignment(optimizer, alignment, parametrization):
    gauge = OWN_GAUGE[parametrization]
    solution = sr.derive("mlp", optimizer, alignment=alignment, given=parametrization, gauge=gauge)
    assert sizes(solution, "lr") == EVERETT[optimizer, alignment, parametrization]
    assert solution["h1"].lr == solution["h2"].lr


def test_each_of_the_three_exponents_is_set_per_layer(tmp_path, capsys):
    """An output whose `W dx` is aligned too has to start at 1/fan_in; the others keep what they were given."""
    three = {"h1": "none", "h2": ["1/2", "1/2", 1], "output": [1, 1, 1]}
    solution = sr.derive("mlp", "adam", alignment=three)
    assert sizes(solution, "init") == (0, -H, -1)
    assert [solution[name].lr["width"] for name in ("input", "h1", "h2", "output")] == [0, -H, -1, -1]
    file = tmp_path / "alignment.yaml"
    file.write_text("h1: none\nh2: [1/2, 1/2, 1]\noutput: [1, 1, 1]\n")
    assert main(["derive", "mlp", "--alignment", str(file), "--format", "json"]) == 0
    assert sr.Solution.from_json(capsys.readouterr().out).parameters == solution.parameters
    for bad, said in (
        ("h1: [1, 1]\n", "needs three exponents"),
        ("h1: ful\n", "did you mean 'full'"),
        ("h9: full\n", "h9"),
    ):
        file.write_text(bad)
        assert main(["derive", "mlp", "--alignment", str(file)]) == 2
        assert said in capsys.readouterr().err
    assert main(["derive", "mlp", "--alignment", "none.yaml"]) == 2


# --- in numbers -----------------------------------------------------------------------


def program(graph: Graph, solution: sr.Solution, width: int, base: int = 16):
    return Program(graph, solution, {"width": width}, {"width": base}, torch.float64)


NUMBERED = [
    *[*OPTIMIZERS][::2],
    *(pytest.param(name, marks=pytest.mark.slow) for name in [*OPTIMIZERS][1::2]),
    *(name for name in DECAY if "=" in name),
]


@pytest.mark.parametrize("optimizer", NUMBERED)
def test_a_gauge_is_the_same_training_run(optimizer):
    """At four times the base width, weight decay included, the losses of four steps are the same in every gauge."""
    rates = {"lars": 0.02, "kfac": 1e-3, "sgd": 0.05, "momentum": 0.05, "nesterov": 0.05}
    graph, found = sr.graph("mlp", activation="tanh", hidden=1), {}
    trial = measure.Trial(rates.get(optimizer.partition("(")[0], 0.01), 4, weight_decay=0.1, eps=1e-14)
    for gauge in ("plain", "table8", "table9", "ntk"):
        solution = sr.derive(graph, optimizer, gauge=gauge)
        found[gauge] = measure.losses(program(graph, solution, 64), trial)
    assert found["plain"][-1] < found["plain"][0]
    for gauge, losses in found.items():
        assert losses == pytest.approx(found["plain"], rel=1e-6), gauge


def test_shampoo_is_what_its_definition_says():
    torch.manual_seed(0)
    gradients = [torch.randn(12, 3, dtype=torch.float64) @ torch.randn(3, 9, dtype=torch.float64) for _ in range(3)]
    setting = optimizer_steps.Setting(1.0, matrix=([0], [1]))
    update = optimizer_steps.optimizer("shampoo(1/4,1/8)")
    for count, gradient in enumerate(gradients, 1):
        found = update(gradient, gradient, setting)
        left = sum(g @ g.mT for g in gradients[:count])
        right = sum(g.mT @ g for g in gradients[:count])
        wanted = powered(left, -0.25) @ gradient @ powered(right, -0.125)
        torch.testing.assert_close(found, wanted)


def powered(matrix, exponent):
    values, vectors = torch.linalg.eigh(matrix)
    inverse = torch.where(values > 1e-9 * values.max(), values.clamp(min=1e-30) ** exponent, torch.zeros_like(values))
    return vectors * inverse @ vectors.mT


def test_kfac_is_what_its_definition_says():
    torch.manual_seed(0)
    behind, read = torch.randn(5, 12, dtype=torch.float64), torch.randn(5, 9, dtype=torch.float64)
    setting = optimizer_steps.Setting(1.0, matrix=([0], [1]), damping=0.0)
    found = optimizer_steps.optimizer("kfac")(behind.mT @ read, behind, setting)
    torch.testing.assert_close(
        found, torch.linalg.pinv(behind.mT @ behind) @ behind.mT @ read @ torch.linalg.pinv(read.mT @ read)
    )


def test_soap_is_muon_at_the_first_step():
    """In its own singular basis a gradient is diagonal, and Adam makes every entry of a diagonal one."""
    torch.manual_seed(0)
    gradient = torch.randn(40, 3, dtype=torch.float64) @ torch.randn(3, 30, dtype=torch.float64)
    found = optimizer_steps.optimizer("soap")(
        gradient, gradient, optimizer_steps.Setting(1.0, matrix=([0], [1]), damping=1e-7)
    )
    torch.testing.assert_close(found, singular.orthogonal(gradient, [0], [1]), atol=1e-5, rtol=1e-4)


def test_a_thin_decomposition_is_the_whole_one():
    torch.manual_seed(0)
    for rank in (4, 60, 150):  # more than is looked for at first; and all of it
        matrix = torch.randn(2, 300, rank, dtype=torch.float64) @ torch.randn(2, rank, 200, dtype=torch.float64)
        left, values, right = singular.thin(matrix)
        torch.testing.assert_close(left * values[..., None, :] @ right, matrix)
        torch.testing.assert_close(values[..., :rank], torch.linalg.svdvals(matrix)[..., :rank])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_of_nothing_are_nothing_and_diverged_ones_are_told(optimizer):
    setting = optimizer_steps.Setting(0.1, matrix=([0], [1]))
    weight = torch.ones(6, 4, dtype=torch.float64)
    zero = torch.zeros_like(weight)
    found = optimizer_steps.optimizer(optimizer)(zero, weight, setting)
    assert float(found.abs().max()) == 0
    graph = sr.graph("mlp", hidden=0)
    losses = measure.losses(program(graph, sr.derive(graph, optimizer), 16), measure.Trial(1e30, 3))
    assert not all(math.isfinite(loss) and loss < 10 * losses[0] for loss in losses)


def test_adafactor_is_torchs():
    torch.manual_seed(0)
    mine = torch.randn(6, 4)
    theirs = mine.clone().requires_grad_()
    other, setting = (
        torch.optim.Adafactor([theirs], lr=0.01, weight_decay=0.0),
        optimizer_steps.Setting(0.01, matrix=([0], [1])),
    )
    for _ in range(4):
        gradient = torch.randn(6, 4)
        theirs.grad = gradient.clone()
        other.step()
        mine = measure.step({"w": mine}, {"w": gradient}, {"w": setting}, optimizer_steps.optimizer("adafactor"))["w"]
    torch.testing.assert_close(mine, theirs.detach(), rtol=1e-4, atol=1e-6)


def test_what_epsilons_are_added_to_has_their_size():
    """Largest eigenvalues of Shampoo's, SOAP's and K-FAC's factors and LARS's norm, measured over widths 64 to 1024."""
    graph, widths = sr.graph("mlp"), (64, 128, 256, 512, 1024)
    solution = derived("sgd")
    logs: dict[tuple[str, str], list[float]] = {}
    for width in widths:
        at = program(graph, solution, width, 64)
        parameters, data = at.initial(1), at.data(1)
        leaves = {name: value.requires_grad_() for name, value in parameters.items()}
        run = at.forward(leaves, data)
        reads = {"input": "x", "h1": "a1", "output": "a3"}
        nodes = [run.values[name] for name in LAYERS]
        found = torch.autograd.grad(at.loss(run, data), [*(leaves[name] for name in LAYERS), *nodes])
        for name, gradient, behind in zip(LAYERS, found[:3], found[3:], strict=True):
            top = float(torch.linalg.matrix_norm(gradient, 2))
            logs.setdefault(("shampoo", name), []).append(math.log(top**2))
            logs.setdefault(("soap", name), []).append(math.log(top))
            logs.setdefault(("lars", name), []).append(math.log(float(gradient.norm())))
            read = run.values[reads[name]].detach()
            logs.setdefault(("A", name), []).append(math.log(float(torch.linalg.matrix_norm(read, 2)) ** 2))
            logs.setdefault(("B", name), []).append(math.log(float(torch.linalg.matrix_norm(behind, 2)) ** 2))
    for (kind, name), values in logs.items():
        rule = derived("kfac" if kind in "AB" else kind)[name]
        predicted = rule.dampings[kind] if kind in "AB" else rule.eps
        x = [math.log(width) - math.log(256) for width in widths]
        slope = sum(a * b for a, b in zip(x, values, strict=True)) / sum(a * a for a in x)
        assert slope == pytest.approx(float(predicted["width"]), abs=0.25), (kind, name)


# --- training agrees -----------------------------------------------------------------------

AGREEING = ["sgd", "adamw", "muon", "lion", "shampoo", "adafactor", "lamb", "lars", "kfac"]
AGREEING += [
    pytest.param(name, marks=pytest.mark.slow) for name in ("soap", "shampoo(1/8,1/8)", "nesterov", "adam-atan2")
]


@pytest.mark.parametrize("optimizer", AGREEING)
def test_a_perceptron_trains_as_derived(optimizer):
    solution = derived(optimizer)
    sized, seeds = ([64, 128, 256, 512], 4) if optimizer == "kfac" else ([64, 128, 256], 2)
    report = sr.verify(sr.graph("mlp"), solution, sizes=sized, seeds=seeds, progress=False, jobs=1)
    assert report.verdict, [(r.quantity, r.node, r.step, r.slope, r.why) for r in report.wrong]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["muon", "lion", "shampoo", "adafactor", "lamb", "soap"])
def test_a_transformer_trains_as_derived(optimizer):
    graph = sr.graph("transformer")
    solution = sr.derive(graph, optimizer)
    report = sr.verify(graph, solution, sizes=[64, 128, 256], seeds=2, progress=False, jobs=1)
    assert report.verdict, [(r.quantity, r.node, r.step, r.slope, r.why) for r in report.wrong]


@pytest.mark.parametrize("optimizer", ["adafactor", "lamb", "lars"])
def test_what_starts_at_zero_trains_as_derived(optimizer):
    graph = zero_output()
    report = sr.verify(graph, sr.derive(graph, optimizer), sizes=[64, 128, 256, 512], seeds=3, progress=False, jobs=1)
    assert not report.wrong and not report.open, [(r.quantity, r.node, r.step, r.slope, r.why) for r in report.wrong]


@pytest.mark.parametrize(
    ("optimizer", "other", "parameter"),
    [("shampoo", "sgd", "input"), ("adafactor", "adam", "h1"), ("kfac", "muon", "input"), ("adam", "adafactor", "h1")],
)
def test_the_rate_of_another_rule_is_found_out(optimizer, other, parameter):
    wrong = derived(optimizer).changed(parameter, lr={"width": str(derived(other)[parameter].lr["width"])})
    report = sr.verify(sr.graph("mlp"), wrong, sizes=[64, 128, 256, 512], seeds=2, progress=False, jobs=1)
    assert report.verdict is False


def test_clipped_training_agrees():
    """One wide layer and widths from 512 on, where the output's gradient has become the largest part of the norm."""
    graph = sr.graph("mlp", hidden=0)
    solution = sr.derive(graph, "sgd(clip=fixed)")
    sized = [512, 1024, 2048, 4096]
    report = sr.verify(graph, solution, sizes=sized, seeds=3, progress=False, jobs=1)
    assert report.verdict, [(r.quantity, r.node, r.step, r.slope, r.why) for r in report.wrong]
    as_if_not = replace(sr.derive(graph, "sgd"), optimizer=solution.optimizer)
    assert sr.verify(graph, as_if_not, sizes=sized, seeds=3, progress=False, jobs=1).verdict is False


def test_options_are_part_of_the_name():
    assert law_of(" adamw( decay = independent ) ").name == "adamw(decay=independent)"
    assert law_of("shampoo(1/4,1/4)").exponents == (Q, Q)

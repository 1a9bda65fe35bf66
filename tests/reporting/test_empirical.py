"""The empirical layer: every fit's law against its published form, what is refused, and that it stays outside of the engine."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import scalerules as sr
from scalerules.commands.main import main
from scalerules.reporting.literature.fits import Fit, fits

ROOT = Path(__file__).parents[2]
BASE = {"tokens": 25e9, "batch": 0.5e6, "parameters": 120e6, "compute": 5e17, "noise": 1e6}
LARGE = {"tokens": 100e9, "batch": 2e6, "parameters": 120e6, "compute": 1e19, "noise": 1e6}
BY_NAME = {fit.name: fit for fit in fits()}


def factor(name: str) -> float:
    (value,) = sr.empirical(name).factors(base=BASE, sizes=LARGE).values()
    return value


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("lr-tokens", 4**-0.32),
        ("lr-batch-sqrt", 2),
        ("eps-batch-sde", 1 / 2),
        ("lr-batch-linear", 4),
        ("lr-batch-noise", (1 + 1e6 / 0.5e6) / (1 + 1e6 / 2e6)),
        ("lr-batch-noise-adam", math.sqrt((1 + 1e6 / 0.5e6) / (1 + 1e6 / 2e6))),
        ("lr-batch-tokens-scion", 4**0.62 * 4**-0.56),
        ("wd-epochs", 1),
        ("wd-tokens-per-parameter", 4 * 4**-0.473),
        ("batch-tokens-best", 4**0.383),
        ("batch-tokens-critical", 4**0.47),
        ("batch-tokens-scion", 4**0.45),
        ("lr-step-law", 4**0.307),
        ("batch-step-law", 4**0.571),
        ("lr-compute", 20**-0.125),
        ("batch-compute", 20**0.3271),
    ],
)
def test_factor(name, wanted):
    assert factor(name) == pytest.approx(wanted, rel=1e-12)


def test_nothing_changes_where_the_run_does_not():
    for fit in fits():
        assert sr.empirical(fit.name).factors(base=BASE, sizes=BASE) == {fit.of: 1}


def test_factors_of_two_steps_multiply():
    middle = {name: math.sqrt(BASE[name] * LARGE[name]) for name in BASE}
    for fit in fits():
        assert fit.factor(BASE, middle) * fit.factor(middle, LARGE) == pytest.approx(fit.factor(BASE, LARGE))


def test_the_second_moment_averages_over_the_same_number_of_tokens():
    half_life = {}
    for batch in (512, 0.5e6, 2e6):
        beta2 = sr.empirical("beta2-batch").scaled(base=BASE, sizes=BASE | {"batch": batch}, beta2=0.95)["beta2"]
        half_life[batch] = batch * math.log(0.5) / math.log(beta2)
    assert len({round(tokens) for tokens in half_life.values()}) == 1


def test_the_square_root_rule_as_published():
    layer = sr.empirical("lr-batch-sqrt", "beta1-batch-sde", "beta2-batch-sde", "eps-batch-sde")
    scaled = layer.scaled(base=BASE, sizes=LARGE, lr=1e-3, betas=(0.9, 0.99), eps=1e-8)
    assert scaled["lr"] == pytest.approx(2e-3) and scaled["eps"] == pytest.approx(0.5e-8)
    assert scaled["betas"] == pytest.approx((0.6, 0.96)), "1 - beta is multiplied by the ratio of the batches"
    with pytest.raises(sr.ScaleRulesError, match=r"beta1 would become -0.6 .*more than this rule can follow"):
        layer.scaled(base=BASE, sizes=BASE | {"batch": 8e6}, betas=(0.9, 0.999))


def test_decay_follows_the_learning_rate_that_another_fit_gives():
    """Wang and Aitchison: lr * wd * tokens / batch stays."""
    scaled = sr.empirical("wd-epochs", "lr-tokens").scaled(base=BASE, sizes=LARGE, lr=1e-3, weight_decay=0.1)
    kept = [lr * wd * run["tokens"] / run["batch"] for lr, wd, run in
            ((1e-3, 0.1, BASE), (scaled["lr"], scaled["weight_decay"], LARGE))]  # fmt: skip
    assert scaled["lr"] == pytest.approx(1e-3 * 4**-0.32) and kept[0] == pytest.approx(kept[1])


def test_the_best_time_scale_falls_like_tokens_per_parameter():
    fit = BY_NAME["wd-tokens-per-parameter"]
    longer = BASE | {"tokens": 10 * BASE["tokens"]}
    time_scale = 1 / (fit.factor(BASE, longer) * 10)  # batch / (lr wd tokens)
    assert time_scale == pytest.approx(10**-0.527, rel=1e-3)


def test_settings_themselves():
    assert BY_NAME["lr-step-law"].value(parameters=1e9, tokens=100e9) == pytest.approx(1.79 * 1e9**-0.713 * 1e11**0.307)
    assert BY_NAME["batch-compute"].value(compute=1e20) == pytest.approx(1.0e6, rel=0.05), "about a million tokens"
    with pytest.raises(sr.ScaleRulesError, match="says only how the setting changes"):
        BY_NAME["lr-tokens"].value(tokens=1e9)


def test_composes_with_a_derived_rule():
    """The factor of the fit multiplies every rate; the ratios between parameters stay what was derived."""
    from torch import nn

    solution = sr.derive("mlp", optimizer="adamw")
    sizes = {"input": (16, 128), "h1": (128, 128), "h2": (128, 128), "output": (128, 8)}
    settings: dict[str, Any] = {"lr": 3e-3, "weight_decay": 0.1}
    scaled = sr.empirical("lr-tokens", "wd-epochs").scaled(base=BASE, sizes=LARGE, **settings)
    plain, longer = (
        sr.apply(
            nn.ModuleDict({name: nn.Linear(*size, bias=False) for name, size in sizes.items()}), solution,
            base={"width": 64}, sizes={"width": 128}, names={f"{name}.weight": name for name in sizes}, **chosen,
        )
        for chosen in (settings, scaled)
    )  # fmt: skip
    for before, after in zip(plain, longer, strict=True):
        assert after["lr"] / before["lr"] == pytest.approx(4**-0.32)
        assert after["weight_decay"] / before["weight_decay"] == pytest.approx(4**0.32)


# what is told and refused


def test_outside_of_the_range_is_told():
    with pytest.warns(
        UserWarning, match="lr-tokens: tokens 1e\\+12 is outside of the fit's range, 2.5e\\+10 to 1e\\+11"
    ):
        sr.empirical("lr-tokens").scaled(base=BASE, sizes=BASE | {"tokens": 1e12}, lr=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sr.empirical("lr-tokens").scaled(base=BASE, sizes=LARGE, lr=1e-3)


def test_a_fit_that_holds_the_model_size_is_told():
    with pytest.warns(UserWarning, match="holds the model size"):
        sr.empirical("lr-step-law").scaled(base=BASE, sizes=LARGE, lr=1e-3)


@pytest.mark.filterwarnings("ignore:.*outside of the fit's range")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sr.empirical("lr-token"), r"unknown fit 'lr-token' \(did you mean 'lr-tokens'\?\)"),
        (lambda: sr.empirical(), "needs the name of a fit"),
        (lambda: sr.empirical("lr-tokens", "lr-batch-sqrt"), "lr-tokens and lr-batch-sqrt are both fits of lr"),
        (
            lambda: sr.empirical("lr-tokens").scaled(base={}, sizes=LARGE, lr=1),
            r"needs 'tokens' of the run .*base and sizes",
        ),
        (lambda: sr.empirical("lr-batch-noise").factors(base={"batch": 1}, sizes={"batch": 2}), "needs 'noise'"),
        (lambda: sr.empirical("lr-tokens").scaled(base=BASE, sizes=BASE | {"tokens": 0}, lr=1), "positive number"),
        (lambda: sr.empirical("lr-tokens").scaled(base=BASE, sizes=BASE, rate=1), "unknown setting 'rate'"),
        (lambda: sr.empirical("beta2-batch").scaled(base=BASE, sizes=BASE, beta2=1), "has to lie between 0 and 1"),
    ],
)
def test_refused(call, message):
    with pytest.raises(sr.ScaleRulesError, match=message):
        call()


# data, and apart from the engine


@pytest.mark.parametrize("fit", fits(), ids=lambda fit: fit.name)
def test_every_fit_is_labelled(fit: Fit):
    assert re.search(r"(arXiv \d{4}\.\d{5})", fit.source), "a source that can be looked up"
    assert fit.setup and fit.says.endswith(".")
    assert all(low < high for low, high in fit.valid.values())
    assert set(fit.valid) <= {"tokens", "batch", "parameters", "compute"}


def test_the_engine_does_not_know_of_it():
    code = "import scalerules, sys; scalerules.derive('mlp'); print([m for m in sys.modules if 'empirical' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_list(capsys):
    assert main(["list", "fits"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(fits())
    assert any(line.startswith("lr-tokens ") and "lr ~ tokens^-0.32 (fitted; adam, adamw;" in line for line in lines)

"""Sweeps of a training loop of one's own: what it is called with, what is kept, other numbers than the rate, mistakes."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import scalerules as sr
from scalerules.commands.main import main
from scalerules.errors import ScaleRulesError
from scalerules.measurement.sweeps.store import Store

RATES = [2.0 ** (k / 2) for k in range(-16, -5)]
CALLS: list[dict[str, Any]] = []


def parabola(lr: float, seed: int, rule: Any, width: int) -> float:
    """A loss whose best rate follows the rate that the rule gives the hidden matrix, times the width."""
    CALLS.append({"lr": lr, "seed": seed, "width": width})
    rate = lr * rule.solution["h1"].lr.change({"width": width / rule.base["width"]}) * width
    return 1 + (math.log2(rate) - 1) ** 2 / 10 + 0.001 * seed


def mlp() -> Any:
    return sr.derive("mlp", optimizer="adamw")


def sweep(train: Any, solution: Any = None, **options: Any) -> Any:
    given = {"sizes": [32, 64, 128], "lrs": RATES, "seeds": 2, "progress": False}
    return sr.transfer(train, solution or mlp(), **{**given, **options})


def test_the_optimum_of_a_loop_of_ones_own_is_found() -> None:
    report = sweep(parabola)
    assert report.verdict and report.rules == ["derived", "standard"]
    assert report.drifts["derived"].steps == pytest.approx(0, abs=1e-6)
    assert report.drifts["standard"].steps == pytest.approx(-2, abs=1e-6)
    assert report.row("derived", 64).optimum.lr == pytest.approx(2 / 32, rel=1e-6)
    assert "mlp, adamw: width 32, 64, 128; by parabola(), 2 seeds" in report.to_table().title
    assert isinstance(CALLS[-1]["width"], int)


def test_what_was_run_is_kept_and_shared(tmp_path: Path) -> None:
    CALLS.clear()
    sweep(parabola, store=tmp_path / "runs.sqlite")
    count = len(CALLS)
    assert count == 5 * len(RATES) * 2  # at the base both rules are the same
    assert sweep(parabola, store=tmp_path / "runs.sqlite", seeds=3).runs_made == len(CALLS) - count == count / 2
    shifted = functools.partial(shift, by=1.0)
    assert sweep(shifted, store=tmp_path / "runs.sqlite", seeds=1).runs_made > 0
    assert sweep(functools.partial(shift, by=1.0), store=tmp_path / "runs.sqlite", seeds=1).runs_made == 0
    assert sweep(functools.partial(shift, by=2.0), store=tmp_path / "runs.sqlite", seeds=1).runs_made > 0


def shift(lr: float, seed: int, groups_or_rule: Any, by: float = 0.0, **sizes: Any) -> torch.Tensor:
    return torch.tensor(1 + (math.log2(lr) + 5 + by) ** 2)


def test_rates_are_searched_for_where_none_are_given() -> None:
    report = sweep(shift, lrs=None, seeds=1, compare=())
    assert report.row("derived", 64).optimum.log2_lr == pytest.approx(-5, abs=0.01)


def decayed(weight_decay: float, seed: int, rule: Any, width: int) -> float:
    return 1 + (math.log2(weight_decay) + 4 + math.log2(width / 32)) ** 2


def test_another_number_than_the_rate() -> None:
    report = sweep(decayed, over="weight_decay", compare=())
    assert report.drifts["derived"].steps == pytest.approx(-2, abs=1e-6) and not report.verdict
    assert "best weight_decay" in report.to_markdown() and json.loads(report.to_json())["over"] == "weight_decay"


def test_a_run_that_is_not_finite_diverged() -> None:
    def train(lr: float, seed: int, rule: Any, width: int) -> float:
        return math.nan if lr > 0.05 else shift(lr, seed, rule).item()

    report = sweep(train, seeds=1, compare=())
    assert report.row("derived", 32).diverged == sum(rate > 0.05 for rate in RATES)


@pytest.mark.parametrize("engine", ["processes", "threads"])
def test_other_workers(engine: str, tmp_path: Path) -> None:
    import joblib

    if engine == "threads":
        with joblib.parallel_config(backend="threading", n_jobs=2):
            report = sweep(shift, compare=(), seeds=1)
    else:
        report = sweep(shift, compare=(), seeds=1, jobs=2)
    assert report.row("derived", 64).optimum.log2_lr == pytest.approx(-5, abs=0.01)


def make_model(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))


def regression(lr: float, seed: int, rule: Any, width: int) -> float:
    model = make_model(width)
    groups = rule.apply(model, lr=lr, reference=make_model(int(rule.base["width"])), optimizer=torch.optim.AdamW)
    optimizer = groups.optimizer(torch.optim.AdamW)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(8):
        x = torch.randn(32, 8, generator=draw)
        loss = (model(x) - x.prod(1, keepdim=True).tanh()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss)  # type: ignore[possibly-undefined]


def test_a_real_loop_sets_its_model_up_by_the_rule() -> None:
    graph = sr.trace(make_model, scales={"width": (32, 48, 64)}, inputs=lambda width: torch.zeros(4, 8), progress=False)
    report = sweep(regression, sr.derive(graph, optimizer="adamw"), sizes=[16, 64], seeds=1, lrs=[1e-3, 1e-2, 1e-1])
    assert all(math.isfinite(loss) for row in report.rows for _, loss in row.points)
    standard, derived = report.row("standard", 64).points, report.row("derived", 64).points
    assert report.row("standard", 16).points == report.row("derived", 16).points and standard != derived


def fails(lr: float, seed: int, rule: Any, width: int) -> float:
    raise ValueError("no data")


def no_seed(lr: float, rule: Any, width: int) -> float:
    return 0.0


def no_rule(lr: float, seed: int, width: int) -> float:
    return 0.0


def two_rules(lr: float, seed: int, rule: Any, data: Any, width: int) -> float:
    return 0.0


def no_size(lr: float, seed: int, rule: Any) -> float:
    return 0.0


def words(lr: float, seed: int, rule: Any, width: int) -> str:
    return "low"


@pytest.mark.parametrize(
    ("train", "options", "text"),
    [
        (fails, {}, r"test_own_training\.py:\d+: fails\(lr=0.0039.*, seed=0, width=32\): ValueError: no data"),
        (words, {}, r"words\(.*could not convert string to float"),
        (no_seed, {}, r"no_seed\(\): takes no 'seed' \(def train\(lr, seed, rule, width\)"),
        (no_rule, {}, r"no_rule\(\): has no argument for the rule"),
        (two_rules, {}, r"two_rules\(\): needs rule and data, and one of them takes the rule"),
        (no_size, {}, r"no_size\(\): takes no size: width"),
        (parabola, {"over": "init"}, r"parabola\(\): takes no 'init'"),
        (parabola, {"data": "text"}, r"data= is the training loop's own"),
        (parabola, {"weight_decay": 0.1}, r"weight_decay= is the training loop's own"),
        ("mlp", {"over": "eps"}, r"a graph is trained over the rate, not over 'eps'"),
    ],
)
def test_mistakes_are_told(train: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ScaleRulesError, match=text):
        sweep(train, **options)


def test_a_loop_needs_its_solution() -> None:
    with pytest.raises(ScaleRulesError, match="a training loop needs the solution that it trains by"):
        sr.transfer(parabola, sizes=[32, 64])


LOOP = """
import math
import scalerules as sr

def build():
    return sr.graph("mlp")

def train(lr, seed, rule, width):
    rate = lr * rule.solution["h1"].lr.change({"width": width / rule.base["width"]}) * width
    return 1 + (math.log2(rate) - 1) ** 2 / 10
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_command_line(
    jobs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mytrain.py").write_text(LOOP)
    words = ["transfer", "mytrain.py:train", "--optimizer", "adamw", "--sizes", "32,64", "--seeds", "1", "--quiet",
             "--lrs", "0.015625,0.03125,0.0625,0.125", "--jobs", jobs, "--format", "json"]  # fmt: skip
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data"] == "by train()" and found["rules"][0]["drift"] == pytest.approx(0, abs=1e-6)
    assert Store(tmp_path / "mlp.transfer.sqlite") is not None
    Path("bare.py").write_text(LOOP.replace("def build", "def other"))
    assert main(["transfer", "bare.py:train"]) == 2
    assert "says nothing of what its rules are derived from (add build()" in capsys.readouterr().err


OVER = """
import math
import scalerules as sr

def build():
    return sr.graph("mlp")

def train(weight_decay, seed, rule, width):
    return 1 + (math.log2(weight_decay) + 4) ** 2
"""


def test_the_command_line_sweeps_another_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OVER)
    rates = "0.015625,0.03125,0.0625,0.125"
    common = ["--optimizer", "adamw", "--sizes", "32,64", "--seeds", "1", "--quiet", "--lrs", rates]
    sweep_of = ["transfer", "mine.py:train", *common]
    words = [*sweep_of, "--over", "weight_decay"]
    assert main([*words, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["over"] == "weight_decay" and report["rules"][0]["rows"][0]["lr"] == pytest.approx(2**-4)
    assert main(words) == 0 and "best weight_decay" in capsys.readouterr().out
    assert main([*sweep_of, "--over", "eps"]) == 2
    assert "train(): takes no 'eps' (def train(eps, seed, rule, width)" in capsys.readouterr().err
    assert main(sweep_of) == 2
    assert "train(): takes no 'lr'" in capsys.readouterr().err
    assert main(["transfer", "mlp", "--over", "eps"]) == 2
    assert "a graph is trained over the rate, not over 'eps'" in capsys.readouterr().err

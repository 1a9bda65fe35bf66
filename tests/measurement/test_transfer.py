"""Learning-rate transfer: the fit, the search, what is kept on disk, and sweeps of small networks on real data."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from scalerules.backends.training import real_data
from scalerules.backends.training import sweep_run as transfer_run

import scalerules as sr
from scalerules.architecture.graph import Graph
from scalerules.commands.main import main
from scalerules.errors import GraphError, ScaleRulesError, UnknownName
from scalerules.measurement.sweeps import workers as transfer_work
from scalerules.measurement.sweeps.compared import parametrization, rules
from scalerules.measurement.sweeps.optimum import STEP, fit, mean_losses, vertex
from scalerules.measurement.sweeps.plan import Plan, grid
from scalerules.measurement.sweeps.report import TransferReport
from scalerules.measurement.sweeps.store import Job, Outcome, Store

SMALL: dict[str, Any] = dict(sizes=[16, 64], seeds=2, steps=8, lrs=[2.0**k for k in range(-9, 0, 2)], progress=False)


def mlp() -> Graph:
    return sr.graph("mlp")


# --- the fit -----------------------------------------------------------------------------------------


def points(
    best: float, noise: float = 0.0, draw: random.Random | None = None, curve: float = 0.1
) -> dict[float, float]:
    """Losses of a parabola in log2 of the rate on the grid around its minimum."""
    first = round(best / STEP) * STEP - 3 * STEP
    xs = [first + STEP * k for k in range(7)]
    return {x: 2 + curve * (x - best) ** 2 + (draw.gauss(0, noise) if draw else 0.0) for x in xs}


@pytest.mark.parametrize("best", [-6.2, -5.0, 0.24])
def test_the_minimum_of_a_parabola_is_found_between_grid_points(best: float) -> None:
    at, error, loss, located = vertex(points(best))
    assert located and at == pytest.approx(best, abs=1e-9) and loss == pytest.approx(2, abs=1e-9)
    assert error < 1e-6


def test_a_diverged_rate_bounds_the_optimum_and_is_not_fitted() -> None:
    found = points(-5.0)
    edge = {x: (math.inf if x > -5 else y) for x, y in found.items()}
    at, error, _, located = vertex(edge)
    assert located and abs(at + 5.0) < STEP
    assert error == 0.0 or error <= STEP


def test_a_minimum_at_the_end_of_the_grid_is_not_located() -> None:
    assert not vertex({-3.0: 3.0, -2.5: 2.0, -2.0: 1.0})[3]
    assert not vertex({-3.0: math.inf, -2.5: math.inf})[3]
    assert not vertex({})[3]


def test_the_stated_errors_are_those_of_repeated_sweeps() -> None:
    """Optimum and drift of simulated sweeps (five seeds), each off from the truth by about its own standard error."""
    draw, off, drifts, covered = random.Random(1), [], [], 0
    for _ in range(40):
        sizes = {}
        for index, size in enumerate((32, 64, 128, 256)):
            each = [points(-5.1 - 0.1 * index, 0.01, draw) for _ in range(5)]
            grid_of = set.intersection(*(set(p) for p in each))
            sizes[size] = {2.0**x: {seed: each[seed][x] for seed in range(5)} for x in grid_of}
        optima, drift = fit(sizes, range(5))
        assert drift is not None
        off += [(optima[size].log2_lr + 5.1 + 0.1 * i) / optima[size].error for i, size in enumerate(sizes)]
        drifts.append((drift.steps + 0.2) / drift.error)
        covered += abs(drift.steps + 0.2) < 2 * drift.error
    assert 0.5 < statistics.pstdev(off) < 1.6
    assert 0.5 < statistics.pstdev(drifts) < 1.6
    assert abs(statistics.fmean(drifts)) < 3 * statistics.pstdev(drifts) / math.sqrt(40)
    assert covered >= 32


# --- the search --------------------------------------------------------------------------------------


@pytest.mark.parametrize("best", [-11.3, -6.0, 1.9])
@pytest.mark.parametrize("edge", [0.7, 50.0])
def test_the_search_brackets_an_optimum_wherever_it_lies(best: float, edge: float) -> None:
    """A parabola that diverges `edge` doublings above its minimum; no run is asked for twice."""
    plan, losses, asked = Plan(None, (0, 1)), {}, 0
    while wanted := plan.missing(losses):
        assert len(set(wanted)) == len(wanted)
        for lr, seed in wanted:
            assert seed not in losses.get(lr, {})
            x = math.log2(lr)
            loss = math.inf if x > best + edge else 2 + 0.05 * (x - best) ** 2 + 0.001 * seed
            losses.setdefault(lr, {})[seed] = loss
            asked += 1
    at, error, _, located = vertex(mean_losses(losses, [0, 1]))
    assert located and abs(at - best) <= max(3 * error, 1e-6) + (0.51 * STEP if edge < 1 else 0)
    assert asked < 40


def test_the_search_gives_up_where_everything_diverges_and_where_nothing_does() -> None:
    for value in (lambda x: math.inf, lambda x: -x, lambda x: x):
        plan, losses = Plan(None, (0,)), {}
        for _ in range(60):
            wanted = plan.missing(losses)
            if not wanted:
                break
            for lr, seed in wanted:
                losses.setdefault(lr, {})[seed] = value(math.log2(lr))
        assert plan.missing(losses) == []


def test_given_rates_are_all_run() -> None:
    plan = Plan(grid([0.1, 0.01, 0.1, 0.001]), (0, 1))
    assert plan.missing({}) == [(lr, seed) for seed in (0, 1) for lr in (0.001, 0.01, 0.1)]
    with pytest.raises(ScaleRulesError, match="no optimum can be located on the rates"):
        grid([0.1, 0.1, 0.2])


# --- the rules ---------------------------------------------------------------------------------------


def test_the_standard_parametrization_has_one_rate_and_fan_in_inits() -> None:
    graph = sr.graph("transformer")
    standard = parametrization("standard", graph, sr.derive(graph, "adam"))
    assert {str(rule.lr) for rule in standard.parameters.values()} == {"1"}
    assert (
        standard["W_U"].init["width"]
        == standard["mlp.W_up"].init["width"]
        == sr.derive(graph)["mlp.W_up"].init["width"]
    )
    assert standard["W_E"].init["width"] == 0
    assert str(standard.multipliers["attention.scores"]) == "width^(-1/2)"


def test_rules_are_named_and_have_to_fit() -> None:
    graph = sr.graph("mamba")
    joint, isolated = (sr.derive(graph, "adam", mode=mode) for mode in ("joint", "isolated"))
    assert list(rules(graph, joint, [isolated, "standard"])) == ["derived", "isolated", "standard"]
    assert list(rules(graph, isolated, {"mine": joint})) == ["isolated", "mine"]
    with pytest.raises(ScaleRulesError, match="two rules are called 'standard'"):
        rules(graph, joint, ["standard", "standard"])
    with pytest.raises(UnknownName, match="parametrization to compare with 'standart' .did you mean 'standard'"):
        rules(graph, joint, ["standart"])
    with pytest.raises(ScaleRulesError, match="rule 'other': is for sgd, the first for adam"):
        rules(graph, joint, {"other": sr.derive(graph, "sgd")})
    with pytest.raises(UnknownName, match="rule 'joint': unknown parameter"):
        rules(mlp(), sr.derive("mlp", "adam"), [joint])


# --- what is kept ------------------------------------------------------------------------------------


def job(width: float = 16, **changed) -> Job:
    graph = mlp()
    given: dict[str, Any] = (
        dict(solution=sr.derive(graph, "adam"), lr=0.01, seed=0, steps=4, data=real_data.Digits()) | changed
    )
    return Job(graph, sizes={"width": width}, base={"width": 16}, **given)


def test_a_key_depends_on_all_that_the_result_does() -> None:
    changes = [dict(lr=0.02), dict(seed=1), dict(steps=5), dict(data=real_data.Text()), dict(schedule="constant"),
               dict(weight_decay=0.1), dict(solution=sr.derive("mlp", "sgd"))]  # fmt: skip
    keys = {job().key, job(32).key, *(job(**change).key for change in changes)}
    assert len(keys) == 2 + len(changes)
    standard = parametrization("standard", mlp(), sr.derive("mlp", "adam"))
    assert job(16, solution=standard).key == job(16).key  # at the base all rules are one
    assert job(32, solution=standard).key != job(32).key


def test_outcomes_come_back_from_the_file_as_they_were(tmp_path: Path) -> None:
    kept = [Outcome(1.25, False, (3.0, 2.0), 0.5), Outcome(math.inf, True, (3.0, math.inf), 0.1)]
    store = Store(tmp_path / "runs.sqlite")
    for seed, outcome in enumerate(kept):
        store.add(job(seed=seed), outcome)
    again = Store(tmp_path / "runs.sqlite")
    assert [again.get(job(seed=seed).key) for seed in range(3)] == [*kept, None]
    store.add(job(), Outcome(9.0, False, (), 0.0))  # what another process finished first stays
    assert again.get(job().key) == kept[0]


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, and long enough to be read as one " * 100)
    with pytest.raises(ScaleRulesError, match="cannot keep runs in .*name a new file"):
        Store(tmp_path / "notes.txt")


# --- data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "convnet", "vit", "transformer", "mamba"])
def test_every_kind_of_graph_trains_on_real_data(name: str) -> None:
    """A few steps bring the loss on held-out data down; the same run again gives the same numbers."""
    graph = sr.graph(name)
    source = real_data.source("auto", graph)
    graph = source.fitted(graph, {})
    sizes = {**graph.base_sizes(), "width": 32}
    task = Job(graph, sr.derive(graph, "adam"), sizes, sizes, 2.0**-7, 0, 25, source)
    outcome = transfer_run.run(task)
    assert not outcome.diverged and outcome.loss < 0.95 * outcome.history[0]
    assert outcome.loss == transfer_run.run(task).loss
    assert source.name == ("text" if name in ("transformer", "mamba") else "digits")


def test_the_text_is_real_and_its_targets_are_the_next_characters() -> None:
    text = real_data.coded(32)
    assert len(text) > 400_000 and int(text.max()) == 31
    graph = real_data.Text().fitted(sr.graph("transformer"), {"time": 20})
    batch = real_data.Text().batch(graph, 0, 0)
    tokens, following = batch.inputs["tokens"].argmax(-1), batch.targets[0].argmax(-1)
    assert tokens.shape == (16, 20) and torch.equal(tokens[:, 1:], following[:, :-1])
    other = real_data.Text().batch(graph, 0, 1)
    assert not torch.equal(batch.targets[0], other.targets[0])


def test_patches_hold_the_pixels_of_their_place() -> None:
    graph = real_data.Digits().fitted(sr.graph("vit"), {"patches": 4, "pixels": 16})
    patches = real_data.Digits().batch(graph, 0, 0).inputs["image"]
    whole = real_data.Digits().fitted(sr.graph("convnet"), {})
    image = real_data.Digits().batch(whole, 0, 0).inputs["image"][..., 0]
    assert torch.equal(patches[0, 1].reshape(4, 4), image[0, :4, 4:])


def test_graphs_that_no_data_fits_are_told() -> None:
    with pytest.raises(GraphError, match="text needs tokens"):
        real_data.source("text", mlp()).fitted(mlp(), {})
    with pytest.raises(UnknownName, match="unknown data 'txt'"):
        real_data.source("txt", mlp())
    with pytest.raises(GraphError, match="axis 'n': grows with a scale"):
        real_data.Digits().fitted(mlp(), {"n": 7})


class Noise:
    """A user's own data: a linear map with noise; the name tells it apart in the store."""

    name = "noise"

    def fitted(self, graph: Graph, axes) -> Graph:
        return graph

    def batch(self, graph: Graph, seed: int, step: int) -> real_data.Data:
        draw = torch.Generator().manual_seed(1000 * seed + step)
        x = torch.randn(16, 16, generator=draw)
        return real_data.Data({"x": x}, [x[:, :8]])

    def held_out(self, graph: Graph):
        yield self.batch(graph, 99, 0)


# --- sweeps ------------------------------------------------------------------------------------------


def plain(report: TransferReport) -> dict:
    """The report without what depends on the clock."""
    data = report.to_dict()
    for key in ("seconds", "cpu_seconds", "runs_made"):
        data.pop(key)
    return data


def test_the_derived_rate_transfers_and_the_standard_one_does_not(tmp_path: Path) -> None:
    """A perceptron on digits, width 16 to 256: the standard rate falls by about two grid steps per doubling."""
    report = sr.transfer("mlp", sizes=[16, 64, 256], seeds=2, steps=40, store=tmp_path / "runs.sqlite", progress=False)
    drift = report.drifts
    assert abs(drift["derived"].steps) < 0.5 + 2 * drift["derived"].error
    assert drift["standard"].steps < -1 and abs(drift["derived"].steps) < abs(drift["standard"].steps) / 2
    assert all(row.optimum.located and row.optimum.error < 2 for row in report.rows)
    assert report.row("derived", 16).points == report.row("standard", 16).points
    report.plot(str(tmp_path / "figure.svg"))
    assert "<svg" in (tmp_path / "figure.svg").read_text()
    report.plot(str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    data = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    assert data["rules"] == json.loads(report.to_json())["rules"] and data["axis"] == "learning rate at the base size"
    again = sr.transfer("mlp", sizes=[16, 64, 256], seeds=2, steps=40, store=tmp_path / "runs.sqlite", progress=False)
    assert again.runs_made == 0 and plain(again) == plain(report)


def test_diverged_runs_are_data() -> None:
    report = sr.transfer("mlp", sr.derive("mlp", "sgd"), progress=False, sizes=[16, 32], seeds=1, steps=12,
                         lrs=[2.0**k for k in range(-8, 9, 2)], data=Noise())  # fmt: skip
    rows = [row for row in report.rows if row.rule == "derived"]
    assert all(0 < row.diverged < row.runs for row in rows)
    for row in rows:
        assert math.isinf(row.points[-1][1]) and math.isfinite(row.optimum.loss)
    assert json.loads(report.to_json())["rules"][0]["rows"][0]["points"][-1][1] is None


def test_muon_may_diverge_too() -> None:
    """A rate at which the loss leaves the numbers: a result, for a rule that would not take such a gradient as well."""
    graph = real_data.Digits().fitted(mlp(), {})
    base = {"width": 16.0}
    task = Job(graph, sr.derive(graph, "muon"), base, base, 1e18, 0, 12, real_data.Digits())
    outcome = transfer_run.run(task)
    assert outcome.diverged and outcome.loss == math.inf and len(outcome.history) < 12


def test_an_interrupted_sweep_reports_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0
    honest = transfer_work.run

    def run(job: Job):
        nonlocal made
        made += 1
        if made > 16:
            raise KeyboardInterrupt
        return honest(job)

    monkeypatch.setattr(transfer_work, "run", run)
    report = sr.transfer(mlp(), compare=[], **SMALL)
    assert report.interrupted and report.runs_made == 16 and report.seeds_used == 1
    assert [row.runs for row in report.rows] == [10, 6]
    assert "interrupted" in report.to_markdown() and json.loads(report.to_json())["interrupted"]


SWEEP = """
import sys, torch, scalerules as sr
torch.set_num_threads(1)
report = sr.transfer("mlp", sizes=[16, 64], seeds=2, steps=60, lrs=[2.0**k for k in range(-9, 0)],
                     store=sys.argv[1], progress=False)
print(report.to_json())
"""


def finished(path: Path) -> int:
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(path, timeout=30) as file:
            return file.execute("SELECT count(*) FROM runs").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def killed_sweeps(path: Path, kills: int, draw: random.Random) -> tuple[dict, list[int]]:
    """Starts the sweep and kills it with SIGKILL at random moments, `kills` times, then lets it end."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    counts = []
    while True:
        process = subprocess.Popen(
            [sys.executable, "-c", SWEEP, str(path)], stdout=subprocess.PIPE, text=True, env=environment
        )
        if len(counts) == kills:
            shown, _ = process.communicate(timeout=300)
            assert process.returncode == 0
            return json.loads(shown), counts
        before, limit = finished(path), time.monotonic() + 60
        while finished(path) == before and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)
        time.sleep(draw.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        counts.append(finished(path))


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost_and_nothing_made_twice(tmp_path: Path) -> None:
    path, kills = tmp_path / "runs.sqlite", 3
    report, counts = killed_sweeps(path, kills, random.Random(0))
    assert counts == sorted(counts) and counts[0] > 0
    whole = sr.transfer("mlp", sizes=[16, 64], seeds=2, steps=60, lrs=[2.0**k for k in range(-9, 0)], progress=False)
    for key in ("seconds", "cpu_seconds", "runs_made"):
        report.pop(key)
    assert report == json.loads(json.dumps(plain(whole)))
    with sqlite3.connect(path) as file:
        again = "SELECT count(*) FROM starts JOIN runs ON starts.key = runs.key WHERE started > finished"
        assert file.execute(again).fetchone()[0] == 0
        started, done = (file.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("starts", "runs"))
        assert done == 54 and started - done <= kills  # the base is shared; one run at most is cut off by a kill


@pytest.mark.slow
def test_processes_and_a_dask_cluster_give_the_same_numbers() -> None:
    """loky, and a cluster of two workers on the loopback that the user gives: bit for bit what one process gives."""
    import joblib
    from dask.distributed import Client, LocalCluster

    one = plain(sr.transfer(mlp(), compare=[], **SMALL))
    assert plain(sr.transfer(mlp(), compare=[], jobs=2, **SMALL)) == one
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0")
    with cluster, Client(cluster) as client, joblib.parallel_config(backend="dask"):
        report = sr.transfer(mlp(), compare=[], **SMALL)
        seen: Any = client.run(trained_here)
    assert plain(report) == one and list(seen.values()) == [True, True]


def trained_here() -> bool:
    """Whether this process has made runs."""
    return "scalerules.backends.training.sweep_run" in sys.modules


# --- the command line --------------------------------------------------------------------------------

ARGUMENTS = ["transfer", "mlp", "--sizes", "16,64", "--seeds", "1", "--steps", "6", "--quiet"]


def test_command_line(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rates = ["--lrs", "0.0005,0.004,0.03,0.2", "--format", "json", "--plot", "figure.png"]
    status = main([*ARGUMENTS, *rates])
    shown = capsys.readouterr()
    report = json.loads(shown.out)
    assert status == (0 if report["verdict"] else 1) and shown.err == ""
    assert [found["rule"] for found in report["rules"]] == ["derived", "standard"]
    assert report["steps"] == 6 and report["data"] == "digits"
    assert (tmp_path / "figure.png").stat().st_size > 1000 and (tmp_path / "mlp.transfer.sqlite").exists()
    main([*ARGUMENTS, *rates[:2], "--store", "mlp.transfer.sqlite"])
    assert "grid steps of sqrt(2) per doubling" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--lrs", "0.1,0.2"], "no optimum can be located"),
        (["--sizes", "16"], "--sizes [16.0]: at least 2 different numbers are needed"),
        (["--data", "text"], "text needs tokens"),
        (["--data", "book"], "unknown data 'book'"),
        (["--axis", "n=3"], "axis 'n': grows with a scale"),
        (["--axis", "batch"], "--axis 'batch' is not NAME=LENGTH"),
        (["--axis", "bach=3"], "unknown axis 'bach' (did you mean 'batch'?)"),
        (["--compare", "ntc"], "did you mean 'ntk'?"),
        (["--seeds", "0"], "--seeds 0 is not a whole number"),
        (["--store", "no/such/folder.sqlite"], "there is no folder"),
    ],
)
def test_mistakes_on_the_command_line(wrong: list[str], message: str, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["transfer", "mlp", "--quiet", *wrong]) == 2
    shown = capsys.readouterr()
    assert message in shown.err and "Traceback" not in shown.err and shown.out == ""

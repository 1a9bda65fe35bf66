"""Laws of one's own by file: derived exponents, what trains them, emitted code, and messages for mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import scalerules as sr
from scalerules.commands.main import main

EXAMPLES = Path(__file__).parents[2] / "examples" / "optimizers"
LAYERS = ("input", "h1", "output")
WORDS = "from scalerules.optimizers import *\n"


def derived(file: Path, **asked: Any) -> sr.Solution:
    return sr.derive("mlp", optimizer=str(file), **asked)


def sizes(solution: sr.Solution, quantity: str = "lr") -> list[str]:
    rules = [solution[name] for name in LAYERS]
    return [str((r.dampings[quantity] if quantity in r.dampings else getattr(r, quantity))["width"]) for r in rules]


RATES = {
    "foof": "1 1 0",  # arXiv 2312.12226: the factor over fan-in alone
    "adamuon": "0 -1/2 -1",
    "scion": "0 0 0",  # arXiv 2502.07529: one rate for all widths
    "dion": "0 0 0",  # arXiv 2504.05295
    "sam": "1 0 -1",  # muP^2, arXiv 2411.00075
}


@pytest.mark.parametrize("name", RATES)
def test_examples(name: str) -> None:
    solution = derived(EXAMPLES / f"{name}.py")
    assert sizes(solution) == RATES[name].split()
    compile(sr.emit(solution), name, "exec")


@pytest.mark.parametrize("name", RATES)
def test_examples_train_as_derived(name: str) -> None:
    pytest.importorskip("torch")
    report = sr.verify(sr.graph("mlp"), derived(EXAMPLES / f"{name}.py"), sizes=[64, 128, 256, 512], seeds=2,
                       progress=False, jobs=1)  # fmt: skip
    assert report.verdict, [(r.quantity, r.node, r.step, r.slope, r.why) for r in report.wrong]


LAWS = {
    "def law(g):\n    return g / norm(g)": "1/2 0 -1/2",
    "def law(g, w):\n    return sign(g) * rms(w)": "0 -1/2 0",
    "def law(g, w):\n    u = g / (abs(g) + eps)\n    return trust(w, u) * u": "0 -1/2 0",
    "def law(g):\n    return power(left(g) + eps, -1/2) @ g": "1/2 0 -1/2",
    "def law(g):\n    return g / global_norm(g)": "3/2 1/2 -1/2",
}


@pytest.mark.parametrize("law", LAWS)
def test_laws(law: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(WORDS + law)
    assert sizes(derived(file)) == LAWS[law].split()


def test_radii_of_perturbations(tmp_path: Path) -> None:
    """muP^2, arXiv 2411.00075: rho n^(3/2, 1/2, -1/2) over the norm of all gradients."""
    file = tmp_path / "sam.py"
    file.write_text(WORDS + "def law(g):\n    return g\ndef perturbation(g):\n    return g / global_norm(g)")
    assert sizes(derived(file), "rho") == ["3/2", "1/2", "-1/2"]
    assert sizes(derived(EXAMPLES / "sam.py"), "rho") == ["1/2", "0", "-1/2"]


MISTAKES = {
    "def lwa(g):\n    return g": "did you mean 'lwa'?",
    "def law(g):\n    return 3": "returns an int, not an update",
    "def law(g):\n    return 1 / 0": "mine.py:3: ZeroDivisionError",
    "def law(g, w):\n    return g + 0.1 * w": "weight decay is no part of a law",
    "def law(g):\n    return g / (abs(g) + 1e-8)": "add eps",
    "def law(g, w, p):\n    return g * p.fanin": "did you mean 'fan_in'?",
    "def law(g):\n    return g * g": "without the gradient's signs",
}


@pytest.mark.parametrize("law", MISTAKES)
def test_mistakes_are_told_in_one_line(law: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(WORDS.replace("\n", "\n\n")[:-1] + law)
    assert main(["derive", "mlp", "--optimizer", str(file)]) == 2
    said = capsys.readouterr().err.strip()
    assert MISTAKES[law] in said and "\n" not in said


def test_without_a_step_nothing_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "mine.py"
    file.write_text("def law(g):\n    return g\n")
    assert main(["verify", "mlp", "--optimizer", str(file), "--sizes", "32,64"]) == 2
    assert "holds no step" in capsys.readouterr().err


def test_decay_has_two_conventions() -> None:
    """Robust Layerwise Scaling Rules, arXiv 2510.15262: hidden matrices width^(1/2)."""
    solution = sr.derive("mlp", optimizer="adamw", decay="update")
    assert sizes(solution, "wd") == ["0", "1/2", "1"] and "as large as the update" in solution.assumptions[-1]


def test_tied_rates() -> None:
    assert sizes(sr.derive("mlp", optimizer="sgd", tied="all")) == ["-1", "-1", "-1"]
    assert sizes(sr.derive("mlp", optimizer="sgd", gauge="one-rate"), "mult") == ["1/2", "0", "-1/2"]

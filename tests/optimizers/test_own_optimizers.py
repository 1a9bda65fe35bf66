"""Laws of one's own by file: derived exponents, what trains them, emitted code, and messages for mistakes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import scalerules as sr
from scalerules.commands.main import main
from scalerules.optimizers import optimizer
from scalerules.optimizers.own import _loaded, from_file, register, torch_class

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
    "law = 3": "has no function 'law'",
    "def law(g):\n    return g\nperturbation = 3": "'perturbation' is no function",
    "def law(g):\n    return g\ndef perturbation(g):\n    return 3": "returns an int, not an update",
    "def law(g):\n    if p.matrix:\n        return g": "NameError",
    "def law(g, w, p):\n    if p.matrix:\n        return g": "returns nothing, not an update",
    "import math\ndef law(g):\n    return math.sqrt(g) * g": "a law is read without",
    "from scalerules.optimizers import orthogonl\ndef law(g):\n    return g": "did you mean 'orthogonal'?",
    "def law(g):\n    return g * len([g][g])": "use the words of scalerules.optimizers",
    "def law(g)\n    return g": "mine.py:2:11: SyntaxError",
    "def a(g):\n    return 1 / 0\ndef b(g):\n    return a(g)\ndef law(g):\n    return b(g)": "mine.py:3: ZeroDivisionError",
    "def law(g, w, p):\n    return 1 / 0 if p.name == 'h1' else g": "mine.py:3: ZeroDivisionError",
    "def law(g):\n    return g\ndef perturbation(g, w, p):\n    return 1 / 0 if p.name == 'h1' else g": "mine.py:5: ZeroDivisionError",
    "def law(g):\n    return g * (1 + eps)": "mine.py:3: TypeError",
    "import json\ndef law(g):\n    return g * json.loads('')": "mine.py:4: JSONDecodeError",
}


@pytest.mark.parametrize("law", MISTAKES)
def test_mistakes_are_told_in_one_line(law: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(WORDS.replace("\n", "\n\n")[:-1] + law)
    assert main(["derive", "mlp", "--optimizer", str(file)]) == 2
    lines = [
        line
        for line in capsys.readouterr().err.splitlines()
        if not re.fullmatch(r"scalerules: derive mlp, \d+ s", line)
    ]
    assert len(lines) == 1 and MISTAKES[law] in lines[0]


@pytest.mark.parametrize(
    ("text", "reason", "source"),
    [
        ("def law(g):\n    return g", "The law in {file}.", "{file}"),
        ("SOURCE = 'A paper'\ndef law(g):\n    \"\"\"The gradient\n    as it is.\n\n    More.\n    \"\"\"\n    return g", "The gradient as it is.", "A paper"),
        ("def law(g):\n    'No stop'\n    return g", "No stop.", "{file}"),
    ],
)  # fmt: skip
def test_what_a_file_says_of_its_law(text: str, reason: str, source: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    law = optimizer(str(file))
    assert (law.reason, law.source) == (reason.format(file=law.file), source.format(file=law.file))


def test_a_law_is_registered_by_a_name_of_its_own() -> None:
    """Again under the same name it is another law; those that come along stay as they are."""

    def plain(g: Any) -> Any:
        """The gradient."""
        return g

    first = register("my-law", plain, step=plain)
    assert optimizer("my-law") is first and torch_class(first) is None
    assert register("my-law", plain) is optimizer("my-law") is not first
    for name, said in (
        ("sgd", "is one of the optimizers that come along"),
        ("my law", "cannot name an optimizer"),
        ("", "cannot name"),
    ):
        with pytest.raises(sr.ScaleRulesError, match=said):
            register(name, plain)


def test_a_registered_law_is_told_where_it_stands() -> None:
    """One that was typed in stands nowhere, and goes by its name."""
    torch = pytest.importorskip("torch")
    typed: dict[str, Any] = {}
    exec("def law(g):\n    return g", typed)

    def wrong(g: Any) -> Any:
        return g * (1 / 0)

    assert register("my-typed", typed["law"]).file == "my-typed"
    written = register("my-written", lambda g: g, step=torch.optim.SGD)
    assert written.file == __file__ and torch_class(written) is torch.optim.SGD
    with pytest.raises(sr.ScaleRulesError, match=rf"{re.escape(__file__)}:\d+: ZeroDivisionError"):
        register("my-wrong", wrong)


def test_a_law_is_one_of_numbers_too(tmp_path: Path) -> None:
    """In training it is called with tensors, of which no size is asked."""
    file = tmp_path / "mine.py"
    file.write_text("def law(g, w):\n    return g + w\ndef perturbation(g):\n    return 2 * g\n")
    with pytest.raises(sr.ScaleRulesError, match="weight decay is no part of a law"):
        optimizer(str(file))
    file.write_text("def law(g, w):\n    return 3 * g\ndef perturbation(g):\n    return 2 * g\n")
    _loaded.cache_clear()
    law = optimizer(str(file))
    assert law.formula(1.5, 2.0, None) == 4.5 and law.perturbation is not None
    assert law.perturbation(1.5, 2.0, None) == 3.0


@pytest.mark.parametrize("law", [None, 3, len, "g"])
def test_what_is_no_function_is_not_registered(law: Any) -> None:
    with pytest.raises(sr.ScaleRulesError, match="my-law: has no function 'law'"):
        register("my-law", law)


def test_a_file_that_is_no_module_is_told(tmp_path: Path) -> None:
    file = tmp_path / "law.txt"
    file.write_text("def law(g):\n    return g\n")
    with pytest.raises(sr.ScaleRulesError, match=r"law\.txt: cannot be imported"):
        from_file(str(file))


def test_mistakes_of_a_module_that_a_file_imports_are_told_where_it_is_imported(tmp_path: Path) -> None:
    """The line of what cannot be parsed is one of the other file."""
    (tmp_path / "broken_beside.py").write_text("\n\n\ndef half(g)\n")
    file = tmp_path / "mine.py"
    file.write_text(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport broken_beside\n")
    with pytest.raises(sr.ScaleRulesError, match=r"mine\.py:3: SyntaxError"):
        from_file(str(file))


def test_what_is_meant_by_a_file_without_a_law(tmp_path: Path) -> None:
    """Of the file's own functions the one that is called alike, else the only one."""
    file = tmp_path / "mine.py"
    for text, said in (
        ("def lwa(g): pass\ndef other(g): pass", "did you mean 'lwa'?"), ("def other(g): pass", "did you mean 'other'?"),
        ("def other(g): pass\ndef more(g): pass", "it should hold law"), ("", "it should hold law"),
        ("from json import dumps", "it should hold law"), ("from os.path import lexists as laws", "it should hold law"),
        ("def other(g): pass\nclass More: pass", "did you mean 'other'?"),
    ):  # fmt: skip
        file.write_text(text)
        _loaded.cache_clear()
        with pytest.raises(sr.ScaleRulesError, match=re.escape(said)):
            from_file(str(file))


def test_only_what_a_law_does_with_sizes_is_advised_on(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def law(g):\n    return len(3)")
    with pytest.raises(sr.ScaleRulesError) as caught:
        optimizer(str(file))
    assert "TypeError" in str(caught.value) and "use the words" not in str(caught.value)


PROPERTIES = {
    # of a law that reads something for some parameters only: together, relative, sides, eps
    "if p.matrix: return g / global_norm(g)": (True, False, False, False),
    "if p.first: return g * rms(w)": (False, True, False, False),
    "if p.last and p.matrix: return inverse(inputs(g)) @ g": (False, False, True, False),
    "if p.matrix: return inverse(outputs(g) + damping('B')) @ g": (False, False, True, False),
    "if p.matrix: return g / (norm(g) + eps)": (False, False, False, True),
    "if p.matrix: return power(left(g) + damping('L'), -1/4) @ g": (False, False, False, False),
    "if p.matrix: return g * 0 + g": (False, False, False, False),
}


@pytest.mark.parametrize("text", PROPERTIES)
def test_what_a_law_reads_of_some_parameters(text: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"{WORDS}def law(g, w, p):\n    {text}\n    return g\n")
    law = optimizer(str(file))
    assert (law.together, law.relative, law.sides, law.eps) == PROPERTIES[text]


STEP = "import torch\ndef law(g):\n    return g\n"
FOUND = {
    "": None,
    "class Mine(torch.optim.Optimizer): pass\n": "Mine",
    "class Mine(torch.optim.SGD): pass\nclass Other: pass\n": "Mine",
    "class Mine(torch.optim.SGD): pass\nclass More(Mine): pass\n": "More",
    "class Optimizer: pass\nclass Mine(Optimizer): pass\n": None,
    "from torch.optim import Adam\n": None,
    "class Mine(torch.optim.SGD): pass\nclass More(Mine): pass\nstep = Mine\n": "Mine",
    "class Mine(torch.optim.SGD): pass\nstep = 3\n": None,
}


@pytest.mark.parametrize("text", FOUND)
def test_the_class_that_comes_with_a_law(text: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "mine.py"
    file.write_text(STEP + text)
    found = torch_class(optimizer(str(file)))
    assert (found and found.__name__) == FOUND[text]
    assert torch_class(optimizer("sgd")) is None


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

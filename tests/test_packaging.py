"""What is installed: quick to import, typed, complete, and (in CI) the wheel rather than the checkout."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import scalerules as sr

ROOT = Path(__file__).parent.parent


def modules_after(code: str) -> set[str]:
    """Names of the modules that are imported once `code` has run in a new process."""
    code = (
        f"import contextlib, io, sys\nwith contextlib.redirect_stdout(io.StringIO()):\n    {code}\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


HEAVY = {"torch", "numba", "numpy", "matplotlib", "joblib"}


def test_the_package_is_quick_to_import():
    # Names rather than seconds: a noisy machine must not decide.
    assert not modules_after("import scalerules") & {*HEAVY, "z3", "sympy", "networkx", "pydantic", "rich", "cyclopts"}


def test_graphs_do_not_need_the_solver():
    assert not modules_after("import scalerules; scalerules.graph('mlp').to_yaml()") & {*HEAVY, "z3", "sympy", "rich"}


@pytest.mark.parametrize(
    "arguments", [["list"], ["--help"], ["list", "ops"], ["derive", "mlp"], ["explain", "mlp", "h1"]]
)
def test_commands_that_measure_nothing_do_not_import_torch(arguments):
    loaded = modules_after(f"from scalerules.commands.main import main; main({arguments!r})")
    assert not loaded & {*HEAVY, *(["sympy"] if arguments[0] == "derive" else [])}


def test_public_names_are_listed_once_and_come_from_their_modules():
    from scalerules import _HOMES

    assert sr.__all__ == sorted(set(sr.__all__)) == sorted(_HOMES)
    assert set(sr.__all__) <= set(dir(sr))
    for name, home in _HOMES.items():
        assert getattr(sr, name) is getattr(importlib.import_module(f"scalerules.{home}"), name)


def test_a_module_of_the_same_name_does_not_hide_a_function():
    import scalerules.architecture.graph  # noqa: F401  (setting scalerules.graph is what this is about)
    import scalerules.measurement.verification.verify  # noqa: F401

    assert sr.graph("mlp").name == "mlp"
    assert callable(sr.verify)
    from scalerules.architecture.graph import Graph

    assert sr.Graph is Graph


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError):
        _ = sr.no_such_name  # type: ignore[attr-defined]


def test_the_installation_is_complete():
    place = Path(sr.__file__).parent
    assert (place / "py.typed").is_file()
    for name in ("scalerules.graphs.mlp", "scalerules.backends", "scalerules.ops.contract", "scalerules.catalogue"):
        assert importlib.util.find_spec(name) is not None
    scripts = importlib.metadata.entry_points(group="console_scripts", name="scalerules")
    assert {script.value for script in scripts} == {"scalerules.__main__:main"}


@pytest.mark.skipif("SCALERULES_FROM_WHEEL" not in os.environ, reason="only where CI tests the wheel")
def test_the_wheel_is_what_is_tested():
    for module in ("scalerules", "scalerules.graphs.mlp", "scalerules.backends", "scalerules.ops"):
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None
        assert ROOT not in Path(spec.origin).parents
    files = {str(file) for file in importlib.metadata.files("scalerules") or []}
    assert {"scalerules/graphs/mlp.py", "scalerules/backends/__init__.py", "scalerules/py.typed"} <= files
    beside = [file for kind in ("css", "js", "yaml") for file in (ROOT / "scalerules").rglob(f"*.{kind}")]
    assert {str(file.relative_to(ROOT)) for file in beside} <= files and len(beside) > 8
    assert {file.partition("/")[0].partition("-")[0] for file in files if not file.startswith("..")} == {"scalerules"}


def test_every_folder_of_the_engine_is_packed():
    import tomllib

    packages = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    engine = {file.parent.relative_to(ROOT) for file in (ROOT / "scalerules").rglob("__init__.py")}
    beside = {"scalerules" / file.parent.relative_to(ROOT) for file in (ROOT / "backends").rglob("__init__.py")}
    assert {".".join(folder.parts) for folder in engine | beside | {Path("scalerules/graphs")}} == packages


def test_the_engine_imports_neither_torch_nor_numba_when_it_is_imported():
    """Only what reads a torch module imports torch where it stands; it is imported when a module is traced."""
    import ast

    for file in set((ROOT / "scalerules").rglob("*.py")) - set((ROOT / "scalerules" / "tracing").rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & HEAVY, f"{file} imports {names}"


def test_importing_the_package_and_its_commands_loads_nothing_heavy():
    code = "import sys, scalerules, scalerules.commands.main, scalerules.tracing.traced; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {name for name in loaded if name.partition(".")[0] in HEAVY}

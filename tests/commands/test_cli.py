"""The command line: its table, its exit statuses, what goes where, and files that are whole or not there."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import scalerules as sr
from scalerules import derivation
from scalerules.commands.common import COMMANDS
from scalerules.commands.main import main
from scalerules.commands.output import write
from scalerules.errors import ScaleRulesError


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "scalerules", *arguments], capture_output=True, text=True, **options)


def test_no_argument_and_help_show_the_commands(capsys):
    assert main([]) == 0
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert f" {name} " in shown


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_examples(name, capsys):
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: scalerules {name}")
    assert f"  scalerules {name}" in shown.partition("For example:")[2]


def test_every_command_of_the_interface_is_offered():
    wanted = "check classify derive emit explain fuzz list published report trace transfer verify"
    assert set(COMMANDS) >= set(wanted.split())


def test_version(capsys):
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("scalerules")


@pytest.mark.parametrize("kind", ["graphs", "optimizers", "ops", "backends", "gauges"])
def test_lists(kind, capsys):
    assert main(["list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = {"graphs": "mlp", "optimizers": "adam", "ops": "einsum", "backends": "pytorch", "gauges": "plain"}[kind]
    assert any(line.split()[0] == first and len(line.split()) > 3 for line in lines)


# (arguments, the message behind "scalerules: ")
MISTAKES = [
    (["lst"], 'Unknown command "lst". Did you mean "list"?'),
    (["list", "grphs"], 'Invalid value "grphs" for KIND.'),
    (["list", "--al"], "Unknown option"),
]
DERIVE_MISTAKES = [
    (["derive"], 'Command "derive" parameter GRAPH requires an argument. (see scalerules derive --help)'),
    (["derive", "mlpp"], "unknown graph 'mlpp' (did you mean 'mlp'?; or a path to .py, .yaml or .json, or module:factory)"),
    (["derive", "mlp", "--optimizer", "adma"], "unknown optimizer 'adma' (did you mean 'adam'?)"),
    (["derive", "mlp", "--optimzer", "adam"], "Unknown option"),
    (["derive", "mlp", "--scale", "widht"], "graph 'mlp': unknown scale 'widht' (did you mean 'width'?)"),
    (["derive", "mlp", "--scale", "width=x"], "--scale 'width=x': 'x' is not a number (a growth is a number or a fraction, such as state=1/4)"),
    (["derive", "mlp", "--scale", "width=1/0"], "--scale 'width=1/0': '1/0' is not a number"),
    (["derive", "mlp", "--scale", "width=1e999999"], "--scale 'width=1e999999': '1e999999' is not a number"),
    (["derive", "mlp", "--mode", "joined"], 'Invalid value "joined" for --mode.'),
    (["derive", "mlp", "--set", "hidden"], "--set 'hidden' is not NAME=VALUE (such as --set discretisation=euler)"),
    (["derive", "mlp", "--set", "hiden=3"], "graph 'mlp': unknown option 'hiden' (did you mean 'hidden'?)"),
    (["derive", "mlp", "--given", "mupp"], "unknown parametrization 'mupp' (one of: standard, ntk, mean-field, mup; or a file that is there)"),
    (["derive", "mlp", "-o", "no/such/folder/x"], "there is no folder"),
    (["derive", "mlp", "-o", "."], "'.' is a folder (name a file in it)"),
    (["explain", "mlp", "h11"], "graph 'mlp': unknown parameter, node or row 'h11' (did you mean 'h1'?)"),
    (["emit", "mlp", "--to", "pytroch"], "unknown backend 'pytroch' (did you mean 'pytorch'?)"),
    (["verify", "mlp", "--sizes", "64,big"], "--sizes '64,big' is not a list of numbers (such as 64,128,256)"),
    (["classify", "mlp"], "classify needs --given (a FILE, or standard, ntk, mean-field, mup)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    MISTAKES + DERIVE_MISTAKES,
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_with_status_2_and_a_message(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"scalerules: {message}")
    assert "Traceback" not in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_mistake_in_a_process_of_its_own():
    done = run("list", "grphs")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'Did you mean "graphs"?' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_cannot_be_read(tmp_path, capsys):
    (tmp_path / "folder.yaml").mkdir()
    assert main(["derive", str(tmp_path / "folder.yaml")]) == 2
    assert "folder.yaml: is a folder (name a file in it)" in capsys.readouterr().err


def test_a_reader_that_stops_early_is_no_error():
    done = subprocess.run(
        f'"{sys.executable}" -m scalerules list ops | true', shell=True, capture_output=True, text=True
    )
    assert re.sub(r"scalerules: list ops, \d+ s\n", "", done.stderr) == ""  # a busy machine shows how far it is


# --- files ---


def test_a_file_is_written_whole_with_usual_permissions(tmp_path):
    file = tmp_path / "result.txt"
    write("one\n", str(file))
    mask = os.umask(0)
    os.umask(mask)
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("one\n", 0o666 & ~mask)
    file.chmod(0o600)
    write("two\n", str(file))
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("two\n", 0o600)
    assert [name.name for name in tmp_path.iterdir()] == ["result.txt"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write("new", str(tmp_path / "link.txt"))
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_what_fails_half_way_leaves_the_old_file(tmp_path, monkeypatch, capsys):
    file = tmp_path / "result.txt"
    file.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", str(file))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ScaleRulesError, match=r"No space left on device \(the result was printed instead\)"):
        write("new", str(file))
    assert capsys.readouterr().out == "new"
    assert file.read_text() == "old"
    assert [name.name for name in tmp_path.iterdir()] == ["result.txt"]
    with pytest.raises(ScaleRulesError, match="there is no folder"):
        write("new", str(tmp_path / "no" / "x"))


def test_standard_output_and_devices(capsys, tmp_path):
    write("a\n", None)
    write("b\n", "-")
    write("c\n", "/dev/null")
    assert capsys.readouterr().out == "a\nb\n"


# --- commands that derive ---


@pytest.mark.parametrize(
    "arguments",
    [
        ["mlp"],
        ["mamba", "--mode", "isolated", "--scale", "width", "--scale", "state=1/4"],
        ["mamba", "--set", "discretisation=euler"],
    ],
)
def test_derive_shows_every_parameter(arguments, capsys):
    assert main(["derive", *arguments]) == 0
    shown = capsys.readouterr().out
    for name in sr.graph(arguments[0]).parameters:
        assert f"\n{name} " in shown


def test_formats(tmp_path, capsys):
    solution = sr.derive(sr.graph("mlp"), optimizer="sgd")
    wanted = {"json": solution.to_json(), "md": solution.to_markdown(), "latex": solution.to_latex()}
    for name, text in wanted.items():
        file = tmp_path / f"rules.{name}"
        assert main(["derive", "mlp", "--optimizer", "sgd", "--format", name, "-o", str(file)]) == 0
        assert file.read_text().rstrip() == text.rstrip()
        assert main(["derive", "mlp", "--optimizer", "sgd", "--format", name]) == 0
        assert capsys.readouterr().out == file.read_text()
    assert json.loads((tmp_path / "rules.json").read_text())["optimizer"] == "sgd"
    assert (
        sr.Solution.from_json((tmp_path / "rules.json").read_text())["h1"].init["width"] == solution["h1"].init["width"]
    )


def test_a_scale_that_is_not_named_is_held_fixed(capsys):
    assert main(["derive", "mamba", "--scale", "state", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["scales"] == ["state"]


def test_explain_gives_the_steps_of_each_parameter(capsys):
    assert main(["explain", "mlp", "h1", "output"]) == 0
    shown = capsys.readouterr().out
    solution = sr.derive(sr.graph("mlp"), optimizer="adam")
    assert str(solution.explain("h1")).strip() in shown
    assert str(solution.explain("output")).strip() in shown


def test_emit_writes_code_that_compiles(tmp_path):
    file = tmp_path / "rules.py"
    assert main(["emit", "mlp", "--to", "pytorch", "-o", str(file)]) == 0
    compile(file.read_text(), str(file), "exec")
    assert file.read_text() == sr.emit(sr.derive(sr.graph("mlp"), optimizer="adam"), "pytorch")


def test_classify_ends_with_status_1_only_where_it_is_unstable(capsys, tmp_path):
    given = tmp_path / "given.yaml"
    given.write_text('output: {init: "-1/2"}\n')
    assert main(["classify", "mlp", "--given", str(given)]) == 1
    assert "unstable: change of output, step 1, +1/2" in capsys.readouterr().out
    assert main(["classify", "mlp", "--given", "mup"]) == 0


@pytest.mark.slow
def test_verify_writes_what_the_interface_says(tmp_path):
    pytest.importorskip("torch")
    file = tmp_path / "report.json"
    status = main(["verify", "mlp", "--sizes", "64,128,256,512", "--seeds", "2", "--format", "json", "-o", str(file)])
    report = json.loads(file.read_text())
    assert status == (0 if report["verdict"] else 1)
    assert {"graph", "optimizer", "sizes", "seeds", "rows", "verdict"} <= set(report)
    assert {"quantity", "node", "step", "predicted", "slope", "stderr", "agrees"} <= set(report["rows"][0])
    assert report["verdict"], [row for row in report["rows"] if not row["agrees"]]


def test_a_clash_ends_with_status_1(monkeypatch, capsys):
    class Clash(ScaleRulesError):
        exit_status = 1

    def clash(*_: object, **__: object) -> None:
        raise Clash("there is no solution")

    monkeypatch.setattr(derivation, "derive", clash)
    assert main(["derive", "mlp"]) == 1
    assert capsys.readouterr().err == "scalerules: there is no solution\n"


def test_check_says_where_it_looks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 2
    assert f"{tmp_path}: there is no folder derivations/ here" in capsys.readouterr().err


@pytest.mark.slow
def test_check_finds_what_was_edited(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "--write"]) == 0
    assert main(["check"]) == 0
    page = Path("derivations/mlp/adam.md")
    lines = page.read_text().splitlines(keepends=True)
    page.write_text("".join([lines[0].rstrip() + " edited\n", *lines[1:]]))
    Path("derivations/mlp/sgd.md").unlink()
    Path("derivations/mine.md").write_text("x")
    capsys.readouterr()
    assert main(["check"]) == 1
    said = capsys.readouterr().out
    assert "derivations/mlp/adam.md: differs in line 1" in said
    assert "derivations/mlp/sgd.md: missing" in said
    assert "derivations/mine.md: the engine does not make it" in said
    assert main(["check", "--write"]) == 0
    assert main(["check"]) == 0
    assert not Path("derivations/mine.md").exists()

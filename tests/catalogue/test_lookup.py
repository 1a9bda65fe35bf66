"""Graphs by name, path and factory; what is wrong with a user's file is told with file, line, column and name."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import scalerules as sr
import scalerules.catalogue.graphs
from scalerules.catalogue import folders
from scalerules.catalogue.backends import backend
from scalerules.catalogue.folders import folder
from scalerules.catalogue.graphs import catalogue, graph
from scalerules.commands.main import main

GOOD = """\
name: two
scales: {width: '1'}
axes:
  batch: 4
  in: 3
  n: width
parameters:
  input: {axes: [n, in]}
  output: {axes: [in, n]}
nodes:
  x: {op: input, axes: [batch, in]}
  h: {op: einsum, inputs: [x], parameters: [input], equation: 'b i, o i -> b o'}
  a: {op: relu, inputs: [h]}
  y: {op: einsum, inputs: [a], parameters: [output], equation: 'b i, o i -> b o'}
outputs: [y]
"""

# (what is replaced, by what, the message behind the file's name)
MISTAKES = {
    "op": ("relu", "rleu", ":13:11: node 'a': unknown op 'rleu' (did you mean 'relu'?)"),
    "axis": ("[in, n]}", "[inn, n]}", ":9:19: parameter 'output': unknown axis 'inn' (did you mean 'in'?)"),
    "scale": ("n: width", "n: widht", ":6:6: axis 'n': unknown scale 'widht' (did you mean 'width'?)"),
    "length": (
        "n: width",
        "n: 2 width",
        ":6:6: axis 'n': cannot read the length '2 width' (a length is a sum of products of scales and constants, "
        "such as '64*width' or 'width/4')",
    ),
    "shape": (
        "input: {axes: [n, in]}",
        "input: {axes: [n, n, in]}",
        ":12:45: node 'h': 'o i' names 2 axes, 'input' has 3: n n in",
    ),
    "cycle": (
        "inputs: [h]}",
        "inputs: [y]}",
        ":13:6: node 'a': the nodes form a cycle: a -> y -> a (a loop over time is a scan, a loop over depth is a repeat)",
    ),
    "unknown node": ("[a]", "[aa]", ":14:28: node 'y': reads the unknown node 'aa' (did you mean 'a'?)"),
    "unknown parameter": (
        "parameters: [output]",
        "parameters: [outptu]",
        ":14:45: node 'y': unknown parameter 'outptu' (did you mean 'output'?)",
    ),
    "unknown output": ("outputs: [y]", "outputs: [z]", ":15:11: unknown output 'z' (one of: a, h, x, y)"),
    "wrong key of the graph": ("outputs:", "output:", ":15:1: unknown key 'output' (did you mean 'outputs'?)"),
    "wrong key of a node": ("inputs: [h]", "input: [h]", ":13:17: node 'a': unknown key 'input' (did you mean 'inputs'?)"),
    "wrong key of a parameter": (
        "input: {axes: [n, in]}",
        "input: {axis: [n, in]}",
        ":8:11: parameter 'input': unknown key 'axis' (did you mean 'axes'?)",
    ),
    "missing key": ("op: relu, ", "", ":13:3: node 'a': needs the key 'op'"),
    "field of another op": (
        "op: relu, ",
        "op: relu, axis: n, ",
        ":13:17: node 'a': op 'relu' takes no field 'axis' (one of: inputs, op, parameters)",
    ),
    "wrong type": ("inputs: [h]", "inputs: 3", ":13:25: node 'a': inputs: input should be a valid list"),
    "wrong choice": (
        "input: {axes: [n, in]}",
        "input: {axes: [n, in], init: zeroes}",
        ":8:32: parameter 'input': unknown init 'zeroes' (did you mean 'zeros'?)",
    ),
    "growth": ("'1'", "'1e999999999'", ":2:17: scale 'width': the growth '1e999999999' is not a number (such as 1/4)"),
    "endless number": ("'1'", "9" * 5000, f":2:17: '{'9' * 20}' is not a number that a graph can hold"),
    "infinite number": ("'1'", ".inf", ":2:17: '.inf' is not a number that a graph can hold"),
    "duplicate key": ("output: {axes", "input: {axes", ":9:3: the key 'input' stands twice (first in line 8)"),
    "syntax": ("[h]}", "[h}", ":13:27: cannot be read: expected ',' or ']', but got '}'"),
    "tab": ("  n: width", "\tn: width", ":6:1: cannot be read: found character '\\t' that cannot start any token"),
    "alias": ("[h]}", "*h }", ":13:25: anchors and aliases are not read (write the value out)"),
    "anchor": ("[h]}", "&h [h]}", ":13:25: anchors and aliases are not read (write the value out)"),
    "tag": ("[h]}", "!!set {h}}", ":13:25: tags such as 'tag:yaml.org,2002:set' are not read (write a plain value)"),
    "key that is no text": ("batch: 4", "[batch]: 4", ":4:3: a key has to be a plain text"),
    "second document": ("outputs: [y]\n", "outputs: [y]\n---\na: 1\n", ":17:1: holds a second document (one graph per file)"),
    "unused": (
        "parameters:\n",
        "parameters:\n  spare: {axes: [n]}\n",
        ":8:10: parameter 'spare': is never used (remove it, or read it in a node)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_file_is_told_with_its_place(mistake, tmp_path, monkeypatch, capsys):
    old, new, message = MISTAKES[mistake]
    assert GOOD.count(old) >= 1
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(sr.ScaleRulesError) as caught:
        graph("my.yaml")
    assert str(caught.value) == "my.yaml" + message


# (content, message behind the file's name) of files that are no graph at all
FILES = {
    "empty": (b"", ":1:1: is empty"),
    "list": (b"- 1\n", ":1:1: the graph: input should be a mapping"),
    "text": (b"hello\n", ":1:1: the graph: input should be a mapping"),
    "too deep": (b"a: " + b"[" * 500 + b"]" * 500, ":1:35: is nested deeper than 32 levels"),
    "too large": (b"#" * (1024 * 1024 + 1), ": is larger than 1048576 bytes (build large graphs in Python)"),
    "not UTF-8": (b"a: 1\nb: \xff\n", ":2: is not UTF-8 text"),
    "zero bytes": (b"a: \x00\n", ": cannot be read: unacceptable character #x0000: special characters are not allowed"),
}


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_graph_at_all(kind, tmp_path, monkeypatch):
    content, message = FILES[kind]
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_bytes(content)
    with pytest.raises(sr.ScaleRulesError) as caught:
        graph("my.yaml")
    assert str(caught.value) == "my.yaml" + message


def test_json_has_places_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = graph("mlp").to_json().replace("  ", "\t")
    Path("my.json").write_text(text)
    assert graph("my.json") == graph("mlp")
    Path("my.json").write_text(text.replace('"relu"', '"rleu"', 1))
    with pytest.raises(
        sr.ScaleRulesError, match=r"^my\.json:\d+:\d+: node 'a1': unknown op 'rleu' \(did you mean 'relu'\?\)"
    ):
        graph("my.json")


def test_bodies_of_repeats_have_places_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = graph("transformer").to_yaml().replace("op: gelu", "op: glue")
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "glue" in line)
    Path("my.yaml").write_text(text)
    with pytest.raises(sr.ScaleRulesError, match=rf"^my\.yaml:{line}:24: node 'mlp\.hidden': unknown op 'glue'"):
        graph("my.yaml")


PYTHON = """\
from scalerules import Builder


def build(wide="width", op="relu"):
    g = Builder("mine", axes={"batch": 4, "n": wide, "in": 3})
    x = g.input("x", "batch in")
    h = g.dense("h", x, "n in")
    return g.build(g.node("a", op, h))


def other():
    return build()


def none():
    pass


def broken():
    return 1 / 0
"""


def test_python_files_and_factories(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine_for_lookup.py").write_text(PYTHON)
    assert graph("mine_for_lookup.py").name == graph(tmp_path / "mine_for_lookup.py").name == "mine"
    assert graph("mine_for_lookup.py", wide="2*width").axes["n"] == "2*width"
    assert graph("mine_for_lookup:other") == graph("mine_for_lookup.py:other") == graph("mine_for_lookup.py")


PYTHON_MISTAKES = {
    "my.py:none": "none() of my.py: returns nothing, not a Graph (return Builder(...).build(...))",
    "my.py:biuld": "my.py: has no function 'biuld' (did you mean 'build'?)",
    "my.py:forward": "my.py: has no function 'forward' (it should hold forward(), which returns a Graph)",
    "my.py:broken": "my.py:20:12: ZeroDivisionError: division by zero",
    "syntax.py": "syntax.py:1:11: SyntaxError: invalid syntax",
    "imports.py": "imports.py:1:1: ModuleNotFoundError: No module named 'no_such_module'",
    "exits.py": "exits.py:2:1: SystemExit: 3",
    "needs.py": "graph 'needs.py': needs the option 'hidden' (--set hidden=...)",
    "mu.py": "mu.py: there is no such file (did you mean 'my.py'?)",
    "no_such_module:build": "there is no module 'no_such_module' (run in the folder that holds it)",
    "mlpp": "unknown graph 'mlpp' (did you mean 'mlp'?; or a path to .py, .yaml or .json, or module:factory)",
}


@pytest.mark.parametrize("spec", PYTHON_MISTAKES)
def test_a_mistake_in_a_python_file(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my.py").write_text(PYTHON)
    Path("syntax.py").write_text("def build(:\n")
    Path("imports.py").write_text("import no_such_module\n")
    Path("exits.py").write_text("import sys\nsys.exit(3)\n")
    Path("needs.py").write_text("def build(hidden):\n    return None\n")
    with pytest.raises(sr.ScaleRulesError) as caught:
        graph(spec)
    assert str(caught.value) == PYTHON_MISTAKES[spec]


def test_options():
    assert len(graph("mlp", hidden=4).parameters) == len(graph("mlp").parameters) + 2
    assert graph("mamba", discretisation="euler") != graph("mamba")
    with pytest.raises(sr.ScaleRulesError) as caught:
        graph("mlp", hiden=3)
    assert str(caught.value) == "graph 'mlp': unknown option 'hiden' (did you mean 'hidden'?)"
    with pytest.raises(
        sr.ScaleRulesError, match=r"^graph 'mlp', node 'a1': unknown op 'rleu' \(did you mean 'relu'\?\)$"
    ):
        graph("mlp", activation="rleu")
    with pytest.raises(sr.ScaleRulesError, match=r"unknown discretisation 'eulr' \(did you mean 'euler'\?\)$"):
        graph("mamba", discretisation="eulr")


def test_a_file_of_data_takes_no_options(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text(GOOD)
    with pytest.raises(
        sr.ScaleRulesError, match=r"my\.yaml: takes no option 'hidden' \(only a Python file has options\)$"
    ):
        graph(file, hidden=3)


def test_a_catalogue_file_may_be_given_by_its_path():
    assert graph(folder("graphs") / "mamba.py") == graph("mamba")


def test_catalogue_and_backends_are_found_by_file_name():
    assert {"mlp", "mamba", "transformer"} <= set(catalogue())
    assert "__init__" not in catalogue()
    with pytest.raises(sr.ScaleRulesError) as caught:
        backend("pytroch")
    assert str(caught.value) == "unknown backend 'pytroch' (did you mean 'pytorch'?)"


def test_a_new_catalogue_file_is_found_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "brand_new.py").write_text(PYTHON)
    monkeypatch.setattr(importlib.import_module("scalerules.graphs"), "__path__", [str(tmp_path)])
    monkeypatch.setattr(folders, "folder", lambda part: tmp_path)
    assert catalogue() == ["brand_new"]
    assert graph("brand_new").name == "mine"


@pytest.mark.parametrize("command", ["derive", "emit", "verify", "classify", "explain"])
def test_on_the_command_line_nothing_is_written(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text(GOOD.replace("relu", "rleu"))
    more = {"explain": ["h"], "classify": ["--given", "ntk"]}.get(command, [])
    assert main([command, "my.yaml", *more, "-o", "result.txt"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "scalerules: my.yaml:13:11: node 'a': unknown op 'rleu' (did you mean 'relu'?)\n"
    assert [file.name for file in tmp_path.iterdir()] == ["my.yaml"]

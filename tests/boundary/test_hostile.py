"""Hostile input: what is given is data, and what fails says so in one line."""

from __future__ import annotations

import ast
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scalerules as sr
from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError

# --- names in emitted code ---

INJECTIONS = [
    'x"""; open("PWNED","w"); """',
    '"""',
    '"',
    "'",
    'x"',
    "x\\",
    '\\"""',
    "a\nopen('PWNED', 'w')",
    "a\r\nimport os",
    "a\x0c\x00b",
    "{__import__('os').system('touch PWNED')}",
    "# coding: utf-7",
    "a\u202eb\u2066c",
    "line\u2028line",
    "\ud800",
    "\U0001d42c\U0001d41e\U0001d425\U0001d41f",  # reads as self
    "\ufb01",  # reads as fi
    "fi",
    "\uff50\uff52\uff49\uff4e\uff54",  # reads as print
    "import",
    "print",
    "__class__",
    "_modules",
    "__w",
    "self.forward",
    "a..b",
    "",
    "length",
    "model",
    "torch",
    'a"),(b',
    "n" * 5000,
]


def named(graph: str = "g", scale: str = "width", axis: str = "n", parameter: str = "W", node: str = "h") -> Graph:
    """A small graph with these names: a scale that is not used, an axis, a parameter and nodes."""
    return Graph.model_validate({
        "name": graph,
        "scales": {"s": "1"} | ({scale: "0"} if scale != "s" else {}),
        "axes": {"batch": 2, "in": 3, axis: "s"},
        "parameters": {parameter: {"axes": [axis, "in"]}, f"{parameter}2": {"axes": ["in", axis]}},
        "nodes": {
            node: {"op": "input", "axes": ["batch", "in"]},
            f"{node}1": {"op": "einsum", "inputs": [node], "parameters": [parameter], "equation": "b i, n i -> b n"},
            f"{node}2": {"op": "scale", "inputs": [f"{node}1"], "factor": 2},
            f"{node}3": {
                "op": "einsum", "inputs": [f"{node}2"], "parameters": [f"{parameter}2"], "equation": "b i, n i -> b n",
            },
        },
        "outputs": [f"{node}3"],
    })  # fmt: skip


def written(graph: Graph) -> str | None:
    """The emitted file; None where it is refused with a message in one line."""
    try:
        return sr.emit(sr.derive(graph, scales={"s": 1}))
    except ScaleRulesError as error:
        assert len(str(error).splitlines()) == 1
        return None


@pytest.mark.parametrize("kind", ["graph", "scale", "axis", "parameter", "node"])
@pytest.mark.parametrize("name", INJECTIONS, ids=ascii)
def test_a_name_is_text_in_an_emitted_file(kind, name, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    try:
        graph = named(**{kind: name})
    except ScaleRulesError as error:
        assert len(str(error).splitlines()) == 1
        return
    text = written(graph)
    if text is None:
        assert kind == "parameter"  # torch cannot call a parameter so
        return
    assert all(c == "\n" or c.isprintable() for c in text)
    space: dict[str, object] = {"__name__": "emitted"}
    exec(compile(text.encode(), "emitted.py", "exec"), space)
    assert space["train"](steps=2), "it trains"  # type: ignore[operator]
    assert not list(tmp_path.iterdir())


def characters() -> st.SearchStrategy[str]:
    """Characters of every class of Unicode, and those that mean something to Python."""
    classes = sorted({unicodedata.category(chr(c)) for c in range(0x11000)})
    each = st.sampled_from(classes).flatmap(lambda kind: st.characters(categories=[kind]))  # pyright: ignore[reportArgumentType]
    return each | st.sampled_from("\"'\\\n\r#{}()[],;: _.abc\t\x00\u202e\u2028")


NAMES = st.text(characters(), max_size=8)


@settings(max_examples=60)
@given(st.tuples(NAMES, NAMES, NAMES, NAMES, NAMES))
def test_no_name_of_any_class_becomes_code(names):
    try:
        graph = named(*names)
    except ScaleRulesError:
        return
    text = written(graph)
    if text is not None:
        tree = ast.parse(text.encode())
        assert all(c == "\n" or c.isprintable() for c in text)
        imports = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        assert set(imports) <= {
            "import math", "import torch", "from torch import Tensor, nn", "from torch.nn import functional",
        }  # fmt: skip
        tops = {type(node) for node in tree.body}
        assert tops <= {ast.Expr, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.If}


def test_what_is_more_than_was_meant_is_refused(monkeypatch):
    """The check does not rest on the escaping: with that out, it refuses."""
    from scalerules.backends.pytorch import python_text as pytorch_text
    from scalerules.backends.pytorch.source import emit as pytorch
    from scalerules.backends.pytorch.source import model as pytorch_source

    monkeypatch.setattr(pytorch_text, "shown", str)
    monkeypatch.setattr(pytorch, "documented", str)
    monkeypatch.setattr(pytorch, "shown", str)
    monkeypatch.setattr(pytorch_source, "documented", str)
    solution = sr.derive(named(graph='x"""; open("PWNED","w"); """'), scales={"s": 1})
    with pytest.raises(ScaleRulesError, match="a name would become code in the emitted file"):
        sr.emit(solution)
    solution = sr.derive(named(graph='x"""'), scales={"s": 1})
    with pytest.raises(ScaleRulesError, match="the emitted file would be no Python"):
        sr.emit(solution)


def test_every_attribute_of_a_torch_module_is_known():
    torch = pytest.importorskip("torch")
    from scalerules.backends.pytorch.source.model import OF_TORCH

    own = {*vars(torch.nn.Module), *vars(torch.nn.Module())}  # other libraries hang functions of theirs on the class
    foreign = {
        name for name, value in vars(torch.nn.Module).items() if callable(value) and "torch" not in value.__module__
    }
    assert {name for name in own - foreign if not name.startswith("__")} <= OF_TORCH


# --- JSON ---

SOLUTION = sr.derive("mlp", "adam").to_json()

# (what is replaced, by what, the message)
TAMPERED = {
    "endless exponent": ('"width": "-1/2"', '"width": "1e999999999"', "parameters.h1.init.width: cannot read the exponent '1e999999999' (a fraction: '-1/2')"),
    "long fraction": ('"width": "-1/2"', f'"width": "{"9" * 100_000}"', f"parameters.h1.init.width: cannot read the exponent '{'9' * 55}...' (a fraction: '-1/2')"),
    "endless number": ('"version": 2', f'"version": {"9" * 100_000}', f"this is not the JSON of a solution: {'9' * 20}... is longer than any number in it"),
    "infinite number": ('"version": 2', '"version": 1e999', "this is not the JSON of a solution: 1e999 is no number that it can hold"),
    "no number": ('"version": 2', '"version": NaN', "this is not the JSON of a solution: NaN is no number that it can hold"),
    "newer": ('"version": 2', '"version": 99', "version: this is not the JSON of a solution: it is of version 99, and this scalerules reads up to 2 (install a newer scalerules)"),
    "negative version": ('"version": 2', '"version": -1', "version: this is not the JSON of a solution: -1 is no whole number"),
    "misspelt key": ('"parameters"', '"paramters"', "this is not the JSON of a solution: needs the key 'parameters' (did you mean 'paramters'?)"),
    "wrong scale": ('"width": "-1/2"', '"widht": "-1/2"', "parameters.h1.init: unknown scale 'widht' (did you mean 'width'?)"),
    "wrong quantity": ('"quantity": "value"', '"quantity": "valu"', "sizes.0.quantity: unknown quantity 'valu' (did you mean 'value'?)"),
    "text for a list": ('"cone": []', '"cone": "all"', 'cone: this is not the JSON of a solution: "all" is no list'),
    "list for a mapping": ('"multipliers": {}', '"multipliers": []', "multipliers: this is not the JSON of a solution: a list is no mapping"),
    "twice": ('"mode": "joint"', '"mode": "joint", "mode": "x"', "this is not the JSON of a solution: the key 'mode' stands twice"),
    "syntax": ('"mode": "joint"', '"mode": joint', "line:4:11: this is not the JSON of a solution: Expecting value"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TAMPERED)
def test_a_tampered_solution_is_refused_with_the_place(kind):
    old, new, message = TAMPERED[kind]
    assert old in SOLUTION
    with pytest.raises(ScaleRulesError) as caught:
        sr.Solution.from_json(SOLUTION.replace(old, new, 1))
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["", "null", "[]", "1", '"x"', "[" * 100_000, '{"a":' * 100_000, "{}", b"{}", None])
def test_what_is_no_solution_at_all(text):
    with pytest.raises(ScaleRulesError, match="this is not the JSON of a solution"):
        sr.Solution.from_json(text)


@settings(max_examples=150)
@given(
    st.integers(0, len(SOLUTION)),
    st.integers(0, 60),
    st.text(max_size=6) | st.sampled_from(["null", "{}", "[1]", "-1"]),
)
def test_any_change_of_a_solution_is_read_or_refused(start, length, between):
    try:
        sr.Solution.from_json(SOLUTION[:start] + between + SOLUTION[start + length :])
    except ScaleRulesError as error:
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("name", ["transformer", "mamba"])
def test_what_was_written_is_read(name):
    solution = sr.derive(name, "adam", gauge="unit")
    assert sr.Solution.from_json(solution.to_json()) == solution


def test_a_store_that_was_tampered_with(tmp_path):
    from scalerules.measurement.sweeps.store import Job, Outcome, Store

    solution = sr.derive("mlp")
    job = Job(sr.graph("mlp"), solution, {"width": 64}, {"width": 64}, 0.1, 0, 2, "text")
    path = tmp_path / "runs.sqlite"
    for column, value in (("history", "[" * 100_000), ("history", "1"), ("loss", "x"), ("history", '["1e9x"]')):
        path.unlink(missing_ok=True)
        store = Store(path)
        store.add(job, Outcome(1.0, False, (2.0, 1.0), 0.1))
        store._kept._file.execute(f"UPDATE runs SET {column} = ?", (value,))
        with pytest.raises(ScaleRulesError, match=r"the run \w+ in '.*' cannot be read: .* \(delete that row"):
            store.get(job.key)
        store.close()
    store = Store(path)
    store._kept._file.execute("PRAGMA user_version=7")
    store.close()
    with pytest.raises(ScaleRulesError, match="it is of version 7, and this scalerules knows 1"):
        Store(path)

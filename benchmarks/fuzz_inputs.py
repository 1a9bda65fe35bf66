"""Long runs of hostile input: fuzzed specifications, solutions and command lines, and emitted files of any names.

    python -m benchmarks.fuzz_inputs specifications 100000 counts.json
    python -m benchmarks.fuzz_inputs solutions 20000
    python -m benchmarks.fuzz_inputs emitted 20000 counts.json
    python -m benchmarks.fuzz_inputs commands 2000

Everything is read or refused with one line (what a finding is: `tally.py`; the status is 1 then). Seeds are fixed: the
same run finds the same, and one that was stopped goes on where its file of counts says. Three in four specifications
are valid graphs (`hostile_graphs.py`), the others have something wrong in them (`hostile_text.py`).
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import random
import re
import signal
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

import scalerules as sr
from scalerules.architecture.documents import parse
from scalerules.architecture.specification import from_document
from scalerules.commands.main import main as command_line
from scalerules.errors import Clash

from .hostile_graphs import graph as valid_graph
from .hostile_text import changed, character, disturb, name, shown
from .tally import Tally, Try

KEPT = 1000
"""After so many inputs the counts are written."""
DERIVED, RUN = 1 / 100, 1 / 100
"""Parts of the graphs that are derived and written as YAML, and of the emitted files that are run."""
OPTIMIZERS = ("sgd", "adam", "adamw", "muon", "lion", "adafactor", "shampoo")


def specifications(rng: random.Random) -> str:
    """A valid graph as text, in one of four with its data or its text disturbed; some of what is read is derived."""
    data = valid_graph(rng)
    broken, in_data = rng.random() < 0.25, rng.random() < 0.5
    if broken and in_data:
        for _ in range(rng.choice((1, 1, 2, 4))):
            disturb(data, rng)
    text = json.dumps(data, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 1)))
    if broken and not in_data:
        text = changed(text, rng)
    graph = from_document(parse(text, "fuzzed.yaml"))
    if rng.random() > DERIVED:
        return "read"
    again = from_document(parse(graph.to_yaml(), "again.yaml"))
    if graph.to_dict() != again.to_dict():
        raise AssertionError("it is not read back as it was written")
    return derived(graph, rng)


def derived(graph: sr.Graph, rng: random.Random) -> str:
    """What becomes of a graph behind its check: rules, a clash, or a message."""
    try:
        solution = sr.derive(graph, rng.choice(OPTIMIZERS), mode=rng.choice(("joint", "isolated")))
        sr.Solution.from_json(solution.to_json())
        return "derived"
    except Clash:
        return "clash"


@cache
def _solution() -> str:
    return sr.derive("mlp", "adam").to_json()


def solutions(rng: random.Random) -> str:
    """The JSON of a solution, tampered with."""
    text = _solution()
    for _ in range(rng.choice((1, 1, 2, 4))):
        text = changed(text, rng)
    sr.Solution.from_json(text)
    return "read"


IMPORTS = {"import math", "import torch", "from torch import Tensor, nn", "from torch.nn import functional"}
TOPS = (ast.Expr, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.If)


POOL = 24
"""So many graphs are written with other names."""


@cache
def _plain(number: int) -> tuple[sr.Graph, sr.Solution] | None:
    """A graph of the pool and its solution; None where there is none, or no file."""
    rng = random.Random(f"pool {number}")
    try:
        graph = sr.Graph.model_validate(valid_graph(rng))
        solution = sr.derive(graph, rng.choice(OPTIMIZERS))
        sr.emit(solution)
        return graph, solution
    except sr.ScaleRulesError:
        return None


def emitted(rng: random.Random) -> str:
    """An emitted file, with names of any characters for everything that has a name."""
    plain = None
    while plain is None:
        plain = _plain(rng.randrange(POOL))
    graph, solution = plain
    nodes = dict(graph.walk())
    lengths = [*graph.axes.values(), *(node.factor for node in nodes.values())]
    written = set(re.findall(r"\w+", " ".join(map(str, lengths))))
    old = [graph.name, *(axis for axis in graph.axes if axis not in written), *graph.parameters, *nodes]
    new: dict[str, str] = {}
    for before in rng.sample(old, rng.randint(1, min(6, len(old)))):
        other = name(rng) if rng.random() < 0.01 else shown(rng, before in graph.axes)
        if other not in {*old, *new.values(), "stream"}:
            new[before] = other
    given = sr.Graph.model_validate(renamed(graph.to_dict(), new))
    rules = {new.get(old, old): rule for old, rule in solution.parameters.items()}
    factors = {new.get(old, old): factor for old, factor in solution.multipliers.items()}
    warned = replace(
        solution, graph=given.name, parameters=rules, multipliers=factors, warnings=(name(rng),), explanations={}
    )
    text = sr.emit(warned, graph=given)
    tree = ast.parse(text.encode("utf-8"))
    compile(tree, "emitted.py", "exec")
    imports = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)}
    if not imports <= IMPORTS or not all(isinstance(node, TOPS) for node in tree.body):
        raise AssertionError(f"more than was meant: {text!r}")
    if not all(sign == "\n" or sign.isprintable() for sign in text):
        raise AssertionError("a sign that does not show")
    if rng.random() < RUN:
        space: dict[str, object] = {"__name__": "emitted"}
        exec(compile(tree, "emitted.py", "exec"), space)
        space["train"](steps=1)  # type: ignore[operator]
        return "trained"
    return "emitted"


def renamed(data: object, new: dict[str, str]) -> object:
    """Plain data with other names, but for the equations and lengths."""
    if isinstance(data, dict):
        data = cast("dict[str, object]", data)
        keep = ("equation", "op", "factor", "init")
        fields = {
            "name", "scales", "axes", "parameters", "nodes", "outputs", "sizes", "inputs", "body", "axis", "offset",
            "result", *keep,
        }  # fmt: skip
        return {
            (key if key in fields else new.get(key, key)): (value if key in keep else renamed(value, new))
            for key, value in data.items()
        }
    if isinstance(data, list):
        return [renamed(value, new) for value in data]
    return new.get(data, data) if isinstance(data, str) else data


WORDS = (
    "mlp", "mlpp", "mamba", "lru.yaml", "--optimizer", "adam", "sgd", "muon", "--scale", "width", "width=1/2",
    "state=1/3", "width=", "=", "--steps", "0", "-1", "1", "nan", "1e999999999", "--given", "ntk", "mup", "--set",
    "hidden=1", "hidden", "--mode", "joint", "isolated", "--gauge", "table8", "unit", "--format", "json", "md",
    "--alignment", "full", "--nonlazy", "--lazy", "-o", "out", "--", "--output", "/dev/full", "--help", "--version",
    "h1", "*", "--to", "pytorch", "--quiet",
)  # fmt: skip


def commands(rng: random.Random) -> str:
    """A command line of words that occur in such lines."""
    words = [rng.choice(("derive", "explain", "classify", "emit", "list", "check", character(rng)))]
    words += [rng.choice(WORDS) if rng.random() < 0.9 else name(rng) for _ in range(rng.randrange(6))]
    said, result = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(result):
        status = command_line(words)
    if status not in (0, 1, 2) or "Traceback" in said.getvalue():
        raise AssertionError(f"{words}: {status}, {said.getvalue()[-500:]}")
    return f"status {status}"


KINDS: dict[str, Try] = {
    "specifications": specifications, "solutions": solutions, "emitted": emitted, "commands": commands,
}  # fmt: skip


def main(kind: str, count: int, kept: str | None = None) -> int:
    """Tries so many inputs, in a folder of its own; `kept` is the file of counts, from which it goes on."""
    here, place = tempfile.TemporaryDirectory(), Path(kept).resolve() if kept else None
    tally = Tally.of(kind, KINDS[kind], place)
    os.chdir(here.name)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    try:
        while tally.tried < count:
            tally.one(tally.tried)
            if tally.tried % KEPT == 0:
                tally.keep(place)
    except KeyboardInterrupt:
        print(f"interrupted before seed {tally.tried}")
    tally.keep(place)
    print(tally)
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))

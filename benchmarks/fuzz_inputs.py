"""Long runs of hostile input: fuzzed specifications, solutions and command lines, and emitted files of any names.

    python benchmarks/fuzz_inputs.py specifications 100000
    python benchmarks/fuzz_inputs.py solutions 20000
    python benchmarks/fuzz_inputs.py emitted 20000
    python benchmarks/fuzz_inputs.py commands 2000

Everything is read or refused with one line; an exception that is none of ours, a line break in a message, or more than
`LIMIT` seconds is a finding and ends the run with status 1. Seeds are fixed: the same run finds the same.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import io
import os
import random
import resource
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import scalerules as sr
from scalerules.architecture.documents import parse
from scalerules.architecture.specification import from_document
from scalerules.architecture.yaml_text import dump_yaml
from scalerules.commands.main import main as command_line

LIMIT = 10.0
Try = Callable[[random.Random], str]
"""One random input; in a word what became of it. Raises where something is wrong."""

SPECIFICATION = """\
name: two
scales: {width: '1', depth: '0'}
axes: {batch: 4, in: 3, n: width, layers: depth, half: n/2}
parameters:
  input: {axes: [n, in]}
  W: {axes: n n}
  output: {axes: [in, half]}
nodes:
  x: {op: input, axes: [batch, in]}
  h: {op: einsum, inputs: [x], parameters: [input], equation: 'b i, o i -> b o'}
  blocks:
    op: repeat
    inputs: [h]
    axis: layers
    body:
      m: {op: einsum, inputs: [stream], parameters: [W], equation: 'b i, o i -> b o'}
      a: {op: relu, inputs: [m]}
      s: {op: scale, inputs: [a], factor: 1/layers}
      r: {op: residual, inputs: [stream, s]}
    result: r
  c: {op: slice, inputs: [blocks], axis: half, offset: half}
  y: {op: einsum, inputs: [c], parameters: [output], equation: 'b i, o i -> b o'}
outputs: [y]
sizes: {width: 8, depth: 2}
"""

PIECES = (
    "", " ", "\n", ":", ",", "[", "]", "{", "}", "'", '"', "-", "&a", "*a", "!!python/object:os.system", "<<", "|",
    ">", "?", "%", "@", "`", "#", "---", "...", "null", "true", "1", "-1", "0", "1e999999999", "9" * 50, ".inf",
    ".nan", "0x10", "1/0", "1/3", "width", "depth", "stream", "n", "h", "relu", "einsum", "repeat", "scan", "softmax",
    "concat", "x", "input", "op", "axes", "width^64", "9^999", "n^(1/2)", "[[[[[[", "b i, o i -> b o", "b i i -> i",
    "->", "\u202e", "\u2028", "\x00", "\ufeff", "\ud7ff",
)  # fmt: skip


def specifications(rng: random.Random) -> str:
    """A specification with a few pieces moved, doubled, cut out or put in: of its text, or of its data."""
    text, count = SPECIFICATION, rng.choice((1, 1, 1, 2, 3, 6))
    if rng.random() < 0.7:
        data = parse(SPECIFICATION, "plain.yaml").data
        for _ in range(count):
            disturb(data, rng)
        text = dump_yaml(data)
    else:
        for _ in range(count):
            text = changed(text, rng)
    graph = from_document(parse(text, "fuzzed.yaml"))
    if graph.to_yaml() != from_document(parse(graph.to_yaml(), "again.yaml")).to_yaml():
        raise AssertionError("it is not read back as it was written")
    return "read"


VALUES = (
    None, True, 0, 1, -1, 3, 10**15, 0.5, 1e300, -0.0, [], {}, [[]], {"": ""}, "n", "width", "stream", "h", "relu",
    "einsum", "repeat", "scan", "softmax", "concat", "rms_norm", "mean", "top_k", "rfft", "window", "x", "W", "input",
    "normal", "zeros", "range", "tokens", "cross_entropy", "width^64", "9^999", "n^(1/2)", "1/0", "1e999999999", "n/0",
    "b i, o i -> b o", "b i i -> i", "->", "a, b -> c", "batch n", "batch in", "depth - 5", "half + half", "\u202e",
)  # fmt: skip


def disturb(data: Any, rng: random.Random) -> None:
    """One change somewhere in plain data: another value, a key gone, another key, an entry that stands twice."""
    places: list[tuple[Any, Any]] = []
    waiting = [data]
    while waiting:
        holder = waiting.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            places.append((holder, key))
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])
    if not places:
        return
    holder, key = rng.choice(places)
    kind = rng.randrange(5)
    if kind < 2:
        holder[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 2:
        del holder[key]
    elif kind == 3:
        other, place = rng.choice(places)
        holder[key] = copy.deepcopy(other[place])
    elif isinstance(holder, dict):
        holder[rng.choice([name(rng), *(str(place) for _, place in places)])] = holder.pop(key)
    else:
        holder.append(copy.deepcopy(holder[key]))


def changed(text: str, rng: random.Random) -> str:
    """A text with one change: a piece for a word, lines doubled or gone, a cut, a character."""
    kind = rng.randrange(6)
    start = rng.randrange(len(text) + 1)
    if kind == 0:
        return text[:start] + rng.choice(PIECES) + text[start:]
    if kind == 1:
        words = text.split(" ")
        words[rng.randrange(len(words))] = rng.choice(PIECES)
        return " ".join(words)
    if kind == 2:
        lines = text.splitlines(keepends=True)
        i = rng.randrange(len(lines)) if lines else 0
        lines[i : i + 1] = lines[i : i + 1] * rng.choice((0, 2))
        return "".join(lines)
    if kind == 3:
        return text[:start] + text[start + rng.randrange(1, 30) :]
    if kind == 4:
        return text[:start] + character(rng) + text[start:]
    words = sorted(set(text.replace(",", " ").replace(":", " ").split()))
    return text.replace(rng.choice(words), rng.choice(words), 1) if words else text


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


@cache
def _classes() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number in range(sys.maxunicode + 1):
        found.setdefault(unicodedata.category(chr(number)), []).append(chr(number))
    return found


def character(rng: random.Random) -> str:
    """A character of any class of Unicode, each as likely as the others."""
    return rng.choice(_classes()[rng.choice(sorted(_classes()))])


def name(rng: random.Random) -> str:
    """A name of a few characters, some of which mean something to Python."""
    length = rng.choice((0, 1, 2, 3, 5, 8))
    signs = "\"'\\\n\r#{}()[],;: _.=abc\t\x00"
    words = ("self", "torch", "import os", '"""', "exec", "print", "__class__", "model", "lambda", "open('PWNED','w')")
    parts = [rng.choice(signs) if rng.random() < 0.4 else character(rng) for _ in range(length)]
    return "".join([*parts, rng.choice(words)] if rng.random() < 0.3 else parts)


IMPORTS = {"import math", "import torch", "from torch import Tensor, nn", "from torch.nn import functional"}
TOPS = (ast.Expr, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.If)


@cache
def _plain() -> tuple[sr.Graph, sr.Solution]:
    graph = from_document(parse(SPECIFICATION, "plain.yaml"))
    return graph, sr.derive(graph, "adam")


def emitted(rng: random.Random) -> str:
    """An emitted file, with names of any characters for everything that has a name."""
    graph, solution = _plain()
    old = ("two", "batch", "in", "input", "W", "output", "x", "h", "m", "a", "s", "r", "y", "c", "blocks")
    new = {name_before: name(rng) for name_before in rng.sample(old, rng.randint(1, 4))}
    data = renamed(graph.to_dict(), new)
    given = sr.Graph.model_validate(data)
    rules = {new.get(old, old): rule for old, rule in solution.parameters.items()}
    warned = replace(solution, graph=given.name, parameters=rules, warnings=(name(rng),), explanations={})
    text = sr.emit(warned, graph=given)
    tree = ast.parse(text.encode("utf-8"))
    compile(tree, "emitted.py", "exec")
    imports = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)}
    if not imports <= IMPORTS or not all(isinstance(node, TOPS) for node in tree.body):
        raise AssertionError(f"more than was meant: {text!r}")
    if not all(sign == "\n" or sign.isprintable() for sign in text):
        raise AssertionError("a sign that does not show")
    if rng.random() < 0.01:
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


def main(kind: str, count: int, first: int = 0) -> int:
    """Tries so many inputs; prints what became of them, how long the longest took, and the memory."""
    outcomes: Counter[str] = Counter()
    longest, began, bad = (0.0, -1), time.monotonic(), 0
    here = tempfile.TemporaryDirectory()
    os.chdir(here.name)
    for seed in range(first, first + count):
        rng, start = random.Random(f"{kind} {seed}"), time.monotonic()
        try:
            outcomes[KINDS[kind](rng)] += 1
        except sr.ScaleRulesError as error:
            outcomes["refused"] += 1
            if len(str(error).splitlines()) != 1 and not hasattr(error, "equations"):
                print(f"seed {seed}: several lines: {ascii(str(error)):.300}")
                bad += 1
        except Exception as error:
            print(f"seed {seed}: {type(error).__name__}: {ascii(str(error)):.300}")
            bad += 1
        took = time.monotonic() - start
        longest = max(longest, (took, seed))
        if took > LIMIT:
            print(f"seed {seed}: {took:.1f} s")
            bad += 1
        if Path("PWNED").exists():
            print(f"seed {seed}: code was run")
            return 1
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    said = ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))
    print(
        f"{kind}: {said}; {bad} findings; {time.monotonic() - began:.0f} s, the longest {longest[0]:.2f} s "
        f"(seed {longest[1]}); {memory:.0f} MB"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0))

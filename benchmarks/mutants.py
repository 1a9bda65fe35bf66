"""Mutation testing of the engine: one small change at a time, and whether a test notices.

    python -m benchmarks.mutants [--only terms] [--sample 200] [--seed 0] [--store mutants.jsonl]

A change is one that a theorist could make by mistake: a factor 1/2 becomes 1, a parity is dropped (`^` becomes `|`), a
sign turns, a bound moves (`<` becomes `<=`), the larger becomes the smaller, `and` becomes `or`. The tests run once,
and of every line it is kept which of them come by it. Then each change is made in a copy of the repository, where those
tests run, the quick ones first, until one fails. What survives is listed with its line: either a test is missing, or
the change changes nothing (an order among equals, a limit of memory). With a store, the same command goes on where it
was; `--again` tries once more what survived. Needs pytest-cov (the extra `bench`).
"""

from __future__ import annotations

import argparse
import ast
import compileall
import hashlib
import importlib
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

ROOT = Path(__file__).parent.parent
PARTS = {
    "terms": "scalerules/terms",
    "ops": "scalerules/ops",
    "optimizers": "scalerules/optimizers",
    "equations": "scalerules/solving/equations.py",
    "checker": "scalerules/solution/checker.py",
    "judge": "scalerules/measurement/verification/judge.py",
}
"""What is changed."""
TESTS = [
    "architecture", "derivation", "ops", "optimizers", "passes", "solving", "terms", "tracing/test_trace_rules.py",
    "backends/training/test_recurrences.py", "measurement/test_judge.py", "measurement/test_judge_bounds.py",
    "measurement/test_verify.py", "measurement/test_refuted.py",
]  # fmt: skip
"""What should notice: of `tests/`, what looks at the engine and is quick."""
LIMIT = 20 * 240
"""Seconds of CPU of all tests together."""
PATIENCE = 30.0
"""Seconds of CPU that a test has beside three times what it took; one that runs forever notices the change, too."""
ENOUGH = 60.0
"""Seconds of CPU of the tests that are run for one change, as they took without it."""
FIRST = 40
"""So many of them are run first, alone: most changes fail there, and the other files of tests are not imported."""
LIBRARIES = ["numpy", "scipy", "sympy", "networkx", "pydantic", "torch", "numba", "rich", "hypothesis", "pytest"]
"""Loaded once, before the processes part."""
TURNED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.BitXor: ast.BitOr, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
CALLED = {"max": "min", "min": "max", "any": "all", "all": "any"}


TEXTUAL = (ast.JoinedStr, ast.List, ast.Tuple, ast.Set)


@dataclass(frozen=True)
class Mutant:
    """One change of one file: the number of its place among all of the file, its first and last line, how it reads."""

    file: str
    place: int
    lines: tuple[int, int]
    before: str
    after: str


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


class _Changer(ast.NodeTransformer):
    """Changes the place of a number; with None it only counts them."""

    def __init__(self, wanted: int | None) -> None:
        self.wanted, self.count = wanted, 0
        self.places: list[tuple[tuple[int, int], str, str]] = []

    def changed(self, node: ast.expr, other: ast.expr) -> ast.expr:
        """`other` at the wanted place, else the node."""
        here, self.count = self.count, self.count + 1
        self.places.append(((node.lineno, node.end_lineno or node.lineno), ast.unparse(node), ast.unparse(other)))
        return ast.copy_location(other, node) if here == self.wanted else node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        turned = TURNED.get(type(node.ops[0]))
        if turned is None or len(node.ops) > 1:
            return node
        return self.changed(node, ast.Compare(node.left, [turned()], node.comparators))

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if (
            isinstance(node.op, ast.FloorDiv | ast.Div)
            and isinstance(node.right, ast.Constant)
            and node.right.value == 2
        ):
            return self.changed(node, node.left)
        turned = TURNED.get(type(node.op))
        textual = any(isinstance(side, TEXTUAL) or _is_text(side) for side in (node.left, node.right))
        return node if turned is None or textual else self.changed(node, ast.BinOp(node.left, turned(), node.right))

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        return self.changed(node, ast.BoolOp(TURNED[type(node.op)](), node.values))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        return self.changed(node, node.operand) if isinstance(node.op, ast.USub | ast.Not) else node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id == "HALF" and isinstance(node.ctx, ast.Load):
            return self.changed(node, ast.parse("2 * HALF", mode="eval").body)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name):
            return node
        if node.func.id == "Fraction" and ast.unparse(node) == "Fraction(1, 2)":
            return self.changed(node, ast.parse("Fraction(1)", mode="eval").body)
        other = CALLED.get(node.func.id)
        return node if other is None else self.changed(node, ast.Call(ast.Name(other), node.args, node.keywords))

    def visit_arguments(self, node: ast.arguments) -> ast.arguments:
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        if node.value is not None:  # an annotation is no computation
            node.value = self.visit(node.value)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        return node


def mutants(part: str, root: Path = ROOT) -> Iterator[Mutant]:
    """Every change of a part."""
    place = root / PARTS[part]
    for file in sorted(place.glob("*.py")) if place.is_dir() else [place]:
        counter = _Changer(None)
        counter.visit(ast.parse(file.read_text()))
        for number, (lines, before, after) in enumerate(counter.places):
            yield Mutant(str(file.relative_to(root)), number, lines, before, after)


def text_of(mutant: Mutant, root: Path = ROOT) -> str:
    """The file with the change."""
    tree = _Changer(mutant.place).visit(ast.parse((root / mutant.file).read_text()))
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


class _Listener:
    """A plugin of pytest that keeps how much CPU each test took, and which failed; one that takes too long ends all."""

    def __init__(self, usual: Mapping[str, float]) -> None:
        self.usual = usual
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: list[str] = []

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if nodeid in self.usual:
            signal.setitimer(signal.ITIMER_PROF, PATIENCE + 3 * self.usual[nodeid])
        self.seconds[nodeid] -= time.process_time()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.seconds[nodeid] += time.process_time()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def _apart(work: Callable[[], Any]) -> Any:
    """What `work` gives in a process of its own, as JSON, or None if it ended otherwise or took too long."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
            os.close(reading)
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            with os.fdopen(writing, "w") as answer:
                json.dump(work(), answer)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(process, 0)
    return json.loads(said) if said else None


class Laboratory:
    """A copy of the repository in which changes are tried."""

    def __init__(self, folder: str, tests: Sequence[str] = TESTS) -> None:
        self.root, self.noticing = Path(folder), [f"tests/{name}" for name in tests]
        for name in ("scalerules", "backends", "graphs", "tests", "derivations", "docs", "examples", "benchmarks"):
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, self.root / name)
        for name in ("backends", "graphs"):  # where an installation has them
            (self.root / "scalerules" / name).symlink_to(self.root / name)
        compileall.compile_dir(self.root, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        self.seconds: dict[str, float] = {}
        self.seconds, self.touching = self._learn()

    def _pytest(self, tests: Sequence[str], *options: str) -> tuple[dict[str, float], list[str]]:
        """The seconds of each test, and those that failed; only in a process of its own."""
        import pytest

        os.chdir(self.root)
        sys.path[:0] = [str(self.root)]
        sys.dont_write_bytecode = True
        listener = _Listener(self.seconds)
        own = ["-q", "-p", "no:cacheprovider", "-n", "0", "-m", "not slow", "--rootdir", str(self.root)]
        status = pytest.main([*own, *options, *tests], plugins=[listener])
        return dict(listener.seconds), listener.failed or ["the collection"] * bool(status)

    def _learn(self) -> tuple[dict[str, float], dict[str, dict[int, set[str]]]]:
        """The seconds of every test, and of every file and line the tests that come by it."""
        from coverage import CoverageData

        options = ["--cov=scalerules", "--cov-context=test", "--cov-report="]
        seconds, failed = _apart(lambda: self._pytest(self.noticing, *options)) or ({}, ["all"])
        if failed:
            raise SystemExit(f"these do not pass without a change: {', '.join(failed)}")
        data = CoverageData(str(self.root / ".coverage"))
        data.read()
        touching: dict[str, dict[int, set[str]]] = {}
        for file in data.measured_files():
            contexts = data.contexts_by_lineno(file)
            touching[str(Path(file).resolve().relative_to(self.root.resolve()))] = {
                line: {context.rpartition("|")[0] for context in found if context} for line, found in contexts.items()
            }
        return seconds, touching

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that come by the lines of a change, then the others of its file, quick ones first.

        The others, since what is computed once, at the import or behind a cache, is told of the first test alone.
        """
        lines = self.touching.get(mutant.file, {})
        first, last = mutant.lines
        near = set[str]().union(*(lines.get(line, set()) for line in range(first, last + 1)))
        far = set[str]().union(*lines.values())
        tests = sorted(far, key=lambda test: (test not in near, self.seconds[test]))
        reached = accumulate(self.seconds[test] for test in tests)
        return [test for test, total in zip(tests, reached, strict=True) if total < ENOUGH]

    def survives(self, mutant: Mutant) -> bool:
        """Whether no test notices the change."""
        file = self.root / mutant.file
        before = file.read_text()
        tests = self.tests_of(mutant)
        try:
            file.write_text(text_of(mutant, self.root))
            return not any(self._notice(some) for some in (tests[:FIRST], tests[FIRST:]) if some)
        finally:
            file.write_text(before)

    def _notice(self, tests: Sequence[str]) -> bool:
        """Whether one of these tests fails, or does not come to an end."""
        done = _apart(lambda: self._pytest(tests, "-x"))
        return done is None or bool(done[1])


def drawn(parts: Sequence[str], sample: int | None, seed: int) -> dict[str, list[Mutant]]:
    """Changes of every part, drawn at random: as large a share of each, all of them without a sample."""
    found = {part: list(mutants(part)) for part in parts}
    count = sum(map(len, found.values()))
    share = 1.0 if sample is None else min(1.0, sample / count)
    return {part: random.Random(seed).sample(changes, round(share * len(changes))) for part, changes in found.items()}


def interval(noticed: int, tried: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    middle = (noticed + z * z / 2) / (tried + z * z)
    width = z * math.sqrt(noticed * (tried - noticed) / tried + z * z / 4) / (tried + z * z)
    return middle - width, middle + width


class Store:
    """What became of every change, a line of JSON each, known by the digest of the changed file; kept as it comes."""

    def __init__(self, file: str | None, again: bool = False) -> None:
        self.file = Path(file) if file else None
        lines = self.file.read_text().splitlines() if self.file and self.file.exists() else []
        known = {record["digest"]: record["survives"] for record in map(json.loads, lines)}
        self.known = {digest: survives for digest, survives in known.items() if not (again and survives)}

    def survives(self, mutant: Mutant, laboratory: Laboratory) -> bool:
        """Whether no test notices the change, as it is stored or as it is found now."""
        digest = hashlib.sha256((mutant.file + text_of(mutant, laboratory.root)).encode()).hexdigest()
        if digest not in self.known:
            self.known[digest] = laboratory.survives(mutant)
            if self.file:
                record = {"digest": digest, "survives": self.known[digest], **asdict(mutant)}
                with self.file.open("a") as file:
                    file.write(json.dumps(record) + "\n")
        return self.known[digest]


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries the changes; prints the score of every part and what survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(PARTS), action="append")
    parser.add_argument("--sample", type=int, help="so many changes, drawn at random; all without it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", help="a file that keeps what became of every change")
    parser.add_argument("--again", action="store_true", help="try once more what survived")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="files of tests/ that should notice")
    options = parser.parse_args(arguments)
    for library in LIBRARIES:
        importlib.import_module(library)
    store, tried, survived = Store(options.store, options.again), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        print("the tests run once, and it is kept which lines they come by ...", flush=True)
        laboratory = Laboratory(folder, options.tests)
        print(f"{len(laboratory.seconds)} tests, {sum(laboratory.seconds.values()):.0f} s", flush=True)
        for part, changes in drawn(options.only or list(PARTS), options.sample, options.seed).items():
            surviving = 0
            for mutant in changes:
                if store.survives(mutant, laboratory):
                    surviving += 1
                    said = f"{mutant.file}:{mutant.lines[0]}: {mutant.before} -> {mutant.after}"
                    print(f"  survives {len(laboratory.tests_of(mutant))} tests: {said:.200}", flush=True)
            print(f"{part}: {len(changes) - surviving} of {len(changes)} noticed", flush=True)
            tried, survived = tried + len(changes), survived + surviving
    low, high = interval(tried - survived, tried)
    print(f"{tried - survived} of {tried} noticed: {(tried - survived) / tried:.1%} ({low:.1%} to {high:.1%})")
    return 0


if __name__ == "__main__":
    sys.exit(main())

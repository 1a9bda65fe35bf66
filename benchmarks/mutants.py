"""Mutation testing of the engine: one small change at a time, and whether a quick test notices.

    python -m benchmarks.mutants [--only terms] [--sample 40] [--seed 0] [--minutes 10]

A change is one that a theorist could make by mistake: a factor 1/2 becomes 1, a parity is dropped (`^` becomes `|`), a
sign turns, a bound moves (`<` becomes `<=`), the larger becomes the smaller, `and` becomes `or`. Each is made in a copy
of the repository, where the tests of its part run until the first fails. What survives is listed with its line: either
a test is missing, or the change changes nothing (an order among equals, a limit of memory).
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LAWS = ["ops/test_laws.py", "ops/test_arrange.py", "solving/test_worked_answers.py"]
PARTS = {
    "terms": ("scalerules/terms", [*LAWS, "solving/test_solver.py"]),
    "ops": ("scalerules/ops", [*LAWS, "architecture/test_graph.py", "backends/training/test_recurrences.py"]),
    "optimizers": ("scalerules/optimizers", ["optimizers/test_optimizers.py", "optimizers/test_own_optimizers.py"]),
    "equations": ("scalerules/solving/equations.py", ["solving/test_solver.py", "solving/test_worked_answers.py"]),
    "judge": ("scalerules/measurement/verification/judge.py", ["measurement/test_verify.py"]),
}
"""What is changed, and the tests (in `tests/`) that should notice."""
LIMIT = 600
"""Seconds of CPU; a change that makes the tests run forever is noticed, too."""
TURNED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.BitXor: ast.BitOr, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
CALLED = {"max": "min", "min": "max", "any": "all", "all": "any"}


TEXTUAL = (ast.JoinedStr, ast.List, ast.Tuple, ast.Set)


@dataclass(frozen=True)
class Mutant:
    """One change of one file: the number of its place among all places of the file, and how it reads."""

    file: str
    place: int
    line: int
    before: str
    after: str


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


class _Changer(ast.NodeTransformer):
    """Changes the place of a number; with None it only counts them."""

    def __init__(self, wanted: int | None) -> None:
        self.wanted, self.count = wanted, 0
        self.places: list[tuple[int, str, str]] = []

    def changed(self, node: ast.expr, other: ast.expr) -> ast.expr:
        """`other` at the wanted place, else the node."""
        here, self.count = self.count, self.count + 1
        self.places.append((node.lineno, ast.unparse(node), ast.unparse(other)))
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
    place = root / PARTS[part][0]
    for file in sorted(place.glob("*.py")) if place.is_dir() else [place]:
        counter = _Changer(None)
        counter.visit(ast.parse(file.read_text()))
        for number, (line, before, after) in enumerate(counter.places):
            yield Mutant(str(file.relative_to(root)), number, line, before, after)


def text_of(mutant: Mutant, root: Path = ROOT) -> str:
    """The file with the change."""
    tree = _Changer(mutant.place).visit(ast.parse((root / mutant.file).read_text()))
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


class Laboratory:
    """A copy of the repository in which changes are tried."""

    def __init__(self, folder: str) -> None:
        self.root = Path(folder)
        for name in ("scalerules", "backends", "graphs", "tests", "derivations", "docs", "benchmarks"):
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, self.root / name)
        for name in ("backends", "graphs"):  # where an installation has them
            (self.root / "scalerules" / name).symlink_to(self.root / name)

    def passes(self, part: str) -> bool:
        """Whether the tests of a part pass."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.root),
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [
            "bash", "-c", f'ulimit -t {LIMIT}; exec "$@"', "bash", sys.executable, "-m", "pytest", "-x", "-q",
            "-p", "no:cacheprovider", "-n", "0", "-m", "not slow", *(f"tests/{name}" for name in PARTS[part][1]),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True)
        return done.returncode == 0

    def survives(self, part: str, mutant: Mutant) -> bool:
        """Whether no test notices the change."""
        file = self.root / mutant.file
        before = file.read_text()
        try:
            file.write_text(text_of(mutant, self.root))
            return self.passes(part)
        finally:
            file.write_text(before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries the changes; prints the score of every part and what survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(PARTS), action="append")
    parser.add_argument("--sample", type=int, help="so many changes of each part, drawn at random; all without it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="for each part")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        laboratory = Laboratory(folder)
        for part in options.only or PARTS:
            if not laboratory.passes(part):
                raise SystemExit(f"the tests of {part} do not pass without a change")
            found = list(mutants(part))
            random.Random(options.seed).shuffle(found)
            survived, tried, end = [], 0, time.monotonic() + 60 * options.minutes
            for mutant in found[: options.sample]:
                if time.monotonic() > end:
                    break
                tried += 1
                if laboratory.survives(part, mutant):
                    survived.append(mutant)
                    said = f"{mutant.file}:{mutant.line}: {mutant.before} -> {mutant.after}"
                    print(f"  survives: {said:.200}", flush=True)
            killed = tried - len(survived)
            print(f"{part}: {killed} of {tried} noticed (of {len(found)} changes)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

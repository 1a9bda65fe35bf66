"""How `derive` and `trace` grow: with operations written out, with folded depth, with the number of scales.

    python -m benchmarks.bench_scale [--most 10000]

Every row runs in a process of its own: seconds of CPU, and the memory that it takes beyond the imports.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import scalerules as sr
from scalerules.architecture.builder import Builder

OPERATIONS = (10, 100, 300, 1000, 2000, 10000)
DEPTHS = (2, 32, 1000)
SCALES = ("width", "depth", "heads", "state")


def chain(operations: int) -> sr.Graph:
    """A perceptron of so many operations, half of them functions, each layer written out."""
    g = Builder("chain", axes={"batch": 4, "in": 3, "n": "width", "out": 2})
    x = g.input("x", "batch in")
    for layer in range(operations // 2):
        x = g.relu(g.dense(f"W{layer}", x, "n n" if layer else "n in", "b"), name=f"a{layer}")
    return g.build(g.dense("output", x, "out n", "b"))


def folded(depth: int) -> sr.Graph:
    """A transformer of so many blocks, as one repeat."""
    return sr.Graph.model_validate(sr.graph("transformer").to_dict() | {"sizes": {"width": 64, "depth": depth}})


def scaled(count: int) -> sr.Graph:
    """A perceptron with so many scales, each of which an axis of its own grows with."""
    scales: dict[str, str | int] = {name: 1 if name == "width" else "1/2" for name in SCALES[:count]}
    g = Builder("scaled", scales=scales, axes={"batch": 4, "in": 3, **{f"n_{name}": name for name in scales}})
    x, before = g.input("x", "batch in"), "in"
    for name in scales:
        x, before = g.relu(g.dense(f"W_{name}", x, f"n_{name} {before}", "b"), name=f"a_{name}"), f"n_{name}"
    return g.build(g.dense("output", x, f"in {before}", "b"))


def traced(layers: int) -> None:
    """A torch model of so many layers, whose blocks tracing folds."""
    import torch

    def make(width: int) -> torch.nn.Module:
        blocks = [torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.ReLU()) for _ in range(layers)]
        return torch.nn.Sequential(torch.nn.Linear(8, width), *blocks, torch.nn.Linear(width, 4))

    sr.trace(make, scales={"width": (16, 24, 32)}, inputs=lambda width: (torch.zeros(2, 8),))


KINDS: dict[str, Callable[[int], object]] = {
    "operations": lambda n: sr.derive(chain(n), "adam"),
    "depth": lambda n: sr.derive(folded(n), "adam", scales={"width": 1, "depth": 1}),
    "scales": lambda n: sr.derive(scaled(n), "adam"),
    "traced": traced,
}
ROWS = {"operations": OPERATIONS, "depth": DEPTHS, "scales": range(1, len(SCALES) + 1), "traced": (2, 8, 32)}


def memory() -> float:
    """The most that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one(kind: str, number: int) -> None:
    """One row, behind a small run that imports what is needed."""
    KINDS[kind](2 if kind != "scales" else 1)
    before, start = memory(), time.process_time()
    KINDS[kind](number)
    print(f"| {kind} | {number} | {time.process_time() - start:.2f} | {memory() - before:.0f} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=2000, help="the longest chain of operations")
    parser.add_argument("--seconds", type=float, default=600, help="a row that takes longer is given up")
    parser.add_argument("--one", nargs=2)
    options = parser.parse_args(arguments)
    if options.one:
        one(options.one[0], int(options.one[1]))
        return 0
    print("| what grows | number | seconds of CPU | MB |\n| --- | --- | --- | --- |", flush=True)
    for kind, numbers in ROWS.items():
        for number in (n for n in numbers if kind != "operations" or n <= options.most):
            command = [sys.executable, "-m", "benchmarks.bench_scale", "--one", kind, str(number)]
            try:
                subprocess.run(
                    command, cwd=Path(__file__).parent.parent, timeout=options.seconds, stderr=subprocess.DEVNULL,
                    env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                print(f"| {kind} | {number} | given up after {options.seconds:g} s | |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

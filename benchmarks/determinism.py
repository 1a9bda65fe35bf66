"""The same input gives the same bytes: the catalogue under other hash seeds, numbers of threads, and interpreters.

    python -m benchmarks.determinism [--python /path/to/another/python ...]

Every graph of the catalogue is derived under AdamW and SGD in a process of its own for each hash seed and number of
threads, and once more by every other interpreter (another Python, another version of sympy), and all that is written
of it (graph, solution in every format, every explanation, the emitted source) is compared byte by byte.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import scalerules as sr
from scalerules.catalogue import catalogue as names

ROOT = Path(__file__).parent.parent
OPTIMIZERS = ("adamw", "sgd")
SEEDS, THREADS = ("0", "1", "4242"), ("1", "2")
CODE = "from benchmarks.determinism import catalogue; catalogue()"


def texts(graph: sr.Graph, **asked: Any) -> list[str]:
    """Everything that is written of a graph and of its solution."""
    solution = sr.derive(graph, **asked)
    explained = [solution.explain(parameter) for parameter in solution.parameters]
    written = [solution.to_json(), solution.to_markdown(), solution.to_latex(), sr.emit(solution)]
    return [graph.to_yaml(), graph.to_json(), *written, *map(str, explained)]


def told(parts: Iterable[str]) -> str:
    """A hash of each text."""
    return " ".join(hashlib.sha256(part.encode()).hexdigest()[:12] for part in parts)


def catalogue() -> None:
    """Prints the hashes of every graph and optimizer."""
    for name, optimizer in product(names(), OPTIMIZERS):
        print(name, optimizer, told(texts(sr.graph(name), optimizer=optimizer)), flush=True)


def printed(code: str, settings: Sequence[tuple[str, str]], python: str = sys.executable) -> list[list[str]]:
    """What processes print at the same time, each with a hash seed and a number of threads."""
    processes = [
        subprocess.Popen([python, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=_environment(*setting))
        for setting in settings
    ]
    return [process.communicate()[0].splitlines() for process in processes]


def _environment(seed: str, threads: str) -> Mapping[str, str]:
    return {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares all processes with the first; prints how many texts differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], help="another interpreter that has the dependencies")
    options = parser.parse_args(arguments)
    runs = [(sys.executable, *setting) for setting in product(SEEDS, THREADS)]
    runs += [(python, SEEDS[0], THREADS[0]) for python in options.python]
    first: list[str] | None = None
    differing = 0
    for python, seed, threads in runs:
        (lines,) = printed(CODE, [(seed, threads)], python)
        first = first or lines
        count = sum(len(line.split()) - 2 for line in lines)
        other = [now.split()[:2] for was, now in zip(first, lines, strict=True) if was != now]
        differing += len(other)
        said = f"{python}, hash seed {seed}, {threads} threads: {len(lines)} solutions, {count} texts"
        print(f"{said}; differing: {other or 'none'}", flush=True)
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())

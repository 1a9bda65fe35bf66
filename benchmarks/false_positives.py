"""How often a verification of right rules is no `agrees`, and one of a fault no `does not agree`.

    python -m benchmarks.false_positives [--cases 100] [--seed 0] [--faults 28] [--minutes 60] [--json FILE]

Cases are drawn: an architecture with random options, an optimizer, seeds that no other case has; sizes are modest, a
factor of eight. Rules are derived, trained and judged as `scalerules verify` does. Prints one line per case and the
table that docs/verify.md shows.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import scalerules as sr

from . import faults

OPTIMIZERS = ("adamw", "sgd", "lion", "momentum", "rmsprop", "muon")
SMALL = (32, 64, 128, 256)


def right(random: random.Random) -> tuple[str, sr.Graph, str, tuple[int, ...]]:
    """An architecture, an optimizer that it can be trained with, and sizes."""
    name = random.choice(("mlp", "mlp", "mlp", "tied", "transformer", "llama", "vit", "convnet", "moe", "mamba"))
    optimizer = random.choice(OPTIMIZERS if name in ("mlp", "tied") else OPTIMIZERS[:3])
    if name == "mlp":
        options = {"activation": random.choice(("relu", "tanh", "gelu", "silu")), "hidden": random.choice((1, 2, 3))}
        return f"mlp {options['hidden']} {options['activation']}", sr.graph("mlp", **options), optimizer, SMALL
    if name == "tied":
        return name, faults.tied(), optimizer, SMALL
    if name == "mamba":
        return name, sr.graph(name), random.choice(("adamw", "sgd")), (64, 128, 256)
    return name, sr.graph(name), optimizer, SMALL[:3]


def row(kind: str, name: str, optimizer: str, seed: int, report: Any, seconds: float) -> dict[str, Any]:
    """What is kept of a report."""
    doubted = report.wrong + report.open
    off = [f"{r.quantity} {r.node} {r.step}: {r.status} {r.excess:+.2f} ± {r.width:.2f}" for r in doubted]
    return {
        "kind": kind, "case": name, "optimizer": optimizer, "seed": seed, "conclusion": report.conclusion,
        "rows": len(report.rows), "wrong": len(report.wrong), "open": len(report.open), "looks": report.looks,
        "detects": report.typical, "off": off[:3], "seconds": round(seconds, 2),
    }  # fmt: skip


def cases(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row after the other."""
    draw = random.Random(options.seed)
    solutions: dict[Any, Any] = {}
    for index in range(options.cases):
        name, graph, optimizer, sizes = right(draw)
        key = (name, optimizer)
        solution = solutions.setdefault(key, None) or sr.derive(graph, optimizer=optimizer)
        solutions[key] = solution
        seed = 10_000 * (options.seed + 1) + 100 * index
        start = time.process_time()
        report = sr.verify(graph, solution, sizes=sizes, seed=seed, progress=False)
        yield row("right", name, optimizer, seed, report, time.process_time() - start)
    planted = [case for optimizer in ("adamw", "sgd") for case in faults.cases(optimizer)] if options.faults else []
    for index in range(options.faults):
        name, graph, solution = planted[index % len(planted)]
        seed = 10_000_000 + 100 * index
        start = time.process_time()
        report = sr.verify(graph, solution, sizes=(64, 128, 256), seed=seed, progress=False)
        yield row("fault", name, solution.optimizer, seed, report, time.process_time() - start)


def main() -> int:
    """Prints every case and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--faults", type=int, default=28)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--json", help="appends one line per case")
    options = parser.parse_args()
    start, found = time.monotonic(), list[dict[str, Any]]()
    try:
        for case in cases(options):
            found.append(case)
            done = f"{len(found)}/{options.cases + options.faults}"
            print(f"{done:8} {case['kind']:6} {case['optimizer']:9} {case['case']:32} {case['conclusion']:15} "
                  f"{case['seconds']:6.1f} s  {'; '.join(case['off'])}", flush=True)  # fmt: skip
            if options.json:
                with open(options.json, "a") as file:
                    file.write(json.dumps(case) + "\n")
            if time.monotonic() - start > 60 * options.minutes:
                break
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    for kind in ("right", "fault"):
        counts = Counter(case["conclusion"] for case in found if case["kind"] == kind)
        print(f"{kind}: {sum(counts.values())} cases; " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

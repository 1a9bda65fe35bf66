"""Rules of which one size of one parameter is 1/2 off: how many are noticed, by optimizer.

    python -m benchmarks.perturbed [--graphs mlp,transformer] [--optimizers adamw,sgd] [--sizes 64,128,256,512]
        [--what lr+,lr-,init+,init-] [--minutes 60] [--json FILE]

Prints a line for each that is not noticed, and the table that docs/verify.md shows. Parameters that nothing depends on,
and initial values that are fixed numbers, are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import scalerules as sr

SHIFTS = {"lr+": ("lr", "1/2"), "lr-": ("lr", "-1/2"), "init+": ("init", "1/2"), "init-": ("init", "-1/2")}


def perturbed(solution: sr.Solution, graph: sr.Graph, kinds: list[str]) -> Iterator[tuple[str, str, sr.Solution]]:
    """(kind, parameter, rule with that size off) along the first scale that grows."""
    scale = next(name for name, growth in solution.direction.items() if growth)
    for name, rule in solution.parameters.items():
        for kind in kinds:
            field, shift = SHIFTS[kind]
            parameter = graph.parameters[name]
            if parameter.trained if field == "lr" else parameter.init == "normal":
                size = Fraction(str(getattr(rule, field)[scale])) + Fraction(shift)
                yield kind, name, solution.changed(name, **{field: {scale: str(size)}})


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row for each perturbed rule."""
    sizes = [float(size) for size in options.sizes.split(",")]
    for name in options.graphs.split(","):
        graph = sr.graph(name)
        for optimizer in options.optimizers.split(","):
            solution = sr.derive(graph, optimizer=optimizer)
            for kind, parameter, rule in perturbed(solution, graph, options.what.split(",")):
                start = time.process_time()
                report = sr.verify(graph, rule, sizes=sizes, progress=False)
                if parameter in report.silent:
                    continue
                yield {
                    "graph": name, "optimizer": optimizer, "kind": kind, "parameter": parameter,
                    "conclusion": report.conclusion, "refuted": report.refuted, "wrong": len(report.wrong),
                    "seconds": round(time.process_time() - start, 2),
                }  # fmt: skip


def main() -> int:
    """Prints what is not noticed, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", default="mlp,transformer")
    parser.add_argument("--optimizers", default="adamw,sgd")
    parser.add_argument("--sizes", default="64,128,256,512")
    parser.add_argument("--what", default=",".join(SHIFTS))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--json", help="appends one line per rule")
    options = parser.parse_args()
    begun = time.monotonic()
    counts: Counter[tuple[str, str, str]] = Counter()
    for row in measured(options):
        noticed = row["conclusion"] == "does not agree"
        counts[row["optimizer"], row["kind"], "all"] += 1
        counts[row["optimizer"], row["kind"], "noticed"] += noticed
        counts[row["optimizer"], row["kind"], "by goals"] += bool(row["refuted"])
        if not noticed:
            print("not noticed:", row, flush=True)
        if options.json:
            with open(options.json, "a") as file:
                file.write(json.dumps(row) + "\n")
        if time.monotonic() - begun > 60 * options.minutes:
            break
    for optimizer, kind in dict.fromkeys(key[:2] for key in counts):
        whole, found, goals = (counts[optimizer, kind, what] for what in ("all", "noticed", "by goals"))
        print(f"| {optimizer} | {kind} 1/2 | {found} of {whole} | {goals} by goals alone |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

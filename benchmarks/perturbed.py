"""Rules of which one size of one parameter is 1/2 off: how many are noticed, by optimizer.

    python -m benchmarks.perturbed [--graphs mlp,transformer] [--optimizers adamw,sgd] [--sizes 64,128,256,512]
        [--what lr+,lr-,init+,init-] [--minutes 600] [--store FILE]

Prints a line for each that is not noticed, and the table that docs/verify.md shows. Parameters that nothing depends on,
and initial values that are fixed numbers, are left out. With `--store` the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial

import scalerules as sr

from .stored import Row, Store

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


def jobs(options: argparse.Namespace) -> dict[str, Callable[[], Row]]:
    """What measures each perturbed rule, by name."""
    sizes = [float(size) for size in options.sizes.split(",")]
    found: dict[str, Callable[[], Row]] = {}
    for name in options.graphs.split(","):
        graph = sr.graph(name)
        for optimizer in options.optimizers.split(","):
            solution = sr.derive(graph, optimizer=optimizer)
            for kind, parameter, rule in perturbed(solution, graph, options.what.split(",")):
                found[f"{name} {optimizer} {kind} {parameter}"] = partial(measured, graph, kind, parameter, rule, sizes)
    return found


def measured(graph: sr.Graph, kind: str, parameter: str, rule: sr.Solution, sizes: list[float]) -> Row:
    """What becomes of a perturbed rule."""
    report = sr.verify(graph, rule, sizes=sizes, progress=False, jobs=1)
    return {
        "optimizer": rule.optimizer, "kind": kind, "silent": parameter in report.silent, "looks": report.looks,
        "conclusion": report.conclusion, "refuted": report.refuted, "wrong": len(report.wrong),
        "open": len(report.open),
    }  # fmt: skip


def main() -> int:
    """Prints what is not noticed, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", default="mlp,transformer")
    parser.add_argument("--optimizers", default="adamw,sgd")
    parser.add_argument("--sizes", default="64,128,256,512")
    parser.add_argument("--what", default=",".join(SHIFTS))
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--store", help="a file of JSON lines that keeps every rule")
    options = parser.parse_args()
    counts: Counter[tuple[str, str, str]] = Counter()
    for done, row in Store(options.store).all(jobs(options), options.minutes):
        noticed = row["conclusion"] == "does not agree"
        if row["silent"]:
            continue
        key = row["optimizer"], row["kind"]
        counts.update({(*key, "all"): 1, (*key, "noticed"): noticed, (*key, "by goals"): bool(row["refuted"])})
        if not noticed:
            print(f"{done} not noticed: {row}", flush=True)
    for optimizer, kind in dict.fromkeys(key[:2] for key in counts):
        whole, found, goals = (counts[optimizer, kind, what] for what in ("all", "noticed", "by goals"))
        print(f"| {optimizer} | {kind} 1/2 | {found} of {whole} | {goals} by goals alone |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

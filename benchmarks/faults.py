"""Seven planted faults, each trained and held against the sizes that are derived: `python benchmarks/faults.py`.

Prints a row per fault and optimizer: the verdict (False is right), how many quantities disagree, and the clearest one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from fractions import Fraction

import scalerules as sr

WIDTH = "width"


def rate(solution: sr.Solution, name: str, exponent: str) -> sr.Solution:
    """The solution with another learning-rate exponent of one parameter."""
    return solution.changed(name, lr={WIDTH: exponent})


def standard(solution: sr.Solution) -> sr.Solution:
    """Standard parametrization: std 1/sqrt(fan_in) everywhere, one rate, constant over widths."""
    for name, rule in solution.parameters.items():
        sizes = {"lr": {WIDTH: "0"}}
        if name == "output":
            sizes["init"] = {WIDTH: "-1/2"}
        solution = solution.changed(name, **sizes)
        del rule
    return solution


def one_rate(solution: sr.Solution) -> sr.Solution:
    """The right initialisation, one rate for all."""
    for name in solution.parameters:
        solution = rate(solution, name, "0")
    return solution


def isolated(solution: sr.Solution) -> sr.Solution:
    """B and C of the scan start at width**-1/2, as the analysis of one isolated step says."""
    for name in ("W_B", "W_C"):
        solution = solution.changed(name, init={WIDTH: "-1/2"})
    return solution


def tied() -> sr.Graph:
    """Logits read the embedding again, behind a free multiplier."""
    g = sr.Builder("tied", axes={"batch": 16, "vocab": 32, "n": "width"}, loss="cross_entropy")
    tokens = g.input("tokens", "batch vocab", kind="tokens")
    g.parameter("W_E", "vocab n")
    x = g.einsum("embedding", "b v, v n -> b n", tokens, parameters=("W_E",))
    h = g.relu(g.dense("h", x, "n n"))
    dots = g.einsum("dots", "b n, v n -> b v", h, parameters=("W_E",))
    return g.build(g.scale("logits", dots, free=True))


def cases(optimizer: str) -> Iterator[tuple[str, sr.Graph, sr.Solution]]:
    """Name, graph and faulty solution of every fault; the sizes inside are those of the right solution."""
    mlp, transformer, mamba, tied_graph = sr.graph("mlp"), sr.graph("transformer"), sr.graph("mamba"), tied()
    rules = {g.name: sr.derive(g, optimizer=optimizer) for g in (mlp, transformer, mamba, tied_graph)}
    root = rules["transformer"].changed(multipliers={"attention.scores": {WIDTH: "-1/2"}})
    yield "attention 1/sqrt(d)", transformer, root
    yield "standard parametrization", mlp, standard(rules["mlp"])
    yield "output init -1/2", mlp, rules["mlp"].changed("output", init={WIDTH: "-1/2"})
    yield "one rate", mlp, one_rate(rules["mlp"])
    unscaled = Fraction(str(rules["mlp"]["h1"].lr[WIDTH])) + 1
    yield "one hidden rate unscaled", mlp, rate(rules["mlp"], "h1", str(unscaled))
    yield "B and C at the isolated init", mamba, isolated(rules["mamba"])
    yield "tied output without multiplier", tied_graph, rules["tied"].changed(multipliers={"logits": {WIDTH: "0"}})


def main() -> int:
    """Runs all; exit status 1 if a fault is not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="64,128,256,512,1024")
    parser.add_argument("--optimizers", default="adamw,sgd")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    missed = 0
    for optimizer in options.optimizers.split(","):
        for name, graph, faulty in cases(optimizer):
            report = sr.verify(graph, faulty, sizes=sizes, progress=False)
            wrong = [row for row in report.rows if not row.agrees]
            missed += bool(report.verdict)
            worst = max(wrong, key=lambda row: abs((row.slope or 0) - float(row.predicted or 0)), default=None)
            where = f"{worst.quantity} {worst.node} step {worst.step}" if worst else ""
            shown = f"{where}: {worst.predicted} -> {worst.slope:.2f}" if worst else ""
            counted = f"{len(wrong):4}/{len(report.rows)}"
            print(f"{optimizer:6} {name:32} verdict {report.verdict!s:5} {counted}  {shown}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

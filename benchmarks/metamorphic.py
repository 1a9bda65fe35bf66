"""One graph written in other ways has one rule: the catalogue and random graphs, under three optimizers.

    python -m benchmarks.metamorphic [WORD ...] [--graphs 100] [--store FILE] [--minutes 600]

Each graph is written again with other names, in another order, with identities behind what is read, with matrices read
through views, with its rule in other gauges, and with a factor behind a layer against the same in front of it.
Prints what differs, and the table that docs/theory.md sums up. With `--store` the same command goes on where it was
stopped.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache, partial
from typing import Any

import scalerules as sr
from scalerules.errors import Clash
from scalerules.measurement.fuzzing.random_graphs import draw
from scalerules.measurement.fuzzing.variants import CHANGES, Document, nodes_of, written

from .stored import Row, Store

OPTIMIZERS = ("adamw", "sgd", "muon")
CATALOGUE = ("convnet", "fourier", "hybrid", "llama", "lora", "lru", "mamba", "mamba2", "mlp", "moe", "s4d", "s5",
       "sparse", "transformer", "vit")  # fmt: skip


def _layer(document: Document) -> tuple[dict[str, Any], str, dict[str, Any]] | None:
    """One of the einsums that read one value with data and one random matrix that nothing else reads.

    None that a layer reads: a factor between two layers is the later one's, which is another gauge of one function.
    """
    found: list[tuple[dict[str, Any], str, dict[str, Any]]] = []
    for scope, name, node in nodes_of(document):
        parameters = node.get("parameters", ())
        if node["op"] == "einsum" and len(node.get("inputs", ())) == len(parameters) == 1:
            held = document["parameters"][parameters[0]]
            uses = sum(parameters[0] in other.get("parameters", ()) for _, _, other in nodes_of(document))
            between = any(name in other.get("inputs", ()) and _multiplies(other) for _, _, other in nodes_of(document))
            if uses == 1 and not between and held.get("init", "normal") == "normal" and held.get("trained", True):
                found.append((scope, name, node))
    return random.Random(document["name"]).choice(found) if found else None


def _multiplies(node: dict[str, Any]) -> bool:
    """Whether a node multiplies one value with parameters."""
    return node["op"] == "einsum" and len(node["inputs"]) == 1 and bool(node.get("parameters"))


def _factor(document: Document) -> str:
    """An axis that grows, to the power -1/2."""
    return next(f"{name}^(-1/2)" for name, length in document["axes"].items() if not str(length).isdigit())


def behind(document: Document) -> Document:
    """A factor behind a layer."""
    layer = _layer(document)
    if layer:
        scope, name, node = layer
        scope[f"{name}.unscaled"] = dict(node)
        node.clear()
        node.update({"op": "scale", "inputs": [f"{name}.unscaled"], "factor": _factor(document)})
    return document


def in_front(document: Document) -> Document:
    """The same factor in front of the layer."""
    layer = _layer(document)
    if layer:
        scope, name, node = layer
        scope[f"{name}.scaled"] = {"op": "scale", "inputs": list(node["inputs"]), "factor": _factor(document)}
        node["inputs"] = [f"{name}.scaled"]
    return document


GAUGES = ("table8", "table9", "ntk")


Rules = tuple[list[tuple[Fraction, ...]], list[Fraction]] | str
"""Initial size and rate of every parameter in order, and the free factors; or that there is no rule."""


def rules(graph: sr.Graph, optimizer: str, gauge: str = "plain") -> Rules:
    """The rule of a graph; in another gauge as what it would be without multipliers."""
    try:
        solution = sr.derive(graph, optimizer=optimizer, gauge=gauge, lazy=False)
    except Clash:
        return "clash"
    power, scales = 2 if optimizer == "sgd" else 1, [s for s, growth in solution.direction.items() if growth]
    found = [(rule.init.plus(rule.mult), rule.lr.plus(rule.mult, power)) for rule in in_order(graph, solution)]
    factors = sorted(exact(exponents[s]) for exponents in solution.multipliers.values() for s in scales)
    return [tuple(exact(each[s]) for each in pair for s in scales) for pair in found], factors


def exact(number: object) -> Fraction:
    """A number of the algebra package as Python's own."""
    return Fraction(str(number))


def in_order(graph: sr.Graph, solution: sr.Solution) -> Iterator[Any]:
    """The rules of the parameters as the graph lists them."""
    return (solution.parameters[name] for name in graph.parameters if name in solution.parameters)


@cache
def _plain(text: str, optimizer: str) -> Rules:
    return rules(sr.Graph.model_validate_json(text), optimizer)


def both(graph: sr.Graph, name: str, optimizer: str) -> tuple[Rules, Rules]:
    """The rule of a graph in one way and in another."""
    if name in GAUGES:
        return rules(graph, optimizer, name), _plain(graph.to_json(), optimizer)
    if name == "in front":
        return rules(written(graph, in_front), optimizer), rules(written(graph, behind), optimizer)
    return rules(written(graph, CHANGES[name]), optimizer), _plain(graph.to_json(), optimizer)


def job(graph: Callable[[], sr.Graph], name: str, optimizer: str) -> Row:
    """Whether both are the same rule, and what differs."""
    one, other = both(graph(), name, optimizer)
    differs = "" if one == other else f"{_shown(one)} against {_shown(other)}"
    return {"change": name, "optimizer": optimizer, "same": one == other, "clash": other == "clash", "differs": differs}


def _shown(rule: Rules) -> str:
    return rule if isinstance(rule, str) else " ".join(",".join(map(str, each)) for each in [*rule[0], rule[1]])


def main() -> int:
    """Prints what differs, and a table; status 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="cases whose names contain one of them")
    parser.add_argument("--graphs", type=int, default=100, help="random graphs, beside the catalogue")
    parser.add_argument("--store", help="a file of JSON lines that keeps every case")
    parser.add_argument("--minutes", type=float, default=600)
    options = parser.parse_args()
    graphs: dict[str, Callable[[], sr.Graph]] = {name: partial(sr.graph, name) for name in CATALOGUE}
    graphs |= {f"random graph {seed}": partial(draw, seed) for seed in range(100, 100 + options.graphs)}
    jobs = {
        f"{title}, {name}, {optimizer}": partial(job, graph, name, optimizer)
        for title, graph in graphs.items() for optimizer in OPTIMIZERS for name in (*CHANGES, "in front", *GAUGES)
    }  # fmt: skip
    chosen = {n: each for n, each in jobs.items() if not options.words or any(word in n for word in options.words)}
    counts: Counter[tuple[bool, str, str]] = Counter()
    for done, row in Store(options.store).all(chosen, options.minutes):
        counts[row["name"].startswith("random"), row["change"], "same" if row["same"] else "differs"] += 1
        if not row["same"]:
            print(f"{done} {row['name']}: {row['differs']}", flush=True)
    for drawn, title in ((False, "catalogue"), (True, "random graphs")):
        for name in (*CHANGES, "in front", *GAUGES):
            same, differs = (counts[drawn, name, what] for what in ("same", "differs"))
            print(f"| {title} | {name} | {same} of {same + differs} |")
    return 1 if any(what == "differs" for _, _, what in counts) else 0


if __name__ == "__main__":
    sys.exit(main())

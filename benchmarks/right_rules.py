"""Rules that are held to be right, by name: the catalogue along its scales, every optimizer, graphs written otherwise.

`false_positives.py` gives them to `verify`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import scalerules as sr
from scalerules.measurement.fuzzing.random_graphs import draw

from . import faults, wrong_rules

Direction = Mapping[str, str | int]
WIDTH: Direction = {"width": 1}
FACTORS = (1, 2, 4, 8)
CATALOGUE: list[tuple[str, Mapping[str, Any], Direction]] = [
    *((name, {}, WIDTH) for name in ("mlp", "convnet", "transformer", "llama", "vit", "sparse", "moe", "lora")),
    *((name, {}, WIDTH) for name in ("fourier", "s4d", "s5", "lru", "mamba", "mamba2", "hybrid")),
    ("transformer", {"tied": True}, WIDTH),
    ("transformer", {"zero_query": True}, WIDTH),
    ("transformer", {"zero_query": True, "zero_output": True}, WIDTH),
    ("moe", {"routing": "dense", "shared": False}, WIDTH),
    ("moe", {"shared": False}, {"width": 1, "granularity": "1/2"}),
    ("s4d", {"A": "lin"}, WIDTH),
    ("mamba", {"A": "shared", "discretisation": "bilinear", "dt": "full"}, WIDTH),
    ("mamba", {"B": "fixed", "C": "fixed", "dt": "fixed"}, WIDTH),
    ("mamba2", {}, {"width": 1, "head": "1/2"}),
    ("sparse", {}, {"density": 1}),
    ("sparse", {}, {"width": 1, "density": "1/4"}),
    ("moe", {}, {"experts": 1}),
    ("moe", {"gate": "sigmoid"}, {"experts": 1, "active": 1}),
    ("lora", {}, {"rank": 1}),
    *((name, {}, {"state": 1}) for name in ("s4d", "s5", "lru", "mamba", "mamba2")),
    *((name, {}, {"depth": 1}) for name in ("transformer", "llama", "vit", "convnet", "s5")),
]  # fmt: skip
"""Graph, options and direction."""
SMALLEST: Mapping[str, float] = {"density": 0.125, "experts": 16, "state": 8, "depth": 2, "rank": 4}
"""Of the scale that leads, where it is not the graph's own."""
LAWS = ("adam", "lion", "momentum", "rmsprop", "adagrad", "adafactor", "lamb", "lars", "muon", "muon-spectral",
        "muon-match-rms", "shampoo", "soap", "kfac", "adam-atan2", "sgd(clip=fixed)")  # fmt: skip
"""Beside AdamW and SGD."""
MAIN = ("adamw", "sgd")
DRAWN = range(200, 212)
"""Seeds of random graphs."""


@dataclass(frozen=True)
class Right:
    """A graph, how it is trained, and along which direction it grows from which size."""

    graph: Callable[[], sr.Graph]
    optimizer: str
    direction: Direction
    smallest: float | None = None

    def solved(self) -> tuple[sr.Graph, sr.Solution, list[float]]:
        """The graph, its rule, and the sizes to measure at."""
        graph = self.graph()
        solution = sr.derive(graph, optimizer=self.optimizer, scales=self.direction)
        leading = next(iter(self.direction))
        smallest = self.smallest or SMALLEST.get(leading) or graph.base_sizes()[leading]
        return graph, solution, [smallest * factor for factor in FACTORS]


def titled(name: str, options: Mapping[str, Any], direction: Direction) -> str:
    """A name of a graph with its options, and what grows."""
    chosen = " ".join(f"{key}={value}".lower() for key, value in options.items())
    grows = ", ".join(key if value == 1 else f"{key}^{value}" for key, value in direction.items())
    return " ".join(part for part in (name, chosen, "" if grows == "width" else f"along {grows}") if part)


def catalogue(optimizers: tuple[str, ...] = MAIN) -> Iterator[tuple[str, Right]]:
    """Every graph of the catalogue, along its scales."""
    for name, options, direction in CATALOGUE:
        for optimizer in optimizers:

            def graph(name: str = name, options: Mapping[str, Any] = options) -> sr.Graph:
                return sr.graph(name, **options)

            yield f"{titled(name, options, direction)}, {optimizer}", Right(graph, optimizer, direction)


def laws() -> Iterator[tuple[str, Right]]:
    """Three graphs with every other optimizer: a perceptron, a tied table, and attention."""
    graphs = {"mlp": lambda: sr.graph("mlp", activation="gelu"), "tied": faults.tied,
              "transformer": lambda: sr.graph("transformer")}  # fmt: skip
    for name, graph in graphs.items():
        for optimizer in LAWS:
            yield f"{name}, {optimizer}", Right(graph, optimizer, WIDTH)


def written() -> Iterator[tuple[str, Right]]:
    """The graphs of rules that were wrong once, and random ones."""
    for name, case in wrong_rules.CASES.items():
        for optimizer in MAIN:
            yield f"{name}, {optimizer}", Right(case.graph, optimizer, {case.scale: 1})
    for seed in DRAWN:
        optimizer = ("adamw", "sgd", "muon")[seed % 3]
        yield f"random graph {seed}, {optimizer}", Right(lambda seed=seed: draw(seed), optimizer, WIDTH, 64)


KINDS: Mapping[str, Callable[[], Iterator[tuple[str, Right]]]] = {
    "catalogue": catalogue, "laws": laws, "written": written
}  # fmt: skip

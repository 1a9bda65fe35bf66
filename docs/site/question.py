"""What the pages of an architecture ask of the engine: a row of switches each, as data."""

from __future__ import annotations

from dataclasses import dataclass

from scalerules.architecture.graph import Graph
from scalerules.catalogue.graphs import graph
from scalerules.derivation.gauges.gauge import GAUGES

OPTIMIZERS = ("adam", "sgd", "muon")
"""One optimizer of each kind: entrywise, gradient, spectral; the page of each other one says which it goes with."""
MODES = ("joint", "isolated")


@dataclass(frozen=True)
class Asked:
    """One derivation: the architecture, and the state of the switches. `scales` are those that grow, with rate 1."""

    graph: str
    optimizer: str
    mode: str
    gauge: str
    scales: tuple[str, ...]

    @property
    def key(self) -> str:
        """The switches as the script of a page looks them up."""
        return "|".join((self.optimizer, self.mode, self.gauge, "+".join(self.scales)))

    @property
    def command(self) -> str:
        """What prints the same on the command line."""
        words = ["scalerules derive", self.graph, f"--optimizer {self.optimizer}"]
        words += [f"--mode {self.mode}"] if self.mode != "joint" else []
        words += [f"--gauge {self.gauge}"] if self.gauge != "plain" else []
        words += [f"--scale {scale}" for scale in self.scales] if self.scales != usual(graph(self.graph)) else []
        return " ".join(words)


def usual(built: Graph) -> tuple[str, ...]:
    """The scales that grow by default."""
    return tuple(scale for scale, growth in built.scales.items() if growth)


def directions(built: Graph) -> list[tuple[str, ...]]:
    """The default, and the default with each further scale."""
    first = usual(built)
    return [first, *((*first, scale) for scale in built.scales if scale not in first)]


def asked_of(name: str) -> list[Asked]:
    """What the page of an architecture asks: every optimizer and mode; gauges and further scales under the first."""
    first, *further = directions(graph(name))
    found = [Asked(name, optimizer, mode, "plain", first) for optimizer in OPTIMIZERS for mode in MODES]
    found += [Asked(name, OPTIMIZERS[0], "joint", gauge, first) for gauge in GAUGES if gauge != "plain"]
    return found + [Asked(name, OPTIMIZERS[0], "joint", "plain", scales) for scales in further]

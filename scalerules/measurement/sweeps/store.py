"""Runs of a sweep as data, and the file in which every finished one is kept (SQLite).

A run's key is a hash of all that its result depends on, so a sweep that is started again, or another one that shares
runs with it (all parametrizations agree at the base size), takes them from the file.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scalerules.architecture.graph import Graph
from scalerules.sizes.exponents import Exponents
from scalerules.solution.solution import Solution

from ..kept_file import KeptFile

REVISION = 1
"""Counts changes of the training that make earlier results another thing."""
VERSION = 1
"""That of the file's tables; a file of a newer one is not touched."""


@dataclass(frozen=True)
class Job:
    """One training run: `sizes` and `base` are values of the scales, `lr` the rate at the base size.

    `data` is a source of batches (`backends/training/real_data.py`).
    """

    graph: Graph
    solution: Solution
    sizes: Mapping[str, float]
    base: Mapping[str, float]
    lr: float
    seed: int
    steps: int
    data: Any
    schedule: str = "linear"
    weight_decay: float = 0.0

    @property
    def key(self) -> str:
        """The hash of everything that the result depends on: exponents enter as the numbers that they give here."""
        facts = {
            "revision": REVISION, "graph": self.graph.to_dict(), "optimizer": self.solution.optimizer,
            "numbers": numbers_of(self.solution, self.sizes, self.base), "sizes": texts(self.sizes),
            "base": texts(self.base), "lr": f"{self.lr:.12g}", "seed": self.seed, "steps": self.steps,
            "data": getattr(self.data, "name", repr(self.data)), "schedule": self.schedule,
            "weight_decay": f"{self.weight_decay:.12g}",
        }  # fmt: skip
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


class AnyJob(Protocol):
    """A run: of a graph, or of a training loop of one's own. `lr` is the value of what is swept."""

    @property
    def graph(self) -> Graph: ...
    @property
    def sizes(self) -> Mapping[str, float]: ...
    @property
    def lr(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def key(self) -> str: ...


@dataclass(frozen=True)
class Outcome:
    """What came of a run: the loss on held-out data (infinite if it is not finite), and that before every step.

    `diverged`: a loss was not finite, or the last one is above the first. `seconds` are those of the processor.
    """

    loss: float
    diverged: bool
    history: tuple[float, ...]
    seconds: float


def texts(values: Mapping[str, float]) -> dict[str, str]:
    """Values of scales in the form in which a run is known by them."""
    return {name: f"{value:.12g}" for name, value in values.items()}


def numbers_of(solution: Solution, sizes: Mapping[str, float], base: Mapping[str, float]) -> dict[str, list[str]]:
    """The factors by which every number of the base size is multiplied."""
    ratios = {scale: sizes[scale] / base[scale] for scale in sizes}

    def factors(*exponents: Exponents) -> list[str]:
        return [f"{e.change(ratios):.12g}" for e in exponents]

    parameters = {name: factors(r.mult, r.init, r.lr, r.eps, r.wd) for name, r in solution.parameters.items()}
    return parameters | {f"factor {name}": factors(e) for name, e in solution.multipliers.items()}


TABLES = (
    "runs (key TEXT PRIMARY KEY, said TEXT NOT NULL, loss REAL, diverged INTEGER NOT NULL, history TEXT NOT NULL, "
    "seconds REAL NOT NULL, finished REAL NOT NULL)",
    "starts (key TEXT NOT NULL, started REAL NOT NULL)",
)


class Store:
    """The finished runs in a file, or in memory for this call where no file is named."""

    def __init__(self, path: str | Path | None = None) -> None:
        self._kept = KeptFile(path, VERSION, TABLES)

    def start(self, keys: Iterable[str]) -> None:
        """Notes that these runs are about to be made."""
        now = time.time()
        self._kept.write("INSERT INTO starts VALUES (?, ?)", [(key, now) for key in keys])

    def add(self, job: AnyJob, outcome: Outcome) -> None:
        """Keeps the outcome of a run; it is on the disk when this returns."""
        said = {"graph": job.graph.name, "sizes": dict(job.sizes), "lr": job.lr, "seed": job.seed, "steps": job.steps}
        loss = outcome.loss if math.isfinite(outcome.loss) else None
        history = json.dumps([round(x, 6) if math.isfinite(x) else None for x in outcome.history])
        row = (job.key, json.dumps(said), loss, int(outcome.diverged), history, outcome.seconds, time.time())
        self._kept.write("INSERT OR IGNORE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", [row])

    def get(self, key: str) -> Outcome | None:
        """The outcome of a finished run."""
        rows = self._kept.read("SELECT loss, diverged, history, seconds FROM runs WHERE key = ?", key)
        if not rows:
            return None
        loss, diverged, history, seconds = rows[0]
        try:
            numbers = tuple(math.inf if x is None else float(x) for x in json.loads(history))
            return Outcome(math.inf if loss is None else float(loss), bool(diverged), numbers, float(seconds))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise self._kept.unreadable(key, error) from None

    def close(self) -> None:
        """Closes the file."""
        self._kept.close()

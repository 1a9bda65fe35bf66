"""Outcomes of fuzzing in a file: what was stopped or killed goes on where it was, nothing lost and nothing twice."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError

from ..kept_file import KeptFile
from .findings import Outcome

VERSION = 1
"""That of the file's table; a file of a newer one is not touched."""
TABLES = ("outcomes (key TEXT PRIMARY KEY, said TEXT NOT NULL, finished REAL NOT NULL)",)


@dataclass(frozen=True)
class Examination:
    """What is done to one graph: all that its outcome depends on."""

    graph: Graph
    seed: int
    optimizer: str
    mode: str
    sizes: tuple[float, ...]
    smallest: bool
    rule: str
    """The name of what derives."""

    @property
    def key(self) -> str:
        """The hash of it, and of the engine: what another engine found says nothing of this one."""
        asked = [self.seed, self.optimizer, self.mode, self.sizes, self.smallest, self.rule]
        facts = [engine(), self.graph.to_dict(), *asked]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


@cache
def engine() -> str:
    """A hash of the sources that derive and measure."""
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


class Kept:
    """The outcomes in a file, or in memory for this call where no file is named."""

    def __init__(self, path: str | Path | None) -> None:
        self._kept = KeptFile(path, VERSION, TABLES)

    def get(self, asked: Examination) -> Outcome | None:
        """What became of a graph before."""
        rows = self._kept.read("SELECT said FROM outcomes WHERE key = ?", asked.key)
        if not rows:
            return None
        try:
            return Outcome.from_dict(json.loads(rows[0][0]), asked.graph)
        except (ScaleRulesError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise self._kept.unreadable(asked.key, error) from None

    def add(self, asked: Examination, outcome: Outcome) -> None:
        """Keeps what became of a graph; it is on the disk when this returns."""
        row = (asked.key, json.dumps(outcome.to_dict()), time.time())
        self._kept.write("INSERT OR IGNORE INTO outcomes VALUES (?, ?, ?)", [row])

    def close(self) -> None:
        """Closes the file."""
        self._kept.close()

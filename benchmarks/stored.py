"""The rows of a long benchmark in a file of JSON lines: the same command goes on where it was stopped."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Store:
    """Rows by name; without a path they are forgotten at the end."""

    def __init__(self, path: str | Path | None) -> None:
        self.path = Path(path) if path else None
        lines = self.path.read_text().splitlines() if self.path and self.path.exists() else []
        self.rows: dict[str, Row] = {row["name"]: row for row in map(json.loads, lines)}

    def row(self, name: str, make: Callable[[], Row]) -> Row:
        """The row of a name: as it is kept, or made and kept, with the CPU seconds of this process and its children."""
        if name not in self.rows:
            start = _cpu()
            made = make()
            self.rows[name] = {"name": name, "seconds": round(_cpu() - start, 2), **made}
            if self.path:
                with self.path.open("a") as file:
                    file.write(json.dumps(self.rows[name]) + "\n")
        return self.rows[name]

    def all(self, jobs: Mapping[str, Callable[[], Row]], minutes: float = 1e9) -> Iterator[tuple[str, Row]]:
        """(How far it is, row) of every job, until the minutes are over."""
        end = time.monotonic() + 60 * minutes
        for number, (name, make) in enumerate(jobs.items(), 1):
            if time.monotonic() > end:
                return
            yield f"{number}/{len(jobs)}", self.row(name, make)


def _cpu() -> float:
    """Seconds of CPU of this process and of its children that have ended."""
    return sum(os.times()[:4])

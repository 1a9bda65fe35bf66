"""Keeps verifications for the pages: `python -m docs.site.measure mlp transformer` writes docs/site/measured/*.json.

They take minutes, so a build reads what was kept; each says the command that gives it again.
"""

from __future__ import annotations

import json
import sys
import time

from scalerules.catalogue.graphs import graph
from scalerules.derivation import derive
from scalerules.measurement.verification.verify import verify

from .places import MEASURED

SIZES, SEEDS = (64, 128, 256, 512), 2
FIELDS = ("quantity", "node", "parameter", "step", "predicted", "slope", "stderr", "agrees", "status", "why")


def measure(name: str) -> None:
    """Verifies an architecture under adam and keeps the rows that its page shows."""
    began = time.process_time()
    report = verify(graph(name), derive(name, optimizer="adam"), sizes=list(SIZES), seeds=SEEDS)
    data = json.loads(report.to_json())
    rows = [{field: row[field] for field in FIELDS if row.get(field) not in (None, "")} | _needed(row)
            for row in data["rows"]]  # fmt: skip
    sizes = ",".join(map(str, SIZES))
    kept = {
        "command": f"scalerules verify {name} --sizes {sizes} --seeds {SEEDS}",
        "seconds": round(time.process_time() - began),
        "sizes": data["sizes"],
        "seeds": data["seeds"],
        "verdict": data["verdict"],
        "rows": rows,
    }
    (MEASURED / f"{name}.json").write_text(json.dumps(kept, separators=(",", ":")) + "\n", encoding="utf-8")


def _needed(row: dict[str, object]) -> dict[str, object]:
    """What a row has even where it is nothing, numbers with as many digits as are shown."""
    slope, error = row["slope"], row["stderr"]
    return {
        "predicted": row["predicted"],
        "slope": None if slope is None else round(float(str(slope)), 3),
        "stderr": None if error is None else round(float(str(error)), 3),
    }


if __name__ == "__main__":
    for chosen in sys.argv[1:]:
        measure(chosen)

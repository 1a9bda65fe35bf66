"""The report of a sweep: what it found, as a table, a page, JSON or a figure."""

from __future__ import annotations

import json
from typing import Any

from scalerules.boundary.files import replaced
from scalerules.measurement.figures import PAGES
from scalerules.measurement.notebook import shown

from . import views
from .curves import drift_data, row_data
from .facts import SweepFacts
from .optimum import STEP
from .page import page


class TransferReport(SweepFacts):
    """What `scalerules.transfer` returns."""

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data; what is infinite is null."""
        return {
            "graph": self.graph, "optimizer": self.optimizer, "scale": self.scale, "sizes": self.sizes,
            "seeds": self.seeds, "seeds_used": self.seeds_used, "steps": self.steps, "data": self.data,
            "schedule": self.schedule, "over": self.over, "grid_step": 2**STEP,
            "rules": [
                {"rule": rule} | drift_data(self.drifts.get(rule))
                | {"rows": [row_data(row) for row in self.rows if row.rule == rule]}
                for rule in self.rules
            ],
            "interrupted": self.interrupted, "runs_made": self.runs_made, "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1), "verdict": self.verdict,
        }  # fmt: skip

    def to_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(self.to_dict(), indent=1) + "\n"

    def to_table(self) -> Any:
        """A rich table: the optimum of each rule at each size, and the drift."""
        return views.table(self)

    def to_markdown(self) -> str:
        """The table as Markdown."""
        return views.markdown(self)

    def _repr_html_(self) -> str:
        return shown(self.to_table())

    def plot(self, path: str) -> None:
        """Draws the loss over the rate, a panel per rule and a line per size, the optimum marked; .html is one page."""
        if path.lower().endswith(PAGES):
            replaced(path, page(self, self.to_dict()).encode("utf-8"))
        else:
            views.plot(self, path)

"""The report of a verification: what it found, as a table, JSON, a figure or a page."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from scalerules.boundary.files import replaced
from scalerules.measurement.figures import PAGES
from scalerules.measurement.notebook import shown

from .facts import VerificationFacts
from .figure import plot
from .page import page
from .table import table


class Report(VerificationFacts):
    """What `scalerules.verify` returns."""

    def to_json(self) -> str:
        """The report as JSON text (see the interface; what is not in it is added)."""
        counts = Counter(r.status for r in self.rows)
        typical = self.typical
        data = {
            "graph": self.graph, "optimizer": self.optimizer, "sizes": self.sizes, "seeds": self.seeds,
            "seeds_by_size": self.seeds_by_size, "seeds_used": self.seeds_used, "looks": self.looks,
            "steps": self.steps, "learning_rate": self.rate.value, "learning_rate_note": str(self.rate),
            "interrupted": self.interrupted, "seconds": round(self.seconds, 3), "counts": dict(sorted(counts.items())),
            "silent": self.silent, "chosen": self.chosen,
            "rose": {f"{size:g}": count for size, count in self.rose.items()},
            "detects": None if typical is None else round(typical, 4),
            "rows": [r.to_dict() for r in self.rows], "verdict": self.verdict, "conclusion": self.conclusion,
            "refuted": self.refuted, "goals": [goal.to_dict() for goal in self.goals], "headline": self.headline,
            "advice": self.advice,
        }  # fmt: skip
        return json.dumps(data, indent=1) + "\n"

    def to_table(self, every: bool = False) -> Any:
        """A rich table: the verdict, what is wrong or open, a line for each kind of quantity; `every`: each row."""
        return table(self, every)

    def _repr_html_(self) -> str:
        return shown(self.to_table())

    def plot(self, path: str) -> None:
        """Draws measured sizes over the scale, divided by the predicted power: what agrees is level.

        The ending says how: .html is one interactive page, anything else what matplotlib makes of it.
        """
        if path.lower().endswith(PAGES):
            replaced(path, page(self).encode("utf-8"))
        else:
            plot(self, path)

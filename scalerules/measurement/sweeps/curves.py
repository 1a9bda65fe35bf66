"""Loss over learning rate at one size, and the rows of a report."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from .optimum import Drift, Optimum
from .own import OwnJob
from .plan import Plan
from .store import Job, Outcome

LIMIT = 0.5
"""Grid steps of sqrt(2) per doubling of the size by which an optimum may move and still be said to transfer."""


@dataclass
class Curve:
    """The runs of one rule at one size: `job` with its rates and seeds filled in; outcomes by rate and seed."""

    rule: str
    size: float
    job: Job | OwnJob
    outcomes: dict[float, dict[int, Outcome]] = field(default_factory=dict[float, dict[int, Outcome]])

    @property
    def losses(self) -> dict[float, dict[int, float]]:
        """Final losses, infinite where a run diverged."""
        return {
            lr: {seed: math.inf if o.diverged else o.loss for seed, o in by_seed.items()}
            for lr, by_seed in self.outcomes.items()
        }

    def missing(self, plan: Plan) -> list[Job | OwnJob]:
        """The runs that this curve needs next."""
        return [replace(self.job, lr=lr, seed=seed) for lr, seed in plan.missing(self.losses)]


@dataclass(frozen=True)
class Row:
    """One rule at one size: its optimum, the points that were measured, and how many runs diverged.

    `points` are (rate, loss averaged over seeds); infinite where a run diverged.
    """

    rule: str
    size: float
    optimum: Optimum
    points: tuple[tuple[float, float], ...]
    runs: int
    diverged: int


def drift_data(drift: Drift | None) -> dict[str, Any]:
    """A drift and its standard error as plain data; null where fewer than two optima were located."""
    if drift is None:
        return {"drift": None, "stderr": None}
    return {"drift": round(drift.steps, 4), "stderr": round(drift.error, 4)}


def row_data(row: Row) -> dict[str, Any]:
    """A row as plain data; what is infinite is null."""
    best = row.optimum
    return {
        "size": row.size, "lr": _number(best.lr), "log2_lr": _number(best.log2_lr), "log2_stderr": _number(best.error),
        "loss": _number(best.loss), "located": best.located, "runs": row.runs, "diverged": row.diverged,
        "points": [[lr, _number(loss)] for lr, loss in row.points],
    }  # fmt: skip


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None

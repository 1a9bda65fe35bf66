"""What a verification found, as data: rows, the verdict, how sure it is; tables, figures and JSON are made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from .edge import Rate
from .goals import GOALS, Goal, Wanted
from .judge import Key, Name, Row
from .slopes import Samples

FAULT = 0.5
"""The exponent by which faults are off, mostly: a verification that would not notice it in half of what it measures
has nothing to say."""


@dataclass(repr=False)
class VerificationFacts:
    """What was measured: a row per quantity with its verdict, and how the runs were made.

    `seeds` were asked for at the smallest size, `seeds_by_size` at each, `seeds_used` is how many were judged (twice
    as many after a second look); `samples` holds the root mean squares by key, one list per seed with one number (or
    None: not run) per size of `measured_sizes`; `rose` counts the runs whose loss rose above its start, per size.
    """

    graph: str
    optimizer: str
    sizes: list[float]
    seeds: int
    steps: int
    rate: Rate
    seeds_by_size: list[int] = field(default_factory=list[int])
    silent: list[str] = field(default_factory=list[str])
    """Parameters that nothing depends on (what reads them takes them out again): nothing of them is judged."""
    chosen: list[str] = field(default_factory=list[str])
    """Nodes whose rows trained values choose (a router): after a step they are others, and no change is measured."""
    scale: str = "size"
    """The name of the first scale, whose values `sizes` are."""
    growth: float = 1.0
    """The growth of the first scale along the direction; predicted sizes are powers of what grows as 1."""
    rows: list[Row] = field(default_factory=list[Row])
    goals: list[Goal] = field(default_factory=list[Goal])
    """What is wanted of any rule, measured without the engine's predictions."""
    samples: dict[Key, Samples] = field(default_factory=dict[Key, Samples])
    measured_sizes: list[float] = field(default_factory=list[float])
    rose: dict[float, int] = field(default_factory=dict[float, int])
    seeds_used: int = 0
    looks: int = 1
    interrupted: bool = False
    seconds: float = 0.0

    def __repr__(self) -> str:
        sizes = ", ".join(f"{size:g}" for size in self.sizes)
        return f"<verification of {self.graph}, {self.optimizer}, sizes {sizes}: {self.summary}>"

    @property
    def summary(self) -> str:
        """How many rows disagree, how many are open, and the conclusion."""
        return f"{len(self.rows)} rows, {len(self.wrong)} disagree, {len(self.open)} open: {self.conclusion}"

    @property
    def verdict(self) -> bool | None:
        """False: something disagrees, surely. None: undecided. True: all agrees, and a fault would have shown."""
        if not self.rows and not self.goals:
            return None
        if self.wrong or self.failed:
            return False
        return None if self.open or self.blunt or self.interrupted else True

    @property
    def failed(self) -> list[Goal]:
        """The goals that are not reached, surely, those that are furthest off first."""
        return sorted((g for g in self.goals if not g.row.agrees), key=lambda g: -abs(g.row.excess))

    @property
    def asked(self) -> list[Wanted]:
        """The goals that were measured."""
        measured = {goal.goal for goal in self.goals}
        return [goal for goal in GOALS if goal in measured]

    @property
    def refuted(self) -> list[Wanted]:
        """Which of `stable`, `learning`, `counts` (and `maximal`) failed, whatever the engine predicts."""
        failed = {goal.goal for goal in self.failed}
        return [goal for goal in GOALS if goal in failed]

    @property
    def conclusion(self) -> str:
        """The verdict in a word."""
        return {True: "agrees", False: "does not agree", None: "undecided"}[self.verdict]

    @property
    def headline(self) -> str:
        """The verdict, and whether what the engine predicted or what is wanted of any rule failed."""
        if self.verdict is False:
            goals = f"Not reached: {', '.join(self.refuted)}" if self.refuted else "Every goal is reached"
            rows = f"{len(self.wrong)} of {len(self.rows)} predictions fail" if self.wrong else "every prediction holds"
            hint = {
                (True, False): ": training is as predicted, and not as it should be",
                (False, True): ": training is as it should be, and not as predicted",
            }.get((bool(self.refuted), bool(self.wrong)), "")
            return f"does not agree. {goals}; {rows}{hint}"
        if self.verdict is None:
            few = f"{len(self.open)} open of {len(self.rows) + len(self.goals)}"
            blunt = f"too blunt: only an excess of {self.typical or 0:.2f} would have been noticed in half of the rows"
            return f"undecided. {few if self.open or not self.blunt else blunt}; {self.advice}"
        but = f" (but {', '.join(self.warned)}: left behind at first, as the rule warns)" if self.warned else ""
        return f"agrees. Reached: {', '.join(self.asked)}{but}; all of {len(self.rows)} predictions hold"

    @property
    def wrong(self) -> list[Row]:
        """The rows that disagree, those that are furthest off first."""
        return sorted((r for r in self.rows if not r.agrees), key=lambda r: -abs(r.excess))

    @property
    def open(self) -> list[Row]:
        """The rows that are off, but not surely."""
        rows = (*self.rows, *(goal.row for goal in self.goals))
        return sorted((r for r in rows if r.status == "undecided"), key=lambda r: -abs(r.excess))

    @property
    def warned(self) -> list[str]:
        """The parameters that do not count within these steps, of which the rule itself says so."""
        return list(dict.fromkeys(g.row.parameter or g.row.node for g in self.goals if g.row.status == "warned"))

    @property
    def power(self) -> dict[Name, float]:
        """The excess that some step would have noticed, in 95 of 100 cases, by quantity, node and parameter."""
        best: dict[Name, float] = {}
        for row in self.rows or [goal.row for goal in self.goals]:
            if row.predicted is not None and row.detects is not None:
                name = (row.quantity, row.node, row.parameter)
                best[name] = min(row.detects, best.get(name, row.detects))
        return best

    @property
    def typical(self) -> float | None:
        """The excess that would have been noticed in half of the quantities."""
        power = self.power
        return median(power.values()) if power else None

    @property
    def blunt(self) -> bool:
        """Whether a fault of 1/2 would go unnoticed in most of what was measured."""
        return self.typical is None or self.typical > FAULT

    @property
    def advice(self) -> str:
        """What would decide it; nothing where it is decided."""
        if self.verdict is not None:
            return ""
        seeds = f"--seeds {2 * max(self.seeds, self.seeds_used)}"
        sizes = f"--sizes {','.join(f'{size:g}' for size in [*self.sizes, 2 * self.sizes[-1]])}"
        if self.interrupted:
            return "it was interrupted: let it finish"
        return f"needs more seeds or sizes: {seeds}, or {sizes}"

"""What fuzzing found, as data: outcomes by graph and optimizer; a table, JSON, and files of the smallest graphs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from scalerules.architecture.graph import Graph

FINDINGS = ("disagrees", "varies", "error", "slow")
MEANING = {
    "derived": "the derivation is confirmed, and however the graph is written it has this rule",
    "agrees": "every size was measured as derived",
    "same": "the isolated rule is the joint one, which was measured",
    "undecided": "nothing is surely off, something might be",
    "saddle": "off where the solution warns of a saddle: sizes grow from step to step",
    "clash": "the equations have no solution, and it says which clash",
    "not measured": "no learning rate is stable at the base size, or the like",
    "disagrees": "a size was measured otherwise, twice",
    "varies": "written in another way the graph has another rule",
    "error": "an exception",
    "slow": "the derivation takes too long",
}


@dataclass(frozen=True)
class Outcome:
    """What became of one graph with one optimizer in one mode.

    `counts`: rows of the first measurement by status, `goals`: those that nothing was predicted for; `rows`: those that
    are wrong in the end, as (quantity or goal, node, step, parameter, predicted size, why); `smallest` is the shrunk
    graph of a finding, `said` what is found there.
    """

    kind: str
    detail: str = ""
    counts: dict[str, int] = field(default_factory=dict[str, int])
    goals: dict[str, int] = field(default_factory=dict[str, int])
    rows: tuple[tuple[Any, ...], ...] = ()
    said: str = ""
    seed: int = 0
    optimizer: str = ""
    mode: str = "joint"
    nodes: int = 0
    graph: Graph | None = None
    smallest: Graph | None = None
    seconds: float = 0.0

    def placed(self, seed: int, optimizer: str, mode: str, nodes: int, graph: Graph, smallest: Graph | None,
               seconds: float) -> Outcome:  # fmt: skip
        """The same outcome, with where it was found."""
        return replace(
            self, seed=seed, optimizer=optimizer, mode=mode, nodes=nodes, graph=graph, smallest=smallest,
            seconds=seconds,
        )  # fmt: skip

    @property
    def finding(self) -> bool:
        """Whether something is wrong, with the calculus or the measurement."""
        return self.kind in FINDINGS

    @property
    def signs(self) -> frozenset[tuple[str, str]]:
        """What disagrees: the quantity, and the first words of why (faster, smaller, not finite)."""
        return frozenset((row[0], str(row[5])[:12]) for row in self.rows)

    @property
    def name(self) -> str:
        """A name for files."""
        return f"{self.kind}-{self.seed}-{self.optimizer}{'' if self.mode == 'joint' else f'-{self.mode}'}"

    def to_dict(self) -> dict[str, Any]:
        """The outcome as JSON data; graphs of findings only."""
        data: dict[str, Any] = {
            "seed": self.seed, "optimizer": self.optimizer, "mode": self.mode, "outcome": self.kind,
            "nodes": self.nodes, "counts": self.counts, "goals": self.goals, "seconds": round(self.seconds, 2),
        }  # fmt: skip
        if self.rows:
            data["wrong"] = [list(row) for row in self.rows]
        if self.detail:
            data["detail"] = self.detail
        if self.smallest is not None:
            data |= {"smallest": self.smallest.to_dict(), "smallest_detail": self.said}
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any], graph: Graph) -> Outcome:
        """What `to_dict` wrote, of this graph."""
        counts, goals = ({str(status): int(n) for status, n in data[part].items()} for part in ("counts", "goals"))
        smallest = Graph.model_validate(data["smallest"]) if "smallest" in data else None
        outcome = cls(
            str(data["outcome"]), str(data.get("detail", "")), counts, goals, tuple(map(tuple, data.get("wrong", []))),
            said=str(data.get("smallest_detail", "")),
        )  # fmt: skip
        place = int(data["seed"]), str(data["optimizer"]), str(data["mode"]), int(data["nodes"])
        return outcome.placed(*place, graph, smallest, float(data["seconds"]))


@dataclass
class Fuzzed:
    """The outcomes of a run: `verdict` is False where a disagreement, an error or a slow derivation remains.

    `sizes` are the widths at which graphs were trained, none where they were only derived.
    """

    seed: int
    optimizers: tuple[str, ...]
    sizes: tuple[float, ...]
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    modes: tuple[str, ...] = ("joint",)
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def graphs(self) -> int:
        """How many graphs were drawn."""
        return len({outcome.seed for outcome in self.outcomes})

    @property
    def findings(self) -> list[Outcome]:
        """What is wrong, the smallest graphs first."""
        return sorted((o for o in self.outcomes if o.finding), key=lambda o: len(o.smallest.nodes) if o.smallest else 0)

    @property
    def verdict(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def kinds(self) -> Counter[str]:
        """Outcomes by kind."""
        return Counter(outcome.kind for outcome in self.outcomes)

    @property
    def compared(self) -> Counter[str]:
        """Sizes compared with their slopes, by status, in first measurements."""
        return sum((Counter(outcome.counts) for outcome in self.outcomes), Counter[str]())

    def to_json(self) -> str:
        """The report as JSON text."""
        data = {
            "seed": self.seed, "graphs": self.graphs, "optimizers": list(self.optimizers), "modes": list(self.modes),
            "sizes": list(self.sizes), "seconds": round(self.seconds, 1), "interrupted": self.interrupted,
            "outcomes": dict(self.kinds),
            "compared": dict(self.compared), "verdict": self.verdict, "rows": [o.to_dict() for o in self.outcomes],
        }  # fmt: skip
        return json.dumps(data, indent=1) + "\n"

    def to_table(self) -> str:
        """Counts, then every finding with its smallest graph as YAML."""
        rows = sum(self.compared.values())
        asked = ", ".join((*self.optimizers, *self.modes))
        first = f"{self.graphs} graphs from seed {self.seed}, {asked}: {len(self.outcomes)} runs"
        lines = [f"{first} in {self.seconds:.0f} s{', interrupted' if self.interrupted else ''}", ""]
        for kind in MEANING:
            if self.kinds[kind]:
                lines.append(f"{self.kinds[kind]:6}  {kind:<12}  {MEANING[kind]}")
        lines += ["", *self._by_question()]
        if rows:
            lines += ["", *self._shares()]
        for outcome in self.findings:
            lines += ["", *_finding(outcome)]
        return "\n".join(lines) + "\n"

    def _by_question(self) -> list[str]:
        """How many outcomes of each kind there are, by optimizer and mode."""
        kinds = [kind for kind in MEANING if self.kinds[kind]]
        lines = ["  ".join((f"{'outcomes':<20}", *kinds))]
        for optimizer, mode in product(self.optimizers, self.modes):
            counts = Counter(o.kind for o in self.outcomes if (o.optimizer, o.mode) == (optimizer, mode))
            row = (f"{counts[kind]:{len(kind)}}" for kind in kinds)
            lines.append("  ".join((f"{f'{optimizer}, {mode}':<20}", *row)))
        return lines

    def _shares(self) -> list[str]:
        """How many sizes agreed, were open or were off at the first look, by optimizer and mode."""
        lines = [f"{'sizes compared':<20} {'':>8} {'agree':>8} {'open':>8} {'off':>8}"]
        for optimizer, mode in product(self.optimizers, self.modes):
            here = [o for o in self.outcomes if (o.optimizer, o.mode) == (optimizer, mode)]
            counts = sum((Counter(outcome.counts) for outcome in here), Counter[str]())
            total, agreed, undecided = counts.total(), counts["agrees"], counts["undecided"]
            share = f" ({100 * agreed / total:.2f} % agree)" if total else ""
            off = total - agreed - undecided
            lines.append(f"{f'{optimizer}, {mode}':<20} {total:8} {agreed:8} {undecided:8} {off:8}{share}")
        return lines

    def save(self, folder: str) -> list[Path]:
        """Writes every finding's graph, as drawn and at its smallest, as YAML; the files."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        files: list[Path] = []
        for outcome in self.findings:
            for suffix, graph in (("", outcome.smallest), ("-drawn", outcome.graph)):
                if graph is not None:
                    files.append(place / f"{outcome.name}{suffix}.yaml")
                    files[-1].write_text(graph.to_yaml(), encoding="utf-8")
        return files


def _finding(outcome: Outcome) -> list[str]:
    lines = [f"# seed {outcome.seed}, {outcome.optimizer}, {outcome.mode}: {outcome.kind}, {outcome.detail}"]
    if outcome.smallest is not None:
        counted = f"{len(outcome.smallest.nodes)} of {outcome.nodes} nodes"
        lines += [f"# smallest graph, {counted}: {outcome.said}", outcome.smallest.to_yaml().rstrip()]
    return lines

"""Published scaling rules beside what the engine derives, parameter by parameter.

Nothing of a paper is known to the engine: a record names a setting, the setting is derived when the report is made,
and each printed exponent is compared. `scalerules.records` reads them, `scalerules.published_view` prints the report.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.derivation import derive
from scalerules.errors import Clash, ScaleRulesError, UnknownName
from scalerules.solution.solution import Solution

from .findings import Checked, Finding
from .records import Check, Difference, Record, Records, records
from .report import Report
from .rows import Row, alignment, classified, compared, explained, given, setting_text


def published(
    file: str | Path | None = None, *, only: Sequence[str] = (), advance: Callable[[str], None] | None = None
) -> Report:
    """Derives every record of `file` (the project's own by default) and compares it with what is printed.

    `only` are the ids of the records to look at; `advance` is called with the id of each record that is done.
    Ctrl-C ends it with what is done so far. Raises `ScaleRulesError` for a file that is not well formed.
    """
    kept = records(file)
    for name in only:
        if name not in {record.id for record in kept.records}:
            raise UnknownName("record", name, [record.id for record in kept.records])
    chosen = [record for record in kept.records if not only or record.id in only]
    findings: list[Finding] = []
    complete = False
    derive = _Deriver(kept)
    with contextlib.suppress(KeyboardInterrupt):
        for record in chosen:
            findings.append(derive.finding(record))
            if advance is not None:
                advance(record.id)
        complete = True
    return Report(tuple(findings), complete)


class _Deriver:
    """Derives the settings of one file, each once."""

    def __init__(self, kept: Records) -> None:
        self.kept = kept
        self._solutions: dict[str, Solution] = {}

    def finding(self, record: Record) -> Finding:
        began = time.process_time()
        checked = tuple(
            self._checked(check, optimizer) for check in record.checks for optimizer in check.setting.optimizer
        )
        return Finding(record, checked, time.process_time() - began)

    def _checked(self, check: Check, optimizer: str) -> Checked:
        title = setting_text(check, optimizer)
        try:
            graph = self.kept.graph(check.setting)
            rows = [explained(row, check.differs) for row in self._rows(check, optimizer, graph)]
        except Clash as clash:
            return Checked(title, (), f"clash: {'; '.join(clash.equations)}")
        except ScaleRulesError as error:
            return Checked(title, (), str(error))
        return Checked(title, tuple(rows))

    def _rows(self, check: Check, optimizer: str, graph: Graph) -> Iterator[Row]:
        if check.classifies:
            yield from classified(check, optimizer, graph)
        elif check.clash:
            yield from self._clash(check, optimizer, graph)
        else:
            solution = self._solution(check, optimizer, graph)
            yield from compared(check, solution)

    def _solution(self, check: Check, optimizer: str, graph: Graph) -> Solution:
        setting = check.setting
        key = repr((setting.model_dump(exclude={"optimizer", "gauge"}), optimizer))
        if key not in self._solutions:
            asked = {"lazy": setting.lazy, "nonlazy": setting.nonlazy}
            more: dict[str, Any] = {name: True for name, wanted in asked.items() if wanted}
            self._solutions[key] = derive(
                graph, optimizer=optimizer, mode=setting.mode, scales=setting.scales, steps=setting.steps,
                alignment=alignment(check, graph), given=given(check, graph), **more,
            )  # fmt: skip
        plain = self._solutions[key]
        return plain if setting.gauge in ("plain", "own") else plain.in_gauge(setting.gauge)

    def _clash(self, check: Check, optimizer: str, graph: Graph) -> Iterator[Row]:
        equations = ""
        try:
            self._solution(check, optimizer, graph)
        except Clash as clash:
            equations = "; ".join(clash.equations)
        for text in check.clash:
            derived = "clash" if text in equations else "another clash" if equations else "a rule"
            yield Row(text, "equations", "clash", derived)


def stale(record: Record, finding: Finding) -> list[Difference]:
    """The reasons of a record that no difference needs (any more)."""
    used = {row.why for checked in finding.checked for row in checked.rows if row.why}
    return [difference for check in record.checks for difference in check.differs if difference.why not in used]

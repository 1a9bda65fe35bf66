"""Published scaling rules beside what the engine derives, parameter by parameter.

Nothing of a paper is known to the engine: a record names a setting, the setting is derived when the report is made,
and each printed exponent is compared. `scalerules.records` reads them, `scalerules.published_view` prints the report.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from .errors import Clash, ScaleRulesError, UnknownName
from .graph import Graph
from .records import Check, Difference, Record, Records, records
from .solution import Exponents, Rule, Solution

Verdict = Literal["agrees", "differs", "unexplained", "not derived"]
_WORST_FIRST: tuple[Verdict, ...] = ("not derived", "unexplained", "differs")


@dataclass(frozen=True)
class Row:
    """One printed exponent (or statement) beside the derived one; `kind` and `why` explain a difference."""

    at: str
    quantity: str
    printed: str
    derived: str
    kind: str = ""
    why: str = ""

    @property
    def agrees(self) -> bool:
        """Whether both are the same."""
        return self.printed == self.derived


@dataclass(frozen=True)
class Checked:
    """One check of a record in one setting: its rows, or the message that says why it could not be derived."""

    setting: str
    rows: tuple[Row, ...]
    error: str = ""

    @property
    def verdict(self) -> Verdict:
        """`differs` where every difference has its reason, `unexplained` where one has not."""
        if self.error:
            return "not derived"
        if all(row.agrees for row in self.rows):
            return "agrees"
        return "differs" if all(row.agrees or row.why for row in self.rows) else "unexplained"


@dataclass(frozen=True)
class Finding:
    """One record with its checks; `seconds` is the processor time that deriving it took."""

    record: Record
    checked: tuple[Checked, ...]
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of its checks."""
        found = {checked.verdict for checked in self.checked}
        for verdict in _WORST_FIRST:
            if verdict in found:
                return verdict
        return "agrees"


@dataclass(frozen=True)
class Report:
    """All findings, in the order of the file. `complete` is false where the run was interrupted."""

    findings: tuple[Finding, ...]
    complete: bool = True

    @property
    def verdict(self) -> bool:
        """Whether every record was derived, and agrees or differs for a stated reason."""
        return self.complete and all(f.verdict in ("agrees", "differs") for f in self.findings)

    @property
    def rows(self) -> list[Row]:
        """Every compared exponent."""
        return [row for finding in self.findings for checked in finding.checked for row in checked.rows]

    def to_table(self) -> str:
        """The report for a terminal."""
        from .published_view import table

        return table(self)

    def to_markdown(self) -> str:
        """The report as a page of the documentation."""
        from .published_view import markdown

        return markdown(self)

    def to_json(self) -> str:
        """The report as JSON."""
        from .published_view import to_json

        return to_json(self)


def published(
    file: str | Path | None = None, *, only: Sequence[str] = (), advance: Callable[[str], None] | None = None
) -> Report:
    """Derives every record of `file` (the project's own by default) and compares it with what is printed.

    `only` are the ids of the records to look at; `advance` is called with the id of each record that is done.
    Ctrl-C ends it with what is done so far. Raises `ScaleRulesError` for a file that is not well formed.
    """
    known = records(file)
    for name in only:
        if name not in {record.id for record in known.records}:
            raise UnknownName("record", name, [record.id for record in known.records])
    chosen = [record for record in known.records if not only or record.id in only]
    findings: list[Finding] = []
    complete = False
    derive = _Deriver(known)
    with contextlib.suppress(KeyboardInterrupt):
        for record in chosen:
            findings.append(derive.finding(record))
            if advance is not None:
                advance(record.id)
        complete = True
    return Report(tuple(findings), complete)


class _Deriver:
    """Derives the settings of one file, each once."""

    def __init__(self, known: Records) -> None:
        self.known = known
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
            graph = self.known.graph(check.setting)
            rows = [_explained(row, check.differs) for row in self._rows(check, optimizer, graph)]
        except Clash as clash:
            return Checked(title, (), f"clash: {'; '.join(clash.equations)}")
        except ScaleRulesError as error:
            return Checked(title, (), str(error))
        return Checked(title, tuple(rows))

    def _rows(self, check: Check, optimizer: str, graph: Graph) -> Iterator[Row]:
        if check.classifies:
            yield from _classified(check, optimizer, graph)
        elif check.clash:
            yield from self._clash(check, optimizer, graph)
        else:
            solution = self._solution(check, optimizer, graph)
            yield from _compared(check, solution)

    def _solution(self, check: Check, optimizer: str, graph: Graph) -> Solution:
        import scalerules

        setting = check.setting
        key = repr((setting.model_dump(exclude={"optimizer"}), optimizer))
        if key not in self._solutions:
            gauge = "plain" if setting.gauge == "own" else setting.gauge
            asked = {"lazy": setting.lazy, "nonlazy": setting.nonlazy}
            more: dict[str, Any] = {name: True for name, wanted in asked.items() if wanted}
            self._solutions[key] = scalerules.derive(
                graph, optimizer=optimizer, mode=setting.mode, gauge=gauge, scales=setting.scales, steps=setting.steps,
                alignment=_alignment(check, graph), given=_given(check, graph), **more,
            )  # fmt: skip
        return self._solutions[key]

    def _clash(self, check: Check, optimizer: str, graph: Graph) -> Iterator[Row]:
        equations = ""
        try:
            self._solution(check, optimizer, graph)
        except Clash as clash:
            equations = "; ".join(clash.equations)
        for text in check.clash:
            found = "clash" if text in equations else "another clash" if equations else "a rule"
            yield Row(text, "equations", "clash", found)


def setting_text(check: Check, optimizer: str) -> str:
    """A setting in one line: graph, optimizer, and what is not the default."""
    setting = check.setting
    parts = [setting.graph + "".join(f" {name}={value}" for name, value in setting.options.items()), optimizer]
    parts += [f"{name} {growth}" if growth != 1 else name for name, growth in (setting.scales or {}).items()]
    parts += [f"mode {setting.mode}"] if setting.mode != "joint" else []
    parts += [f"gauge {setting.gauge}"] if setting.gauge != "plain" else []
    if setting.alignment != "derived":
        parts.append(f"alignment {setting.alignment}" if isinstance(setting.alignment, str) else "alignment prescribed")
    if setting.given is not None:
        parts.append(f"given {setting.given}" if isinstance(setting.given, str) else "partly given")
    parts += ["lazy layers allowed"] if setting.lazy else []
    parts += ["non-lazy"] if setting.nonlazy else []
    text = ", ".join(parts)
    return f"{check.title}: {text}" if check.title else text


def _alignment(check: Check, graph: Graph) -> Any:
    given = check.setting.alignment
    if isinstance(given, str):
        return given
    return {name: three for pattern, three in given.items() for name in _matching(pattern, graph.parameters)}


def _given(check: Check, graph: Graph) -> Any:
    """What is given, patterns of names written out."""
    given = check.setting.given
    if not isinstance(given, Mapping):
        return given
    nodes = {"multipliers": given["multipliers"]} if "multipliers" in given else {}
    sizes = {k: v for k, v in given.items() if k != "multipliers"}
    return nodes | {name: size for pattern, size in sizes.items() for name in _matching(pattern, graph.parameters)}


def _matching(patterns: str, names: Mapping[str, Any]) -> list[str]:
    """The names that match any pattern (separated by spaces). Raises `UnknownName` for one that matches none."""
    found: list[str] = []
    for pattern in patterns.split():
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            raise UnknownName("parameter", pattern, names)
        found += matching
    return found


def _compared(check: Check, solution: Solution) -> Iterator[Row]:
    first = next(iter(solution.direction))
    for patterns, sizes in check.says.items():
        for name in _matching(patterns, solution.parameters):
            rule, compared = solution[name], dict(sizes)
            if check.setting.gauge == "own" and "mult" in compared:  # the printed multiplier is the gauge
                rule = _moved(rule, _exponents(compared.pop("mult"), first, solution), solution.optimizer)
            for quantity, power in compared.items():
                printed = _exponents(power, first, solution)
                derived = _size(rule, quantity)
                yield Row(name, quantity, str(printed), str(derived))
    for patterns, sizes in check.logs.items():
        for name in _matching(patterns, solution.parameters):
            found = {size: "with" if size in solution[name].log else "without" for size in sizes}
            yield from (Row(name, size, "with a logarithm", f"{said} a logarithm") for size, said in found.items())
    for name, power in check.multipliers.items():
        if name not in solution.multipliers:
            raise UnknownName("free multiplier", name, solution.multipliers)
        yield Row(name, "mult", str(_exponents(power, first, solution)), str(solution.multipliers[name]))


def _size(rule: Rule, quantity: str) -> Exponents:
    """A size of a rule: `lr`, or `damping A`."""
    if not quantity.startswith("damping "):
        return getattr(rule, quantity)
    name = quantity.removeprefix("damping ")
    if name not in rule.dampings:
        raise UnknownName("damping", name, rule.dampings)
    return rule.dampings[name]


def _exponents(power: Mapping[str, Fraction], first: str, solution: Solution) -> Exponents:
    """Printed exponents for every scale of the solution; a scale that is not named has the exponent 0."""
    named = {scale or first: exponent for scale, exponent in power.items()}
    for scale in named:
        if scale not in solution.direction:
            raise UnknownName("scale", scale, solution.direction)
    return Exponents({scale: named.get(scale, Fraction(0)) for scale in solution.scales})


def _moved(rule: Rule, mult: Exponents, optimizer: str) -> Rule:
    """A rule of the plain gauge in the one whose multiplier in front of the parameter is `mult`."""
    from .gauge import Gauge, Shape, regauged
    from .optimizers import optimizer as law

    own = Gauge("own", "The printed multipliers.", "the record", lambda _rule, _shape: mult)
    return regauged(rule, Shape(True, len(rule.shape), mult), own, law(optimizer))


def _classified(check: Check, optimizer: str, graph: Graph) -> Iterator[Row]:
    import scalerules

    setting, given = check.setting, _given(check, graph)
    found = scalerules.classify(
        graph, "mup" if given is None else given, optimizer, scales=setting.scales, mode=setting.mode,
        alignment=_alignment(check, graph), steps=setting.steps,
    )  # fmt: skip
    if check.regime is not None:
        yield Row(graph.name, "regime", check.regime, found.regime)
    if check.feature is not None:
        yield Row(graph.name, "change of hidden values", str(check.feature), str(found.feature))
    if check.rate is not None:
        yield Row(graph.name, "global rate", str(check.rate), str(found.rate))
    if check.unstable is not None:
        yield Row(graph.name, "unstable at", ", ".join(check.unstable), ", ".join(u.node for u in found.unstable))


def _explained(row: Row, differences: Sequence[Difference]) -> Row:
    """A row that differs, with the reason that the record states for it."""
    if row.agrees:
        return row
    for difference in differences:
        if any(fnmatchcase(row.at, at) for at in difference.at) and row.quantity in difference.of:
            return Row(row.at, row.quantity, row.printed, row.derived, difference.kind, difference.why)
    return row


def stale(record: Record, finding: Finding) -> list[Difference]:
    """The reasons of a record that no difference needs (any more)."""
    used = {row.why for checked in finding.checked for row in checked.rows if row.why}
    return [difference for check in record.checks for difference in check.differs if difference.why not in used]

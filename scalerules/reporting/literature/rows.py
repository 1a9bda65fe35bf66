"""One printed table beside what is derived in its setting, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.derivation import classify
from scalerules.derivation.damping import in_general
from scalerules.derivation.gauges.gauge import Gauge, Shape, regauged
from scalerules.errors import UnknownName
from scalerules.optimizers.named import optimizer as law
from scalerules.optimizers.symbolic import Facts
from scalerules.sizes.exponents import Exponents
from scalerules.solution.rule import Rule
from scalerules.solution.solution import Solution

from .records import Check, Difference


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


def alignment(check: Check, graph: Graph) -> Any:
    """The alignment of a setting as `derive` takes it, patterns of names written out."""
    prescribed = check.setting.alignment
    if isinstance(prescribed, str):
        return prescribed
    return {name: three for pattern, three in prescribed.items() for name in _matching(pattern, graph.parameters)}


def given(check: Check, graph: Graph) -> Any:
    """What is given, patterns of names written out."""
    fixed = check.setting.given
    if not isinstance(fixed, Mapping):
        return fixed
    nodes = {"multipliers": fixed["multipliers"]} if "multipliers" in fixed else {}
    sizes = {k: v for k, v in fixed.items() if k != "multipliers"}
    return nodes | {name: size for pattern, size in sizes.items() for name in _matching(pattern, graph.parameters)}


def _matching(patterns: str, names: Mapping[str, Any]) -> list[str]:
    """The names that match any pattern (separated by spaces). Raises `UnknownName` for one that matches none."""
    matches: list[str] = []
    for pattern in patterns.split():
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            raise UnknownName("parameter", pattern, names)
        matches += matching
    return matches


def compared(check: Check, solution: Solution) -> Iterator[Row]:
    """Every printed exponent of a check beside the derived one."""
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
            logarithms = {size: "with" if size in solution[name].log else "without" for size in sizes}
            yield from (Row(name, size, "with a logarithm", f"{said} a logarithm") for size, said in logarithms.items())
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
    own = Gauge("own", "The printed multipliers.", "the record", lambda _rule, _shape: mult)
    by = in_general(law(optimizer), Facts(matrix=len(rule.shape) > 1))
    return regauged(rule, Shape(True, len(rule.shape), mult), own, by.update, by.decay, by.dampings)


def classified(check: Check, optimizer: str, graph: Graph) -> Iterator[Row]:
    """What a given parametrization is said to do beside what it does."""
    setting, fixed = check.setting, given(check, graph)
    report = classify(
        graph, "mup" if fixed is None else fixed, optimizer, scales=setting.scales, mode=setting.mode,
        alignment=alignment(check, graph), steps=setting.steps,
    )  # fmt: skip
    if check.regime is not None:
        yield Row(graph.name, "regime", check.regime, report.regime)
    if check.feature is not None:
        yield Row(graph.name, "change of hidden values", str(check.feature), str(report.feature))
    if check.rate is not None:
        yield Row(graph.name, "global rate", str(check.rate), str(report.rate))
    if check.unstable is not None:
        yield Row(graph.name, "unstable at", ", ".join(check.unstable), ", ".join(u.node for u in report.unstable))


def explained(row: Row, differences: Sequence[Difference]) -> Row:
    """A row that differs, with the reason that the record states for it."""
    if row.agrees:
        return row
    for difference in differences:
        if any(fnmatchcase(row.at, pattern) for pattern in difference.at) and row.quantity in difference.of:
            return Row(row.at, row.quantity, row.printed, row.derived, difference.kind, difference.why)
    return row

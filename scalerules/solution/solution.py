"""The answer as data: exponents per parameter, the direction and its cone, predicted sizes, and the steps of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from scalerules.architecture.block_names import of_block
from scalerules.boundary.exact import exact
from scalerules.errors import UnknownName
from scalerules.sizes.exponents import Exponents

from .rule import SIZES, VERSION, Constant, Explanation, Predicted, Rule, vars_of

if TYPE_CHECKING:

    from scalerules.architecture.graph import Graph















@dataclass(frozen=True, repr=False)
class Solution:
    """What `scalerules.derive` returns. `solution["h1"]` is the rule of a parameter; printed, it is the table."""

    graph: str
    optimizer: str
    mode: str
    gauge: str
    scales: tuple[str, ...]
    parameters: Mapping[str, Rule]
    multipliers: Mapping[str, Exponents]
    direction: Mapping[str, Fraction]
    cone: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sizes: tuple[Predicted, ...] = ()
    explanations: Mapping[str, tuple[Explanation, ...]] = field(default_factory=dict[str, tuple[Explanation, ...]])
    architecture: Graph | None = field(default=None, repr=False, compare=False)
    constants: Mapping[str, Constant] = field(default_factory=dict[str, Constant])
    """In the gauge `unit`: the constant factors of every operation at the base size, by node."""

    def __repr__(self) -> str:
        scales = ", ".join(self.scales)
        return f"<rules of {self.graph}, {self.optimizer}, growing {scales}: {len(self.parameters)} parameters>"

    def __str__(self) -> str:
        return self.to_table()

    def __getitem__(self, parameter: str) -> Rule:
        return self.parameters[self.name_of(parameter)]

    def name_of(self, parameter: str) -> str:
        """The name under which the rule of a parameter stands: `h.*.attn.weight` for `h.0.attn.weight`.

        Raises `UnknownName`.
        """
        if not isinstance(parameter, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UnknownName("parameter", parameter, self.parameters, where=f"graph {self.graph!r}")
        if parameter in self.parameters:
            return parameter
        found = of_block(parameter, self.parameters)
        if len(found) != 1:
            raise UnknownName("parameter", parameter, self.parameters, where=f"graph {self.graph!r}")
        return found[0]

    def explain(self, parameter: str) -> str:
        """The steps from which the sizes of a parameter (or a solved multiplier) follow, as text."""
        from .views import explained

        found = [] if parameter in self.explanations else of_block(parameter, self.explanations)
        return explained(self, found[0] if len(found) == 1 else parameter)

    def to_markdown(self) -> str:
        """Table, numbered steps, assumptions and warnings, as Markdown."""
        from .views import markdown

        return markdown(self)

    def to_latex(self) -> str:
        """The table as LaTeX."""
        from .views import latex

        return latex(self)

    def to_table(self) -> str:
        """The table for a terminal."""
        from .views import table

        return table(self)

    def to_json(self) -> str:
        """The solution as JSON (see the interface): exponents as exact fractions in strings."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """The solution as plain data."""
        return {
            "graph": self.graph,
            "optimizer": self.optimizer,
            "mode": self.mode,
            "gauge": self.gauge,
            "scales": list(self.scales),
            "parameters": {
                name: {
                    "shape": list(rule.shape),
                    **{size: texts_of(getattr(rule, size)) for size in SIZES},
                    "log": {size: "logarithm" for size in rule.log},
                    **({"dampings": {n: texts_of(e) for n, e in rule.dampings.items()}} if rule.dampings else {}),
                }
                for name, rule in self.parameters.items()
            },
            "multipliers": {node: texts_of(exponents) for node, exponents in self.multipliers.items()},
            "direction": {scale: str(growth) for scale, growth in self.direction.items()},
            "cone": list(self.cone),
            "assumptions": list(self.assumptions),
            "warnings": list(self.warnings),
            "sizes": [
                {"quantity": p.quantity, "node": p.node, "step": p.step}
                | {"size": None if p.size is None else str(p.size)}
                | ({"parameter": p.parameter} if p.parameter else {})
                | ({} if p.lower is None else {"lower": str(p.lower)})
                for p in self.sizes
            ],
            "explanations": {
                name: [
                    {"quantity": e.quantity, "size": e.size, "equation": e.equation}
                    | {"steps": [vars_of(line) for line in e.steps]}
                    for e in explanations
                ]
                for name, explanations in self.explanations.items()
            },
            **({"constants": {n: c.to_dict() for n, c in self.constants.items()}} if self.constants else {}),
            "version": VERSION,
        }

    @staticmethod
    def from_json(text: str, architecture: Graph | None = None) -> Solution:
        """Reads what `to_json` wrote. Raises `ScaleRulesError`, with the place, if it is not that."""
        from .json_text import from_json

        return from_json(text, architecture)

    def changed(
        self, parameter: str | None = None, multipliers: Mapping[str, Any] | None = None, **sizes: Any
    ) -> Solution:
        """A copy with other exponents, `solution.changed("h1", lr={"width": 0})`; predicted sizes stay."""
        parameters = dict(self.parameters)
        if parameter is not None:
            for size in sizes:
                if size not in SIZES:
                    raise UnknownName("size", size, SIZES, where=f"parameter {parameter!r}")
            given = {size: read_solution(value, f"{size} of {parameter!r}") for size, value in sizes.items()}
            name = self.name_of(parameter)
            parameters[name] = replace(self[name], **given)
        nodes = {node: read_solution(value, f"multiplier {node!r}") for node, value in (multipliers or {}).items()}
        return replace(self, parameters=parameters, multipliers={**self.multipliers, **nodes})




def texts_of(exponents: Exponents) -> dict[str, str]:
    return {scale: str(value) for scale, value in exponents.fractions.items()}


def read_solution(exponents: Mapping[str, Any], where: str) -> Exponents:
    return Exponents({scale: exact(value, where) for scale, value in exponents.items()})

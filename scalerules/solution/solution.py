"""The solution: the answer, and what it says of itself, printed, explained, as JSON, or changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from scalerules.architecture.block_names import of_block
from scalerules.architecture.graph import Graph
from scalerules.boundary.exact import exact
from scalerules.errors import UnknownName
from scalerules.sizes.exponents import Exponents

from . import views
from .answer import Answer
from .json_text import fields_of, written
from .rule import SIZES


@dataclass(frozen=True, repr=False)
class Solution(Answer):
    """What `scalerules.derive` returns. `solution["h1"]` is the rule of a parameter; printed, it is the table."""

    def __str__(self) -> str:
        return self.to_table()

    def explain(self, parameter: str) -> str:
        """The steps from which the sizes of a parameter (or a solved multiplier) follow, as text."""

        found = [] if parameter in self.explanations else of_block(parameter, self.explanations)
        return views.explained(self, found[0] if len(found) == 1 else parameter)

    def to_markdown(self) -> str:
        """Table, numbered steps, assumptions and warnings, as Markdown."""

        return views.markdown(self)

    def to_latex(self) -> str:
        """The table as LaTeX."""

        return views.latex(self)

    def to_table(self) -> str:
        """The table for a terminal."""

        return views.table(self)

    def to_json(self) -> str:
        """The solution as JSON (see the interface): exponents as exact fractions in strings."""
        return json.dumps(written(self), indent=2) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """The solution as plain data."""
        return written(self)

    @staticmethod
    def from_json(text: str, architecture: Graph | None = None) -> Solution:
        """Reads what `to_json` wrote. Raises `ScaleRulesError`, with the place, if it is not that."""
        return Solution(architecture=architecture, **fields_of(text))

    def changed(
        self, parameter: str | None = None, multipliers: Mapping[str, Any] | None = None, **sizes: Any
    ) -> Solution:
        """A copy with other exponents, `solution.changed("h1", lr={"width": 0})`; predicted sizes stay."""
        parameters = dict(self.parameters)
        if parameter is not None:
            for size in sizes:
                if size not in SIZES:
                    raise UnknownName("size", size, SIZES, where=f"parameter {parameter!r}")
            given = {size: _exponents(value, f"{size} of {parameter!r}") for size, value in sizes.items()}
            name = self.name_of(parameter)
            parameters[name] = replace(self[name], **given)
        nodes = {node: _exponents(value, f"multiplier {node!r}") for node, value in (multipliers or {}).items()}
        return replace(self, parameters=parameters, multipliers={**self.multipliers, **nodes})


def _exponents(exponents: Mapping[str, Any], where: str) -> Exponents:
    return Exponents({scale: exact(value, where) for scale, value in exponents.items()})

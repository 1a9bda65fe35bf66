"""The solution: the answer, and what it says of itself, printed, explained, as JSON, or changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from scalerules.architecture.block_names import of_block
from scalerules.architecture.graph import Graph
from scalerules.boundary.exact import exact
from scalerules.errors import ScaleRulesError, UnknownName
from scalerules.sizes.exponents import Exponents

from . import views
from .answer import Answer
from .html import html
from .json_text import fields_of, follows, text_of, written
from .latex import latex
from .markdown import markdown
from .rule import SIZES
from .tree import explained


@dataclass(frozen=True, repr=False)
class Solution(Answer):
    """What `scalerules.derive` returns. `solution["h1"]` is the rule of a parameter; printed, it is the table."""

    def __str__(self) -> str:
        return self.to_table()

    def explain(self, parameter: str) -> str:
        """Why the numbers of a parameter are what they are: the conditions that gave them and the rows above, as text.

        Also of a solved multiplier, of any node (the sizes of its value, gradient and change), of a row or a condition.
        """
        blocks = [] if parameter in self.explanations else of_block(parameter, self.explanations)
        return explained(self, blocks[0] if len(blocks) == 1 else parameter)

    def to_markdown(self) -> str:
        """Table, derivation, assumptions and warnings, as Markdown."""
        return markdown(self)

    def to_latex(self) -> str:
        """The table and the derivation as LaTeX."""
        return latex(self)

    def to_table(self) -> str:
        """The table for a terminal."""
        return views.table(self)

    def to_html(self) -> str:
        """The table and, folded, the derivation, as HTML."""
        return html(self)

    def _repr_html_(self) -> str:
        return html(self)

    def to_json(self) -> str:
        """The solution as JSON (see the interface): exponents as exact fractions in strings."""
        return text_of(written(self))

    def to_dict(self) -> dict[str, Any]:
        """The solution as plain data."""
        return written(self)

    def check(self) -> None:
        """Checks the derivation with the independent checker (`scalerules/solution/checker.py`).

        Raises `ScaleRulesError` with the first row, condition or number that does not follow, or where there is none.
        """
        if self.derivation is None:
            what = "this solution has no derivation: it was changed by hand, or written by an earlier version"
            raise ScaleRulesError(what, where=f"graph {self.graph!r}", hint="derive again")
        follows(written(self))

    @staticmethod
    def from_json(text: str, architecture: Graph | None = None) -> Solution:
        """Reads what `to_json` wrote. Raises `ScaleRulesError`, with the place, if it is not that."""
        return Solution(architecture=architecture, **fields_of(text))

    def in_gauge(self, gauge: str) -> Solution:
        """The same training run written in another gauge, `solution.in_gauge("ntk")`: nothing is solved again.

        Raises `UnknownName`, and `ScaleRulesError` for a solution that was read or changed by hand.
        """
        if self.gauged is None:
            what = "this solution is not the one that was derived: it was read, pickled or changed by hand"
            raise ScaleRulesError(what, where=f"graph {self.graph!r}", hint=f"derive with gauge={gauge!r}")
        return cast(Solution, self.gauged(gauge))

    def changed(
        self, parameter: str | None = None, multipliers: Mapping[str, Any] | None = None, **sizes: Any
    ) -> Solution:
        """A copy with other exponents, `solution.changed("h1", lr={"width": 0})`; predicted sizes stay.

        It has no derivation: what is written by hand does not follow.
        """
        parameters = dict(self.parameters)
        if parameter is not None:
            for size in sizes:
                if size not in SIZES:
                    raise UnknownName("size", size, SIZES, where=f"parameter {parameter!r}")
            given = {size: _exponents(value, f"{size} of {parameter!r}") for size, value in sizes.items()}
            name = self.name_of(parameter)
            parameters[name] = replace(self[name], **given)
        nodes = {node: _exponents(value, f"multiplier {node!r}") for node, value in (multipliers or {}).items()}
        given = {"parameters": parameters, "multipliers": {**self.multipliers, **nodes}}
        return replace(self, **given, told=None, story=None, gauged=None)


def _exponents(exponents: Mapping[str, Any], where: str) -> Exponents:
    return Exponents({scale: exact(value, where) for scale, value in exponents.items()})

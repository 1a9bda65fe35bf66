"""A solution at a base size and at another one, as `apply` reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scalerules.architecture.graph import Graph
from scalerules.boundary.amounts import positive
from scalerules.catalogue.user_code import kind_of
from scalerules.errors import ScaleRulesError, UnknownName
from scalerules.sizes.exponents import Exponents
from scalerules.solution.solution import Solution


class ModelWarning(UserWarning):
    """Something that `apply` cannot do from outside of the model, or had to assume."""


@dataclass(frozen=True)
class Sizes:
    """A solution at a base size and at another one."""

    solution: Solution
    graph: Graph | None
    base: Mapping[str, float]
    sizes: Mapping[str, float]

    @classmethod
    def of(
        cls, solution: Solution, graph: Graph | None, base: Mapping[str, float], sizes: Mapping[str, float]
    ) -> Sizes:
        """Checks the names of scales; those that are not given stay as they are."""
        for what, given in (("base=", base), ("sizes=", sizes)):
            if not isinstance(given, Mapping):
                raise ScaleRulesError(f"is {kind_of(given)}, not values by scale", where=what, hint='{"width": 64}')
        scales = graph.scales if graph is not None else solution.scales
        for name in (*base, *sizes):
            if name not in scales and name not in solution.scales:
                raise UnknownName("scale", name, scales, where=f"graph {solution.graph!r}")
        for name in (*base, *sizes):
            if name not in base or name not in sizes:
                lacks = "sizes" if name in base else "base"
                raise ScaleRulesError(f"{lacks}= has no value for it", where=f"scale {name!r}", hint="give both")
            for value in (base[name], sizes[name]):
                positive(value, f"scale {name!r}:")
            if name not in solution.scales and base[name] != sizes[name]:
                hint = f"derive(graph, scales={{{name!r}: 1, ...}})"
                raise ScaleRulesError("changes, but the solution holds it fixed", where=f"scale {name!r}", hint=hint)
        start = graph.base_sizes() if graph is not None else dict.fromkeys(solution.scales, 1.0)
        return cls(solution, graph, {**start, **base}, {**start, **base, **sizes})

    @property
    def ratios(self) -> dict[str, float]:
        """Size over base size."""
        return {scale: self.sizes[scale] / base for scale, base in self.base.items()}

    @property
    def changed(self) -> bool:
        """Whether this is another size than the base size."""
        return any(ratio != 1 for ratio in self.ratios.values())

    def factor(self, exponents: Exponents | None) -> float:
        """Ratios to the power of the exponents."""
        return exponents.change(self.ratios) if exponents is not None else 1.0

    def outside(self) -> list[str]:
        """The inequalities of the solution's cone (`state <= width`) that the way from base to sizes does not keep."""
        growths = {scale: math.log(ratio) for scale, ratio in self.ratios.items()}
        if all(growth <= 0 for growth in growths.values()):  # shrinking: the way back is what has to be in the cone
            growths = {scale: -growth for scale, growth in growths.items()}
        return [text for text in self.solution.cone if _side(text, 0, growths) > _side(text, 1, growths) + 1e-9]


def _side(inequality: str, side: int, growths: Mapping[str, float]) -> float:
    """The value of one side of `2*width + state <= depth`."""
    total = 0.0
    for part in inequality.split("<=")[side].split("+"):
        count, _, scale = part.strip().rpartition("*")
        total += float(count or 1) * growths.get(scale, 0.0)
    return total

"""Rates of matrices that an optimizer moves as a whole: what it multiplies the rate with by itself is taken out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scalerules.architecture.uses import count, matrix
from scalerules.optimizers.law import Optimizer as Law
from scalerules.optimizers.named import named_in

from .at_sizes import Sizes
from .receiver import Adjust

if TYPE_CHECKING:
    from torch.nn import Parameter


def adjustment(
    target: Sizes, rule: str, parameter: Parameter, adjust: Adjust = "original", is_part: bool = False
) -> float:  # fmt: skip
    """How much more an optimizer moves a matrix than the rule takes for granted, relative to the base size.

    `adjust` is by what it multiplies the rate (torch's default: the root of rows/columns, if above 1, whichever of the
    two is the fan-out). `is_part`: the rule is for a part of the parameter, of which the graph alone knows the lengths.
    """
    graph, use = target.graph, matrix(target.graph, rule) if target.graph else None
    if graph is None or use is None:
        return 1.0
    law = named_in(target.solution.optimizer)
    out_first = min(use.brought) < min(use.summed)

    def surplus(sizes: Mapping[str, float]) -> float:
        sides = (use.brought, use.summed) if out_first else (use.summed, use.brought)
        rows, columns = (float(count(graph, rule, part, sizes)) for part in sides)
        if not is_part:  # a parameter's own lengths, which those of a graph by hand may stand for in proportion
            rows *= parameter.shape[0] / count(graph, rule, sides[0], target.sizes)
            columns *= parameter.shape[1] / count(graph, rule, sides[1], target.sizes)
        out, into = (rows, columns) if out_first else (columns, rows)
        return _adjusted(adjust, rows, columns) / _beside_orthogonal(law, out, into)

    return surplus(target.sizes) / surplus(target.base)


def _adjusted(how: Adjust, rows: float, columns: float) -> float:
    """What a rate is multiplied with."""
    squares = {"none": 1.0, "spectral": rows / columns, "original": max(1.0, rows / columns),
               "match_rms": max(rows, columns)}  # fmt: skip
    return math.sqrt(squares[how])


def _beside_orthogonal(law: Law, out: float, into: float) -> float:
    """What a law multiplies an orthogonal matrix of these sides with."""
    logs = {"fan_out": math.log(out), "fan_in": math.log(into), "entries": math.log(out * into)}
    resolved = law.matrix.powers.resolved(lambda atom: logs.get(atom, 0.0))
    total = sum(float(power) * logs.get(atom, 0.0) for atom, power in resolved.items())
    return math.exp(total) * math.sqrt(out * into)

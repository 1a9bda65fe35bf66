"""The natural constants at the base size, for every backend and without torch.

A rule fixes exponents; a number needs a constant as well. Here a parameter that is summed over starts at
1/sqrt(fan_in), and one that one-hot vectors look rows up in starts at 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scalerules.architecture.graph import Graph
from scalerules.architecture.uses import fan_in

if TYPE_CHECKING:
    from torch import Tensor


def natural_std(graph: Graph, parameter: str, base: Mapping[str, float]) -> float:
    """The std of the entries at the base size: 1/sqrt(fan_in); of several uses the smallest.

    Of a sparse parameter it is the std of the entries that its mask keeps: a part `density` of fan_in.
    """
    return (fan_in(graph, parameter, base) * density(graph, parameter, base)) ** -0.5


def density(graph: Graph, parameter: str, sizes: Mapping[str, float]) -> float:
    """The part of the entries of a parameter that its static mask keeps; 1 where it has none."""
    text = graph.parameters[parameter].density
    return 1.0 if text is None else min(1.0, graph.length(text, parameter).value(sizes))


def start(graph: Graph, parameter: str, sizes: Mapping[str, float]) -> float:
    """What the fixed initial entries of a parameter are multiplied with; 1 where nothing is said."""
    text = graph.parameters[parameter].factor
    return 1.0 if text is None else graph.length(text, parameter).value(sizes)


def identity_(parameter: Tensor, stacked: int, value: float) -> None:
    """Zeros, and `value` where the indices of two dimensions from `stacked` on agree, in the middle of those behind."""
    entries = parameter.zero_().diagonal(dim1=stacked, dim2=stacked + 1)
    while entries.dim() > stacked + 1:
        entries = entries.select(stacked, entries.shape[stacked] // 2)
    entries.fill_(value)

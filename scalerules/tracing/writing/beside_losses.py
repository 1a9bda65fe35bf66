"""Losses beside that of the predictions that are sums over an axis that grows: a line for each.

The graph has the predictions alone. What a rule makes of gradients of another size, it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from scalerules.sizes.arithmetic import ONE, product, times
from scalerules.sizes.lengths import Length
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Loss, Result, Source

from .moved_factors import PASSING, free


def growing_sums(nodes: Mapping[str, SketchNode], results: Sequence[Result]) -> list[str]:
    """What a user should know of every loss that is a sum of as many numbers as an axis that grows is long."""
    flat = [each for result in results for each in (result if isinstance(result, tuple) else (result,))]
    terms = [term for loss in flat if isinstance(loss, Loss) for term in loss.terms]
    lines: dict[str, None] = {}
    for total, node in (found for term in terms for found in _sums(term.source, nodes, ONE)):
        if total.scales and total.growth(dict.fromkeys(total.scales, Fraction(1))) > 0:
            line = f" ({node.call.source})" if node.call is not None and node.call.source else ""
            lines[
                f"a loss beside the prediction is a sum of {total} numbers{line}, and is not followed: where updates "
                "are as large as gradients (SGD), divide the rates of what it trains by that, or take its mean"
            ] = None
    return list(lines)


def _sums(source: Source, nodes: Mapping[str, SketchNode], behind: Length) -> Iterator[tuple[Length, SketchNode]]:
    """Over how many entries a number sums, fixed factors included, and the sum that it is."""
    node = nodes[source] if isinstance(source, str) else None
    if node is None or not all(isinstance(each, str) for each in node.operands):
        return
    if node.op in PASSING or node.op == "add":
        factor = node.fields.get("factor")
        behind = times(behind, factor) if isinstance(factor, Length) and not free(node) else behind
        for each in node.operands:
            yield from _sums(each, nodes, behind)
    elif node.op == "einsum" and node.labels is not None:
        axes = {
            label: axis
            for each, row in zip(node.operands, node.labels, strict=True)
            for label, axis in zip(row, nodes[str(each)].slots, strict=True)
        }
        total = times(behind, product(axis.length for label, axis in axes.items() if label not in node.result))
        inner = list(_sums(node.operands[0], nodes, total)) if len(node.operands) == 1 else []
        yield from inner or [(total, node)]

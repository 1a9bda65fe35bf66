"""Weights that are read twice: one initial value serves readings that sum as much of it, and no others.

A matrix that encodes data of fixed length and, transposed, decodes what it made of them sums nothing that grows the
first time and the width the second time: entries of order one are then as large as the width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction

from scalerules.sizes.arithmetic import product
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Part

Growth = Collection[tuple[str, Fraction]]
"""The powers of the scales in a length."""


def uneven_readings(nodes: Mapping[str, SketchNode], weighed: Collection[str]) -> frozenset[str]:
    """The names of the products with data that sum more of a weight than another product with data does.

    `weighed`: the names of the nodes that no data reach. A look-up sums nothing: it chooses.
    """
    readings: dict[str, dict[str, Growth]] = {}
    for name, node in nodes.items():
        values = [nodes[source] for source in node.operands if isinstance(source, str) and source not in weighed]
        for weight, growth in _sums(node) if values else ():
            readings.setdefault(weight, {})[name] = () if any(map(_chooses, values)) else growth
    return frozenset(name for each in readings.values() for name in _beyond_the_least(each))


def _chooses(node: SketchNode) -> bool:
    return node.op == "input" and node.fields.get("kind") == "tokens"


def _sums(node: SketchNode) -> Iterator[tuple[str, Growth]]:
    """Every weight that a product reads, and how much of it is summed."""
    if node.op != "einsum" or node.labels is None:
        return
    for source, row in zip(node.operands, node.labels, strict=True):
        if isinstance(source, Part):
            axes = zip(row, source.slots, strict=True)
            length = product(axis.length for label, axis in axes if label not in node.result)
            yield source.weight.name, length.leading(dict.fromkeys(length.scales, Fraction(1))).powers


def _beyond_the_least(readings: dict[str, Growth]) -> Iterator[str]:
    least = min(readings.values(), key=lambda growth: sum(power for _, power in growth))
    return (name for name, growth in readings.items() if growth != least)

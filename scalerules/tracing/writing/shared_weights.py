"""Weights that are read twice: one initial value serves readings that sum as much of it, and no others.

A matrix that encodes data of fixed length and, transposed, decodes what it made of them sums nothing that grows the
first time and the width the second time: entries of order one are then as large as the width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction

from scalerules.ops.registry import law_of
from scalerules.sizes.arithmetic import product
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Part

from .moved_factors import PASSING

Growth = Collection[tuple[str, Fraction]]
"""The powers of the scales in a length."""


def uneven_readings(
    nodes: Mapping[str, SketchNode], readers: Mapping[str, Sequence[str]], weighed: Collection[str]
) -> frozenset[str]:
    """The names of the products with data that sum more of a weight than another product with data does.

    The other one has to be of order one: what only further products read, as a derivative on its way back is, need not.
    And what is multiplied cannot be smaller: no other layer stands in front of the product that could make it so.
    `readers`: the names of the nodes that read each value; `weighed`: those of the nodes that no data reach. A look-up
    is none of these products: it chooses.
    """
    readings = _readings(nodes, weighed)
    even = {weight for weight, each in readings.items() if len(each) > 1 and len(set(each.values())) == 1}
    return frozenset(
        name
        for weight, each in readings.items()
        for name in _beyond_the_least(each, nodes, readers)
        if not _made_smaller(nodes[name], nodes, {weight, *even})
    )


def _readings(nodes: Mapping[str, SketchNode], weighed: Collection[str]) -> dict[str, dict[str, Growth]]:
    """Of every weight the products with data that read it, and how much of it each sums."""
    found: dict[str, dict[str, Growth]] = {}
    for name, node in nodes.items():
        of_data = any(isinstance(source, str) and source not in weighed for source in node.operands)
        for weight, growth in _sums(node) if of_data else ():
            found.setdefault(weight, {})[name] = growth
    return found


def _sums(node: SketchNode) -> Iterator[tuple[str, Growth]]:
    """Every weight that a product reads, and how much of it is summed."""
    if node.op != "einsum" or node.labels is None:
        return
    for source, row in zip(node.operands, node.labels, strict=True):
        if isinstance(source, Part):
            axes = zip(row, source.slots, strict=True)
            length = product(axis.length for label, axis in axes if label not in node.result)
            yield source.weight.name, length.leading(dict.fromkeys(length.scales, Fraction(1))).powers


def _beyond_the_least(
    readings: Mapping[str, Growth], nodes: Mapping[str, SketchNode], readers: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    first = min(readings, key=lambda name: sum(power for _, power in readings[name]))
    beyond = (name for name, growth in readings.items() if growth != readings[first])
    return beyond if _bent(first, nodes, readers) else iter(())


def _bent(name: str, nodes: Mapping[str, SketchNode], readers: Mapping[str, Sequence[str]]) -> bool:
    """Whether a function, a norm or a softmax reads a value, or a sum, a view or a multiple of it."""
    joining = (*PASSING, "add", "concat")
    return any(
        _bent(reader, nodes, readers) if nodes[reader].op in joining else not law_of(nodes[reader].op).multilinear
        for reader in readers.get(name, ())
    )


def _made_smaller(node: SketchNode, nodes: Mapping[str, SketchNode], held: Collection[str]) -> bool:
    """Whether a layer in front, but those of `held`, is read through products alone: its initial size is open."""
    for source in node.operands:
        if isinstance(source, Part):
            if source.weight.name not in held:
                return True
        elif (law_of(nodes[source].op).multilinear or nodes[source].op in PASSING) and _made_smaller(
            nodes[source], nodes, held
        ):
            return True
    return False

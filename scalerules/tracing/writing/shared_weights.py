"""Weights that are read twice: one initial value serves readings that sum as much of it, and no others.

A matrix that encodes data of fixed length and, transposed, decodes what it made of them sums nothing that grows the
first time and the width the second time: entries of order one are then as large as the width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction

from scalerules.ops.registry import law_of
from scalerules.sizes.arithmetic import power, product
from scalerules.sizes.lengths import Length
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Part, Source

from .moved_factors import PASSING, free, made_by

JOINING = (*PASSING, "add", "concat")

Growth = Collection[tuple[str, Fraction]]
"""The powers of the scales in a length."""


def uneven_readings(
    nodes: Mapping[str, SketchNode], readers: Mapping[str, Sequence[str]], weighed: Collection[str]
) -> frozenset[str]:
    """The names of the products with data that sum more of a weight than another product with data does.

    The other one has to be of order one: what only further products read, as a derivative on its way back is, need not.
    And what is multiplied cannot be smaller: no other weights stand in front of the product that could make it so. A
    look-up is one of these products, and sums nothing, for it chooses: its rows are values, whatever reads them.
    `readers`: the names of the nodes that read each value; `weighed`: those of the nodes that no data reach.
    """
    readings = _readings(nodes, readers, weighed)
    even = {weight for weight, each in readings.items() if len(each) > 1 and len(set(each.values())) == 1}
    found: set[str] = set()
    for weight, each in readings.items():
        first = min(each, key=lambda name: sum(power for _, power in each[name]))
        beyond = [name for name, growth in each.items() if growth != each[first]]
        if any(map(_is_look_up, _operands(nodes[first], nodes))):
            found.update(beyond)
        elif beyond and _bent(first, nodes, readers):
            found.update(name for name in beyond if not _made_smaller(nodes[name], nodes, {weight, *even}))
    return frozenset(found)


def _readings(
    nodes: Mapping[str, SketchNode], readers: Mapping[str, Sequence[str]], weighed: Collection[str]
) -> dict[str, dict[str, Growth]]:
    """Of every weight the products with data that read it, and how much of it each sums, fixed factors included.

    Parts of a weight that is nowhere read whole are weights of their own.
    """
    whole = {
        source.weight.name
        for node in nodes.values()
        for source in node.operands
        if isinstance(source, Part) and source.is_whole
    }
    found: dict[str, dict[str, Growth]] = {}
    for name, node in nodes.items():
        if any(each.name not in weighed or _is_look_up(each) for each in _operands(node, nodes)):
            behind = product(_behind(name, nodes, readers))
            for part, length in _sums(node, nodes):
                weight = part.weight.name if part.weight.name in whole else part.name
                total = product((length, behind, *_thinned(node, nodes)))
                found.setdefault(weight, {})[name] = total.leading(dict.fromkeys(total.scales, Fraction(1))).powers
    return found


def _thinned(node: SketchNode, nodes: Mapping[str, SketchNode]) -> Iterator[Length]:
    """One over how many entries a softmax that a product sums has where these grow: such a sum is a mean."""
    for operand, row in zip(node.operands, node.labels or (), strict=False):
        source = made_by(operand, nodes)
        if not isinstance(source, str) or nodes[source].op != "softmax" or nodes[source].along is None:
            continue
        over = nodes[source].slots[nodes[source].along or 0].length
        summed = {label for label in row if label not in node.result}
        if over.scales and summed and (one := power(over, Fraction(-1))) is not None:
            yield one


def _behind(name: str, nodes: Mapping[str, SketchNode], readers: Mapping[str, Sequence[str]]) -> Iterator[Length]:
    """The fixed factors right behind a value: a mean is a sum with one."""
    while len(behind := readers.get(name, ())) == 1 and nodes[name := behind[0]].op in PASSING:
        factor = nodes[name].fields.get("factor")
        if isinstance(factor, Length) and not free(nodes[name]):
            yield factor


def _operands(node: SketchNode, nodes: Mapping[str, SketchNode]) -> list[SketchNode]:
    """The values that a node reads."""
    return [nodes[source] for source in node.operands if isinstance(source, str)]


def _is_look_up(node: SketchNode) -> bool:
    """Whether a value is tokens, which choose rows of what they are multiplied with."""
    return node.fields.get("kind") == "tokens" and not node.fixed


def _sums(node: SketchNode, nodes: Mapping[str, SketchNode]) -> Iterator[tuple[Part, Length]]:
    """Every weight that a product reads, and how many entries of it are summed."""
    if node.op != "einsum" or node.labels is None:
        return
    for source, row in zip(node.operands, node.labels, strict=True):
        if (weight := _shown(source, nodes)) is not None:
            axes = zip(row, source.slots if isinstance(source, Part) else nodes[source].slots, strict=True)
            yield weight, product(axis.length for label, axis in axes if label not in node.result)


def _shown(source: Source, nodes: Mapping[str, SketchNode]) -> Part | None:
    """The weight that a value is, views and multiples in between."""
    weight = made_by(source, nodes)
    return weight if isinstance(weight, Part) else None


def _bent(name: str, nodes: Mapping[str, SketchNode], readers: Mapping[str, Sequence[str]]) -> bool:
    """Whether a function, a norm or a softmax reads a value, or a sum, a view or a multiple of it.

    Or such a sum has another term that no initial value makes smaller, beside which it would be lost.
    """
    return any(
        _bent(reader, nodes, readers)
        or any(_held(source, nodes) for source in nodes[reader].operands if source != name)
        if nodes[reader].op in JOINING
        else not law_of(nodes[reader].op).multilinear
        for reader in readers.get(name, ())
    )


def _held(source: Source, nodes: Mapping[str, SketchNode]) -> bool:
    """Whether a value has a size that no product in front of it takes up: data, and what functions and norms make."""
    if isinstance(source, Part):
        return False
    node = nodes[source]
    if node.op in JOINING:
        return any(_held(each, nodes) for each in node.operands)
    return not law_of(node.op).multilinear


def _made_smaller(node: SketchNode, nodes: Mapping[str, SketchNode], held: Collection[str]) -> bool:
    """Whether weights in front, but those of `held`, that sum nothing that grows are read through products alone.

    Their initial size is open. That of a layer is not: half of what the factor is would be the layer's, and what
    is read twice would start as large and move too little for the other reading.
    """
    rows = node.labels or ((),) * len(node.operands)
    for source, row in zip(node.operands, rows, strict=True):
        if isinstance(source, Part):
            summed = [axis for label, axis in zip(row, source.slots, strict=False) if label not in node.result]
            if not {source.weight.name, source.name} & {*held} and not any(axis.length.scales for axis in summed):
                return True
        elif (law_of(nodes[source].op).multilinear or nodes[source].op in PASSING) and _made_smaller(
            nodes[source], nodes, held
        ):
            return True
    return False

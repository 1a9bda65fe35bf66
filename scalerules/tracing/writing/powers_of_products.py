"""What a product is made of: powers that it is multiplied with, entry by entry, and sums of squares among them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from scalerules.ops.arrange import Power
from scalerules.ops.registry import law_of
from scalerules.sizes.arithmetic import ONE, power, times
from scalerules.sizes.lengths import Length
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Part, Source

Nodes = Mapping[str, SketchNode]
Row = tuple["int | tuple[str, int]", ...]
"""A label for every axis of a source: that of the product, or a node that sums over it and its own."""

HALF = Fraction(1, 2)


class Factor(NamedTuple):
    """A power of a source that a product is multiplied with."""

    source: Source
    row: Row
    degree: Fraction
    number: Length = ONE
    """What the power is multiplied with."""


class Place(NamedTuple):
    """An operand of a node, and the labels of its axes."""

    node: str
    operand: int
    row: Row


def factors_of(source: Source, row: Row, degree: Fraction, nodes: Nodes) -> list[Factor]:
    """The powers that an operand is a product of, entry by entry."""
    node = nodes[source] if isinstance(source, str) else None
    inner = _inner(node, row) if node is not None else None
    if node is None or inner is None or {x for each in inner for x in each} - set(row):
        return [Factor(source, row, degree)]
    degree *= _power(node) or 1
    first, *others = [f for s, its in zip(node.operands, inner, strict=True) for f in factors_of(s, its, degree, nodes)]
    number = power(node.fields.get("factor", ONE), degree)
    return [first._replace(number=times(first.number, number or ONE)), *others]


def places_of(place: Place, alone: Collection[str], nodes: Nodes) -> Iterator[Place]:
    """An operand, and those of the products that it is of degree 1 in, as far as nothing else reads them."""
    yield place
    source = nodes[place.node].operands[place.operand]
    if isinstance(source, str) and source in alone and nodes[source].body == nodes[place.node].body:
        for k, row in enumerate([] if _power(nodes[source]) else _inner(nodes[source], place.row) or []):
            yield from places_of(Place(source, k, row), alone, nodes)


def _inner(node: SketchNode, row: Row) -> list[Row] | None:
    """The labels of what a node multiplies, views or raises to a power; None if it does something else."""
    if node.op == "einsum" and node.labels is not None:
        names = dict(zip(node.result, row, strict=True))
        return [tuple(names.get(x, (node.name, x)) for x in each) for each in node.labels]
    if node.op == "rearrange" and node.labels is not None:
        places = [node.result.index(x) for x in node.labels[0] if x in node.result]
        return [tuple(row[place] for place in places)] if len(places) == len(node.labels[0]) else None
    number = node.op == "scale" and isinstance(node.fields.get("factor"), Length)
    return [row] if number or node.op in ("abs", "identity") or _power(node) else None


def _power(node: SketchNode) -> Fraction | None:
    """The power that a node raises positive numbers to; None if it does something else."""
    laws = law_of(node.op).laws if node.op not in ("stream", "repeat") else None
    return laws.power if isinstance(laws, Power) else None


def _squared(source: Source, nodes: Nodes) -> Source | None:
    """What a node is a sum of squares of, axis by axis; None if it is none."""
    node = nodes[source] if isinstance(source, str) else None
    if node is None or node.op != "einsum" or node.labels is None or len(set(node.labels)) > 1:
        return None
    before = node.operands[0]
    if len(node.operands) == 2 and _same(*node.operands):
        return before
    return nodes[before].square_of if isinstance(before, str) and len(node.operands) == 1 else None


def _same(a: Source, b: Source) -> bool:
    return a.name == b.name if isinstance(a, Part) and isinstance(b, Part) else a == b


def lengths_of(factor: Factor, place: Place, nodes: Nodes) -> list[int] | None:
    """The axes over which a factor is the inverse length of what stands at a place; None if it is no such length."""
    base = _squared(factor.source, nodes) if factor.degree == -HALF else None
    if base is None or not isinstance(factor.source, str):
        return None
    node = nodes[factor.source]
    assert node.labels is not None
    names = dict(zip(node.result, factor.row, strict=True))
    axes = [i for i, label in enumerate(node.labels[0]) if label not in names]
    kept = all(names.get(label, own) == own for label, own in zip(node.labels[0], place.row, strict=False))
    return axes if axes and _same(base, nodes[place.node].operands[place.operand]) and kept else None

"""Sums of products that are written in two steps, as one contraction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scalerules.tracing.sketch.sketch_node import SketchNode

from .write import Pieces


def contracted(pieces: Pieces) -> Pieces:
    """The pieces with every sum over an axis of a product as one einsum: `(a * b).sum(-1)` is what `a @ b` is."""
    nodes = dict(pieces.nodes)
    for name, node in pieces.nodes.items():
        product = _product_below(node, nodes)
        if product is None or product.labels is None or node.labels is None:
            continue
        outer = dict(zip(node.labels[0], product.result, strict=True))
        result = tuple(outer[label] for label in node.result)
        nodes[name] = replace(node, operands=product.operands, labels=product.labels, result=result)
        if product.name not in pieces.outputs and not any(product.name in other.operands for other in nodes.values()):
            del nodes[product.name]
    return replace(pieces, nodes=nodes)


def _product_below(node: SketchNode, nodes: Mapping[str, SketchNode]) -> SketchNode | None:
    """The product that a node sums over an axis that grows, None if it does nothing like that."""
    if node.op != "einsum" or node.labels is None or len(node.operands) != 1:
        return None
    source = node.operands[0]
    product = nodes[source] if isinstance(source, str) else None
    if product is None or product.op != "einsum" or len(product.operands) < 2 or product.body != node.body:
        return None
    row = node.labels[0]
    summed = [axis for label, axis in zip(row, product.slots, strict=True) if label not in node.result]
    plain = len(set(row)) == len(row) and set(node.result) <= set(row)
    return product if plain and any(axis.length.scales for axis in summed) else None

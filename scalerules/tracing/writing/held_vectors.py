"""Vectors of weights alone whose size no initial value decides: queries that functions make, or layers that data read.

What they are compared with adds up as what two values of the data do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from scalerules.ops.elementwise import Elementwise
from scalerules.ops.registry import law_of
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Part, Source

from .moved_factors import PASSING, made_by


def held_vectors(nodes: Mapping[str, SketchNode], weighed: Collection[str]) -> set[str]:
    """The names of such nodes, views, sums and products entry by entry in between. `weighed`: those without data."""
    uses = Counter(source.name for node in nodes.values() for source in node.operands if isinstance(source, Part))
    held = set[str]()
    for name, node in nodes.items():
        if name in weighed and (held.intersection(node.operands) if _entrywise(node) else _holds(node, nodes, uses)):
            held.add(name)
    return {name for name in held if sum(bool(axis.length.scales) for axis in nodes[name].slots) == 1}


def _entrywise(node: SketchNode) -> bool:
    """Whether every entry of a node is made of those in its place alone, by sums, products and views."""
    if node.op in (*PASSING, "add"):
        return True
    return node.op == "einsum" and node.labels is not None and all(set(row) <= set(node.result) for row in node.labels)


def _holds(node: SketchNode, nodes: Mapping[str, SketchNode], uses: Mapping[str, int]) -> bool:
    """Whether a node is a function of made values or of shared weights, or a product with a weight that is shared."""
    laws = law_of(node.op).laws
    if isinstance(laws, Elementwise) and laws.shape.degree is None:
        return any(_made(made_by(source, nodes), uses) for source in node.operands)
    parts = [source for source in node.operands if isinstance(source, Part)]
    return node.op == "einsum" and any(uses[part.name] > 1 for part in parts)


def _made(source: Source, uses: Mapping[str, int]) -> bool:
    return uses[source.name] > 1 if isinstance(source, Part) else True

"""Fixed factors that make up for a sum over a growing axis, moved right behind it: there they make a mean of it.

`sqrt(sum) / sqrt(n)` and `exp(t) * sum / n` are the root and a multiple of a mean. Left where it is, the sum would get
a factor of its own, and `n` would be made up for twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from fractions import Fraction

from scalerules.ops.arrange import Power
from scalerules.ops.elementwise import Elementwise
from scalerules.ops.registry import law_of
from scalerules.sizes.arithmetic import power
from scalerules.sizes.lengths import Length
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Part, Source

from .moved_factors import PASSING, readers_of, varies
from .write import Pieces


def means(pieces: Pieces, weighed: Collection[str], is_sum: Callable[[SketchNode], bool]) -> Pieces:
    """The pieces with such factors right behind their sums. What stands in between is not what the module computes.

    `weighed`: the names of the nodes that no data reach. `is_sum`: whether a node sums data over a growing axis.
    """
    nodes, readers = dict(pieces.nodes), readers_of(pieces.nodes)
    for name, node in pieces.nodes.items():
        alone = {each for each, by in readers.items() if len(by) == 1 and each not in pieces.outputs}
        way, degree = _way(nodes[name], nodes, weighed, alone, is_sum) if _varies(node) else ([], Fraction(1))
        factor = power(node.fields["factor"], 1 / degree) if way else None
        unseen = name in pieces.outputs and _weights(nodes[way[0]]) if way else True
        if factor is None or unseen or all(nodes[each].op in PASSING for each in way[:-1]):
            continue
        nodes = _behind(nodes, name, way, factor)
        readers = readers_of(nodes)
    return replace(pieces, nodes=nodes)


def _varies(node: SketchNode) -> bool:
    return node.op == "scale" and varies(node) and not node.fixed


def _weights(node: SketchNode) -> bool:
    """Whether a node reads a weight: what this contributes is measured at its own call."""
    return any(isinstance(source, Part) for source in node.operands)


def _way(
    factor: SketchNode,
    nodes: Mapping[str, SketchNode],
    weighed: Collection[str],
    alone: Collection[str],
    is_sum: Callable[[SketchNode], bool],
) -> tuple[list[str], Fraction]:
    """What a factor passes on its way to the sum in front of it, the sum last, and the power that it comes out of.

    No way where something in between is read elsewhere too, is no power, or where no sum is; nor out of a power of a
    product of two values, whose factor is solved for.
    """
    way, degree = list[str](), Fraction(1)
    at: Source | None = factor.operands[0]
    while isinstance(at, str) and at in alone and nodes[at].body == factor.body:
        node = nodes[at]
        way.append(at)
        if is_sum(node):
            return (way, degree) if degree == 1 or len(node.operands) == 1 else ([], degree)
        own, at = _passed(node, weighed)
        degree *= own
    return [], Fraction(1)


def _passed(node: SketchNode, weighed: Collection[str]) -> tuple[Fraction, Source | None]:
    """The power with which a factor passes a node, and the operand in front of which it stands then; or None."""
    if node.op in PASSING:
        return Fraction(1), None if _varies(node) else node.operands[0]
    if node.op == "einsum" and node.labels is not None:
        data = [k for k, s in enumerate(node.operands) if not isinstance(s, Part) and s not in weighed]
        inside = len(data) == 1 and len(node.operands) > 1 and set(node.labels[data[0]]) <= set(node.result)
        return Fraction(1), node.operands[data[0]] if inside else None
    laws = law_of(node.op).laws
    degree = laws.power if isinstance(laws, Power) else laws.shape.degree if isinstance(laws, Elementwise) else None
    if degree is None or degree <= 0 or len(node.operands) != 1:
        return Fraction(1), None
    return Fraction(degree), node.operands[0]


def _behind(nodes: Mapping[str, SketchNode], name: str, way: list[str], factor: Length) -> dict[str, SketchNode]:
    """The nodes with a factor behind the last of a way: what stood in front of it has its name and its value."""
    first, sum_, found = way[0], way[-1], dict[str, SketchNode]()
    front = f"{sum_}.factor"
    for each, node in nodes.items():
        if each == name:
            continue
        between = each in way[:-1]
        operands = tuple(front if between and source == sum_ else source for source in node.operands)
        seen = node.shown and (not between or each == first and not _weights(node))
        key = name if each == first else each
        found[key] = replace(node, name=key, operands=operands, shown=seen)
        if each == sum_:
            found[front] = replace(
                nodes[name], name=front, operands=(sum_,), slots=node.slots, result=tuple(range(len(node.slots))),
                fields={**nodes[name].fields, "factor": factor},
            )  # fmt: skip
    return found

"""Free factors in front of a product, moved behind it: `(q * s) @ k` is `(q @ k) * s`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from scalerules.sizes.arithmetic import ONE, product, times
from scalerules.sizes.lengths import Length
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Part, Source

from .write import Pieces

VIEWS = ("rearrange",)
PASSING = (*VIEWS, "scale")


def made_by(source: Source, nodes: Mapping[str, SketchNode], through: Collection[str] = PASSING) -> Source:
    """The node, or the weight, that a value is, operations of one operand passed `through`: views, and factors."""
    while isinstance(source, str) and nodes[source].op in through:
        source = nodes[source].operands[0]
    return source


def varies(node: SketchNode) -> bool:
    """Whether a node has a factor that depends on a size."""
    factor = node.fields.get("factor")
    return isinstance(factor, Length) and bool(factor.scales)


def passes(node: SketchNode) -> bool:
    """Whether a factor in front of a node is one behind it: views, other factors, gains."""
    return node.op in PASSING or _is_gain(node)


def _is_gain(node: SketchNode) -> bool:
    """Whether a node multiplies entries of one value by weights, and sums over no axis of it.

    Weights that start at a number that varies with a size make up for the factor in front of them: it stays there.
    """
    if node.op != "einsum" or node.labels is None or len(node.operands) < 2:
        return False
    gains = [source.initial for source in node.operands if isinstance(source, Part)]
    if any(gain.kind == "constant" and any(abs(power) > 0.02 for power in gain.exponents.values()) for gain in gains):
        return False
    rows = [row for row, source in zip(node.labels, node.operands, strict=True) if not isinstance(source, Part)]
    return len(rows) == 1 and set(rows[0]) <= set(node.result)


def free(node: SketchNode) -> bool:
    """Whether a factor is solved for."""
    return bool(node.fields.get("free"))


def readers_of(nodes: Mapping[str, SketchNode]) -> dict[str, list[str]]:
    """The names of the nodes that read each value, one for each time that it is read."""
    readers: dict[str, list[str]] = {}
    for name, node in nodes.items():
        for source in node.operands:
            if isinstance(source, str):
                readers.setdefault(source, []).append(name)
    return readers


def moved(
    pieces: Pieces, is_product: Callable[[SketchNode], bool], which: Callable[[SketchNode], bool] = free
) -> Pieces:
    """The pieces with every free factor (or `which`) behind the only product that reads what it multiplies.

    In front, a parameter that stands there alone would take the factor up. `product` of a moved factor is the one
    whose call in the module returns what stands behind the factor. A product that reads what is multiplied twice
    (`z @ z.T`) has the factor twice.
    """
    factors = {name: node for name, node in pieces.nodes.items() if node.op == "scale" and which(node)}
    found = {name: end for name, node in factors.items() if (end := _product(name, node, pieces, is_product))}
    ends = {name: end for name, (end, _) in found.items()}
    behind: dict[str, list[str]] = {}
    for name, end in ends.items():
        behind.setdefault(end, []).append(name)
    read = {end: names[-1] for end, names in behind.items()}
    nodes: dict[str, SketchNode] = {}
    gains = {name for name, node in pieces.nodes.items() if _is_gain(node) and ends.keys() & _front(name, pieces)}
    for name, node in pieces.nodes.items():
        if name in ends:
            continue
        nodes[name] = _reading(replace(node, shown=node.shown and name not in gains), pieces.nodes, ends, read)
        source = name
        for factor in behind.get(name, ()):
            row = tuple(range(len(node.slots)))
            front = _as_often(pieces.nodes[factor], found[factor][1])
            nodes[factor] = replace(front, operands=(source,), slots=node.slots, result=row, product=name)
            source = factor
    return replace(pieces, nodes=nodes, outputs=tuple(read.get(name, name) for name in pieces.outputs))


def _front(name: str, pieces: Pieces) -> set[str]:
    """What a node reads through views, factors and gains alone."""
    found, stack = set[str](), [name]
    while stack:
        for source in pieces.nodes[stack.pop()].operands:
            if isinstance(source, str) and passes(pieces.nodes[source]):
                found.add(source)
                stack.append(source)
    return found


def cancelled(pieces: Pieces) -> Pieces:
    """The pieces without factors that others behind a gain make up for: `normalize(x) * gain * d**0.5` is a norm.

    What stands between them is not measured: in the module it is another size.
    """
    nodes = dict(pieces.nodes)
    for name in pieces.nodes:
        if name not in nodes or not (row := _made_up_for(name, nodes, pieces.outputs)):
            continue
        scales = [each for each in row if nodes[each].op == "scale"]
        total = product(nodes[each].fields["factor"] for each in scales)
        nodes[scales[-1]] = replace(nodes[scales[-1]], fields={**nodes[scales[-1]].fields, "factor": total})
        for each in row[1:-1]:
            nodes[each] = replace(nodes[each], shown=False)
        for gone in scales[:-1]:
            before = nodes.pop(gone).operands[0]
            for reader, other in nodes.items():
                if gone in other.operands:
                    operands = tuple(before if source == gone else source for source in other.operands)
                    nodes[reader] = replace(other, operands=operands)
    return replace(pieces, nodes=nodes)


def _made_up_for(name: str, nodes: Mapping[str, SketchNode], outputs: Sequence[str]) -> list[str]:
    """A factor that varies, and what follows it up to the one behind a gain that makes up for it; else nothing."""
    row, total, gains = [name], ONE, 0
    while nodes[row[-1]].body == nodes[name].body:
        node = nodes[row[-1]]
        if node.op == "scale":
            if free(node) or not isinstance(node.fields.get("factor"), Length):
                return []
            total = times(total, node.fields["factor"])
            if not total.scales:
                return row if gains else []
        elif row[-1] == name or not passes(node):
            return []
        gains += _is_gain(node)
        readers = [reader for reader, other in nodes.items() if row[-1] in other.operands]
        if len(readers) != 1 or row[-1] in outputs:
            return []
        row += readers
    return []


def _product(
    name: str, node: SketchNode, pieces: Pieces, is_product: Callable[[SketchNode], bool]
) -> tuple[str, int] | None:
    """The product that alone reads a factor, and how often it does; None where there is none or more read it."""
    end = name
    while end not in pieces.outputs:
        readers = [reader for reader, other in pieces.nodes.items() if end in other.operands]
        if len(readers) != 1 or pieces.nodes[readers[0]].body != node.body:
            return None
        before, end = end, readers[0]
        if not passes(pieces.nodes[end]):
            return (end, pieces.nodes[end].operands.count(before)) if is_product(pieces.nodes[end]) else None
    return None


def _as_often(node: SketchNode, often: int) -> SketchNode:
    """A factor to the power of how often it is read."""
    return replace(node, fields={**node.fields, "factor": product([node.fields["factor"]] * often)})


def _reading(
    node: SketchNode, nodes: Mapping[str, SketchNode], away: Mapping[str, str], read: Mapping[str, str]
) -> SketchNode:
    """A node that reads what stood in front of a factor that went away, and what stands behind a product now."""
    operands = list(node.operands)
    for place, source in enumerate(operands):
        while isinstance(source, str) and source in away:
            source = nodes[source].operands[0]
        operands[place] = read.get(source, source) if isinstance(source, str) else source
    return replace(node, operands=tuple(operands))

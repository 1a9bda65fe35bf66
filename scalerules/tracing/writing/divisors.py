"""Sums over growing axes that only divide: their length is moved behind the division, where it is a fixed number.

`x / x.sum()` and `q @ kv / (q @ k.sum())` need no factor of their own: divided by its length a sum is of size 0, and
what is left, `1 / length`, meets what is divided: behind the sum that this is, if it is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from fractions import Fraction

from scalerules.ops.arrange import Power
from scalerules.ops.registry import law_of
from scalerules.sizes.arithmetic import ONE, over, power, product, times
from scalerules.sizes.lengths import Length
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Source

from .moved_factors import readers_of
from .write import Pieces


def divided(pieces: Pieces, growth: Callable[[SketchNode], Length | None]) -> Pieces:
    """The pieces with every sum that only divides as a mean.

    `growth`: over how many entries a node sums, None for no sum.
    """
    nodes = pieces.nodes
    readers = readers_of(nodes)
    behind: dict[str, Length] = {}
    """What the value of a node is multiplied with behind it, to be what the module computes."""
    hidden: set[str] = set()
    gone: set[str] = set()
    for name, node in nodes.items():
        length = growth(node)
        ways = _divisions(name, nodes, readers, pieces.outputs) if length is not None else None
        one = over(ONE, length) if length is not None else None
        if not ways or one is None:
            continue
        moved = {end: power(one, -degree) for end, (degree, _) in ways.items()}
        if any(each is None for each in moved.values()):
            continue
        behind[name] = one
        for end, (_, way) in ways.items():
            reader = _product(end, nodes, readers, pieces.outputs)
            scales = _scales(nodes[reader], nodes, readers) if reader else []
            total = times(moved[end] or ONE, product(nodes[each].fields["factor"] for each in scales))
            sum_ = _divided_sum(reader, end, nodes, readers, growth) if reader and not scales else None
            place = sum_ or reader or end
            behind[place] = times(behind.get(place, ONE), total)
            hidden.update([*way, end] if sum_ else [*way, end, place])
            gone.update(scales)
    return _scaled(pieces, behind, hidden, gone) if behind else pieces


def _product(
    name: str, nodes: Mapping[str, SketchNode], readers: Mapping[str, list[str]], outputs: Collection[str]
) -> str | None:
    """The product that alone reads a value: a factor in front of it is one behind."""
    only = readers.get(name, [])
    if len(only) != 1 or name in outputs:
        return None
    reader = nodes[only[0]]
    several = reader.op == "einsum" and reader.labels is not None and len(reader.operands) > 1
    return only[0] if several and reader.body == nodes[name].body else None


def _divided_sum(
    reader: str,
    divisor: str,
    nodes: Mapping[str, SketchNode],
    readers: Mapping[str, list[str]],
    growth: Callable[[SketchNode], Length | None],
) -> str | None:
    """The sum over a growing axis that a product divides, views in between: of two sums each is a mean."""
    others = [source for source in nodes[reader].operands if isinstance(source, str) and source != divisor]
    while len(others) == 1 and len(readers[others[0]]) == 1:
        node = nodes[others[0]]
        if growth(node) is not None:
            return node.name
        others = [s for s in node.operands if isinstance(s, str)] if node.op == "rearrange" else []
    return None


def _scales(reader: SketchNode, nodes: Mapping[str, SketchNode], readers: Mapping[str, list[str]]) -> list[str]:
    """The fixed factors in front of what a product reads, that nothing else reads."""
    sources = [source for source in reader.operands if isinstance(source, str) and len(readers[source]) == 1]
    return [s for s in sources if nodes[s].op == "scale" and isinstance(nodes[s].fields.get("factor"), Length)]


def _divisions(
    name: str, nodes: Mapping[str, SketchNode], readers: Mapping[str, list[str]], outputs: Collection[str]
) -> dict[str, tuple[Fraction, list[str]]]:
    """The negative powers that alone read a value: by name the degree, and what stands in between; else nothing."""
    found: dict[str, tuple[Fraction, list[str]]] = {}
    stack: list[tuple[str, list[str]]] = [(name, [])]
    while stack:
        at, way = stack.pop()
        if at in outputs or at not in readers:
            return {}
        for reader in readers[at]:
            node = nodes[reader]
            degree = _degree(node.op)
            if node.body != nodes[name].body or degree is None:
                return {}
            if degree < 0:
                found[reader] = degree, way
            else:
                stack.append((reader, [*way, reader]))
    return found


def _degree(op: str) -> Fraction | None:
    """The power with which a factor passes what keeps it (views, absolute values) or divides; else None."""
    laws = law_of(op).laws
    if isinstance(laws, Power):
        return laws.power if laws.power < 0 else None
    return Fraction(1) if op in ("rearrange", "abs", "identity") else None


def _scaled(pieces: Pieces, behind: Mapping[str, Length], hidden: Collection[str], gone: Collection[str]) -> Pieces:
    """The pieces with fixed factors behind nodes, and without others. What stands in front is not the module's."""
    new = {name: f"{name}.scale" if name in hidden else f"{name}.mean" for name in behind if behind[name].scales}
    instead: dict[Source, Source] = {**new, **{name: pieces.nodes[name].operands[0] for name in gone}}
    nodes: dict[str, SketchNode] = {}
    for name, node in pieces.nodes.items():
        if name in gone:
            continue
        operands = tuple(instead.get(source, source) for source in node.operands)
        same = name in behind and name not in new
        nodes[name] = replace(node, operands=operands, shown=node.shown and (same or name not in hidden))
        if name in new:
            row = tuple(range(len(node.slots)))
            nodes[new[name]] = replace(
                node, name=new[name], op="scale", operands=(name,), labels=None, result=row, along=None,
                fields={"factor": behind[name]}, fixed=True, shown=node.shown and name in hidden,
            )  # fmt: skip
    return replace(pieces, nodes=nodes, outputs=tuple(new.get(name, name) for name in pieces.outputs))

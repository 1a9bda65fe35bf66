"""Products that are divided by the length of what they multiply: `x @ w.T / |w|` is `x @ (w / |w|).T`.

Behind the product nothing would say that the length is that of a factor; in front of it the two are one norm.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from fractions import Fraction

from scalerules.sizes.arithmetic import ONE, power, product, times
from scalerules.sizes.lengths import Length
from scalerules.tracing.sketch.axes import Axis
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Part, Source

from .moved_factors import readers_of
from .powers_of_products import HALF, Factor, Nodes, Place, factors_of, lengths_of, places_of
from .write import Pieces

OF_POWER = {Fraction(-1): "reciprocal", HALF: "sqrt", -HALF: "rsqrt", Fraction(1): "identity"}


def undivided(pieces: Pieces) -> Pieces:
    """The pieces with the lengths of factors in front of the products that they divide."""
    nodes: Nodes = pieces.nodes
    alone = _read_once(nodes, pieces.outputs)
    for name in pieces.nodes:
        while (found := _moved(nodes, name, pieces.outputs, alone)) is not None:
            nodes, alone = found, _read_once(found, pieces.outputs)
    return replace(pieces, nodes=nodes)


def _read_once(nodes: Nodes, outputs: Collection[str]) -> set[str]:
    """The nodes that one other reads, and that are no outputs."""
    return {name for name, by in readers_of(nodes).items() if len(by) == 1} - set(outputs)


def _moved(nodes: Nodes, name: str, outputs: Collection[str], alone: Collection[str]) -> Nodes | None:
    """The nodes with the lengths in one divisor of a product in front of what they are the lengths of; None without."""
    node = nodes.get(name)
    if node is None or node.op != "einsum" or node.labels is None or len(node.operands) < 2:
        return None
    for k, (source, row) in enumerate(zip(node.operands, node.labels, strict=True)):
        factors = factors_of(source, row, Fraction(1), nodes)
        others = [Place(name, j, each) for j, each in enumerate(node.labels) if j != k]
        front: dict[int, Place] = {}
        for i, factor in enumerate(factors):
            free = (p for other in others for p in places_of(other, alone, nodes) if p not in front.values())
            if (place := next((p for p in free if lengths_of(factor, p, nodes)), None)) is not None:
                front[i] = place
        rest = [factor for i, factor in enumerate(factors) if i not in front]
        if front and all(factor.degree in OF_POWER for factor in rest):
            number = product(each.number for each in factors)
            for i, place in front.items():
                axes = lengths_of(factors[i], place, nodes) or []
                number = times(number, power(product(_grown(place, axes, nodes).values()), -HALF) or ONE)
                last = i == max(front)
                nodes = _normed(place, axes, number if last else ONE, nodes, name)
            return _pruned(_divided(nodes, name, k, rest), source, outputs)
    return None


def _slots(source: Source, nodes: Nodes) -> Sequence[Axis]:
    return source.slots if isinstance(source, Part) else nodes[source].slots


def _grown(place: Place, axes: Sequence[int], nodes: Nodes) -> dict[int, Length]:
    """Those of some axes that grow, or all, with their lengths."""
    slots = _slots(nodes[place.node].operands[place.operand], nodes)
    growing = {i: slots[i].length for i in axes if slots[i].length.scales}
    return growing or {i: slots[i].length for i in axes}


def _normed(place: Place, axes: Sequence[int], number: Length, nodes: Nodes, behind: str) -> Nodes:
    """The nodes with a norm at a place, times a number; what stands in between is no value of the module."""
    holder = nodes[place.node]
    source = holder.operands[place.operand]
    slots = tuple(_slots(source, nodes))
    name = f"{place.node}.direction{place.operand or ''}"
    norm = replace(
        holder, name=name, op="rms_norm", operands=(source,), labels=None, result=tuple(range(len(slots))), slots=slots,
        along=max(_grown(place, axes, nodes)), fields={}, shown=False,
    )  # fmt: skip
    scale = replace(
        norm, name=f"{name}.scale", op="scale", operands=(name,), along=None, fields={"factor": number},
        call=nodes[behind].call,
    )  # fmt: skip
    added = [norm, scale] if number.scales else [norm]
    operands = (*holder.operands[: place.operand], added[-1].name, *holder.operands[place.operand + 1 :])
    found: dict[str, SketchNode] = {}
    between, at = {place.node}, place.node
    readers = readers_of(nodes)
    while at != behind:
        at = readers[at][0]
        between.add(at)
    for each, node in nodes.items():
        if each == place.node:
            found.update({new.name: new for new in added})
            node = replace(node, operands=operands)
        found[each] = replace(node, shown=node.shown and (each == behind or each not in between))
    return found


def _divided(nodes: Nodes, name: str, k: int, rest: list[Factor]) -> Nodes:
    """The nodes with the powers `rest` in place of an operand of a product."""
    node, found = nodes[name], dict[str, SketchNode]()
    assert node.labels is not None
    operands, labels = list(node.operands), list(node.labels)
    operands[k : k + 1], labels[k : k + 1] = [], []
    for each, its in nodes.items():
        if each == name:
            for i, factor in enumerate(rest):
                source = factor.source
                if factor.degree != 1:
                    slots = tuple(_slots(source, nodes))
                    source = f"{name}.divisor{i or ''}"
                    found[source] = replace(
                        node, name=source, op=OF_POWER[factor.degree], operands=(factor.source,), labels=None,
                        result=tuple(range(len(slots))), slots=slots, shown=False,
                    )  # fmt: skip
                operands.insert(k + i, source)
                labels.insert(k + i, tuple(x for x in factor.row if isinstance(x, int)))
            view = len(operands) == 1 and len(labels[0]) == len(node.result) == len(set(labels[0]))
            its = replace(its, op="rearrange" if view else "einsum", operands=tuple(operands), labels=tuple(labels))
        found[each] = its
    return found


def _pruned(nodes: Nodes, source: Source, outputs: Collection[str]) -> Nodes:
    """The nodes without those that only a divisor read that is gone."""
    found, stack = dict(nodes), [source]
    kept = {*outputs, *(str(node.fields["result"]) for node in nodes.values() if node.op == "repeat")}
    while stack:
        each = stack.pop()
        if isinstance(each, str) and each in found and each not in kept and each not in readers_of(found):
            stack += found.pop(each).operands
    return found

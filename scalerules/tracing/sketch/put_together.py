"""Where the parts lie of a value that was put together, whatever was done to its entries since."""

from __future__ import annotations

from collections.abc import Iterator

from scalerules.sizes.arithmetic import fixed, negative, plus, probe, same
from scalerules.sizes.lengths import Length

from .nodes import Nodes
from .sketch_node import SketchNode, Stretch
from .values import Part, Source

DEEP = 12
"""So far back an axis is followed to the parts that it was put together of, or to the weights that make it."""
ENDS = ("input", "constant", "scan", "stream", "repeat", "slice")
"""Operations through which no axis is followed."""


def stretches(nodes: Nodes, source: Source, slot: int, deep: int = DEEP) -> list[Length]:
    """The lengths of the parts of one axis, those that grow in a row as one; none where it was not put together.

    Functions, norms, gains, windows and sums over other axes leave the entries of an axis where they are.
    """
    if isinstance(source, Part) or not deep:
        return []
    node = nodes[source]
    if node.op == "concat" and node.along == slot:
        rows = [stretches(nodes, part, slot, deep - 1) or [nodes.slots(part)[slot].length] for part in node.operands]
        return _rows([length for row in rows for length in row])
    if node.op == "concat" or node.op in ENDS:
        return []
    found = [stretches(nodes, part, place, deep - 1) for part, place in _before(node, slot) if isinstance(part, str)]
    if node.op == "einsum":
        return next((lengths for lengths in found if lengths), list[Length]())
    return found[0] if found and all(_alike(found[0], lengths) for lengths in found) else []


def parts_within(nodes: Nodes, join: SketchNode, slot: int, change: Stretch) -> list[tuple[Source, Stretch | None]]:
    """The parts in a stretch, or the one that it lies in, with the stretch of that; none where they overlap."""
    start, end, place = probe(change.start), probe(plus(change.start, change.length)), fixed(0)
    found: list[tuple[Source, Stretch | None]] = []
    for part in _leaves(nodes, join, slot):
        after = plus(place, nodes.slots(part)[slot].length)
        low, high = probe(place), probe(after)
        if _up_to(start, low) and _up_to(high, end):
            found.append((part, None))
        elif _up_to(low, start) and _up_to(end, high):
            return [(part, Stretch(plus(change.start, negative(place)), change.length))]
        elif not (_up_to(high, start) or _up_to(end, low)):
            return []
        place = after
    return found


def _leaves(nodes: Nodes, join: SketchNode, slot: int) -> Iterator[Source]:
    """What was put together, and what that was put together of."""
    for part in join.operands:
        node = nodes[part] if isinstance(part, str) else None
        if node is not None and node.op == "concat" and node.along == slot:
            yield from _leaves(nodes, node, slot)
        else:
            yield part


def _before(node: SketchNode, slot: int) -> list[tuple[Source, int]]:
    """The operands that have an axis of a node, and where."""
    if node.labels is None:
        return [(part, slot) for part in node.operands]
    label, pairs = node.result[slot], zip(node.operands, node.labels, strict=True)
    return [(part, row.index(label)) for part, row in pairs if label in row]


def _rows(lengths: list[Length]) -> list[Length]:
    """Lengths, of which those beside each other that grow, and those that do not, are one."""
    rows: list[Length] = []
    for length in lengths:
        if rows and bool(rows[-1].scales) == bool(length.scales):
            rows[-1] = plus(rows[-1], length)
        else:
            rows.append(length)
    return rows


def _alike(some: list[Length], others: list[Length]) -> bool:
    """Whether two axes were put together in the same way."""
    return len(some) == len(others) and all(map(same, some, others))


def _up_to(some: tuple[float, ...], others: tuple[float, ...]) -> bool:
    """Whether one length is no longer than the other at any size."""
    return all(a <= b * (1 + 1e-9) for a, b in zip(some, others, strict=True))

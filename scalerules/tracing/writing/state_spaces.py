"""Recurrences that are state-space models: `exp(dt A)` times the state, plus `dt B u`, read by a product with `C`.

They become one `scan`, whose laws know that the decay falls along the state axis. A recurrence that is not of this
form is lowered again, step by step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scalerules.tracing.lowering.all_times import ALL
from scalerules.tracing.sketch.axes import Axis
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Source

from .write import Pieces, parts_of

Row = tuple[int, ...]


class Unfused(Exception):
    """Loops whose recurrence is no scan: the first call of each."""

    def __init__(self, loops: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(loops)))
        self.loops = loops


@dataclass(frozen=True)
class Leaf:
    """An operand of a product, each of its axes labelled as in the product."""

    source: Source
    row: Row

    def same(self, other: Leaf) -> bool:
        """Whether two operands are the same entries along the same axes."""
        return (self.source is other.source or self.source == other.source) and self.row == other.row


def fused(pieces: Pieces) -> Pieces:
    """The pieces with scans in place of recurrences. Raises `Unfused`."""
    recurrences = [name for name, node in pieces.nodes.items() if node.op == "recurrence"]
    if not recurrences:
        return pieces
    nodes, loose = dict(pieces.nodes), set[str]()
    for name in recurrences:
        if not _fuse(nodes, pieces.outputs, name):
            loose.add(str(nodes[name].fields["loop"]))
    if loose:
        raise Unfused(frozenset(loose))
    live: dict[str, SketchNode] = {}
    queue = [*pieces.outputs, *(str(m.fields["result"]) for m in nodes.values() if m.op == "repeat")]
    queue += [m.name for m in nodes.values() if m.op == "stream"]
    while queue:
        name = queue.pop()
        if name not in live and name in nodes:
            live[name] = nodes[name]
            queue.extend(source for source in nodes[name].operands if isinstance(source, str))
    kept = {name: node for name, node in nodes.items() if name in live}
    return replace(pieces, nodes=_plain(kept, pieces.outputs), parts=parts_of(kept.values()))


def _plain(nodes: Mapping[str, SketchNode], outputs: tuple[str, ...]) -> dict[str, SketchNode]:
    """The nodes without the mark that they stand for all times, where their names are free then."""
    short = {name: name.replace(ALL, "") for name in nodes if ALL in name and name not in outputs}
    short = {name: word for name, word in short.items() if word not in nodes and list(short.values()).count(word) == 1}
    kept = {name: node.fields.get("result") for name, node in nodes.items() if node.op == "repeat"}
    short = {name: word for name, word in short.items() if name not in kept.values()}

    def renamed(node: SketchNode) -> SketchNode:
        operands = tuple(short.get(s, s) if isinstance(s, str) else s for s in node.operands)
        return replace(node, name=short.get(node.name, node.name), operands=operands)

    return {short.get(name, name): renamed(node) for name, node in nodes.items()}


def _fuse(nodes: dict[str, SketchNode], outputs: tuple[str, ...], name: str) -> bool:
    """Puts a scan in place of a recurrence and of the product that reads its state; False where it is none."""
    node = nodes[name]
    axes: dict[int, Axis] = dict(zip(node.result, node.slots, strict=True))
    read = _reading(nodes, outputs, node)
    if read is None or node.labels is None:
        return False
    reader, c, kept, order = read
    decay, driven = (Leaf(source, row) for source, row in zip(node.operands, node.labels, strict=True))
    states = [x for x in node.result if x not in kept]
    if len(states) != 1:
        return False
    state = states[0]
    rates = _rates(nodes, decay, state)
    dt = [leaf for leaf in rates if state not in leaf.row]
    a = [leaf for leaf in rates if state in leaf.row]
    written = _leaves(nodes, driven, state, dt[0] if dt else None)
    b = [leaf for leaf in written if state in leaf.row]
    rest = [leaf for leaf in written if state not in leaf.row]
    steps = [leaf for leaf in rest if len(dt) == 1 and leaf.same(dt[0])]
    u = [leaf for leaf in rest if not any(leaf is step for step in steps)]
    if [len(leaves_of) for leaves_of in (dt, a, b, steps, u)] != [1, 1, 1, 1, 1]:
        return False
    leaves = (u[0], dt[0], a[0], b[0], c)
    canonical = (*kept, state)
    if len(kept) not in (3, 4) or set(u[0].row) != set(kept) or not _fits(leaves, kept, state):
        return False
    return _put(nodes, reader, node, leaves, canonical, order, axes)


def _only_reader(nodes: Mapping[str, SketchNode], outputs: tuple[str, ...], name: str) -> SketchNode | None:
    """The product that alone reads a node."""
    readers = [node for node in nodes.values() if name in node.operands]
    alone = len(readers) == 1 and name not in outputs and readers[0].op == "einsum" and readers[0].labels is not None
    return readers[0] if alone else None


def _reading(
    nodes: Mapping[str, SketchNode], outputs: tuple[str, ...], node: SketchNode
) -> tuple[SketchNode, Leaf, Row, Row] | None:
    """What sums over the state; `C`; the labels of `y` as (batch, time, channels), and in the order that `y` has."""
    reader = _only_reader(nodes, outputs, node.name)
    if reader is None or len(reader.operands) != 2 or reader.operands.count(node.name) != 1:
        return None
    assert reader.labels is not None
    k = reader.operands.index(node.name)
    ours = dict(zip(reader.labels[k], node.result, strict=True))
    row = [ours.get(x) for x in reader.labels[1 - k]]
    c = Leaf(reader.operands[1 - k], tuple(x for x in row if x is not None))
    if set(reader.result) == set(reader.labels[k]):  # the sum over the state is a step of its own
        total = _only_reader(nodes, outputs, reader.name)
        if total is None or len(total.operands) != 1 or total.labels is None:
            return None
        ours = {x: ours[y] for x, y in zip(total.labels[0], reader.result, strict=True)}
        reader = total
    back = [ours.get(x) for x in reader.result]
    if None in row or None in back:
        return None
    order = tuple(x for x in back if x is not None)
    time, batch = node.result[0], node.result[1]
    if time not in order or batch not in order:
        return None
    return reader, c, (batch, time, *(x for x in node.result if x in order and x not in (time, batch))), order


def _rates(nodes: Mapping[str, SketchNode], decay: Leaf, state: int) -> list[Leaf]:
    """`dt` and `A` of a decay `exp(dt A)`; nothing of another."""
    source, row = decay.source, decay.row
    while isinstance(source, str) and nodes[source].op == "rearrange":
        source, row = _through(nodes[source], row)
        if not row:
            return []
    node = nodes[source] if isinstance(source, str) else None
    if node is None or node.op != "exp":
        return []
    return _leaves(nodes, Leaf(node.operands[0], row), state)


def _through(node: SketchNode, row: Row) -> tuple[Source, Row]:
    """The operand of a node that only changes the order of axes; no labels where it does more."""
    assert node.labels is not None
    outer = dict(zip(node.result, row, strict=True))
    if set(node.labels[0]) != set(node.result):
        return node.operands[0], ()
    return node.operands[0], tuple(outer[x] for x in node.labels[0])


def _leaves(nodes: Mapping[str, SketchNode], leaf: Leaf, state: int, dt: Leaf | None = None) -> list[Leaf]:
    """The operands of a product of products, entry by entry; what has neither the state's axis nor `dt` stays whole."""
    if state not in leaf.row and not (dt is not None and not leaf.same(dt) and _holds(nodes, leaf, dt)):
        return [leaf]
    inner = _operands(nodes, leaf)
    return [inner_leaf for operand in inner for inner_leaf in _leaves(nodes, operand, state, dt)] if inner else [leaf]


def _holds(nodes: Mapping[str, SketchNode], leaf: Leaf, wanted: Leaf) -> bool:
    """Whether `wanted` is one of the operands of a product of products."""
    return leaf.same(wanted) or any(_holds(nodes, operand, wanted) for operand in _operands(nodes, leaf))


def _operands(nodes: Mapping[str, SketchNode], leaf: Leaf) -> list[Leaf]:
    """The operands of a product entry by entry, none of anything else."""
    node = nodes[leaf.source] if isinstance(leaf.source, str) else None
    if node is None or node.labels is None or node.op not in ("einsum", "rearrange"):
        return []
    outer = dict(zip(node.result, leaf.row, strict=True))
    if any(x not in outer for row in node.labels for x in row):
        return []  # something is summed over, or picked
    if node.op == "rearrange" and set(node.result) != set(node.labels[0]):
        return []
    pairs = zip(node.operands, node.labels, strict=True)
    return [Leaf(source, tuple(outer[x] for x in row)) for source, row in pairs]


def _fits(leaves: tuple[Leaf, ...], kept: Row, state: int) -> bool:
    """Whether the axes of `u dt A B C` are those that a scan takes."""
    when, channels = kept[:2], kept[2:]
    parts = (channels, channels[:1])
    steps = [{*w, *part} for w in (when, ()) for part in parts]
    fixed = [{*part, state} for part in parts]
    _, dt, a, b, c = leaves
    return (
        set(dt.row) in steps
        and set(a.row) in [*fixed, {state}]
        and all(set(leaf.row) in [{*when, state}, *fixed] for leaf in (b, c))
    )


def _put(
    nodes: dict[str, SketchNode], reader: SketchNode, node: SketchNode, leaves: tuple[Leaf, ...], canonical: Row,
    order: Row, axes: Mapping[int, Axis],
) -> bool:  # fmt: skip
    kept = canonical[:-1]
    operands: list[Source] = []
    for word, turned in zip(("u", "dt", "A", "B", "C"), leaves, strict=True):
        leaf = _unturned(nodes, turned)
        row = tuple(x for x in canonical if x in leaf.row)
        if row == leaf.row and isinstance(leaf.source, str) and leaf.source in nodes:
            operands.append(leaf.source)
            continue
        name = _free(nodes, f"{reader.name}.{word}")
        labels = (leaf.row,)
        nodes[name] = SketchNode(name, "rearrange", (leaf.source,), labels, row, tuple(axes[x] for x in row),
                                 call=reader.call, body=reader.body)  # fmt: skip
        operands.append(name)
    slots = tuple(axes[x] for x in kept)
    labels = tuple(range(len(kept)))
    scan = SketchNode(reader.name, "scan", tuple(operands), None, labels, slots, fields={"discretisation": "euler"},
                      call=reader.call, body=reader.body)  # fmt: skip
    if order == kept:
        nodes[reader.name] = scan
    else:
        name = _free(nodes, f"{reader.name}.scan")
        nodes[name] = replace(scan, name=name)
        back = tuple(axes[x] for x in order)
        nodes[reader.name] = SketchNode(reader.name, "rearrange", (name,), (kept,), order, back,
                                        call=reader.call, body=reader.body)  # fmt: skip
    del nodes[node.name]
    return True


def _unturned(nodes: Mapping[str, SketchNode], leaf: Leaf) -> Leaf:
    """What an operand is in front of nodes that only change the order of its axes."""
    node = nodes[leaf.source] if isinstance(leaf.source, str) else None
    inner = _operands(nodes, leaf) if node is not None and node.op == "rearrange" else []
    return _unturned(nodes, inner[0]) if inner and isinstance(inner[0].source, str) else leaf


def _free(nodes: Mapping[str, SketchNode], wanted: str) -> str:
    name, number = wanted, 0
    while name in nodes:
        number += 1
        name = f"{wanted}_{number}"
    return name

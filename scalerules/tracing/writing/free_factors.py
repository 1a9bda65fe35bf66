"""Fixed numbers of the forward pass that the engine may choose: factors at products of two values of the data.

`1 / sqrt(head)` in front of a softmax stands behind a sum over a growing axis that no initial value can make up for:
what it should be is solved for (`free`), and what the module does is its value at the base size.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from scalerules.sizes.arithmetic import ONE, product, times
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Part, Source

from .contracted import contracted
from .divided_products import undivided
from .divisors import divided
from .held_vectors import held_vectors
from .means import means
from .moved_factors import PASSING, VIEWS, cancelled, free, made_by, moved, passes, readers_of, varies
from .normed_products import between_normed, is_normed, is_unit, norms_read
from .shared_weights import uneven_readings
from .write import Pieces, Writer


def freed(pieces: Pieces) -> Pieces:
    """The pieces with every factor free that stands at a sum of products of data over an axis that grows."""
    pieces = cancelled(contracted(undivided(pieces)))
    weighed = _weighed(pieces.nodes)
    pieces = means(pieces, weighed, lambda node: _adds_up(node, weighed, pieces.nodes))
    weighed = _weighed(pieces.nodes)
    pieces = divided(pieces, lambda node: _summed(node, weighed, pieces.nodes))
    weighed = _weighed(pieces.nodes)
    pieces = _one_each(pieces, lambda node: is_product(node, _plain(weighed, pieces.nodes)))
    weighed = _weighed(pieces.nodes)
    uneven = uneven_readings(pieces.nodes, readers_of(pieces.nodes), weighed)
    pieces = _behind_uneven(pieces, uneven)
    nodes = dict(pieces.nodes)
    readers = readers_of(nodes)
    normed = {name for name in weighed if is_normed(name, nodes)}
    plain = _plain(weighed, nodes)
    for name, node in pieces.nodes.items():
        parameters = plain if node.op == "scale" and varies(node) else weighed
        if (
            node.op == "scale"
            and not node.fixed
            and not between_normed(name, nodes, readers, normed)
            and not _makes_a_mean(node, nodes, weighed)
            and (varies(node) or len(_ends(name, nodes, readers)) < 2)
            and (
                _behind(node, nodes, parameters)
                or _leaves_a_sum(node, nodes, weighed)
                or (_before(name, nodes, readers, parameters) and not _made_up_for(name, nodes, readers))
            )
        ):
            nodes[name] = replace(node, fields={**node.fields, "free": True})
    for name, node in pieces.nodes.items():
        if node.op == "scale" and not varies(node) and _scaled_before(node, nodes):
            nodes[name] = replace(node, fields={"factor": ONE})
    pieces = moved(replace(pieces, nodes=nodes), lambda node: is_product(node, weighed - normed))
    return _added(pieces, weighed, uneven)


def _weighed(nodes: Mapping[str, SketchNode]) -> set[str]:
    """The names of the nodes that no data reach, tokens among them."""
    return {n for n, node in nodes.items() if node.fields.get("kind") == "tokens" or not _from_data(n, nodes)}


def _plain(weighed: Collection[str], nodes: Mapping[str, SketchNode]) -> set[str]:
    """Of these, those whose size initial values decide, and that are no products of two weights."""
    held = held_vectors(nodes, weighed)
    return {n for n in weighed if n not in held and not is_normed(n, nodes) and not _multiplied(n, nodes)}


def _one_each(pieces: Pieces, is_product: Callable[[SketchNode], bool]) -> Pieces:
    """The pieces with a factor that varies once for each of the products that read it: no one number suits all.

    Each stands for what the module computes in that product, so that one can be set without the others.
    """
    nodes: dict[str, SketchNode] = {}
    instead: dict[tuple[str, Source], str] = {}
    readers = readers_of(pieces.nodes)
    for name, node in pieces.nodes.items():
        operands = tuple(instead.get((name, source), source) for source in node.operands)
        nodes[name] = node = replace(node, operands=operands)
        behind = [pieces.nodes[reader] for reader in dict.fromkeys(readers.get(name, ()))]
        apart = len(behind) > 1 and node.op == "scale" and varies(node) and name not in pieces.outputs
        if not apart or not all(is_product(each) for each in behind):
            continue
        for number, reader in enumerate(behind, 1):
            copy = name if number == 1 else f"{name}.{number}"
            instead[reader.name, name] = copy
            nodes[copy] = replace(node, name=copy, call=reader.call)
    return replace(pieces, nodes=nodes)


def _behind_uneven(pieces: Pieces, uneven: Collection[str]) -> Pieces:
    """The pieces with factors that vary behind the products that get one of their own.

    In front, what is multiplied would be asked to be of size 0: `norm(x) * d**-0.5`, as T5 has it.
    """
    return moved(pieces, lambda node: node.name in uneven, varies)


def _added(pieces: Pieces, weighed: set[str], uneven: Collection[str]) -> Pieces:
    """The pieces with a free factor, 1 in the module, behind growing sums of data or of a shared weight without one."""
    nodes = pieces.nodes
    readers, held = readers_of(nodes), held_vectors(nodes, weighed)
    sized = {name for name in weighed if not is_unit(name, nodes)}

    def lacks_factor(node: SketchNode) -> bool:
        """Whether a node sums over a growing axis and nothing makes up for it, nor a norm takes it as it is."""
        if not _sums_growing(node, nodes) or _has_factor(node.name, nodes, readers):
            return False
        of_units = is_product(node, sized) and not norms_read(node.name, nodes, readers)
        return is_product(node, weighed) or _is_sum(node, weighed) or _compares(node, weighed, held) or of_units

    new = {name: _named(node) for name, node in nodes.items() if name in uneven or lacks_factor(node)}
    if not new:
        return pieces
    changed: dict[str, SketchNode] = {}
    for name, node in nodes.items():
        changed[name] = replace(node, operands=tuple(_renamed(source, new) for source in node.operands))
        if name in new:
            fields = {"factor": ONE, "free": True}
            changed[new[name]] = replace(
                node, name=new[name], op="scale", operands=(name,), labels=None, result=tuple(range(len(node.slots))),
                fields=fields, call=_made_at(node, nodes, readers),
            )  # fmt: skip
    outputs = tuple(new.get(name, name) for name in pieces.outputs)
    return replace(pieces, nodes=changed, outputs=outputs)


def _made_at(node: SketchNode, nodes: Mapping[str, SketchNode], readers: Mapping[str, list[str]]) -> Call | None:
    """Where the module can have a factor of a product: at the one weight of its own that a norm gives, or behind it.

    Behind it a bias may be in the same call, which has no such factor.
    """
    units = [s for s in node.operands if isinstance(s, str) and is_unit(s, nodes) and not _from_data(s, nodes)]
    return nodes[units[0]].call if len(units) == 1 and len(readers[units[0]]) == 1 else node.call


def _summed(node: SketchNode, weighed: set[str], nodes: Mapping[str, SketchNode]) -> Length | None:
    """Over how many entries a node sums values of the data, None where it sums none or weights make up for it."""
    if not _adds_up(node, weighed, nodes) or not node.labels:
        return None
    lengths: dict[int, Length] = {}
    for source, row in zip(node.operands, node.labels, strict=True):
        for label, axis in zip(row, source.slots if isinstance(source, Part) else nodes[source].slots, strict=True):
            if label not in node.result and axis.length.scales:
                lengths[label] = axis.length
    return product(lengths.values())


def _adds_up(node: SketchNode, weighed: set[str], nodes: Mapping[str, SketchNode]) -> bool:
    """Whether a node sums values of the data, or products of two, over an axis that grows."""
    return (is_product(node, weighed) or _is_sum(node, weighed)) and _sums_growing(node, nodes)


def _named(product: SketchNode) -> str:
    """The name of the factor behind a product: `head.scale` behind what a layer gives, otherwise `matmul.factor`."""
    layer = product.name.removesuffix(f".{product.op}")
    return f"{product.name}.factor" if layer == product.name else f"{layer}.scale"


def _renamed(source: Source, new: Mapping[str, str]) -> Source:
    return new.get(source, source) if isinstance(source, str) else source


def _sums_growing(node: SketchNode, nodes: Mapping[str, SketchNode]) -> bool:
    """Whether an axis that grows is summed over that all factors have, or two of them (no scan's own sums)."""
    if node.labels is None or (node.call is not None and node.call.target.startswith("scalerules.")):
        return False
    seen: dict[int, int] = {}
    for source, row in zip(node.operands, node.labels, strict=True):
        for label, axis in zip(row, source.slots if isinstance(source, Part) else nodes[source].slots, strict=True):
            if axis.length.scales and label not in node.result:
                seen[label] = seen.get(label, 0) + 1
    return any(count == len(node.operands) or count > 1 for count in seen.values())


def _has_factor(name: str, nodes: Mapping[str, SketchNode], readers: Mapping[str, list[str]]) -> bool:
    """Whether a free factor stands behind a product, or in front of it at one of what it reads."""
    stack = [name]
    while stack:
        for reader in readers.get(stack.pop(), []):
            if nodes[reader].op == "scale":
                return True
            if nodes[reader].op == "rearrange":
                stack.append(reader)
    front = [source for source in nodes[name].operands if isinstance(source, str)]
    while front:
        node = nodes[front.pop()]
        if node.op == "scale" and free(node):
            return True
        if passes(node):
            front.extend(source for source in node.operands if isinstance(source, str))
    return False


def free_factors(writer: Writer) -> tuple[dict[str, list[str]], list[str]]:
    """Where free factors stand in the module, as far as is known, and a line for each that says what it is."""
    places: dict[str, list[str]] = {}
    said: list[str] = []
    for key, node in writer.pieces.nodes.items():
        if node.op != "scale" or not free(node):
            continue
        name, call = writer.name(key), node.call
        factor = node.fields.get("factor")
        line = f" ({call.source})" if call is not None and call.source else ""
        said.append(f"{name}: the module multiplies by {factor}{line}; how that should scale is solved for")
        path, kind = call.stack[-1] if call is not None and call.stack else ("", "")
        if not varies(node) and "Linear" in kind and call is not None and "linear" in call.target:
            places[name] = [writer.path(path, node)]
    return places, said


def _scaled_before(node: SketchNode, nodes: Mapping[str, SketchNode]) -> bool:
    """Whether a free factor that the module has itself stands in front of the product: one is enough."""
    product: Source = node.operands[0]
    if not isinstance(product, str) or nodes[product].op != "einsum":
        return False
    for source in nodes[product].operands:
        while isinstance(source, str) and nodes[source].op in PASSING:
            if free(nodes[source]) and varies(nodes[source]):
                return True
            source = nodes[source].operands[0]
    return False


def _from_data(name: str, nodes: Mapping[str, SketchNode]) -> bool:
    """Whether a node depends on an input, or on fixed entries alone: what weights make of those is of weights."""
    above: set[Source] = {name}
    stack = [name]
    while stack:
        for source in nodes[stack.pop()].operands:
            if source not in above:
                above.add(source)
                stack += [source] if isinstance(source, str) else []
    inputs = [nodes[source] for source in above if isinstance(source, str) and nodes[source].op in ("input", "stream")]
    return bool(inputs) and not (all(node.fixed for node in inputs) and any(isinstance(s, Part) for s in above))


def _multiplied(name: str, nodes: Mapping[str, SketchNode]) -> bool:
    """Whether a value of weights alone is a product of two of them, such as the query of a learnt probe.

    What both learn adds up in a product with data, as that of two values of the data does.
    """
    source = made_by(name, nodes, (*PASSING, "add"))
    return isinstance(source, str) and nodes[source].op == "einsum" and _sums_growing(nodes[source], nodes)


def _behind(node: SketchNode, nodes: Mapping[str, SketchNode], weighed: set[str]) -> bool:
    source = made_by(node.operands[0], nodes, VIEWS)
    return isinstance(source, str) and is_product(nodes[source], weighed)


def _makes_a_mean(node: SketchNode, nodes: Mapping[str, SketchNode], weighed: set[str]) -> bool:
    """Whether a varying factor makes a mean of the sum that it stands right behind: moved, it would leave the sum."""
    left = _left_of_sum(node, nodes, weighed)
    return left is not None and not _grows(left)


def _leaves_a_sum(node: SketchNode, nodes: Mapping[str, SketchNode], weighed: set[str]) -> bool:
    """Whether what a varying factor leaves of such a sum grows (`sum / n**0.5`): nothing else makes up for the rest."""
    left = _left_of_sum(node, nodes, weighed)
    return left is not None and _grows(left)


def _left_of_sum(node: SketchNode, nodes: Mapping[str, SketchNode], weighed: set[str]) -> Length | None:
    """How many times an entry a sum of values is behind a varying factor; None where it stands behind no such sum."""
    source = made_by(node.operands[0], nodes, VIEWS)
    if not varies(node) or not isinstance(source, str) or not _is_sum(nodes[source], weighed):
        return None
    length = _summed(nodes[source], weighed, nodes)
    return length and times(length, node.fields["factor"])


def _grows(length: Length) -> bool:
    """Whether a length becomes longer with one of the scales."""
    return any(power > 0 for monomial in length.monomials for _, power in monomial.powers)


def _before(name: str, nodes: Mapping[str, SketchNode], readers: Mapping[str, list[str]], weighed: set[str]) -> bool:
    """Whether the scaled value goes into such a product, and nowhere else."""
    readings = readers.get(name, [])
    through = [reader for reader in readings if passes(nodes[reader])]
    ends = [reader for reader in readings if reader not in through]
    return (
        bool(readings)
        and all(is_product(nodes[r], weighed) for r in ends)
        and all(_before(r, nodes, readers, weighed) for r in through)
    )


def _ends(name: str, nodes: Mapping[str, SketchNode], readers: Mapping[str, list[str]]) -> set[str]:
    """What reads a value, views, factors and gains in between: a fixed number of several is none of each of them."""
    found = set[str]()
    for reader in readers.get(name, []):
        found |= _ends(reader, nodes, readers) if passes(nodes[reader]) else {reader}
    return found


def _made_up_for(name: str, nodes: Mapping[str, SketchNode], readers: Mapping[str, list[str]]) -> bool:
    """Whether the factors that stand in a row with a varying one leave nothing that varies: `normalize(x) * d**0.5`."""
    row, before, behind = [name], nodes[name].operands[0], readers.get(name, [])
    while isinstance(before, str) and nodes[before].op in PASSING:
        row.append(before)
        before = nodes[before].operands[0]
    while len(behind) == 1 and nodes[behind[0]].op in PASSING:
        row.append(behind[0])
        behind = readers.get(behind[0], [])
    total = product(nodes[each].fields.get("factor", ONE) for each in row)
    return varies(nodes[name]) and not total.scales


def _compares(node: SketchNode, weighed: set[str], held: set[str]) -> bool:
    """Whether a node sums products of data with a vector of weights whose size is held."""
    return is_product(node, weighed - held) and any(s not in weighed for s in node.operands if isinstance(s, str))


def _is_sum(node: SketchNode, weighed: set[str]) -> bool:
    """Whether a node sums values of the data over an axis that grows, as they are."""
    source = node.operands[0] if node.op == "einsum" and node.labels is not None and len(node.operands) == 1 else None
    return isinstance(source, str) and source not in weighed


def is_product(node: SketchNode, weighed: set[str]) -> bool:
    """Whether a node sums products of two values of the data over a growing axis, without weights to make up for it."""
    if node.op != "einsum" or node.labels is None:
        return False
    data = [k for k, source in enumerate(node.operands) if not isinstance(source, Part) and source not in weighed]
    labels = [label for k in data for label in set(node.labels[k])]
    pairs = zip(node.labels, node.operands, strict=True)
    drawn = {x for row, s in pairs if isinstance(s, Part) and s.initial.kind == "normal" for x in row}
    return any(labels.count(label) > 1 for label in set(labels) - set(node.result) - drawn)

"""Fixed numbers of the forward pass that the engine may choose: factors at products of two values of the data.

`1 / sqrt(head)` in front of a softmax stands behind a sum over a growing axis that no initial value can make up for:
what it should be is solved for (`free`), and what the module does is its value at the base size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scalerules.sizes.arithmetic import ONE
from scalerules.sizes.lengths import Length
from scalerules.tracing.sketch.made import Made
from scalerules.tracing.sketch.values import Part, Source

from .moved_factors import PASSING, moved
from .write import Pieces, Writer


def freed(found: Pieces) -> Pieces:
    """The same with every factor free that stands at a sum of products of data over an axis that grows."""
    found = contracted(found)
    nodes = dict(found.nodes)
    readers: dict[str, list[str]] = {}
    for name, made in nodes.items():
        for source in made.operands:
            if isinstance(source, str):
                readers.setdefault(source, []).append(name)
    weighed = {name for name in nodes if not _from_data(name, nodes)}
    plain = {name for name in weighed if not _multiplied(name, nodes)}
    for name, made in found.nodes.items():
        known = plain if made.op == "scale" and _varies(made) else weighed
        if made.op == "scale" and (_behind(made, nodes, known) or _before(name, nodes, readers, known)):
            nodes[name] = replace(made, fields={**made.fields, "free": True})
    for name, made in found.nodes.items():
        if made.op == "scale" and not _varies(made) and _scaled_before(made, nodes):
            nodes[name] = replace(made, fields={"factor": ONE})
    found = moved(replace(found, nodes=nodes), lambda made: is_product(made, weighed))
    return _added(found, weighed)


def contracted(found: Pieces) -> Pieces:
    """The same with every sum over an axis of a product as one einsum: `(a * b).sum(-1)` is what `a @ b` is."""
    nodes = dict(found.nodes)
    for name, made in found.nodes.items():
        product = _product_below(made, nodes)
        if product is None or product.labels is None or made.labels is None:
            continue
        outer = dict(zip(made.labels[0], product.result, strict=True))
        result = tuple(outer[label] for label in made.result)
        nodes[name] = replace(made, operands=product.operands, labels=product.labels, result=result)
        if product.name not in found.outputs and not any(product.name in other.operands for other in nodes.values()):
            del nodes[product.name]
    return replace(found, nodes=nodes)


def _product_below(made: Made, nodes: Mapping[str, Made]) -> Made | None:
    """The product that a node sums over an axis that grows, None if it does nothing like that."""
    if made.op != "einsum" or made.labels is None or len(made.operands) != 1:
        return None
    source = made.operands[0]
    product = nodes[source] if isinstance(source, str) else None
    if product is None or product.op != "einsum" or len(product.operands) < 2 or product.body != made.body:
        return None
    row = made.labels[0]
    summed = [axis for label, axis in zip(row, product.slots, strict=True) if label not in made.result]
    plain = len(set(row)) == len(row) and set(made.result) <= set(row)
    return product if plain and any(axis.length.scales for axis in summed) else None


def _added(found: Pieces, weighed: set[str]) -> Pieces:
    """With a free factor, 1 in the module, behind every sum of products of data over an axis that grows without one."""
    nodes = found.nodes
    readers: dict[str, list[str]] = {}
    for name, made in nodes.items():
        for source in made.operands:
            if isinstance(source, str):
                readers.setdefault(source, []).append(name)
    new = {
        name: f"{name}.factor"
        for name, made in nodes.items()
        if is_product(made, weighed) and _sums_growing(made, nodes) and not _has_factor(name, nodes, readers)
    }
    if not new:
        return found
    changed: dict[str, Made] = {}
    for name, made in nodes.items():
        changed[name] = replace(made, operands=tuple(_renamed(source, new) for source in made.operands))
        if name in new:
            fields = {"factor": ONE, "free": True}
            changed[new[name]] = replace(
                made, name=new[name], op="scale", operands=(name,), labels=None, result=tuple(range(len(made.slots))),
                fields=fields,
            )  # fmt: skip
    outputs = tuple(new.get(name, name) for name in found.outputs)
    return replace(found, nodes=changed, outputs=outputs)


def _renamed(source: Source, new: Mapping[str, str]) -> Source:
    return new.get(source, source) if isinstance(source, str) else source


def _sums_growing(made: Made, nodes: Mapping[str, Made]) -> bool:
    """Whether two factors of a product have an axis that grows in common which is summed over (no scan's own sums)."""
    if made.labels is None or (made.call is not None and made.call.target.startswith("scalerules.")):
        return False
    seen: dict[int, int] = {}
    for source, row in zip(made.operands, made.labels, strict=True):
        for label, axis in zip(row, source.slots if isinstance(source, Part) else nodes[source].slots, strict=True):
            if axis.length.scales and label not in made.result:
                seen[label] = seen.get(label, 0) + 1
    return any(count > 1 for count in seen.values())


def _has_factor(name: str, nodes: Mapping[str, Made], readers: Mapping[str, list[str]]) -> bool:
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
        made = nodes[front.pop()]
        if made.op == "scale" and made.fields.get("free"):
            return True
        if made.op in PASSING:
            front.extend(source for source in made.operands if isinstance(source, str))
    return False


def free_factors(writer: Writer) -> tuple[dict[str, list[str]], list[str]]:
    """Where free factors stand in the module, as far as is known, and a line for each that says what it is."""
    places: dict[str, list[str]] = {}
    said: list[str] = []
    for key, made in writer.found.nodes.items():
        if made.op != "scale" or not made.fields.get("free"):
            continue
        name, call = writer.name(key), made.call
        factor = made.fields.get("factor")
        line = f" ({call.source})" if call is not None and call.source else ""
        said.append(f"{name}: the module multiplies by {factor}{line}; how that should scale is solved for")
        path, kind = call.stack[-1] if call is not None and call.stack else ("", "")
        if not _varies(made) and "Linear" in kind:
            places[name] = [writer.path(path, made)]
    return places, said


def _varies(made: Made) -> bool:
    factor = made.fields.get("factor")
    return isinstance(factor, Length) and bool(factor.scales)


def _scaled_before(made: Made, nodes: Mapping[str, Made]) -> bool:
    """Whether a free factor that the module has itself stands in front of the product: one is enough."""
    product: Source = made.operands[0]
    if not isinstance(product, str) or nodes[product].op != "einsum":
        return False
    for source in nodes[product].operands:
        while isinstance(source, str) and nodes[source].op in PASSING:
            if nodes[source].fields.get("free") and _varies(nodes[source]):
                return True
            source = nodes[source].operands[0]
    return False


def _from_data(name: str, nodes: Mapping[str, Made]) -> bool:
    """Whether a node depends on an input."""
    stack, seen = [name], set[str]()
    while stack:
        at = stack.pop()
        if nodes[at].op in ("input", "stream"):
            return True
        for source in nodes[at].operands:
            if isinstance(source, str) and source not in seen:
                seen.add(source)
                stack.append(source)
    return False


def _multiplied(name: str, nodes: Mapping[str, Made]) -> bool:
    """Whether a value of weights alone is a product of two of them, such as the query of a learnt probe.

    What both learn adds up in a product with data, as that of two values of the data does.
    """
    source: Source = name
    while isinstance(source, str) and nodes[source].op in (*PASSING, "add"):
        source = nodes[source].operands[0]
    return isinstance(source, str) and nodes[source].op == "einsum" and _sums_growing(nodes[source], nodes)


def _behind(made: Made, nodes: Mapping[str, Made], weighed: set[str]) -> bool:
    source: Source = made.operands[0]
    while isinstance(source, str) and nodes[source].op == "rearrange":
        source = nodes[source].operands[0]
    return isinstance(source, str) and is_product(nodes[source], weighed)


def _before(name: str, nodes: Mapping[str, Made], readers: Mapping[str, list[str]], weighed: set[str]) -> bool:
    """Whether the scaled value goes into such a product, and nowhere else."""
    found = readers.get(name, [])
    through = [reader for reader in found if nodes[reader].op in PASSING]
    ends = [reader for reader in found if reader not in through]
    return (
        bool(found)
        and all(is_product(nodes[r], weighed) for r in ends)
        and all(_before(r, nodes, readers, weighed) for r in through)
    )


def is_product(made: Made, weighed: set[str]) -> bool:
    """Whether a node sums products of two values of the data over an axis that grows."""
    if made.op != "einsum" or made.labels is None:
        return False
    data = [k for k, source in enumerate(made.operands) if not isinstance(source, Part) and source not in weighed]
    labels = [label for k in data for label in set(made.labels[k])]
    return any(labels.count(label) > 1 for label in set(labels) - set(made.result))

"""Free factors in front of a product, moved behind it: `(q * s) @ k` is `(q @ k) * s`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from scalerules.tracing.sketch.made import Made

from .write import Pieces

PASSING = ("rearrange", "scale")


def moved(found: Pieces, is_product: Callable[[Made], bool]) -> Pieces:
    """The same with every free factor behind the only product that reads what it multiplies.

    In front, a parameter that stands there alone would take the factor up. `product` of a moved factor is the one
    whose call in the module returns what stands behind the factor.
    """
    ends = {name: end for name, made in found.nodes.items() if (end := _product(name, made, found, is_product))}
    behind: dict[str, list[str]] = {}
    for name, product in ends.items():
        behind.setdefault(product, []).append(name)
    read = {product: names[-1] for product, names in behind.items()}
    nodes: dict[str, Made] = {}
    for name, made in found.nodes.items():
        if name in ends:
            continue
        nodes[name] = _reading(made, found.nodes, ends, read)
        source = name
        for factor in behind.get(name, ()):
            row = tuple(range(len(made.slots)))
            nodes[factor] = replace(found.nodes[factor], operands=(source,), slots=made.slots, result=row, product=name)
            source = factor
    return replace(found, nodes=nodes, outputs=tuple(read.get(name, name) for name in found.outputs))


def _product(name: str, made: Made, found: Pieces, is_product: Callable[[Made], bool]) -> str | None:
    """The product that alone reads a free factor, None where there is none or more read it."""
    if made.op != "scale" or not made.fields.get("free"):
        return None
    at = name
    while at not in found.outputs:
        readers = [reader for reader, other in found.nodes.items() if at in other.operands]
        if len(readers) != 1 or found.nodes[readers[0]].body != made.body:
            return None
        at = readers[0]
        if found.nodes[at].op not in PASSING:
            return at if is_product(found.nodes[at]) else None
    return None


def _reading(made: Made, nodes: Mapping[str, Made], away: Mapping[str, str], read: Mapping[str, str]) -> Made:
    """A node that reads what stood in front of a factor that went away, and what stands behind a product now."""
    operands = list(made.operands)
    for place, source in enumerate(operands):
        while isinstance(source, str) and source in away:
            source = nodes[source].operands[0]
        operands[place] = read.get(source, source) if isinstance(source, str) else source
    return replace(made, operands=tuple(operands))

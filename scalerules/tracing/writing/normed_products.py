"""Products with weights whose size a norm gives: no initial value makes up for a factor that stands at one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from scalerules.ops import OPS
from scalerules.ops.normalise import Norm
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Part

from .moved_factors import PASSING, made_by, varies


def is_normed(name: str, nodes: Mapping[str, SketchNode]) -> bool:
    """Whether a value of weights alone has the size that a norm gives it, which no initial value changes."""
    source = made_by(name, nodes)
    return isinstance(source, str) and nodes[source].op in OPS and OPS[nodes[source].op].kind == "norm"


def is_unit(name: str, nodes: Mapping[str, SketchNode]) -> bool:
    """Whether it has entries of size 1, gains that start at a number in between, and no factor makes it smaller."""
    node = nodes[name]
    if node.op == "einsum" and set(node.result) == {label for row in node.labels or () for label in row}:
        gains = [source for source in node.operands if isinstance(source, Part)]
        others = [source for source in node.operands if isinstance(source, str)]
        fixed = all(gain.initial.kind in ("ones", "constant") for gain in gains)
        return fixed and len(others) == 1 and is_unit(others[0], nodes)
    if node.op in PASSING:
        return not varies(node) and isinstance(node.operands[0], str) and is_unit(node.operands[0], nodes)
    return node.op in OPS and isinstance(OPS[node.op].laws, Norm)


def norms_read(name: str, nodes: Mapping[str, SketchNode], readers: Mapping[str, list[str]]) -> bool:
    """Whether norms alone read a value, views and fixed factors in between: its own size is seen by nothing."""
    read = readers.get(name, [])
    return bool(read) and all(
        norms_read(each, nodes, readers)
        if nodes[each].op in PASSING
        else nodes[each].op in OPS and OPS[nodes[each].op].kind == "norm"
        for each in read
    )


def between_normed(
    name: str, nodes: Mapping[str, SketchNode], readers: Mapping[str, list[str]], normed: Collection[str]
) -> bool:
    """Whether a factor stands at a product with a normed weight that only such products read: `(x @ U) @ U.T`.

    What stands between the two has no size to itself, and the factor behind the second is the one that is solved for.
    """

    def by_normed(each: str) -> bool:
        return nodes[each].op == "einsum" and any(source in normed for source in nodes[each].operands)

    def ends(each: str) -> list[str]:
        read = readers.get(each, [])
        return [end for reader in read for end in (ends(reader) if nodes[reader].op in PASSING else [reader])]

    before = made_by(nodes[name].operands[0], nodes)
    firsts = [before] if isinstance(before, str) and by_normed(before) else ends(name)
    seconds = [end for first in firsts for end in ends(first)]
    return bool(seconds) and all(map(by_normed, (*firsts, *seconds)))

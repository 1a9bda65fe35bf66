"""Products with weights whose size a norm gives: no initial value makes up for a factor that stands at one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from scalerules.ops import OPS
from scalerules.tracing.sketch.sketch_node import SketchNode

from .moved_factors import PASSING, made_by


def is_normed(name: str, nodes: Mapping[str, SketchNode]) -> bool:
    """Whether a value of weights alone has the size that a norm gives it, which no initial value changes."""
    source = made_by(name, nodes)
    return isinstance(source, str) and nodes[source].op in OPS and OPS[nodes[source].op].kind == "norm"


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

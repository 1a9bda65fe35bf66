"""The order in which nodes are computed, and what is wrong where there is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush

from scalerules.errors import GraphError, nearest
from scalerules.ops.node import Node


def walk(nodes: Mapping[str, Node]) -> Iterator[tuple[str, Node]]:
    """Every node by name, those in the bodies of repeats too, each before the repeat that holds it."""
    for name, node in nodes.items():
        if node.body is not None:
            yield from walk(node.body)
        yield name, node


def in_order(nodes: Mapping[str, Node], outer: Mapping[str, object]) -> list[str]:
    """The nodes in an order in which each stands behind its inputs; written order where that is one."""
    sources: dict[str, list[str]] = {}
    readers: dict[str, list[str]] = {name: [] for name in nodes}
    for name, node in nodes.items():
        sources[name] = [source for source in dict.fromkeys(node.inputs) if source in nodes]
        for source in dict.fromkeys(node.inputs):
            if source in nodes:
                readers[source].append(name)
            elif source not in outer:
                names = [*nodes, *outer]
                hint = (
                    nearest(source, names)
                    if difflib.get_close_matches(source, names)
                    else ("a node reads nodes of its own graph or body; a body reads the outside only as 'stream'")
                )
                raise GraphError(f"reads the unknown node {source!r}", where=f"node {name!r}", hint=hint)
    names, place = list(nodes), {name: number for number, name in enumerate(nodes)}
    waits = {name: len(before) for name, before in sources.items()}
    ready = [place[name] for name in names if not waits[name]]
    order: list[str] = []
    while ready:
        order.append(names[heappop(ready)])
        for reader in readers[order[-1]]:
            waits[reader] -= 1
            if not waits[reader]:
                heappush(ready, place[reader])
    if len(order) < len(names):
        cycle = _cycle(next(name for name in names if waits[name]), sources, waits)
        raise GraphError(
            "the nodes form a cycle: " + " -> ".join([*cycle, cycle[0]]),
            where=f"node {cycle[0]!r}",
            hint="a loop over time is a scan, a loop over depth is a repeat",
        )
    return order


def as_read(nodes: Mapping[str, Node], ends: Iterable[str]) -> list[str]:
    """The nodes in the order in which the ends read them, each behind its inputs; those that no end reads come last.

    It does not depend on the order in which the nodes are written, or on their names.
    """
    order: dict[str, None] = {}
    for end in (*ends, *nodes):
        waiting = [end]
        while waiting:
            name = waiting[-1]
            missing = [source for source in nodes[name].inputs if source in nodes and source not in order]
            if missing:
                waiting.append(missing[0])
            else:
                order[waiting.pop()] = None
    return [*order]


def _cycle(name: str, sources: Mapping[str, Sequence[str]], waits: Mapping[str, int]) -> list[str]:
    """A cycle among nodes that wait for each other: from any of them on, what one waits for waits too."""
    way: list[str] = []
    while name not in way:
        way.append(name)
        name = next(source for source in sources[name] if waits[source])
    cycle = way[way.index(name) :][::-1]
    first = cycle.index(min(cycle, key=list(sources).index))
    return [*cycle[first:], *cycle[:first]]


def ordered(nodes: Mapping[str, Node], outside: Sequence[str] = ()) -> list[str]:
    """Names of `nodes` (a graph's, or a repeat's body) in an order in which each stands behind its inputs.

    `outside` are nodes that a body reads beside its stream.
    """
    return in_order(nodes, {"stream": None, **dict.fromkeys(outside)})

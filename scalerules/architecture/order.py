"""The order in which nodes are computed, and what is wrong where there is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import networkx as nx

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
    order: nx.DiGraph[str] = nx.DiGraph()
    order.add_nodes_from(nodes)
    for name, node in nodes.items():
        for source in node.inputs:
            if source in nodes:
                order.add_edge(source, name)
            elif source not in outer:
                names = [*nodes, *outer]
                hint = (
                    nearest(source, names)
                    if difflib.get_close_matches(source, names)
                    else ("a node reads nodes of its own graph or body; a body reads the outside only as 'stream'")
                )
                raise GraphError(f"reads the unknown node {source!r}", where=f"node {name!r}", hint=hint)
    if not nx.is_directed_acyclic_graph(order):
        edges = cast("list[tuple[str, str]]", nx.find_cycle(order))  # pyright: ignore[reportUnknownMemberType]
        cycle = [edge[0] for edge in edges]
        raise GraphError(
            "the nodes form a cycle: " + " -> ".join([*cycle, cycle[0]]),
            where=f"node {cycle[0]!r}",
            hint="a loop over time is a scan, a loop over depth is a repeat",
        )
    position = {name: index for index, name in enumerate(nodes)}
    return list(nx.lexicographical_topological_sort(order, key=position.__getitem__))


def ordered(nodes: Mapping[str, Node], outside: Sequence[str] = ()) -> list[str]:
    """Names of `nodes` (a graph's, or a repeat's body) in an order in which each stands behind its inputs.

    `outside` are nodes that a body reads beside its stream.
    """
    return in_order(nodes, {"stream": None, **dict.fromkeys(outside)})

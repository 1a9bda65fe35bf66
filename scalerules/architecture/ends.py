"""Where a parameter stands: whether another matrix lies between it and the data, or between it and the outputs."""

from __future__ import annotations

from collections.abc import Mapping

from scalerules.ops.node import Node

from .graph import Graph


def first(graph: Graph) -> frozenset[str]:
    """The parameters that read data through no other matrix."""
    behind: set[str] = set()
    parameters: set[str] = set()
    for name, node in graph.nodes.items():
        read, matrix = _read(node), _has_matrix(graph, node)
        if any(source in behind for source in node.inputs):
            behind.add(name)
        elif not (matrix and node.body):
            parameters.update(read)
        if matrix:
            behind.add(name)
    return frozenset(parameters)


def last(graph: Graph) -> frozenset[str]:
    """The parameters that outputs read through no other matrix."""
    parameters: set[str] = set()
    seen: set[str] = set()
    queue = list(graph.outputs)
    while queue:
        name = queue.pop()
        if name not in seen:
            seen.add(name)
            node = graph.nodes[name]
            matrix = _has_matrix(graph, node)
            parameters.update(() if matrix and node.body else _read(node))
            queue += [] if matrix else node.inputs
    return frozenset(parameters)


def _read(node: Node) -> list[str]:
    """The parameters of a node; of a repeated block, all of its own."""
    body: Mapping[str, Node] = node.body or {}
    return [*node.parameters, *(name for inner in body.values() for name in _read(inner))]


def _has_matrix(graph: Graph, node: Node) -> bool:
    return any(len(graph.parameters[name].axes) > 1 for name in _read(node))

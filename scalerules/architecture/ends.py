"""Where a parameter stands: whether another matrix lies between it and the data, or between it and the outputs."""

from __future__ import annotations

from collections.abc import Mapping

from scalerules.ops.node import Node

from .graph import Graph
from .order import ordered


def first(graph: Graph) -> frozenset[str]:
    """The parameters that read data through no other matrix."""
    behind: set[str] = set()
    parameters: set[str] = set()
    weights = _weights(graph)
    for name in ordered(graph.nodes):
        node = graph.nodes[name]
        if name in weights:
            continue
        read, matrix = _with_weights(node, weights), _has_matrix(graph, node, weights)
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
    weights = _weights(graph)
    while queue:
        name = queue.pop()
        if name not in seen and name not in weights:
            seen.add(name)
            node = graph.nodes[name]
            matrix = _has_matrix(graph, node, weights)
            parameters.update(() if matrix and node.body else _with_weights(node, weights))
            queue += [] if matrix else node.inputs
    return frozenset(parameters)


def _weights(graph: Graph) -> dict[str, list[str]]:
    """The nodes without data, each with the parameters that it is made of."""
    parameters: dict[str, list[str]] = {}
    for name in ordered(graph.nodes):
        node = graph.nodes[name]
        if node.op not in ("input", "repeat") and all(source in parameters for source in node.inputs):
            parameters[name] = _with_weights(node, parameters)
    return parameters


def _with_weights(node: Node, weights: Mapping[str, list[str]]) -> list[str]:
    """The parameters of a node, and of the weights that it reads."""
    return [*_read(node), *(name for source in node.inputs for name in weights.get(source, ()))]


def _read(node: Node) -> list[str]:
    """The parameters of a node; of a repeated block, all of its own."""
    body: Mapping[str, Node] = node.body or {}
    return [*node.parameters, *(name for inner in body.values() for name in _read(inner))]


def _has_matrix(graph: Graph, node: Node, weights: Mapping[str, list[str]]) -> bool:
    return any(len(graph.parameters[name].axes) > 1 for name in _with_weights(node, weights))

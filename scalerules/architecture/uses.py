"""How a parameter is read: the axes that the operations that read it sum over, and those that they keep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scalerules.ops.node import Node

from .graph import Graph


@dataclass(frozen=True)
class Use:
    """One einsum that reads a parameter; the parameter's axes go by their position.

    `summed`: those that it sums over (fan-in), without those that the choices of a router pick one entry of;
    `brought`: those that only the parameter brings into the result (fan-out); `lookup`: it looks rows up for one-hot
    vectors.
    """

    node: str
    summed: tuple[int, ...]
    brought: tuple[int, ...]
    lookup: bool


def uses(graph: Graph, parameter: str, through_views: bool = False) -> list[Use]:
    """How each einsum uses a parameter (or a view of it, too), in the order of the graph."""
    nodes = dict(graph.walk())
    views = _views(nodes, parameter) if through_views else {}
    found: list[Use] = []
    for name, node in nodes.items():
        read = [len(node.inputs) + k for k, source in enumerate(node.parameters) if source == parameter]
        read += [k for k, source in enumerate(node.inputs) if source in views]
        if read and node.op == "einsum":
            operands, result = node.labels()
            at = read[0]
            whole = list(range(len(operands[at])))
            places = views[node.inputs[at]] if at < len(node.inputs) else whole
            others = {label for i, part in enumerate(operands) if i != at for label in part}
            labels = list(zip(places, operands[at], strict=True))
            chosen = chosen_labels(node, nodes)
            summed = tuple(i for i, label in labels if label not in result and label not in chosen)
            brought = tuple(i for i, label in labels if label in result and label not in others)
            lookup = any(nodes[source].kind == "tokens" for source in node.inputs if source in nodes)
            found.append(Use(name, summed, brought, lookup))
    return found


def _views(nodes: Mapping[str, Node], parameter: str) -> dict[str, list[int]]:
    """The nodes that are a parameter with its axes in another order: for each of their axes that of the parameter."""
    views: dict[str, list[int]] = {}
    for name, node in nodes.items():
        of_view = node.inputs[:1] if node.op == "rearrange" else []
        if node.op != "rearrange" or not (node.parameters == [parameter] or any(key in views for key in of_view)):
            continue
        (before,), after = node.labels()
        if sorted(before) == sorted(after):
            places = views[of_view[0]] if of_view else list(range(len(before)))
            views[name] = [places[before.index(label)] for label in after]
    return views


def chosen_labels(node: Node, nodes: Mapping[str, Node]) -> set[str]:
    """The labels of an einsum along which an operand is the choice of a `top_k`: each sum over them has one entry."""
    operands, _ = node.labels()
    choices = [part for source, part in zip(node.inputs, operands, strict=False) if _op(nodes, source) == "top_k"]
    return {part[-1] for part in choices}


def _op(nodes: Mapping[str, Node], name: str) -> str | None:
    return nodes[name].op if name in nodes else None


def fan_in(graph: Graph, parameter: str, sizes: Mapping[str, float]) -> int:
    """The number of terms in the largest sum that the parameter stands in, at these sizes; 1 for a look-up."""
    found = [use for use in uses(graph, parameter, through_views=True) if not use.lookup]
    return max([1, *(count(graph, parameter, use.summed, sizes) for use in found)])


def count(graph: Graph, parameter: str, positions: Iterable[int], sizes: Mapping[str, float]) -> int:
    """The product of the lengths of these axes of a parameter."""
    axes = graph.parameters[parameter].axes
    return math.prod(graph.lengths[axes[i]].at(sizes) for i in positions)


def matrix(graph: Graph, parameter: str) -> Use | None:
    """How a parameter is a matrix (fan-out x fan-in): its first use, if that has axes of both kinds."""
    found = uses(graph, parameter)
    return found[0] if found and found[0].summed and found[0].brought else None

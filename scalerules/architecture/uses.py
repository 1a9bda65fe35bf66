"""How a parameter is read: the axes that the operations that read it sum over, and those that they keep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scalerules.ops.node import Node
from scalerules.ops.registry import law_of

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
    views = _views(graph, nodes, parameter) if through_views else {}
    found: list[Use] = []
    for name, node in nodes.items():
        read = [len(node.inputs) + k for k, source in enumerate(node.parameters) if source == parameter]
        read += [k for k, source in enumerate(node.inputs) if source in views]
        if read and node.op == "einsum":
            operands, result = node.labels()
            at = read[0]
            whole = [(i,) for i in range(len(operands[at]))]
            places = views[node.inputs[at]] if at < len(node.inputs) else whole
            others = {label for i, part in enumerate(operands) if i != at for label in part}
            labels = [(i, x) for group, x in zip(places, operands[at], strict=True) for i in group]
            chosen = chosen_labels(node, nodes)
            summed = tuple(i for i, label in labels if label not in result and label not in chosen)
            brought = tuple(i for i, label in labels if label in result and label not in others and i not in summed)
            lookup = any(nodes[source].kind == "tokens" for source in node.inputs if source in nodes)
            found.append(Use(name, summed, brought, lookup))
    return found


Places = list[tuple[int, ...]]
"""For each axis of a view the axes of the parameter that it shows: several where they are merged, none of a copy."""


def _views(graph: Graph, nodes: Mapping[str, Node], parameter: str) -> dict[str, Places]:
    """The nodes that are a parameter in another arrangement of its axes."""
    views: dict[str, Places] = {}
    for name, node in nodes.items():
        if not law_of(node.op).passes or len(node.operands) != 1:
            continue
        source = node.operands[0]
        if node.parameters == [parameter]:
            views[name] = _shown(node, graph.parameters[parameter].axes, graph.axes_of(name), None)
        elif source in views:
            views[name] = _shown(node, graph.axes_of(source), graph.axes_of(name), views[source])
    return views


def _shown(node: Node, before: Sequence[str], after: Sequence[str], places: Places | None) -> Places:
    """The places of a view of something with these places (None: of the parameter itself)."""
    places = places or [(i,) for i in range(len(before))]
    old, new = list(before), list(after)
    if node.equation is not None:
        (old,), new = node.labels()
    elif len(old) == len(new):
        return places
    gone = tuple(i for label, group in zip(old, places, strict=True) if label not in new for i in group)
    return [places[old.index(label)] if label in old else gone for label in new]


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
    found = uses(graph, parameter, through_views=True)
    return found[0] if found and found[0].summed and found[0].brought else None

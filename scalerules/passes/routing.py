"""Routing as one token sees it: only the chosen experts are there, so the choice itself can be left out.

The calculus works on this graph, in which an axis that a router chooses from is as long as the axis of the choices; the
graph that is run keeps both. How many experts there are in all is then no size at all, except in root mean squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.errors import GraphError, ScaleRulesError
from scalerules.ops.node import Node


def choices(graph: Graph) -> dict[str, str]:
    """For every axis that a `top_k` chooses from, the axis of its choices."""
    found: dict[str, str] = {}
    for name, node in graph.walk():
        if node.op == "top_k":
            part, whole = node.axes or ("", "")
            if found.setdefault(whole, part) != part:
                hint = "give each router an axis of experts of its own"
                raise GraphError(f"chooses from {whole!r} as another router does", where=f"node {name!r}", hint=hint)
    return found


def chosen_only(graph: Graph) -> Graph:
    """The graph without its choices: what is read through one is read along the axis of the choices instead.

    Raises `GraphError` where a choice is read by anything but an einsum, and where its axis is read as another length.
    """
    renamed = choices(graph)
    if not renamed:
        return graph
    data = graph.to_dict()
    picks = {name for name, node in graph.walk() if node.op == "top_k"}
    for parameter in data["parameters"].values():
        parameter["axes"] = [renamed.get(axis, axis) for axis in parameter["axes"]]
    data["nodes"] = _without(graph.nodes, picks, renamed)
    try:
        return Graph.model_validate(data)
    except ScaleRulesError as error:
        axes = " and ".join(map(repr, renamed))
        what = f"does not go with a choice along {axes}: {error.what}"
        raise GraphError(what, where=error.where, hint="only chosen entries are followed from there on") from None


def _without(nodes: Mapping[str, Node], picks: set[str], renamed: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, node in nodes.items():
        if name in picks:
            continue
        data = node.model_dump(exclude_defaults=True, exclude_none=True)
        if node.body is not None:
            data["body"] = _without(node.body, picks, renamed)
        if node.axes is not None:
            data["axes"] = [renamed.get(axis, axis) for axis in node.axes]
        if node.axis is not None:
            data["axis"] = renamed.get(node.axis, node.axis)
        if picks.intersection(node.inputs):
            if node.op != "einsum":
                hint = "a choice selects: einsum(x, choice, W)"
                raise GraphError("reads a choice, and is no einsum", where=f"node {name!r}", hint=hint)
            data["inputs"] = [source for source in node.inputs if source not in picks]
            data["equation"] = _equation(node, picks, f"node {name!r}")
        found[name] = data
    return found


def _equation(node: Node, picks: set[str], where: str) -> str:
    """The equation with the label of the choices for that of what is chosen from, in the result too (a mask)."""
    operands, result = node.labels()
    sources = (*node.inputs, *node.parameters)
    word = {part[-1]: part[-2] for source, part in zip(sources, operands, strict=True) if source in picks}
    for whole, part in word.items():
        if whole in result and part in result:
            hint = f"sum over {whole!r}, or over {part!r}"
            raise GraphError(f"{node.equation!r} keeps both axes of a choice", where=where, hint=hint)
    kept = [part for source, part in zip(sources, operands, strict=True) if source not in picks]
    sides = [" ".join(word.get(label, label) for label in part) for part in (*kept, result)]
    return f"{', '.join(sides[:-1])} -> {sides[-1]}"

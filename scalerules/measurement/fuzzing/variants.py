"""One graph written in other ways: names, order, identities, views. All of them have one rule."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.solution.solution import Solution

Document = dict[str, Any]
"""A graph as data that may be changed."""
Change = Callable[[Document], Document]


def nodes_of(document: Document) -> list[tuple[dict[str, Any], str, dict[str, Any]]]:
    """Every node with its name and the scope that it stands in."""
    scopes = [document["nodes"], *(node["body"] for node in document["nodes"].values() if "body" in node)]
    return [(scope, name, node) for scope in scopes for name, node in list(scope.items())]


def renamed(document: Document) -> Document:
    """Axes, parameters and nodes under other names, which sort the other way round."""
    names = {name: f"z{99 - i:02d}" for i, name in enumerate([*document["axes"], *document["parameters"]])}
    names |= {name: f"y{99 - i:02d}" for i, (_, name, _) in enumerate(nodes_of(document))}
    axes = {name: names[name] for name in document["axes"]}

    def length(text: Any) -> Any:
        return re.sub(r"[A-Za-z_]\w*", lambda m: axes.get(m[0], m[0]), text) if isinstance(text, str) else text

    def node(old: Mapping[str, Any]) -> dict[str, Any]:
        new = dict(old)
        for field in ("inputs", "parameters"):
            if field in old:
                new[field] = [names.get(each, each) for each in old[field]]
        if "axes" in old:
            new["axes"] = [axes[axis] for axis in old["axes"]]
        new |= {field: length(old[field]) for field in ("factor", "offset") if field in old}
        new |= {field: names[old[field]] for field in ("result",) if field in old}
        new |= {"axis": axes[old["axis"]]} if "axis" in old else {}
        return new | ({"body": scope(old["body"])} if "body" in old else {})

    def scope(old: Mapping[str, Any]) -> dict[str, Any]:
        return {names[name]: node(each) for name, each in old.items()}

    parameters = {
        names[name]: {**held, "axes": [axes[axis] for axis in held["axes"]],
                      **{field: length(held[field]) for field in ("factor", "density") if field in held}}
        for name, held in document["parameters"].items()
    }  # fmt: skip
    return document | {
        "axes": {axes[name]: text for name, text in document["axes"].items()},  # lengths are of scales
        "parameters": parameters, "nodes": scope(document["nodes"]),
        "outputs": [names[name] for name in document["outputs"]],
    }  # fmt: skip


def reordered(document: Document) -> Document:
    """Nodes and parameters listed in another order."""

    def shuffled(old: Mapping[str, Any]) -> dict[str, Any]:
        names = list(old)
        random.Random(len(names)).shuffle(names)
        return {n: {**old[n], "body": shuffled(old[n]["body"])} if "body" in old[n] else old[n] for n in names}

    return document | {"nodes": shuffled(document["nodes"]), "parameters": shuffled(document["parameters"])}


def with_identities(document: Document) -> Document:
    """An identity behind every value that is read."""
    for scope, name, node in nodes_of(document):
        if node["op"] in ("input", "repeat", "top_k", "residual") or scope is not document["nodes"]:
            continue
        readers = [other for _, _, other in nodes_of(document) if name in other.get("inputs", ())]
        if not readers or any(other["op"] == "scan" for other in readers):
            continue  # the rates of a scan are read as the parts that they are made of
        for other in readers:
            other["inputs"] = [f"{name}.same" if source == name else source for source in other["inputs"]]
        scope[f"{name}.same"] = {"op": "identity", "inputs": [name]}
    return document


def with_views(document: Document) -> Document:
    """Every matrix that one einsum reads at the top level as a transpose of its transpose."""
    for scope, _, node in nodes_of(document):
        if node["op"] != "einsum" or scope is not document["nodes"] or not node.get("inputs"):
            continue
        for parameter in list(node.get("parameters", ())):
            held = document["parameters"][parameter]
            uses = sum(parameter in other.get("parameters", ()) for _, _, other in nodes_of(document))
            if uses > 1 or len(held["axes"]) != 2 or held["axes"][0] == held["axes"][1]:
                continue
            left, _, right = node["equation"].partition("->")
            parts = [part.strip() for part in left.split(",")]
            place = len(node["inputs"]) + node["parameters"].index(parameter)
            node["parameters"].remove(parameter)
            node["inputs"].append(f"{parameter}.turned")
            parts.insert(len(node["inputs"]) - 1, parts.pop(place))
            node["equation"] = f"{', '.join(parts)} ->{right}"
            scope[f"{parameter}.turned"] = {
                "op": "rearrange", "parameters": [parameter], "axes": list(held["axes"]), "equation": "i o -> o i"
            }  # fmt: skip
            held["axes"] = held["axes"][::-1]
    return document


CHANGES: Mapping[str, Change] = {
    "renamed": renamed, "reordered": reordered, "with identities": with_identities, "with views": with_views
}  # fmt: skip


def document_of(graph: Graph) -> Document:
    """The graph as data that may be changed."""
    return Graph.model_validate(graph.to_dict()).to_dict()


def written(graph: Graph, *changes: Change) -> Graph:
    """The graph after these changes, one after the other; its parameters stand in the order that they had."""
    document = document_of(graph)
    for change in changes:
        before, document = list(document["parameters"]), change(document)
        if set(before) == set(document["parameters"]):
            document["parameters"] = {name: document["parameters"][name] for name in before}
    return Graph.model_validate(document)


def exponents(graph: Graph, solution: Solution) -> list[Any]:
    """The exponents of every parameter in order, and those of the free factors."""
    along = [scale for scale in graph.scales if scale in solution.direction]
    rules = [solution.parameters[name] for name in graph.parameters]
    factors = [[str(size[scale]) for scale in along] for size in solution.multipliers.values()]
    sizes = [[[str(size[scale]) for scale in along] for size in (rule.init, rule.lr)] for rule in rules]
    return [*sizes, sorted(factors)]

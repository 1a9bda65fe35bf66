"""Makes a graph smaller while something stays true of it: how a disagreement becomes readable.

A step takes a node out (what read it reads one of its ancestors of the same axes), or makes something plainer: a zero
initial value, a function, an axis. Nodes, parameters and axes that nothing reads go with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import networkx as nx

from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError

Data = dict[str, Any]
PLAINER = {"root": "n", "wide": "n", "gelu": "tanh", "silu": "tanh", "mish": "tanh", "elu": "tanh", "sin": "tanh",
           "softplus": "sigmoid", "leaky_relu": "relu", "layer_norm": "rms_norm"}  # fmt: skip
"""Axes and functions, with what is tried in their place."""


def shrink(graph: Graph, holds: Callable[[Graph], bool]) -> Graph:
    """A smaller graph for which `holds` is true, as it is for `graph`; none of its own steps can be taken further.

    `holds` may raise KeyboardInterrupt or TimeoutError to stop: what was reached is returned.
    """
    tried = set[str]()

    def new(smaller: Graph) -> bool:
        shape = smaller.to_json()
        known = shape in tried
        tried.add(shape)
        return not known

    try:
        while (smaller := next((g for g in candidates(graph) if new(g) and holds(g)), None)) is not None:
            graph = smaller
    except (KeyboardInterrupt, TimeoutError):
        pass
    return graph


def candidates(graph: Graph) -> Iterator[Graph]:
    """Valid graphs that are one step smaller, those that lose most first; each of them once."""
    seen = {graph.to_json()}
    steps = (_valid(data) for data in (*_without(graph), *_plainer(graph)))
    smaller_ones = [smaller for smaller in steps if smaller is not None]
    for smaller in sorted(smaller_ones, key=weight):
        if smaller.to_json() not in seen and weight(smaller) < weight(graph):
            seen.add(smaller.to_json())
            yield smaller


def weight(graph: Graph) -> tuple[int, int, int]:
    """How large a graph is: nodes, parameters, and what is not plain."""
    values = [p.init for p in graph.parameters.values()]
    odd = sum(init != "normal" for init in values)
    odd += sum(node.op in PLAINER for _, node in graph.walk())
    odd += sum(axis in PLAINER and length != "width" for axis, length in graph.axes.items())
    return sum(1 for _ in graph.walk()), len(graph.parameters), odd


def tidied(data: Data) -> Graph:
    """The graph of the data without nodes, parameters, axes and scales that nothing reads. Raises `GraphError`."""
    nodes: Data = data["nodes"]
    needed, open_ = set[str](), list[str](data["outputs"])
    while open_:
        name = open_.pop()
        if name not in needed:
            needed.add(name)
            open_ += nodes[name].get("inputs", [])
    kept = {name: node for name, node in nodes.items() if name in needed}
    inside = [*_nested(kept)]
    read = {p for node in inside for p in node.get("parameters", [])}
    parameters = {name: p for name, p in data["parameters"].items() if name in read}
    axes = {axis for p in parameters.values() for axis in p["axes"]}
    for node in inside:
        axes |= {*node.get("axes", []), *([node["axis"]] if "axis" in node else [])}
    texts = [thing.get(field) for thing in (*inside, *parameters.values()) for field in ("factor", "offset", "density")]
    axes |= _words(texts)
    named = {axis: length for axis, length in data["axes"].items() if axis in axes}
    grow = _words([*named.values(), *texts])
    scales, sizes = ({s: x for s, x in data.get(part, {}).items() if s in grow} for part in ("scales", "sizes"))
    smaller = {"nodes": kept, "parameters": parameters, "axes": named, "scales": scales, "sizes": sizes}
    return Graph.model_validate(data | smaller)


def _nested(nodes: Mapping[str, Data]) -> Iterator[Data]:
    """The nodes, and those in the bodies of repeats."""
    for node in nodes.values():
        yield node
        yield from _nested(node.get("body", {}))


def _words(texts: list[Any]) -> set[str]:
    """The names in lengths and factors."""
    return {word for text in texts for word in re.findall(r"[A-Za-z_]\w*", str(text))}


def _without(graph: Graph) -> Iterator[Data]:
    """Every node in turn, replaced by each of its ancestors of the same axes."""
    data = graph.to_dict()
    above: nx.DiGraph[str] = nx.DiGraph((i, name) for name, node in graph.nodes.items() for i in node.inputs)
    for name in above:
        ancestors: set[str] = nx.ancestors(above, name)  # pyright: ignore[reportUnknownMemberType]
        for ancestor in sorted(ancestors):
            if graph.axes_of(ancestor) == graph.axes_of(name):
                yield _replaced(data, name, ancestor)


def _replaced(data: Data, name: str, other: str) -> Data:
    def moved(names: list[str]) -> list[str]:
        return [other if n == name else n for n in names]

    nodes = {key: node | {"inputs": moved(node.get("inputs", []))} for key, node in data["nodes"].items()}
    return data | {"nodes": nodes, "outputs": moved(data["outputs"])}


def _plainer(graph: Graph) -> Iterator[Data]:
    """Every parameter normal at first, every block read once, every function and axis a plainer one, one at a time."""
    data = graph.to_dict()
    for name, node in data["nodes"].items():
        if "body" in node:
            yield _once(data, name, node)
    for name, parameter in data["parameters"].items():
        if parameter.get("init") == "zeros" and len(parameter["axes"]) > 1:
            yield data | {"parameters": data["parameters"] | {name: parameter | {"init": "normal"}}}
    for name, node in data["nodes"].items():
        if node["op"] in PLAINER:
            yield data | {"nodes": data["nodes"] | {name: node | {"op": PLAINER[node["op"]]}}}
    for axis in data["axes"]:
        if axis in PLAINER and data["axes"][axis] != "width":
            yield data | {"axes": data["axes"] | {axis: "width"}}


def _once(data: Data, name: str, node: Data) -> Data:
    """The body of a repeat in its place, once."""
    stream = node["inputs"][0]
    body = {n: inner | {"inputs": [stream if i == "stream" else i for i in inner.get("inputs", [])]}
            for n, inner in node["body"].items()}  # fmt: skip
    return _replaced(data | {"nodes": {**data["nodes"], **body}}, name, node["result"])


def _valid(data: Data) -> Graph | None:
    """The graph, if it is one and still trains something."""
    try:
        graph = tidied(data)
    except (ScaleRulesError, ValueError):
        return None
    inputs = [name for name, node in graph.nodes.items() if node.op == "input"]
    return graph if inputs and graph.parameters and graph.outputs[0] not in inputs else None

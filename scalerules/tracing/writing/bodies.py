"""The body of a repeated block: its nodes, what it reads from outside, and the names of its copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from scalerules.tracing.sketch.sketch import Sketch
from scalerules.tracing.sketch.sketch_node import SketchNode


def body_of(sketch: Sketch, name: str, live: set[str]) -> dict[str, SketchNode]:
    """The nodes of a repeat's body that are needed, sums along the stream as residuals."""
    inside = {key: node for key, node in sketch.nodes.items() if node.body == name and key in live}
    nodes = {key: node for key, node in inside.items() if node.op != "stream"}
    stream = str(sketch.nodes[name].fields["stream"])
    main = {stream}
    for key, node in nodes.items():
        if node.op != "add" or len(node.operands) != 2:
            continue
        on = [source for source in node.operands if isinstance(source, str) and source in main]
        off = [source for source in node.operands if source not in on]
        whole = node.labels is not None and all(len(row) == len(node.result) for row in node.labels)
        if len(on) == 1 and len(off) == 1 and isinstance(off[0], str) and whole:
            nodes[key] = replace(node, op="residual", operands=(on[0], off[0]))
            main.add(key)
    return nodes


def captured(nodes: Mapping[str, SketchNode]) -> Iterator[str]:
    """Nodes outside of a body that it reads."""
    seen: set[str] = set()
    for node in nodes.values():
        for source in node.operands:
            if isinstance(source, str) and source not in nodes and not source.startswith("%") and source not in seen:
                seen.add(source)
                yield source

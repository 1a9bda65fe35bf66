"""The body of a repeated block: its nodes, what it reads from outside, and the names of its copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from scalerules.tracing.sketch.made import Made
from scalerules.tracing.sketch.sketch import Sketch


def body_of(sketch: Sketch, name: str, live: set[str]) -> dict[str, Made]:
    """The nodes of a repeat's body that are needed, sums along the stream as residuals."""
    inside = {key: made for key, made in sketch.nodes.items() if made.body == name and key in live}
    nodes = {key: made for key, made in inside.items() if made.op != "stream"}
    stream = str(sketch.nodes[name].fields["stream"])
    main = {stream}
    for key, made in nodes.items():
        if made.op != "add" or len(made.operands) != 2:
            continue
        on = [source for source in made.operands if isinstance(source, str) and source in main]
        off = [source for source in made.operands if source not in on]
        whole = made.labels is not None and all(len(row) == len(made.result) for row in made.labels)
        if len(on) == 1 and len(off) == 1 and isinstance(off[0], str) and whole:
            nodes[key] = replace(made, op="residual", operands=(on[0], off[0]))
            main.add(key)
    return nodes


def captured(nodes: Mapping[str, Made]) -> Iterator[str]:
    """Nodes outside of a body that it reads."""
    seen: set[str] = set()
    for made in nodes.values():
        for source in made.operands:
            if isinstance(source, str) and source not in nodes and not source.startswith("%") and source not in seen:
                seen.add(source)
                yield source

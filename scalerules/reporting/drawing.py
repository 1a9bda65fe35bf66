"""A graph as an SVG picture: a box per operation, parameters with their rules, a frame around a repeated block."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from scalerules.architecture.graph import Graph
from scalerules.architecture.order import ordered
from scalerules.ops import OPS
from scalerules.ops.node import Node
from scalerules.solution.solution import Solution

from .layout import Edge, Point, Size, layout

LETTER = 7.9
"""Width of a letter of the title, in pixels; smaller lines are narrower in proportion."""
SMALL = 0.82
LINE = 15.0
SHORT = 36
"""Letters that stand in one line."""
SHRINKS = 0.7
"""A wide picture is shrunk to the page down to this part of its width; then it is scrolled."""
PAD = 20.0
"""Between a frame and what is in it."""

POWER = re.compile(r"(\w+)\^\(?(-?\d+(?:/\d+)?)\)?")
"""A power as sizes are written, `width^(-1/2)`."""


@dataclass(frozen=True)
class Picture:
    """SVG elements with their extent; (0, 0) is the upper left corner."""

    width: float
    height: float
    elements: Sequence[str]

    def svg(self, title: str, tip: str = "tip") -> str:
        """A whole `<svg>` element; colours come from the style sheet of the page, `tip` is its arrow's id there."""
        margin = 8
        box = f"{-margin} {-margin} {self.width + 2 * margin:.0f} {self.height + 2 * margin:.0f}"
        return (
            f'<svg class="graph" viewBox="{box}" width="{self.width + 2 * margin:.0f}" role="img" '
            f'style="min-width:{SHRINKS * self.width:.0f}px" '
            f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title><defs><marker id="{tip}" '
            'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>{self._elements(tip)}</svg>'
        )

    def _elements(self, tip: str) -> str:
        return "".join(self.elements).replace("url(#tip)", f"url(#{tip})")


def draw(graph: Graph, solution: Solution | None = None, *, folded: bool = False) -> Picture:
    """The picture of a graph; with a solution, boxes show the init and rate of their parameters.

    `folded`: a repeated block is one box.
    """
    return _Drawer(graph, solution, folded).picture(graph.nodes, ())


@dataclass(frozen=True)
class _Box:
    kind: str
    lines: tuple[str, ...]
    inner: Picture | None = None
    output: bool = False

    @property
    def size(self) -> Size:
        widths = [LETTER * len(POWER.sub(r"\1\2", line)) * (SMALL if i else 1) for i, line in enumerate(self.lines)]
        width = max([*widths, 40.0]) + 18
        if self.inner is None:
            return width, LINE * len(self.lines) + 11
        return max(width, self.inner.width) + 2 * PAD, self.inner.height + 2 * PAD + 14


class _Drawer:
    def __init__(self, graph: Graph, solution: Solution | None, folded: bool) -> None:
        self.graph, self.solution, self.folded = graph, solution, folded

    def picture(self, nodes: Mapping[str, Node], outside: Sequence[str]) -> Picture:

        boxes = {name: _Box("stream", (name,)) for name in outside}
        boxes |= {name: self._box(name, nodes[name]) for name in ordered(nodes)}
        edges = [(source, name) for name in nodes for source in nodes[name].inputs if source in boxes]
        plan = layout({name: box.size for name, box in boxes.items()}, edges)
        elements = [_arrow(plan.routes[edge], edge) for edge in dict.fromkeys(edges)]
        elements += [part for name, box in boxes.items() for part in _drawn(name, box, plan.centres[name])]
        return Picture(plan.width, plan.height, elements)

    def _box(self, name: str, node: Node) -> _Box:
        output = name in self.graph.outputs
        if node.body is not None:
            length = self.graph.lengths[node.axis] if node.axis else ""
            if self.folded:
                return _Box("frame", (name, f"{length} times, {len(node.body)} operations"), None, output)
            return _Box("frame", (f"{name}: {length} times",), self.picture(node.body, ("stream",)))
        kind = _kind(node)
        said = [f"{node.op} {node.discretisation or ''}".strip()] if node.op != "einsum" else []
        if node.op == "scale":
            factor = "solved for" if node.free else str(node.factor)
            solved = self.solution.multipliers.get(name) if self.solution else None
            said = [f"times {solved}" if solved is not None else f"times {factor}"]
        if node.op == "einsum" and not node.parameters:
            said = [_contracted(node)]
        said += [line for parameter in node.parameters for line in self._parameter(parameter, name)]
        lines = (name, *(line for line in said if line != name))
        return _Box(kind, lines if OPS[node.op].kind != "sum" or node.parameters else (name, node.op), None, output)

    def _parameter(self, name: str, node: str) -> list[str]:
        shape = " ".join(self.graph.parameters[name].axes)
        lines = [f"[{shape}]" if name == node else f"{_tail(name, node)} [{shape}]"]
        if self.solution is not None and name in self.solution.parameters:
            rule = self.solution.parameters[name]
            init, lr = f"init {rule.init}", f"lr {rule.lr}"
            lines += [f"{init}, {lr}"] if len(init + lr) < SHORT else [init, lr]
        return lines


def _tail(name: str, node: str) -> str:
    """The name of a parameter without the dotted beginning that it shares with its node, which stands above it."""
    parts, shared = name.split("."), 0
    for part, other in zip(parts[:-1], node.split("."), strict=False):
        if part != other:
            break
        shared += 1
    return ".".join(parts[shared:])


CLASSES = {
    "data": "input", "sum": "join", "product": "product", "norm": "norm", "layout": "shape", "function": "pointwise",
    "recurrence": "scan", "choice": "scan",
}  # fmt: skip
"""What a box is drawn as, by the kind of its operation."""


def _kind(node: Node) -> str:
    kind = OPS[node.op].kind
    if kind == "factor":
        return "free" if node.free else "factor"
    return "weight" if node.parameters and kind in ("product", "sum") else CLASSES[kind]


def _contracted(node: Node) -> str:
    """What an einsum without parameters does: the axes that it sums over."""
    operands, result = node.labels()
    summed = list(dict.fromkeys(label for labels in operands for label in labels if label not in result))
    return f"sum over {' '.join(summed)}" if summed else "product"


def _drawn(name: str, box: _Box, centre: Point) -> list[str]:
    width, height = box.size
    left, top = centre[0] - width / 2, centre[1] - height / 2
    radius = 14 if box.kind in ("join", "stream", "input") else 5
    classes = f"box {box.kind}{' output' if box.output else ''}"
    place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius}"'
    parts = [f'<rect class="{classes}" {place}/>']
    if box.inner is not None:
        parts.append(f'<text class="caption" x="{left + 12:.1f}" y="{top + 19:.1f}">{escape(box.lines[0])}</text>')
        shift = f"translate({centre[0] - box.inner.width / 2:.1f} {top + PAD + 12:.1f})"
        return [*parts, f'<g transform="{shift}">', *box.inner.elements, "</g>"]
    first = centre[1] - LINE * (len(box.lines) - 1) / 2 + 4
    for i, line in enumerate(box.lines):
        style = "name" if i == 0 else "said"
        parts.append(f'<text class="{style}" x="{centre[0]:.1f}" y="{first + LINE * i:.1f}">{_raised(line)}</text>')
    return parts


def _raised(line: str) -> str:
    """A line with its exponents raised: `width^(-1/2)` as the reader expects it."""
    raised = r'\1<tspan class="up" dy="-4">\2</tspan><tspan dy="4">&#8203;</tspan>'
    return POWER.sub(raised, escape(line)).replace(">-", ">\N{MINUS SIGN}")


def _arrow(points: Sequence[Point], edge: Edge) -> str:
    """A curve that leaves and arrives vertically, straight past the layers between."""
    (x, y), *rest = points
    path = f"M{x:.1f} {y:.1f}"
    for index, (to_x, to_y) in enumerate(rest):
        if index % 2 and index < len(rest) - 1 or abs(to_x - x) < 0.05:
            path += f"L{to_x:.1f} {to_y:.1f}"
        else:
            bend = (to_y - y) / 2
            path += f"C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} {to_y:.1f}"
        x, y = to_x, to_y
    title, source = escape(" to ".join(edge)), escape(edge[0])
    return f'<path class="edge" data-source="{source}" d="{path}" marker-end="url(#tip)"><title>{title}</title></path>'

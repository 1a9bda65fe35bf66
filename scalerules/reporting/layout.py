"""Positions for the boxes and arrows of a layered drawing: arrows point down, long ones go around boxes.

Plain geometry (Sugiyama, Tagawa and Toda 1981): layers by longest path, order in a layer by barycentres, places by
least squares with a least distance. `drawing.py` draws what is laid out here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

GAP = 26.0
"""Between boxes of one layer."""
DROP = 30.0
"""Between layers."""
SWEEPS = 12
NARROW = 8.0
"""The width of an arrow that passes a layer."""

Size = tuple[float, float]
Point = tuple[float, float]
Edge = tuple[str, str]


@dataclass(frozen=True)
class Layout:
    """`centres` of the boxes, `routes` of the edges (points from the bottom of a box to the top of another)."""

    width: float
    height: float
    centres: Mapping[str, Point]
    routes: Mapping[Edge, Sequence[Point]]


def layout(sizes: Mapping[str, Size], edges: Sequence[Edge]) -> Layout:
    """Places boxes of these sizes (width, height), given in an order in which each stands behind what it reads."""
    plan = _Plan(dict(sizes), list(dict.fromkeys(edges)))
    return plan.layout()


@dataclass
class _Plan:
    sizes: dict[str, Size]
    edges: list[Edge]
    layers: list[list[str]] = field(default_factory=list[list[str]])
    above: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    below: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    chains: dict[Edge, list[str]] = field(default_factory=dict[Edge, list[str]])
    x: dict[str, float] = field(default_factory=dict[str, float])

    def layout(self) -> Layout:
        self._layer()
        self._order()
        self._place()
        return self._result()

    def _layer(self) -> None:
        """The layer of each box, one below the lowest that it reads; sources directly above their first reader."""
        boxes = list(self.sizes)
        readers: dict[str, list[str]] = {name: [] for name in boxes}
        sources: dict[str, list[str]] = {name: [] for name in boxes}
        for a, b in self.edges:
            readers[a].append(b)
            sources[b].append(a)
        depth: dict[str, int] = {}
        for name in boxes:
            depth[name] = 1 + max((depth[a] for a in sources[name]), default=-1)
        for name in reversed(boxes):
            if not sources[name] and readers[name]:
                depth[name] = min(depth[b] for b in readers[name]) - 1
        self.layers = [[] for _ in range(1 + max(depth.values(), default=0))]
        for name in boxes:
            self.layers[depth[name]].append(name)
        for a, b in self.edges:
            self._chain(a, b, depth)
        every = [name for layer in self.layers for name in layer]
        self.above = {name: [] for name in every}
        self.below = {name: [] for name in every}
        for chain in self.chains.values():
            for a, b in zip(chain, chain[1:], strict=False):
                self.below[a].append(b)
                self.above[b].append(a)

    def _chain(self, a: str, b: str, depth: Mapping[str, int]) -> None:
        """The edge from `a` to `b` with a narrow place in every layer that it passes."""
        passed = [f"{a}\n{b}\n{level}" for level in range(depth[a] + 1, depth[b])]
        for offset, name in enumerate(passed):
            self.sizes[name] = (NARROW, 0.0)
            self.layers[depth[a] + 1 + offset].append(name)
        self.chains[a, b] = [a, *passed, b]

    def _order(self) -> None:
        """Sweeps down and up: each layer in the order of the middles of its neighbours; keeps the fewest crossings."""
        best, fewest = [list(layer) for layer in self.layers], self._crossings()
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            neighbours = self.above if down else self.below
            steps = range(1, len(self.layers)) if down else range(len(self.layers) - 2, -1, -1)
            for level in steps:
                place = {name: i for i, name in enumerate(self.layers[level - 1 if down else level + 1])}
                self.layers[level] = _sorted(self.layers[level], neighbours, place)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(layer) for layer in self.layers], crossings
        self.layers = best

    def _crossings(self) -> int:
        count = 0
        for upper, lower in zip(self.layers, self.layers[1:], strict=False):
            place = {name: i for i, name in enumerate(lower)}
            ends = [place[b] for a in upper for b in sorted(self.below[a], key=place.__getitem__)]
            count += sum(1 for i, end in enumerate(ends) for other in ends[:i] if other > end)
        return count

    def _place(self) -> None:
        for layer in self.layers:
            left = 0.0
            for name in layer:
                self.x[name] = left + self.sizes[name][0] / 2
                left += self.sizes[name][0] + GAP
        for sweep in range(2 * SWEEPS):
            down = sweep % 2 == 0
            for layer in self.layers if down else reversed(self.layers):
                wanted = [self._wanted(name, down) for name in layer]
                for name, x in zip(layer, spread(wanted, self._distances(layer)), strict=True):
                    self.x[name] = x
        left = min((self.x[name] - size[0] / 2 for name, size in self.sizes.items()), default=0.0)
        self.x = {name: x - left for name, x in self.x.items()}

    def _wanted(self, name: str, down: bool) -> float:
        """Where a box would stand: in the middle of what it reads, or of what reads it."""
        first, second = (self.above[name], self.below[name]) if down else (self.below[name], self.above[name])
        near = first or second
        return sum(self.x[other] for other in near) / len(near) if near else self.x[name]

    def _distances(self, layer: Sequence[str]) -> list[float]:
        pairs = [(self.sizes[a][0], self.sizes[b][0]) for a, b in zip(layer, layer[1:], strict=False)]
        return [(a + b) / 2 + GAP * (0.5 if NARROW in (a, b) else 1) for a, b in pairs]

    def _result(self) -> Layout:
        top, tops, heights = 0.0, list[float](), list[float]()
        for layer in self.layers:
            tops.append(top)
            heights.append(max((self.sizes[name][1] for name in layer), default=0.0))
            top += heights[-1] + DROP
        level = {name: i for i, layer in enumerate(self.layers) for name in layer}
        middle = {name: tops[i] + heights[i] / 2 for name, i in level.items()}
        routes: dict[Edge, list[Point]] = {}
        for (a, b), chain in self.chains.items():
            points = [(self.x[a], middle[a] + self.sizes[a][1] / 2)]
            for name in chain[1:-1]:
                points += [(self.x[name], tops[level[name]]), (self.x[name], tops[level[name]] + heights[level[name]])]
            routes[a, b] = [*points, (self.x[b], middle[b] - self.sizes[b][1] / 2)]
        right = max((self.x[name] + size[0] / 2 for name, size in self.sizes.items()), default=0.0)
        boxes = {name: (self.x[name], middle[name]) for name in self.sizes if "\n" not in name}
        return Layout(right, max(0.0, top - DROP), boxes, routes)


def _sorted(layer: list[str], neighbours: Mapping[str, list[str]], place: Mapping[str, int]) -> list[str]:
    middles = {
        name: sum(place[n] for n in neighbours[name]) / len(neighbours[name]) if neighbours[name] else float(index)
        for index, name in enumerate(layer)
    }
    return sorted(layer, key=middles.__getitem__)


def spread(wanted: Sequence[float], distances: Sequence[float]) -> list[float]:
    """The places nearest to `wanted` (least squares) in this order and with at least these distances between them.

    Subtracting the distances leaves a regression under increasing order, which pooling adjacent violators solves.
    """
    offsets = [0.0]
    for distance in distances:
        offsets.append(offsets[-1] + distance)
    pools: list[tuple[float, int]] = []
    for target, offset in zip(wanted, offsets, strict=False):
        mean, count = target - offset, 1
        while pools and pools[-1][0] > mean:
            before, number = pools.pop()
            mean, count = (mean * count + before * number) / (count + number), count + number
        pools.append((mean, count))
    levels = [mean for mean, count in pools for _ in range(count)]
    return [level + offset for level, offset in zip(levels, offsets, strict=False)]

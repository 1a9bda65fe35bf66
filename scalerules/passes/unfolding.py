"""From a graph to the sites that the calculus works on: only growing axes, scans opened, repeats folded.

A repeat stands in as two copies of its body, the blocks before and the blocks after, whose parameters carry the depth
axis: a residual is then a contraction over depth, and the cost does not depend on the number of blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from scalerules.architecture.ends import first, last
from scalerules.architecture.graph import Graph
from scalerules.architecture.order import as_read
from scalerules.architecture.uses import matrix
from scalerules.errors import GraphError
from scalerules.ops.losses import LOSSES
from scalerules.ops.node import Node
from scalerules.ops.registry import law_of
from scalerules.ops.site import Chosen, Held, Site
from scalerules.terms.pieces import Labels, axis_name

from .exponents import exponents
from .factors import as_matrices, through_weights
from .joined_axes import parts_apart
from .judged import idle_factors, judged_sites, picked_sites
from .plan import Plan
from .routing import choices, chosen_only
from .weights import bent, degree_of, inner_numbers, twins_of, weights_of, without_size, woven_in
from .written_norms import with_norms

COPIES = ("", "'")


def unfold(graph: Graph, growing: frozenset[str]) -> Plan:
    """The plan of a graph in which the axes `growing` grow."""
    plan = _Unfolding(chosen_only(graph), growing)
    plan.body(plan.graph.nodes, graph.outputs, {}, "", None)
    outputs = {name: plan.keys[name] for name in graph.outputs}
    plan.sites = parts_apart(with_norms(plan.sites, outputs.values()), outputs.values())
    matrices = [key for key, held in plan.parameters.items() if len(held.axes) > 1 + bool(held.depth)]
    weights = weights_of(plan.sites, matrices)
    making = weights_of(plan.sites, matrices, homogeneous=False) - weights
    unseen = without_size(plan.sites, weights | making)
    known = as_matrices(plan.sites, _through(plan, weights | making), weights | making)
    diagonal = {key for key, held in known.items() if graph.parameters[held.name].init == "identity"}
    opened, parameters = through_weights(plan.sites, known, weights, outputs.values(), diagonal)
    gains = {key for key, held in plan.parameters.items() if graph.parameters[held.name].factor is not None}
    fixed = {
        key for key, held in plan.parameters.items() if graph.parameters[held.name].init not in ("normal", "zeros")
    }
    weights |= {site.key for site in opened if site.makes}
    curved = bent(opened)
    inner = inner_numbers(opened) - curved
    sites = [
        replace(
            site,
            judged=site.judged and (site.key in curved or degree_of(site.op) == 0),
            carries=True,
            makes=True,
        )
        if site.key in weights | making
        else replace(site, judged=False, carries=True)
        if site.key in inner
        else site
        for site in judged_sites(opened, outputs.values(), gains, fixed, weights | making)
    ]
    if routed := choices(graph):
        axes = {name: graph.axes_of(name) for name, _ in graph.walk()}
        held = {name: data.axes for name, data in graph.parameters.items()}
        sites = [replace(site, chosen=_among(axes.get(site.name, ()), routed)) for site in sites]
        parameters = {key: replace(h, chosen=_among(held[h.name], routed)) for key, h in parameters.items()}
    woven = woven_in(sites, weights)
    parameters = {key: replace(held, woven=key in woven) for key, held in parameters.items()}
    idle = idle_factors(sites, parameters, _solved_for(graph))
    twins = twins_of(sites, {k: h.name for k, h in parameters.items() if h.matrix and h.name in _random(graph)})
    picks = LOSSES[graph.loss].picks
    ends = {site.key: axis_name(site.result[-1]) for site in sites if site.result}
    classes = [key for name, key in outputs.items() if picks and ends.get(key) in graph.axes_of(name)[-1:]]
    picked = picked_sites(sites, classes)
    return Plan(
        tuple(sites),
        parameters,
        tuple(outputs.values()),
        weights,
        idle,
        picked,
        twins,
        unseen,
        exponents(sites, outputs.values()),
    )


def _through(plan: _Unfolding, weights: frozenset[str]) -> dict[str, Held]:
    """The parameters, of which those that weights are made of are matrices where data meet them as such."""
    inside = {key for site in plan.sites if site.key in weights for key in site.parameters}
    return {
        key: replace(held, matrix=held.matrix or (key in inside and matrix(plan.graph, held.name) is not None))
        for key, held in plan.parameters.items()
    }


def _solved_for(graph: Graph) -> frozenset[str]:
    """The parameters of which something is solved for that a factor behind them could stand in."""
    open_ = {name for name, held in graph.parameters.items() if held.init == "normal"}
    return frozenset(open_ | {name for name, held in graph.parameters.items() if held.init == "zeros" and held.trained})


def _random(graph: Graph) -> frozenset[str]:
    """The parameters that start random, whose size is solved for."""
    return frozenset(name for name, held in graph.parameters.items() if held.init == "normal")


def _among(axes: Sequence[str], routed: Mapping[str, str]) -> Chosen:
    return tuple((whole, part) for whole, part in routed.items() if whole in axes)


class _Unfolding:
    def __init__(self, graph: Graph, growing: frozenset[str]) -> None:
        self.graph, self.growing = graph, growing
        self.first, self.last = first(graph), last(graph)
        self.sites: list[Site] = []
        self.parameters: dict[str, Held] = {}
        self.keys: dict[str, str] = {}
        self.axes: dict[str, tuple[str, ...]] = {}
        """Growing axes of the value of every site; the depth axis first where it has one."""

    def body(
        self, nodes: Mapping[str, Node], ends: Iterable[str], outside: Mapping[str, str], copy: str, depth: str | None
    ) -> None:
        self.keys.update(outside)
        for name in as_read(nodes, ends):
            node = nodes[name]
            if node.op == "repeat":
                self.repeat(name, node)
            elif node.op == "scan":
                self.scan(name, node, nodes, copy)
            else:
                self.site(name, node, copy, depth)

    def repeat(self, name: str, node: Node) -> None:
        stream = self.keys[node.inputs[0]]
        grows = node.axis if node.axis in self.growing else None
        for copy in COPIES:
            self.body(node.body or {}, [str(node.result)], {"stream": stream}, copy, grows)
            stream = self.keys[str(node.result)]
            if grows and grows in self.axes[stream]:
                raise GraphError(
                    f"the axis {grows!r} grows, but {node.result!r} is not a residual",
                    where=f"node {name!r}",
                    hint="a repeated block has to pass on its stream through residuals",
                )
        self.keys[name] = stream

    def site(self, name: str, node: Node, copy: str, depth: str | None) -> None:
        inputs = tuple(self.keys[source] for source in node.inputs)
        parameters = tuple(self.parameter(p, copy, depth, node, k) for k, p in enumerate(node.parameters))
        held = [self.axes[key] for key in inputs] + [self.parameters[key].axes for key in parameters]
        if node.equation is not None:
            labels, result = self.einsum_labels(name, node, held, depth)
        else:
            labels = [_numbered(axes) for axes in held]
            result = _numbered(self.result_axes(name, node, held, depth))
        joins = depth if node.op == "residual" and depth and depth in held[1] else None
        self.add(Site(name + copy, name, node.op, node, inputs, parameters, tuple(labels), result, joins=joins))

    def result_axes(self, name: str, node: Node, held: Sequence[Sequence[str]], depth: str | None) -> list[str]:
        axes = [axis for axis in self.graph.axes_of(name) if axis in self.growing]
        stacked = depth is not None and node.op != "residual" and any(depth in operand for operand in held)
        return [*([depth] if stacked and depth else []), *axes]

    def einsum_labels(
        self, name: str, node: Node, held: Sequence[Sequence[str]], depth: str | None
    ) -> tuple[list[Labels], Labels]:
        words, result = node.labels()
        axis_of: dict[str, str] = {}
        shapes = self.graph.operand_axes(name)
        for operand, axes in zip(words, shapes, strict=True):
            for word, axis in zip(operand, axes, strict=True):
                axis_of.setdefault(word, axis)
        for word, axis in zip(result, node.axes or (), strict=False):
            axis_of.setdefault(word, axis)
        labels: list[Labels] = []
        for operand, axes, grown in zip(words, shapes, held, strict=True):
            first = (f"{depth}|depth",) if depth and depth in grown else ()
            pairs = zip(operand, axes, strict=True)
            labels.append((*first, *(f"{axis_of[w]}|{w}" for w, axis in pairs if axis in self.growing)))
        stacked = any(operand and operand[0] == f"{depth}|depth" for operand in labels)
        grown_words = (f"{axis_of[w]}|{w}" for w in result if axis_of[w] in self.growing)
        return labels, (*((f"{depth}|depth",) if stacked else ()), *grown_words)

    def parameter(self, name: str, copy: str, depth: str | None, node: Node, k: int) -> str:
        axes = self.graph.parameters[name].axes
        fan_in: list[str] = []
        fan_out: list[str] = []
        if node.op == "einsum":
            words, result = node.labels()
            elsewhere = {w for i, operand in enumerate(words) if i != len(node.inputs) + k for w in operand}
            for word, axis in zip(words[len(node.inputs) + k], axes, strict=True):
                if word not in result:
                    fan_in.append(axis)
                elif word not in elsewhere:
                    fan_out.append(axis)
        key = f"@{name}{copy}"
        held = Held(
            key,
            name,
            (*([depth] if depth else []), *(axis for axis in axes if axis in self.growing)),
            depth,
            tuple(axis for axis in fan_in if axis in self.growing),
            tuple(axis for axis in fan_out if axis in self.growing),
            bool(fan_in and fan_out),
            name in self.first,
            name in self.last,
        )
        known = self.parameters.get(key)
        if known is None or (held.matrix and not known.matrix):  # read entry by entry first, it is one all the same
            self.parameters[key] = held
        return key

    def add(self, site: Site) -> None:
        self.sites.append(site)
        self.keys[site.name] = site.key
        self.axes[site.key] = tuple(axis_name(label) for label in site.result)

    def scan(self, name: str, node: Node, nodes: Mapping[str, Node], copy: str) -> None:
        """Opens a scan into its decay, its step (the discretisation), its input, its state, and the reading of it."""
        u, dt, a, *projections = (self.keys[source] for source in node.inputs)
        written = nodes.get(node.inputs[2])
        parts = [self.keys[source] for source in written.inputs] if written and written.op == "complex" else [a]
        of = {key: tuple(f"{axis}|{axis}" for axis in self.axes[key]) for key in (u, dt, *parts, *projections)}
        both = _union(of[dt], *(of[key] for key in parts))
        state = _union(of[u], both, *(of[key] for key in projections[:1]))
        both = tuple(label for label in state if label in both)
        result = tuple(label for label in state if label in of[u])

        def inner(part: str, op: str, inputs: Sequence[str], out: Labels, judged: bool = False) -> str:
            key = f"{name}.{part}{copy}" if part else name + copy
            full = f"{name}.{part}" if part else name
            operands = tuple(of[operand] for operand in inputs)
            self.add(Site(key, full, op, node, tuple(inputs), (), operands, out, judged, carries=bool(part)))
            of[key] = out
            return key

        bilinear = node.discretisation == "bilinear"
        decay = inner("decay", "decay_bilinear" if bilinear else "decay", (dt, *parts), both)
        step = inner("step", f"step_{node.discretisation}", (dt, *parts), both)
        driven = inner("input", "einsum", (u, step, *projections[:1]), state)
        held = inner("state", "recurrence", (decay, driven), state, judged=True)
        inner("", "einsum", (held, *projections[1:]), result, judged=True)
        for key in (a, *parts):
            self._transparent(key, judged=True)
        for key in projections or self._driving(u):
            self._transparent(key)

    def _driving(self, key: str) -> Iterator[str]:
        """What drives the states of a scan and is read by nothing else, from the last linear node back to a product."""
        while sum(key in site.inputs for site in self.sites) <= 2:
            site = next(site for site in self.sites if site.key == key)
            if not (law_of(site.op).linear or law_of(site.op).multilinear):
                return
            yield key
            if len(site.inputs) != 1 or law_of(site.op).multilinear:
                return
            key = site.inputs[0]

    def _transparent(self, key: str, judged: bool = False) -> None:
        """What is read only through a scan is asked for at what it is read into, where it has a growing axis.

        `judged`: it has to be stable itself, as what an exponential reads has.
        """
        for index, site in enumerate(self.sites):
            if site.key == key and site.result:
                self.sites[index] = replace(site, judged=judged, asked=False, carries=True)


def _union(*labels: Labels) -> Labels:
    return tuple(dict.fromkeys(label for operand in labels for label in operand))


def _numbered(axes: Sequence[str]) -> Labels:
    """Labels of axes by name; the second axis of the same name gets another label."""
    seen: dict[str, int] = {}
    labels: list[str] = []
    for axis in axes:
        labels.append(f"{axis}|{seen.get(axis, 0)}")
        seen[axis] = seen.get(axis, 0) + 1
    return tuple(labels)

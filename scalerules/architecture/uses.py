"""How a parameter is read: the axes that the operations that read it sum over, and those that they keep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from scalerules.ops.node import Node
from scalerules.ops.registry import law_of

from .graph import Graph


@dataclass(frozen=True)
class Use:
    """One operation that reads a parameter; the parameter's axes go by their position.

    `summed`: those that it sums over (fan-in), without those that the choices of a router pick one entry of;
    `brought`: those that only the parameter brings into the result (fan-out); `lookup`: it looks rows up for one-hot
    vectors.
    """

    node: str
    summed: tuple[int, ...]
    brought: tuple[int, ...]
    lookup: bool


def uses(graph: Graph, parameter: str, through_weights: bool = False) -> list[Use]:
    """How each einsum uses a parameter (or a weight made of it, too), in the order of the graph.

    What a matrix makes of a vector is a weight, too: there it is used as a matrix, whatever reads that.
    """
    nodes = dict(graph.walk())
    weights = _made_of(graph, nodes, parameter) if through_weights else {}
    weights |= _chosen(nodes, parameter) if through_weights else {}
    all_uses: list[Use] = []
    for name, node in nodes.items():
        read = [len(node.inputs) + k for k, source in enumerate(node.parameters) if source == parameter]
        read += [k for k, source in enumerate(node.inputs) if source in weights]
        if not read or name in weights:
            continue
        place = read[0]
        made = weights.get(node.inputs[place]) if place < len(node.inputs) else None
        if node.op != "einsum" and made is not None and made.consumed:
            all_uses.append(Use(name, *_sides(made, (), ()), lookup=False))
        if node.op == "einsum":
            operands, result = node.labels()
            shown = made or _whole(len(operands[place]))
            others = {label for i, part in enumerate(operands) if i != place for label in part}
            labels = [(i, x) for group, x in zip(shown.places, operands[place], strict=True) for i in group]
            chosen = chosen_labels(node, nodes)
            sums = dict.fromkeys(i for i, label in labels if label not in result and label not in chosen)
            summed = tuple(sums)  # each once: of an axis that a view splits both parts are summed over
            kept = {i for i, label in labels if label in result and label not in others}
            if {*summed, *shown.consumed} - kept:  # rows that are viewed as a matrix are summed over in part
                summed = tuple(i for i in summed if i not in kept)
            brought = tuple(i for i in dict.fromkeys(i for i, _ in labels) if i in kept and i not in summed)
            lookup = any(nodes[source].kind == "tokens" for source in node.inputs if source in nodes)
            all_uses.append(Use(name, *_sides(shown, summed, brought), lookup))
    return all_uses


def _sides(shown: _Shown, summed: Places, brought: Places) -> tuple[Places, Places]:
    """Fan-in and fan-out: an axis between two matrices is on the side that has none yet.

    A matrix that has been applied to a vector is one, whatever is done with the vector that it makes.
    """
    if shown.consumed and summed and not (brought or shown.inner):
        return shown.consumed, summed
    summed, inner = summed + shown.consumed, shown.inner
    if not summed:
        return (inner, brought) if brought else (inner[-1:], inner[:-1])
    made = tuple(i for group in shown.places for i in group if i not in summed) if shown.consumed else ()
    return summed, brought or inner or made


Places = tuple[int, ...]
"""Positions of a parameter's axes."""


@dataclass(frozen=True)
class _Shown:
    """What a weight shows of a parameter: for each of its axes those of the parameter, several where they are merged.

    `inner`: the parameter's axes that it was summed over with another matrix; `consumed`: with a vector.
    """

    places: tuple[Places, ...]
    inner: Places = ()
    consumed: Places = ()


def _whole(axes: int) -> _Shown:
    return _Shown(tuple((i,) for i in range(axes)))


def _made_of(graph: Graph, nodes: Mapping[str, Node], parameter: str) -> dict[str, _Shown]:
    """The nodes without data that a parameter is a part of: its views, products, sums, norms."""
    free: set[str] = set()
    weights: dict[str, _Shown] = {}
    for name, node in nodes.items():
        if node.op in ("input", "repeat") or not all(source in free for source in node.inputs):
            continue
        free.add(name)
        read = [k for k, source in enumerate(node.inputs) if source in weights]
        read += [len(node.inputs) + k for k, source in enumerate(node.parameters) if source == parameter]
        if read:
            shape = graph.operand_axes(name)[read[0]]
            before = weights[node.inputs[read[0]]] if read[0] < len(node.inputs) else _whole(len(shape))
            weights[name] = _seen(node, read[0], before, shape, graph.axes_of(name))
    return weights


def _chosen(nodes: Mapping[str, Node], parameter: str) -> dict[str, _Shown]:
    """The matrices that data choose: what is linear in them and in the parameter, and multiplied as a matrix is."""
    chosen: dict[str, _Shown] = {}
    for name, node in nodes.items():
        if node.op != "einsum" or not node.inputs or node.parameters != [parameter]:
            continue
        operands, result = node.labels()
        own, of_data = operands[-1], {label for part in operands[:-1] for label in part}
        readers = [(other, k) for other in nodes.values() for k, source in enumerate(other.inputs) if source == name]
        alone = [k for k, label in enumerate(result) if label not in of_data]
        if readers and all(_as_matrix(other, k, alone) for other, k in readers):
            places = tuple((own.index(label),) if label not in of_data else () for label in result)
            chosen[name] = _Shown(places, consumed=tuple(i for i, label in enumerate(own) if label not in result))
    return chosen


def _as_matrix(node: Node, k: int, alone: Sequence[int]) -> bool:
    """Whether a node multiplies another value with its `k`-th as with a matrix that has these axes alone."""
    if node.op != "einsum" or len(node.inputs) < 2:
        return False
    operands, result = node.labels()
    return as_matrix({operands[k][i] for i in alone}, operands, k, result)


def as_matrix(own: set[str], operands: Sequence[Sequence[str]], k: int, result: Sequence[str]) -> bool:
    """Whether a product uses its `k`-th operand as a matrix: of the labels `own`, one is summed and one kept alone.

    The one is summed with another operand, and no other operand has the one that is kept. What it multiplies has all
    its other labels: queries that meet the keys of all times are values, of however many groups they are.
    """
    others = {label for i, part in enumerate(operands) if i != k for label in part}
    met = others.issuperset(set(operands[k]) - own)
    return met and bool(own & others - set(result)) and bool(own & set(result) - others)


def _seen(node: Node, place: int, shown: _Shown, before: Sequence[str], after: Sequence[str]) -> _Shown:
    """What a node shows of what its operand shows."""
    old, new, rest = list(before), list(after), list[list[str]]()
    if node.equation is not None:
        operands, new = node.labels()
        old, rest = operands[place], operands[:place] + operands[place + 1 :]
    elif len(old) == len(new):
        return shown
    lost = [(label, group) for label, group in zip(old, shown.places, strict=True) if label not in new]
    if law_of(node.op).passes:
        merged = tuple(i for _, group in lost for i in group)
        return replace(shown, places=tuple(shown.places[old.index(x)] if x in old else merged for x in new))
    between = {label for label, _ in lost if _reached(label, rest) & set(new)}
    inner, consumed = (tuple(i for x, group in lost if (x in between) is way for i in group) for way in (True, False))
    consumed = consumed if rest else ()  # a plain sum applies it to nothing
    places = tuple(shown.places[old.index(label)] if label in old else () for label in new)
    return _Shown(places, shown.inner + inner, shown.consumed + consumed)


def _reached(label: str, operands: Sequence[Sequence[str]]) -> set[str]:
    """A label, and those of all operands that it leads to."""
    labels = {label}
    for _ in operands:
        labels.update(*(part for part in operands if labels & set(part)))
    return labels


def chosen_labels(node: Node, nodes: Mapping[str, Node]) -> set[str]:
    """The labels of an einsum along which an operand is the choice of a `top_k`: each sum over them has one entry."""
    operands, _ = node.labels()
    choices = [part for source, part in zip(node.inputs, operands, strict=False) if _op(nodes, source) == "top_k"]
    return {part[-1] for part in choices}


def _op(nodes: Mapping[str, Node], name: str) -> str | None:
    return nodes[name].op if name in nodes else None


def fan_in(graph: Graph, parameter: str, sizes: Mapping[str, float]) -> int:
    """The number of terms in the largest sum that the parameter stands in, at these sizes; 1 for a look-up."""
    sums = [use for use in uses(graph, parameter, through_weights=True) if not use.lookup]
    return max([1, *(count(graph, parameter, use.summed, sizes) for use in sums)])


def count(graph: Graph, parameter: str, positions: Iterable[int], sizes: Mapping[str, float]) -> int:
    """The product of the lengths of these axes of a parameter."""
    axes = graph.parameters[parameter].axes
    return math.prod(graph.lengths[axes[i]].at(sizes) for i in positions)


def matrix(graph: Graph, parameter: str) -> Use | None:
    """How a parameter is a matrix (fan-out x fan-in): its first use that has axes of both kinds."""
    all_uses = uses(graph, parameter, through_weights=True)
    return next((use for use in all_uses if use.summed and use.brought), None)

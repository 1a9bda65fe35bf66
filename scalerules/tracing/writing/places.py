"""Where the nodes and parameters of a traced graph stand in the module, so that the module itself can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scalerules.ops.registry import law_of
from scalerules.sizes.lengths import Length
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Part

from .write import Writer


@dataclass(frozen=True)
class Piece:
    """A weight of the module, or the part of it that a parameter of the graph is.

    `factors` has for every dimension (length of the factor, where the part starts or None, how long it is).
    """

    weight: str
    factors: tuple[tuple[tuple[Length, Length | None, Length], ...], ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return all(start is None for dimension in self.factors for _, start, _ in dimension)


@dataclass(frozen=True)
class Live:
    """What makes the module, and where things stand in it.

    `nodes`: the calls (one for each repeated block) that return a node's value; `weights`: the pieces that a parameter
    is; `factors`: the fixed number and the calls of every free factor; `readers`: the calls at which a node reads a
    parameter.
    """

    make_model: Callable[..., Any]
    inputs: Callable[..., Any]
    nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    weights: Mapping[str, tuple[Piece, ...]] = field(default_factory=dict[str, tuple[Piece, ...]])
    factors: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict[str, tuple[str, tuple[str, ...]]])
    readers: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict[tuple[str, str], tuple[str, ...]])


def live(writer: Writer, shown: Mapping[str, str], make_model: Callable[..., Any], inputs: Callable[..., Any]) -> Live:
    """The places of what a writer wrote; `shown` is the call that returns each node of the sketch."""
    nodes: dict[str, tuple[str, ...]] = {}
    weights: dict[str, tuple[Piece, ...]] = {}
    factors: dict[str, tuple[str, tuple[str, ...]]] = {}
    readers: dict[tuple[str, str], tuple[str, ...]] = {}
    behind: dict[str, str] = {}
    ends = {shown[key]: node for key, node in writer.pieces.nodes.items() if key in shown}
    other = {call for call, node in ends.items() if _fixed_factor(node) or not node.shown}
    """Calls that return what is of another size than what the graph has there."""
    for key, node in writer.pieces.nodes.items():
        if node.op in ("stream", "repeat") or node.call is None:
            continue
        name = writer.name(key)
        if node.product is not None:
            behind[writer.name(node.product)] = name
        elif key in shown and node.shown:
            nodes[name] = _copies(writer, node, shown[key])
        if node.op == "scale" and node.fields.get("free"):
            factors[name] = (str(node.fields.get("factor", 1)), _copies(writer, node, node.call.name))
            front = node.operands[0]
            if key not in shown and isinstance(front, str) and shown.get(front) == node.call.name:
                behind[writer.name(front)] = name
        for source in node.operands:
            if isinstance(source, Part):
                parameter = writer.part(source, node)
                if node.shown and (key in shown or node.call.name not in other):
                    readers[name, parameter] = _copies(writer, node, node.call.name)
                weights.setdefault(parameter, _pieces(writer, node, source))
    # a call that is multiplied where the module has no factor returns what stands behind the factor
    nodes = {behind.get(name, name): calls for name, calls in nodes.items()}
    return Live(make_model, inputs, nodes, weights, factors, readers)


def inside(writer: Writer) -> str | None:
    """A call that bends what it has multiplied by a free factor: multiplying what it returns is something else.

    Attention takes its factor as an argument.
    """
    nodes = list(writer.pieces.nodes.values())
    for place, node in enumerate(nodes):
        if node.op == "scale" and node.fields.get("free") and node.call is not None:
            behind = [law_of(each.op) for each in nodes[place + 1 :] if each.call is node.call]
            if "attention" not in node.call.target and not all(op.linear or op.multilinear for op in behind):
                return node.call.name
    return None


def _fixed_factor(node: SketchNode) -> bool:
    """Whether a node is a fixed factor: what a call returns that ends in one is another size than what is in front."""
    return node.op == "scale" and not node.fields.get("free")


def lines_of(writer: Writer) -> dict[str, str]:
    """Where the module computes every node: file, line and code."""
    calls = {writer.name(key): node.call for key, node in writer.pieces.nodes.items() if node.call is not None}
    return {name: call.source for name, call in calls.items() if call.source}


def _copies(writer: Writer, node: SketchNode, call: str) -> tuple[str, ...]:
    """A call of the first block, and those of the others at its place."""
    if not node.body:
        return (call,)
    repetition = writer.repetitions[node.body]
    place = repetition.copies[0].index(call)
    return tuple(copy[place] for copy in repetition.copies)


def _pieces(writer: Writer, node: SketchNode, part: Part) -> tuple[Piece, ...]:
    factors = tuple(tuple((f.whole, f.start, f.length) for f in dimension) for dimension in part.factors)
    names = [part.weight.name]
    if node.body:
        repetition = writer.repetitions[node.body]
        if part.weight.name in repetition.weights[0]:
            place = repetition.weights[0].index(part.weight.name)
            names = [weights[place] for weights in repetition.weights]
    return tuple(Piece(name, factors) for name in names)

"""Where the nodes and parameters of a traced graph stand in the module, so that the module itself can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scalerules.sizes.lengths import Length
from scalerules.tracing.sketch.made import Made
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
    for key, made in writer.found.nodes.items():
        if made.op in ("stream", "repeat") or made.call is None:
            continue
        name = writer.name(key)
        if made.product is not None:
            behind[writer.name(made.product)] = name
        elif key in shown:
            nodes[name] = _copies(writer, made, shown[key])
        if made.op == "scale" and made.fields.get("free"):
            factors[name] = (str(made.fields.get("factor", 1)), _copies(writer, made, made.call.name))
            front = made.operands[0]
            if key not in shown and isinstance(front, str) and shown.get(front) == made.call.name:
                behind[writer.name(front)] = name
        for source in made.operands:
            if isinstance(source, Part):
                parameter = writer.part(source, made)
                readers[name, parameter] = _copies(writer, made, made.call.name)
                weights.setdefault(parameter, _pieces(writer, made, source))
    # a call that is multiplied where the module has no factor returns what stands behind the factor
    nodes = {behind.get(name, name): calls for name, calls in nodes.items()}
    return Live(make_model, inputs, nodes, weights, factors, readers)


def _copies(writer: Writer, made: Made, call: str) -> tuple[str, ...]:
    """A call of the first block, and those of the others at its place."""
    if not made.body:
        return (call,)
    run = writer.runs[made.body]
    place = run.copies[0].index(call)
    return tuple(copy[place] for copy in run.copies)


def _pieces(writer: Writer, made: Made, part: Part) -> tuple[Piece, ...]:
    factors = tuple(tuple((f.whole, f.start, f.length) for f in dimension) for dimension in part.factors)
    names = [part.weight.name]
    if made.body:
        run = writer.runs[made.body]
        if part.weight.name in run.weights[0]:
            place = run.weights[0].index(part.weight.name)
            names = [weights[place] for weights in run.weights]
    return tuple(Piece(name, factors) for name in names)

"""From a sketch to a graph: what the outputs need, axes by name, equations as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError
from scalerules.ops.node import Node, Parameter
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Initial, Record, Repetition
from scalerules.tracing.repeated_names import starred
from scalerules.tracing.sketch.axes import Axis, names_of
from scalerules.tracing.sketch.sketch import Sketch
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import Loss, Part, Result, Source, Value

from .bodies import body_of, captured
from .overlaps import overlap


class Conflict(Exception):
    """Weights that are read as a whole in one place and in parts in another."""

    def __init__(self, weights: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(weights)))
        self.weights = weights


@dataclass(frozen=True)
class Pieces:
    """What a graph is built from: its nodes in order, its weights by the name that they have there, its outputs."""

    nodes: Mapping[str, SketchNode]
    parts: Mapping[str, Part]
    outputs: tuple[str, ...]
    loss: str


def pieces(record: Record, sketch: Sketch, results: Sequence[Result], loss: str | None = None) -> Pieces:
    """What the outputs need; `loss` instead of the one that is found.

    Raises `Conflict`, and `ScaleRulesError` where no output depends on a weight.
    """
    outputs, own_loss = _outputs(sketch, results)
    outputs = [name for name in outputs if _has_weight(sketch, name)]
    outputs = [name for name in outputs if not is_penalty(sketch, name)] or outputs
    if not outputs:
        hint = "the module has to return tensors that gradients flow to, logits or a loss"
        raise ScaleRulesError("no output depends on a trained weight", where=f"module {record.model}", hint=hint)
    live = _needed(sketch, outputs)
    nodes = {name: node for name, node in sketch.nodes.items() if name in live}
    for name, node in list(nodes.items()):
        if node.op == "repeat":
            nodes.update(body_of(sketch, name, live))
    kind = loss or own_loss or ("cross_entropy" if all(_over_tokens(sketch, name) for name in outputs) else "mse")
    return Pieces(nodes, parts_of(nodes.values()), tuple(outputs), kind)


def is_penalty(sketch: Sketch, output: str) -> bool:
    """Whether an output is one number made of weights alone: a penalty, which is no prediction."""
    return not sketch.nodes[output].slots and not any(sketch.nodes[n].op == "input" for n in _needed(sketch, [output]))


def _over_tokens(sketch: Sketch, output: str) -> bool:
    """Whether an output has an entry for every row of a table of tokens that it depends on: logits of a next token."""
    slots = sketch.nodes[output].slots
    if not slots or slots[-1].length.scales:
        return False
    inner = [sketch.nodes[name] for name in _needed(sketch, [output])]
    tables = [node.slots[-1] for node in inner if node.op == "input" and node.fields.get("kind") == "tokens"]
    return any(table.length == slots[-1].length for table in tables)


LOG_SOFTMAX = re.compile(r"\blog_softmax(_\d+)?$")
"""How the node is called of which logits stand in front."""


def _outputs(sketch: Sketch, results: Sequence[Result]) -> tuple[list[str], str]:
    """The outputs, and the kind of the loss that the module computes itself ("" if it does not)."""
    flat: list[object] = []
    for result in results:
        flat.extend(result if isinstance(result, tuple) else [result])
    losses = [operand for operand in flat if isinstance(operand, Loss)]
    values = [s for loss in losses for s in loss.sources] if losses else [v for v in flat if isinstance(v, Value)]
    names = [value.source for value in values if isinstance(value.source, str)]
    likelihoods = [n for n in names if LOG_SOFTMAX.search(n)]
    read = [sketch.nodes[n].operands[0] if n in likelihoods else n for n in names]
    read_from = list(dict.fromkeys(n for n in read if isinstance(n, str)))
    beside = [v for v in flat if isinstance(v, Value)] if losses else []  # a prediction whose loss stands outside
    for term in [*beside, *(term for loss in losses for term in loss.terms)]:
        if isinstance(term.source, str) and _weights(sketch, [term.source]) - _weights(sketch, read_from):
            read_from.append(term.source)  # it trains what nothing else reads
    unread = "cross_entropy" if likelihoods and likelihoods == names else ""
    return read_from, losses[0].kind if losses else unread


def _weights(sketch: Sketch, outputs: Iterable[str]) -> set[str]:
    """The weights that values depend on."""
    read = (source for name in _needed(sketch, outputs) for source in sketch.nodes[name].operands)
    return {source.weight.name for source in read if isinstance(source, Part) and source.weight.trained}


def _needed(sketch: Sketch, outputs: Iterable[str]) -> set[str]:
    live, queue = set[str](), list(outputs)
    while queue:
        name = queue.pop()
        if name not in live:
            live.add(name)
            node = sketch.nodes[name]
            queue.extend(source for source in node.operands if isinstance(source, str))
            if node.op == "repeat":
                queue.append(str(node.fields["result"]))
    return live


def _has_weight(sketch: Sketch, output: str) -> bool:
    return any(isinstance(s, Part) for name in _needed(sketch, [output]) for s in sketch.nodes[name].operands)


def parts_of(nodes: Iterable[SketchNode]) -> dict[str, Part]:
    """The weights and parts of weights that nodes read, by name. Raises `Conflict`."""
    parts: dict[str, Part] = {}
    by_weight: dict[str, dict[str, Part]] = {}
    broken: set[str] = set()
    for node in nodes:
        for source in node.operands:
            if isinstance(source, Part):
                first = parts.setdefault(source.name, source)
                by_weight.setdefault(source.weight.name, {})[source.name] = source
                if len(first.slots) != len(source.slots):
                    broken.add(source.weight.name)
                else:
                    for a, b in zip(first.slots, source.slots, strict=True):
                        a.join(b)
    for weight, of_weight in by_weight.items():
        whole = any(part.is_whole for part in of_weight.values())
        if len(of_weight) > 1 and (whole or overlap(list(of_weight.values()))):
            broken.add(weight)
    if broken:
        raise Conflict(frozenset(broken))
    return parts


# --- the graph -----------------------------------------------------------------------------------------


class Writer:
    """Writes pieces as a graph: names of axes, of nodes and of weights (`*` for the index of a repeated block)."""

    def __init__(self, record: Record, pieces: Pieces) -> None:
        self.record, self.pieces = record, pieces
        weights = [axis for part in pieces.parts.values() for axis in part.slots]
        depths = [node.fields["depth"] for node in pieces.nodes.values() if node.op == "repeat"]
        self.axes: list[Axis] = [*weights, *depths, *(axis for node in pieces.nodes.values() for axis in node.slots)]
        self.words = names_of(self.axes, record.scales)
        repeats = {name: node for name, node in pieces.nodes.items() if node.op == "repeat"}
        self.repetitions: dict[str, Repetition] = {name: node.fields["repetition"] for name, node in repeats.items()}

    def graph(self, scales: Mapping[str, Any], kind: type[Graph] = Graph) -> Graph:
        """The graph."""
        nodes = self.pieces.nodes
        parameters: dict[str, Parameter] = {}
        for node in nodes.values():
            for source in node.operands:
                if isinstance(source, Part):
                    parameters.setdefault(self.part(source, node), self.parameter(source))
        return kind.model_validate(
            {
                "name": self.record.model,
                "scales": scales,
                "axes": {self.axis(axis): str(axis.whole.length) for axis in self.axes},
                "parameters": parameters,
                "nodes": {self.name(n): self.node(m) for n, m in nodes.items() if m.body is None},
                "outputs": [self.name(n) for n in self.pieces.outputs],
                "loss": self.pieces.loss,
                "sizes": {scale: float(value) for scale, value in self.record.sizes().items() if scale in scales},
            }
        )

    def axis(self, axis: Axis) -> str:
        """The name of an axis."""
        return self.words[id(axis.whole)]

    def name(self, node: str) -> str:
        """The name of a node."""
        entry = self.pieces.nodes[node]
        if entry.op == "stream":
            return "stream"
        return starred(node, self.repetitions[entry.body]) if entry.body else node

    def path(self, path: str, node: SketchNode) -> str:
        """The path of a module, with `*` for the index of a repeated block."""
        return starred(path, self.repetitions[node.body]) if node.body else path

    def part(self, part: Part, node: SketchNode) -> str:
        """The name of a weight, or part of one, where a node reads it."""
        return starred(part.name, self.repetitions[node.body]) if node.body else part.name

    def parameter(self, part: Part) -> Parameter:
        """A weight as the graph has it."""
        data: dict[str, Any] = {"axes": [self.axis(a) for a in part.slots], "init": initial(part)}
        data |= {"factor": growth} if (growth := factor(part.initial, data["init"])) else {}
        return Parameter.model_validate(data if part.weight.trained else data | {"trained": False})

    def node(self, node: SketchNode) -> Node:
        """A node as the graph has it: its operands are nodes first, then weights."""
        order = sorted(range(len(node.operands)), key=lambda i: isinstance(node.operands[i], Part))
        data: dict[str, Any] = {
            "op": node.op,
            "inputs": [self.name(s) for s in node.operands if isinstance(s, str)],
            "parameters": [self.part(s, node) for s in node.operands if isinstance(s, Part)],
        }
        axes = [self.axis(axis) for axis in node.slots]
        if node.labels is not None and node.op != "residual":
            data["equation"] = self.equation([(node.labels[i], self.slots(node.operands[i])) for i in order], node)
        if node.op in ("input", "rearrange"):
            data["axes"] = axes
        if node.along is not None:
            data["axis"] = axes[node.along]
        if node.op == "repeat":
            return Node.model_validate(data | self.repeat(node))
        for name, value in node.fields.items():
            data[name] = str(value) if isinstance(value, Length) else value
        return Node.model_validate(data)

    def repeat(self, node: SketchNode) -> dict[str, Any]:
        """The fields of a repeat: its body, and what the body reads beside the stream."""
        body = {n: m for n, m in self.pieces.nodes.items() if m.body == node.name and m.op != "stream"}
        return {
            "inputs": [*(self.name(str(s)) for s in node.operands), *(self.name(n) for n in captured(body))],
            "axis": self.axis(node.fields["depth"]),
            "body": {self.name(n): self.node(m) for n, m in body.items()},
            "result": self.name(str(node.fields["result"])),
        }

    def slots(self, source: Source) -> tuple[Axis, ...]:
        """The axes of what a node reads."""
        return source.slots if isinstance(source, Part) else self.pieces.nodes[source].slots

    def equation(self, rows: Sequence[tuple[Sequence[int], Sequence[Axis]]], node: SketchNode) -> str:
        """The labels as words: the names of their axes, numbered where an axis stands there twice."""
        axis_of = {x: self.axis(axis) for x, axis in zip(node.result, node.slots, strict=True)}
        for row, axes in rows:
            for x, axis in zip(row, axes, strict=True):
                axis_of.setdefault(x, self.axis(axis))
        words: dict[int, str] = {}
        for x, name in axis_of.items():
            word, count = name, 1
            while word in words.values():
                count += 1
                word = f"{name}_{count}"
            words[x] = word
        left = ", ".join(" ".join(words[x] for x in row) for row, _ in rows)
        return f"{left} -> {' '.join(words[x] for x in node.result)}"


MOST_PARTS = 6
"""The largest denominator of a power of a scale that is read off initial values."""
CLEAR = 0.02
"""How far a power may be off such a fraction."""


def initial(part: Part) -> str:
    """What the module does to a weight, or a part of one, as the engine's kinds of initial values."""
    weight, values = part.weight, part.initial
    if values.kind == "identity":
        square = part.is_whole and all(len(factors) == 1 and factors[0].axis for factors in part.factors[:2])
        return "identity" if square else "ones"
    if values.kind in ("zeros", "ones", "range", "log_range"):
        return values.kind
    if values.kind == "constant":
        return "zeros" if values.value == 0 else "ones"
    if values.kind == "structured" and "random" not in values.note:
        return "ones"
    matrix = sum(length is not None and bool(length.scales) for length in weight.shape) > 1
    agree = values.value is not None and abs(values.mean) > abs(values.value)
    if values.kind == "normal" and agree and not matrix and not values.lengths_of:
        return "ones"  # entries that agree in sign
    return "normal"


def factor(values: Initial, kind: str) -> str | None:
    """What fixed entries are multiplied with where they depend on a size, as a product of powers of scales."""
    if kind in ("normal", "zeros"):
        return None
    powers = {scale: Fraction(power).limit_denominator(MOST_PARTS) for scale, power in values.exponents.items()}
    clear = {s: p for s, p in powers.items() if p and abs(float(p) - values.exponents[s]) < CLEAR}
    return "*".join(f"{scale}^({power})" for scale, power in clear.items()) or None

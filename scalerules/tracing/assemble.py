"""From a sketch to a graph: what the outputs need, axes by name, equations as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ScaleRulesError
from ..graph import Graph, Node, Parameter
from ..scale import Length
from .axes import Axis, names_of, probe
from .record import Record, Weight
from .sketch import Made, Sketch
from .values import Loss, Part, Result, Value


class Conflict(Exception):
    """Weights that are read as a whole in one place and in parts in another."""

    def __init__(self, weights: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(weights)))
        self.weights = weights


@dataclass(frozen=True)
class Pieces:
    """What a graph is built from: its nodes in order, its weights by the name that they have there, its outputs."""

    nodes: Mapping[str, Made]
    parts: Mapping[str, Part]
    outputs: tuple[str, ...]
    loss: str


def pieces(record: Record, sketch: Sketch, results: Sequence[Result]) -> Pieces:
    """What the outputs need. Raises `Conflict`, and `ScaleRulesError` where no output depends on a weight."""
    outputs, loss = _outputs(sketch, results)
    outputs = [name for name in outputs if _has_weight(sketch, name)]
    if not outputs:
        hint = "the module has to return tensors that gradients flow to, logits or a loss"
        raise ScaleRulesError("no output depends on a trained weight", where=f"module {record.model}", hint=hint)
    live = _needed(sketch, outputs)
    nodes = {name: made for name, made in sketch.nodes.items() if name in live}
    return Pieces(nodes, parts_of(nodes.values()), tuple(outputs), loss)


def _outputs(sketch: Sketch, results: Sequence[Result]) -> tuple[list[str], str]:
    flat: list[object] = []
    for result in results:
        flat.extend(result if isinstance(result, tuple) else [result])
    losses = [each for each in flat if isinstance(each, Loss)]
    values = [s for loss in losses for s in loss.sources] if losses else [v for v in flat if isinstance(v, Value)]
    names = [value.source for value in values if isinstance(value.source, str)]
    names = [sketch.nodes[n].operands[0] if n.endswith("log_softmax") else n for n in names]
    kind = losses[0].kind if losses else "mse"
    return list(dict.fromkeys(n for n in names if isinstance(n, str))), kind


def _needed(sketch: Sketch, outputs: Iterable[str]) -> set[str]:
    live, queue = set[str](), list(outputs)
    while queue:
        name = queue.pop()
        if name not in live:
            live.add(name)
            queue.extend(source for source in sketch.nodes[name].operands if isinstance(source, str))
    return live


def _has_weight(sketch: Sketch, output: str) -> bool:
    return any(isinstance(s, Part) for name in _needed(sketch, [output]) for s in sketch.nodes[name].operands)


def parts_of(nodes: Iterable[Made]) -> dict[str, Part]:
    """The weights and parts of weights that nodes read, by name. Raises `Conflict`."""
    parts: dict[str, Part] = {}
    by_weight: dict[str, dict[str, Part]] = {}
    broken: set[str] = set()
    for made in nodes:
        for source in made.operands:
            if isinstance(source, Part):
                first = parts.setdefault(source.name, source)
                by_weight.setdefault(source.weight.name, {})[source.name] = source
                if len(first.slots) != len(source.slots):
                    broken.add(source.weight.name)
                else:
                    for a, b in zip(first.slots, source.slots, strict=True):
                        a.join(b)
    for weight, found in by_weight.items():
        whole = any(part.is_whole for part in found.values())
        if len(found) > 1 and (whole or _overlap(list(found.values()))):
            broken.add(weight)
    if broken:
        raise Conflict(frozenset(broken))
    return parts


def _overlap(parts: Sequence[Part]) -> bool:
    """Whether two parts of one weight have entries in common."""
    for i, a in enumerate(parts):
        for b in parts[i + 1 :]:
            if [len(d) for d in a.factors] != [len(d) for d in b.factors]:
                return True
            apart = False
            for x, y in zip((f for d in a.factors for f in d), (f for d in b.factors for f in d), strict=True):
                if x.start is not None and y.start is not None:
                    first, second = probe(x.start), probe(y.start)
                    ends = probe(x.length), probe(y.length)
                    apart = (
                        apart or first[0] + ends[0][0] <= second[0] + 1e-6 or second[0] + ends[1][0] <= first[0] + 1e-6
                    )
            if not apart:
                return True
    return False


# --- the graph -----------------------------------------------------------------------------------------


def assembled(record: Record, found: Pieces, scales: Mapping[str, Any], kind: type[Graph] = Graph) -> Graph:
    """The graph of these pieces."""
    names = _names(found, record)
    return kind.model_validate(
        {
            "name": record.model,
            "scales": scales,
            "axes": _axes(found, names),
            "parameters": {name: parameter(part, names) for name, part in found.parts.items()},
            "nodes": {name: node(made, names, found.nodes) for name, made in found.nodes.items()},
            "outputs": list(found.outputs),
            "loss": found.loss,
            "sizes": {scale: float(value) for scale, value in record.sizes().items()},
        }
    )


def _all_axes(found: Pieces) -> list[Axis]:
    weights = [axis for part in found.parts.values() for axis in part.slots]
    return [*weights, *(axis for made in found.nodes.values() for axis in made.slots)]


def _names(found: Pieces, record: Record) -> dict[int, str]:
    return names_of(_all_axes(found), record.scales)


def _axes(found: Pieces, names: Mapping[int, str]) -> dict[str, str]:
    return {names[id(axis.whole)]: str(axis.whole.length) for axis in _all_axes(found)}


def parameter(part: Part, names: Mapping[int, str]) -> Parameter:
    """A weight as the graph has it."""
    return Parameter.model_validate({"axes": [names[id(a.whole)] for a in part.slots], "init": _init(part.weight)})


def _init(weight: Weight) -> str:
    initial = weight.initial
    if initial.kind in ("zeros", "ones", "range", "log_range"):
        return initial.kind
    if initial.kind == "constant":
        return "zeros" if initial.value == 0 else "ones"
    if initial.kind == "structured" and "random" not in initial.note:
        return "ones"
    if initial.kind == "normal" and initial.value is not None and abs(initial.mean) > abs(initial.value):
        return "ones"  # entries that agree in sign
    return "normal"


def node(made: Made, names: Mapping[int, str], nodes: Mapping[str, Made]) -> Node:
    """A node as the graph has it."""
    inputs = [i for i, source in enumerate(made.operands) if isinstance(source, str)]
    weights = [i for i, source in enumerate(made.operands) if isinstance(source, Part)]
    order = [*inputs, *weights]
    data: dict[str, Any] = {
        "op": made.op,
        "inputs": [made.operands[i] for i in inputs],
        "parameters": [_part_name(made.operands[i]) for i in weights],
    }
    axes = [names[id(axis.whole)] for axis in made.slots]
    if made.labels is not None and made.op != "residual":
        rows = [(made.labels[i], _slots(made.operands[i], nodes)) for i in order]
        data["equation"] = _equation(rows, made, names)
    if made.op in ("input", "rearrange") or (made.op == "constant" and axes):
        data["axes"] = axes
    if made.along is not None:
        data["axis"] = axes[made.along]
    for name, value in made.fields.items():
        data[name] = str(value) if isinstance(value, Length) else value
    return Node.model_validate(data)


def _part_name(source: object) -> str:
    assert isinstance(source, Part)
    return source.name


def _slots(source: object, nodes: Mapping[str, Made]) -> tuple[Axis, ...]:
    return source.slots if isinstance(source, Part) else nodes[str(source)].slots


def _equation(rows: Sequence[tuple[Sequence[int], Sequence[Axis]]], made: Made, names: Mapping[int, str]) -> str:
    axis_of: dict[int, str] = {}
    for x, axis in zip(made.result, made.slots, strict=True):
        axis_of[x] = names[id(axis.whole)]
    for row, axes in rows:
        for x, axis in zip(row, axes, strict=True):
            axis_of.setdefault(x, names[id(axis.whole)])
    words: dict[int, str] = {}
    used: set[str] = set()
    for x, name in axis_of.items():
        word, count = name, 1
        while word in used:
            count += 1
            word = f"{name}{count}" if not name[-1:].isdigit() else f"{name}_{count}"
        used.add(word)
        words[x] = word
    left = ", ".join(" ".join(words[x] for x in row) for row, _ in rows)
    return f"{left} -> {' '.join(words[x] for x in made.result)}"

"""Products with what was put side by side: one product for each part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from scalerules.sizes.arithmetic import fixed, plus
from scalerules.sizes.lengths import Length
from scalerules.tracing.sketch.axes import Axis
from scalerules.tracing.sketch.put_together import stretches
from scalerules.tracing.sketch.sketch_node import SketchNode, Stretch
from scalerules.tracing.sketch.values import Atom, Part, Source, Value, moved

from ..state import Lowering

Labelled: TypeAlias = "tuple[Value, Sequence[str]]"
"""A value, and a letter for each of its dimensions."""


def parts_of_join(
    lowering: Lowering, operands: Sequence[Labelled], result: Sequence[str]
) -> list[list[Labelled]] | None:
    """One product for each part of a concatenation of parts that grow and others that do not, as a weight reads them.

    The columns that read a fixed number of entries have a rule of their own: among those that grow they would vanish.
    A part of zeros, the state in front of the first step, gives nothing.
    """
    if len(operands) != 2:
        return None
    for (x, x_letters), (w, w_letters) in (operands, operands[::-1]):
        for letter in [each for each in x_letters if each in w_letters and each not in result]:
            if (apart := _factors_apart(lowering, (x, x_letters), (w, w_letters), letter)) is not None:
                return parts_of_join(lowering, apart, result)
            pieces, made = _pieces(lowering, x, x_letters, letter), list[list[Labelled]]()
            columns = _columns(lowering, w, list(w_letters).index(letter), pieces) if pieces else []
            for (_, piece), own in zip(pieces, columns, strict=False):
                if not lowering.is_zero(piece.source):
                    made.append([(piece, x_letters), (own, w_letters)])
            if made:
                return made
    return None


def _factors_apart(
    lowering: Lowering, value: Labelled, weight: Labelled, letter: str
) -> tuple[Labelled, Labelled] | None:
    """Both operands with a letter for each factor of an axis of the value, if one of these was put together."""
    (x, x_letters), (w, w_letters) = value, weight
    dim, column = list(x_letters).index(letter), list(w_letters).index(letter)
    atoms, nodes = x.dims[dim], lowering.sketch.nodes
    if len(atoms) < 2 or len(w.dims[column]) != 1 or not lowering.of_weights(w):
        return None
    lengths = [stretches(nodes, x.source, atom.slot) for atom in atoms if atom.slot is not None]
    if not any(len({bool(length.scales) for length in each}) > 1 for each in lengths):
        return None
    split = lowering.sketch.layout.split(w, column, 0, [atom.axis.length for atom in atoms])
    if len(split.dims[column]) != len(atoms):
        return None
    names = [f"{letter}.{number}" for number in range(len(atoms))]
    return _spread(x, x_letters, dim, names), _spread(split, w_letters, column, names)


def _spread(value: Value, letters: Sequence[str], dim: int, names: Sequence[str]) -> Labelled:
    """A value with a dimension for each factor of one."""
    factors = [(atom,) for atom in value.dims[dim]]
    spread = value.at([*value.dims[:dim], *factors, *value.dims[dim + 1 :]])
    return spread, [*letters[:dim], *names, *letters[dim + 1 :]]


def _columns(lowering: Lowering, w: Value, column: int, pieces: Sequence[tuple[Stretch, Value]]) -> list[Value]:
    """The stretches of a weight, or of what weights make, that read these pieces; none where it is read as a whole."""
    parts, atoms = lowering.sketch.parts, w.dims[column]
    if len(atoms) != 1 or (slot := atoms[0].slot) is None or not lowering.of_weights(w):
        return []
    if any(parts.changed(w.source, slot, cut) is None for cut, _ in pieces):
        return []
    return [lowering.sketch.layout.stretch(w, column, cut.start, cut.length) for cut, _ in pieces]


def _pieces(lowering: Lowering, x: Value, letters: Sequence[str], letter: str) -> list[tuple[Stretch, Value]]:
    """The parts of a value along a letter, and where they lie, if some of them grow and others do not; else none."""
    dim, nodes = list(letters).index(letter), lowering.sketch.nodes
    if len(x.dims[dim]) != 1 or (slot := x.dims[dim][0].slot) is None or isinstance(x.source, Part):
        return []
    lengths = stretches(nodes, x.source, slot)
    if len({bool(length.scales) for length in lengths}) < 2:
        return []
    join, direct = nodes[x.source], list[Source]()
    if join.op == "concat" and join.along == slot:
        direct = list(join.operands)
        lengths = [nodes.slots(source)[-1].length for source in direct]
    cuts = [Stretch(plus(fixed(0), *lengths[:index]), length) for index, length in enumerate(lengths)]
    if direct:
        parts = [_part(x, letters, letter, source, nodes.slots(source)[-1]) for source in direct]
    elif any(lowering.sketch.parts.changed(x.source, slot, cut) is None for cut in cuts):
        return []
    else:
        parts = [lowering.sketch.layout.stretch(x, dim, cut.start, cut.length) for cut in cuts]
    return list(zip(cuts, parts, strict=True))


def beside_each_other(
    lowering: Lowering, operands: Sequence[Labelled], result: Sequence[str]
) -> tuple[list[list[Labelled]], str, Length] | None:
    """One product for each of the weights that were put side by side along an axis that is kept; its letter and length.

    So every weight is read as a weight, with independent entries; what was put together is no weight.
    """
    for index, (w, letters) in enumerate(operands):
        others = [other for place, (_, other) in enumerate(operands) if place != index]
        if isinstance(w.source, Part):
            continue
        join = lowering.sketch.nodes[w.source]
        letter = _joined_letter(w, letters, join)
        if not letter or letter not in result or any(letter in other for other in others):
            continue
        axes = [lowering.sketch.nodes.slots(source)[-1] for source in join.operands]
        parts = [
            _as_weight(lowering, _part(w, letters, letter, source, axis))
            for source, axis in zip(join.operands, axes, strict=True)
        ]
        if all(part.is_weight for part in parts):
            before, after = operands[:index], operands[index + 1 :]
            products = [[*before, (part, letters), *after] for part in parts]
            return products, letter, w.length(list(letters).index(letter))
    return None


def _as_weight(lowering: Lowering, value: Value) -> Value:
    """What is a weight with its axes in another order, as that weight."""
    if isinstance(value.source, Part):
        return value
    node = lowering.sketch.nodes[value.source]
    if node.op != "rearrange" or node.labels is None or set(node.result) != set(node.labels[0]):
        return value
    places = [node.labels[0].index(label) for label in node.result]
    return Value(node.operands[0], moved(value.dims, places.__getitem__))


def _joined_letter(value: Value, letters: Sequence[str], join: SketchNode) -> str:
    """The letter of the axis along which a value was put together, if it was."""
    if join.op != "concat":
        return ""
    named = zip(letters, value.dims, strict=True)
    return next((name for name, dim in named if len(dim) == 1 and dim[0].slot == join.along), "")


def _part(value: Value, letters: Sequence[str], letter: str, source: Source, axis: Axis) -> Value:
    """One of the values that were put side by side along a letter, with the dimensions of the whole."""
    named = zip(letters, value.dims, strict=True)
    return Value(source, tuple((Atom(axis, dim[0].slot),) if name == letter else dim for name, dim in named))

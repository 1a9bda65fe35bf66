"""Products with what was put side by side: one product for each part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from scalerules.sizes.arithmetic import fixed, plus
from scalerules.sizes.lengths import Length
from scalerules.tracing.sketch.axes import Axis
from scalerules.tracing.sketch.sketch_node import SketchNode
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
        if not isinstance(w.source, Part) or isinstance(x.source, Part):
            continue
        if w.source.weight.name in lowering.sketch.parts.whole:
            continue
        join = lowering.sketch.nodes[x.source]
        letter = _joined_letter(x, x_letters, join)
        if not letter or letter in result or letter not in w_letters:
            continue
        column = list(w_letters).index(letter)
        axes = [lowering.sketch.nodes.slots(source)[-1] for source in join.operands]
        if len({bool(axis.length.scales) for axis in axes}) < 2 or len(w.dims[column]) != 1:
            continue
        start, parts = fixed(0), list[list[Labelled]]()
        for source, axis in zip(join.operands, axes, strict=True):
            own = lowering.sketch.layout.stretch(w, column, start, axis.length)
            if not lowering.is_zero(source):
                parts.append([(_part(x, x_letters, letter, source, axis), x_letters), (own, w_letters)])
            start = plus(start, axis.length)
        return parts
    return None


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

"""Every contraction: dense layers, embeddings, convolutions over channels, attention scores, gains, gates."""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.errors import GraphError

from .forms import Contraction, Mean
from .node import Node
from .registry import Lengths, register, with_axis


def labelled_axes(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    """The axes of a result from the labels of an equation."""
    operands, result = node.labels()
    if len(operands) != len(shapes):
        raise GraphError(f"{node.equation!r} has {len(operands)} operands, the node {len(shapes)}", where=where)
    axis_of: dict[str, str] = {}
    for name, labels, axes in zip(node.operands, operands, shapes, strict=True):
        if len(labels) != len(axes):
            raise GraphError(
                f"{' '.join(labels)!r} names {len(labels)} axes, {name!r} has {len(axes)}: {' '.join(axes)}",
                where=where,
            )
        if len(set(labels)) < len(labels):
            raise GraphError(f"the label {labels!r} stands twice in one operand", where=where)
        for label, axis in zip(labels, axes, strict=True):
            joined = axis_of.setdefault(label, axis)
            if lengths[joined] != lengths[axis]:
                differ = f"{joined} = {lengths[joined]} and {axis} = {lengths[axis]}"
                raise GraphError(f"label {label!r} joins axes of different lengths: {differ}", where=where)
    for label in result:
        if label not in axis_of:
            raise GraphError(f"the result label {label!r} is in no operand", where=where)
    return [axis_of[label] for label in result]


def _mean_axes(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    with_axis(node, shapes, lengths, where)
    return [axis for axis in shapes[0] if axis != node.axis]


register(
    "einsum",
    "A product, summed over the axes that are not in the result.",
    labelled_axes,
    operands=(1, None),
    required=["equation"],
    laws=Contraction(),
    kind="product",
    multilinear=True,
)
register(
    "mean",
    "A sum over one axis divided by its length.",
    _mean_axes,
    required=["axis"],
    laws=Mean(),
    kind="norm",
    linear=True,
)

"""Operations that put tensors together or change how they are laid out; none changes a size."""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.errors import GraphError
from scalerules.sizes.arithmetic import product, same
from scalerules.sizes.lengths import Length

from .contract import labelled_axes
from .forms import Factor, Layout, Stretch, Sum
from .node import Node
from .registry import Lengths, register, same_axes, with_axis


def _given(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    return node.axes or []


def _summed(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    """The axes of a sum, by the labels of its equation (constant along those an operand lacks) or by names of axes."""
    return labelled_axes(node, shapes, lengths, where) if node.equation else same_axes(node, shapes, lengths, where)


def _reshaped(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    new = node.axes or []
    if not same(*(product(lengths[axis] for axis in axes) for axes in (new, shapes[0]))):
        raise GraphError(f"cannot reshape {list(shapes[0])} into {list(new)}: the lengths differ", where=where)
    return new


def _concatenated(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    axis = str(node.axis)
    position = [i for i, along in enumerate(zip(*shapes, strict=True)) if len({*along}) > 1]
    place = position[0] if position else len(shapes[0]) - 1
    summed = Length(tuple(m for shape in shapes for m in lengths[shape[place]].monomials))
    if not same(summed, lengths[axis]):
        raise GraphError(f"the parts have length {summed}, the axis {axis!r} {lengths[axis]}", where=where)
    return [*shapes[0][:place], axis, *shapes[0][place + 1 :]]


def _sliced(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    return [*shapes[0][:-1], str(node.axis)]


def _windowed(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    if len(shapes[0]) < 2:
        raise GraphError("needs a time axis before the last axis", where=where)
    return [*shapes[0][:-1], str(node.axis), shapes[0][-1]]


register(
    "input", "Data: entries of size 0.", _given, operands=(0, 0), required=["axes"], optional=["kind"], kind="data"
)
register(
    "add",
    "A sum is as large as its largest term.",
    _summed,
    operands=(1, None),
    optional=["equation"],
    laws=Sum(),
    kind="sum",
    linear=True,
)
register(
    "residual",
    "A stream plus a branch; inside a repeat the branches of all blocks add up along the depth axis, as a contraction.",
    same_axes,
    operands=(2, 2),
    laws=Sum(),
    kind="sum",
    linear=True,
)
register(
    "scale",
    "A constant factor shifts every size by its exponent.",
    same_axes,
    optional=["factor", "free"],
    laws=Factor(),
    kind="factor",
    linear=True,
)
register(
    "reshape",
    "Merging or splitting axes changes no entry.",
    _reshaped,
    required=["axes"],
    laws=Layout(),
    kind="layout",
    passes=True,
)
register(
    "concat",
    "Side by side along an axis: the terms of all parts.",
    _concatenated,
    operands=(2, None),
    required=["axis"],
    laws=Layout(),
    kind="sum",
    linear=True,
)
register(
    "slice",
    "A part of the last axis: the same terms. Where few entries of many are read, no others get a gradient.",
    _sliced,
    required=["axis"],
    optional=["offset"],
    laws=Stretch(),
    kind="layout",
    passes=True,
)
register(
    "window",
    "The last few time steps side by side, as a causal convolution reads them; time does not grow.",
    _windowed,
    required=["axis"],
    laws=Layout(),
    kind="layout",
    passes=True,
)
register(
    "shift",
    "One step back along an axis (zeros come in); no entry changes.",
    with_axis,
    required=["axis"],
    laws=Layout(),
    kind="layout",
    passes=True,
)

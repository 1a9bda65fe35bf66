"""The lowest Fourier modes of a real signal along an axis, and back; both axes are fixed, so no size changes."""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.errors import GraphError

from .forms import Sum
from .node import Node
from .registry import Lengths, register, with_axis


def _fixed(lengths: Lengths, axes: Sequence[str], where: str) -> None:
    for axis in axes:
        if lengths[axis].scales:
            raise GraphError(f"the axis {axis!r} grows", where=where, hint="points, modes and parts are fixed numbers")


def _modes(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    shape = list(with_axis(node, shapes, lengths, where))
    axes = node.axes or []
    if len(axes) != 2 or str(lengths[axes[1]]) != "2":
        raise GraphError(f"has axes {axes}", where=where, hint="the axis of the modes, then one of two parts")
    _fixed(lengths, [str(node.axis), *axes], where)
    points, modes = (lengths[axis].at({}) for axis in (str(node.axis), axes[0]))
    if modes > points // 2 + 1:
        raise GraphError(f"{points} points have {points // 2 + 1} modes, not {modes}", where=where)
    return [*(axes[0] if axis == node.axis else axis for axis in shape), axes[1]]


def _points(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    shape = list(with_axis(node, shapes, lengths, where))
    axes = node.axes or []
    if len(axes) != 1 or str(lengths[shape[-1]]) != "2":
        hint = "the last axis holds two parts; axes: the points"
        raise GraphError(f"turns {shape} into {axes}", where=where, hint=hint)
    _fixed(lengths, [str(node.axis), *axes], where)
    return [axes[0] if axis == node.axis else axis for axis in shape[:-1]]


register(
    "rfft",
    "The lowest modes of a Fourier transform over a fixed axis, real and imaginary parts apart: a fixed rotation.",
    _modes,
    required=["axis", "axes"],
    laws=Sum(),
    linear=True,
)
register(
    "irfft",
    "Back from the lowest modes to points: a fixed rotation.",
    _points,
    required=["axis", "axes"],
    laws=Sum(),
    linear=True,
)

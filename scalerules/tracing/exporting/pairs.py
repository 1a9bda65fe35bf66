"""Modules of several sizes that are there, as a factory: their sizes are told apart by the shapes of their weights.

Nothing more can be built, so a law has to be exact in these modules and in no other: with one scale two are enough.
"""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import nn

from scalerules.errors import ScaleRulesError

Column = tuple[int, ...]
"""The length of one axis in every module."""

FEWEST = Fraction(1, 64)
"""The smallest slope of a length that is a sum: `width / 16 + 32` is one, `5/64 * width + 5` is another scale."""


def scales_of(models: Sequence[nn.Module], asked: object) -> dict[str, Column]:
    """The values of the scales in these modules: those that were given, or else those of their shapes.

    `asked`: `{"width": (64, 128)}`, a name, or None. Raises `ScaleRulesError` where the shapes do not tell.
    """
    if len(models) < 2:
        raise ScaleRulesError("one module does not say what grows", hint="give two: sr.trace((base, target), ...)")
    _same_structure(models, isinstance(asked, Mapping))
    if isinstance(asked, Mapping):
        return _given(models, asked)
    if asked is not None and not isinstance(asked, str):
        raise ScaleRulesError("scales of modules are a name, or values", hint="such as {'width': (64, 128)}")
    return {asked or "width": _told(models)}


def factory_of(models: Sequence[nn.Module], scales: Mapping[str, Column]) -> Callable[..., nn.Module]:
    """What returns a copy of one of the modules for its sizes; on the meta device one without memory."""
    points = [dict(zip(scales, values, strict=True)) for values in zip(*scales.values(), strict=True)]

    def make(**sizes: int) -> nn.Module:
        if sizes not in points:
            there = "; ".join(", ".join(f"{name}={value}" for name, value in point.items()) for point in points)
            asked = ", ".join(f"{name}={value}" for name, value in sizes.items())
            raise ScaleRulesError(
                f"the model factory has no module of {asked}, only of {there}",
                hint="give a factory to train at other sizes",
            )
        return _copy(models[points.index(sizes)])

    make.__name__ = type(models[0]).__name__
    return make


def _copy(model: nn.Module) -> nn.Module:
    if torch.empty(0).device.type != "meta":
        return copy.deepcopy(model)
    tensors = [*model.parameters(), *model.buffers()]
    memo: dict[int, Any] = {id(tensor): _without_memory(tensor) for tensor in tensors}
    return copy.deepcopy(model, memo)


def _without_memory(tensor: torch.Tensor) -> torch.Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


def _same_structure(models: Sequence[nn.Module], may_deepen: bool) -> None:
    """Raises `ScaleRulesError` with the first parameter that not all modules have, or have with other axes."""
    shapes = [_shapes(model) for model in models]
    for name in dict.fromkeys(name for each in shapes for name in each):
        without = [place for place, each in enumerate(shapes, 1) if name not in each]
        if without and not may_deepen:
            raise ScaleRulesError(
                f"the modules differ in structure: module {without[0]} of {len(models)} has no {name!r}",
                hint="modules of two sizes have the same weights; for a depth that grows, give a factory or the scales",
            )
        axes = {len(each[name]) for each in shapes if name in each}
        if len(axes) > 1:
            raise ScaleRulesError(f"the modules differ in structure: {name!r} has {axes} axes")


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in model.named_parameters()}


def _given(models: Sequence[nn.Module], asked: Mapping[Any, Any]) -> dict[str, Column]:
    scales = {str(name): tuple(values) if isinstance(values, Sequence) else () for name, values in asked.items()}
    for name, values in scales.items():
        whole = all(isinstance(value, int) and value > 0 for value in values)
        if len(values) != len(models) or not whole:
            raise ScaleRulesError(
                f"the scale {name!r} has to have a value for each of the {len(models)} modules, in their order",
                hint=f"such as {{{name!r}: (64, 128)}}, or none: then shapes tell",
            )
    design = np.array([[1.0, *map(math.log, point)] for point in zip(*scales.values(), strict=True)])
    if np.linalg.matrix_rank(design) <= len(scales):
        names = " and ".join(map(repr, scales))
        told = f"{len(models)} modules do not tell {names} apart" if len(scales) > 1 else f"{names} is the same in all"
        hint = "give a module more for every scale, in which that one alone is another"
        raise ScaleRulesError(told, hint=hint)
    return scales


def _told(models: Sequence[nn.Module]) -> Column:
    """The lengths of the axis that all others which grow follow; of several the most frequent."""
    columns: Counter[Column] = Counter()
    owner: dict[Column, str] = {}
    shapes = [_shapes(model) for model in models]
    for name in shapes[0]:
        for dim, column in enumerate(zip(*(each[name] for each in shapes), strict=True)):
            if len(set(column)) > 1:
                columns[column] += 1
                owner.setdefault(column, f"axis {dim} of {name!r}")
    if not columns:
        raise ScaleRulesError(
            "the modules have the same shapes: nothing grows from one to the next",
            hint="build the second one wider",
        )
    for width, _ in columns.most_common():
        if all(_follows(column, width) for column in columns):
            return width
    width = columns.most_common(1)[0][0]
    other = next(column for column in columns if not _follows(column, width))
    raise ScaleRulesError(
        f"two things grow: {owner[width]} is {_listed(width)} long, and {owner[other]} {_listed(other)}",
        hint="give a third module, in which one of them alone is another, and scales={'width': (64, 128, 64), ...}",
    )


def _follows(column: Column, width: Column) -> bool:
    """Whether a length is a power of the width times a number, or a multiple or a part of it plus a number."""
    for power in (1, 2, 3):
        if len({Fraction(length, wide**power) for length, wide in zip(column, width, strict=True)}) == 1:
            return True
    (a, b), (v, w) = column[:2], width[:2]
    if v == w:
        return False
    slope = Fraction(b - a, w - v)
    rest = a - slope * v
    exact = all(slope * wide + rest == length for length, wide in zip(column, width, strict=True))
    simple = slope >= FEWEST and 1 in (slope.numerator, slope.denominator)
    return exact and simple and rest > 0 and rest.denominator == 1


def _listed(column: Column) -> str:
    return " and ".join(map(str, column))

"""Functions of each entry that torch has and no law names: torch itself says what they are at a few points."""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from scalerules.ops.functions import POINTS, SOME, SOME_THROUGH_ZERO
from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import Constant, Curve, Result, Value

from .curves import finite
from .families.arithmetic import pairwise
from .families.drawn import curve_of, drawn
from .state import Lowering, number, operation

BETWEEN = (0.3, 1.7, 2.6)
"""Points that a function with steps does not take for others: `x % 1` is the same at 1 and 2."""


def of_each_entry(lowering: Lowering, call: Call) -> Result | None:
    """A function of each entry of one value, or of the entries of several that stand at one place; None of others."""
    operator = _operator(call.target)
    names = [*range(len(call.args)), *call.kwargs]
    given = [lowering.arg(call, each, "") if isinstance(each, int) else lowering.arg(call, len(names), each)
             for each in names]  # fmt: skip
    places = [k for k, each in enumerate(given) if isinstance(each, Value)]
    if operator is None or len(call.shapes) != 1 or any(isinstance(g, Constant) and g.number is None for g in given):
        return None
    plain = [each if isinstance(each, (bool, int, str)) else number(each) for each in given]

    def function(*points: Sequence[float]) -> tuple[float, ...]:
        arguments: list[Any] = list(plain)
        for place, row in zip(places, points, strict=True):
            arguments[place] = torch.tensor(row, dtype=torch.float64)
        args, rest = arguments[: len(call.args)], arguments[len(call.args) :]
        return tuple(operator(*args, **dict(zip(call.kwargs, rest, strict=True))).tolist())

    values = [each for each in given if isinstance(each, Value)]
    name = operation(call.target)
    try:
        if not _entrywise(function, len(values)):
            return None
        if len(values) == 1:
            before = curve_of(values[0])
            samples = function(before.samples)
            if not finite(samples):
                return lowering.sketch.unary(SOME_THROUGH_ZERO, values[0], name)
            if _parity(function, POINTS) == _parity(function, BETWEEN):
                return drawn(lowering, Curve(before.base, samples), name)
    except (RuntimeError, TypeError, AttributeError, ValueError):  # it takes other arguments than these
        return None
    either = pairwise(lowering, "add", values, call.shape, "either")
    return lowering.sketch.unary(SOME, either, name)


def _operator(target: str) -> Callable[..., Any] | None:
    """Torch's own operator, `aten.fmod.Scalar`; None of other names."""
    found: Any = torch.ops
    for part in target.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, torch._ops.OpOverload) else None  # pyright: ignore[reportPrivateUsage]


def _entrywise(function: Callable[..., tuple[float, ...]], count: int) -> bool:
    """Whether every entry comes out as it does alone."""
    rows = [POINTS[k:] + POINTS[:k] for k in range(count)]
    together = torch.tensor(function(*rows))
    alone = torch.tensor([function(*([x] for x in each)) for each in zip(*rows, strict=True)])
    return together.shape == (len(POINTS),) and torch.allclose(together, alone[:, 0], equal_nan=True)


def _parity(function: Callable[..., tuple[float, ...]], points: Sequence[float]) -> tuple[bool, bool]:
    """Whether a function is even, and whether it is odd, as far as these points show."""
    here, there = torch.tensor(function(points)), torch.tensor(function([-x for x in points]))
    return torch.allclose(here, there, equal_nan=True), torch.allclose(here, -there, equal_nan=True)

"""Functions that are known by their values, as operations of the engine."""

from __future__ import annotations

from dataclasses import replace

from scalerules.ops.functions import POINTS, named
from scalerules.tracing.sketch.values import Curve, Piece, Value

from ..state import Lowering


def curve_of(value: Value) -> Curve:
    """A value as a function of another one, by default of itself."""
    return value.curve or Curve(value, POINTS)


def drawn(lowering: Lowering, curve: Curve, short: str, name: str | None = None, piece: Piece | None = None) -> Value:
    """The value of a function of each entry of `curve.base`; `name` is the engine's own name for the function."""
    kind = name or named(curve.samples)
    if kind == "identity":
        return replace(curve.base, curve=curve, piece=piece, stat=None)
    value = lowering.sketch.unary(kind, replace(curve.base, curve=None, piece=None, stat=None), short)
    return replace(value, curve=curve)

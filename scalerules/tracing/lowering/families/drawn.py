"""Functions that are known by their values, as operations of the engine."""

from __future__ import annotations

from dataclasses import replace

from scalerules.ops.functions import POINTS, named, shape_of
from scalerules.tracing.sketch.values import Curve, Piece, Value, same_source

from ..look_ups import put_back
from ..state import Lowering


def curve_of(value: Value) -> Curve:
    """A value as a function of another one, by default of itself."""
    return value.curve or Curve(value, POINTS)


def drawn(lowering: Lowering, curve: Curve, short: str, name: str | None = None, piece: Piece | None = None) -> Value:
    """The value of a function of each entry of `curve.base`; `name` is the engine's own name for the function."""
    kind = name or named(curve.samples)
    if kind == "identity":
        return replace(curve.base, curve=curve, piece=piece, stat=None)
    put = lowering.put.get(str(curve.base))
    if put is not None and same_source(put.value, curve.base) and shape_of(curve.samples).vanishes:
        entries = drawn(lowering, Curve(put.entries, curve.samples), short, name)  # zeros stay zeros
        return put_back(lowering, entries, put.places, put.dim)
    value = lowering.sketch.unary(kind, replace(curve.base, curve=None, piece=None, stat=None), short)
    return replace(value, curve=curve)

"""The entries of a buffer, as a constant that may depend on a size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from scalerules.sizes.lengths import Length, Monomial
from scalerules.tracing.record import Weight
from scalerules.tracing.sketch.values import Constant


def buffer(weight: Weight, sizes: Mapping[str, int]) -> Constant:
    """A buffer: a number where all its entries are one, as a function of the scales where it varies."""
    initial = weight.initial
    discrete = weight.dtype.startswith(DISCRETE)
    if initial.kind == "zeros":
        return Constant(weight.shape, 0.0, discrete)
    if initial.kind == "ones":
        return Constant(weight.shape, 1.0, discrete)
    if initial.kind == "constant" and initial.value is not None:
        return Constant(weight.shape, _varying(initial.value, initial.exponents, sizes), discrete)
    return Constant(weight.shape, None, discrete, weight.name)


def _varying(value: float, exponents: Mapping[str, float], sizes: Mapping[str, int]) -> Length | float:
    """A number that is `value` at these sizes and varies with powers of them."""
    powers = {s: Fraction(e).limit_denominator(8) for s, e in exponents.items() if abs(e) > 0.02}
    if not powers:
        return value
    unit = math.prod(float(sizes.get(scale, 1)) ** float(p) for scale, p in powers.items())
    return Length((Monomial(Fraction(value / unit).limit_denominator(10**9), tuple(sorted(powers.items()))),))


DISCRETE = ("bool", "int", "uint", "long")

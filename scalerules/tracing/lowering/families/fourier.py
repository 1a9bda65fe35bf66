"""Fourier transforms and complex numbers: a fixed rotation along an axis that does not grow."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import cast

from scalerules.ops.functions import SOME
from scalerules.sizes.arithmetic import ONE, power, probe
from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import HOLD, Result, Value

from ..state import Lowering, operation
from ..table import lowers
from .arithmetic import weighted
from .choices import choice
from .slices import parts_mixed

ROTATIONS = (
    "fft_fft", "fft_ifft", "fft_rfft", "fft_irfft", "fft_hfft", "fft_ihfft", "fft_fft2", "fft_ifft2", "fft_rfft2",
    "fft_irfft2", "fft_fftn", "fft_ifftn", "fft_rfftn", "fft_irfftn", "_fft_c2c", "_fft_r2c", "_fft_c2r",
    "fft_fftshift", "fft_ifftshift", "stft", "istft",
)  # fmt: skip


RANDOM = (
    "{}: a Fourier transform along {} entries counts as a fixed random matrix; their mean, its entry 0, is not followed"
)


@lowers(*ROTATIONS)
def transformed(lowering: Lowering, call: Call) -> Result:
    """Other entries along axes that do not grow, as large as before (their number does not grow either)."""
    value = replace(lowering.value(call, 0), curve=None, piece=None, stat=None)
    name = operation(call.target)
    if name in ("stft", "istft"):
        value = weighted(lowering, value, lowering.arg(call, 4, "window"), "windows")
    if len(value.dims) != len(call.shape):
        return lowering.relabelled(value, call.shape) if not _grown(value) else _refused(lowering, name, value)
    for dim in _dims(lowering, call, name, len(value.dims)):
        if value.length(dim).scales and not name.endswith("shift"):
            value = _along_growth(lowering, call, name, value, dim)
        elif value.dims[dim]:
            value = lowering.sketch.layout.take(value, dim, call.shape[dim] or ONE, "modes")
    return value


def _along_growth(lowering: Lowering, call: Call, name: str, value: Value, dim: int) -> Value:
    """A product with a fixed matrix: its rows are as good as random ones, and what it makes it turns back.

    One matrix for all transforms between these lengths, back and forth.
    """
    before, after = value.length(dim), call.shape[dim]
    if after is None or not after.scales or "stft" in name:
        said = f"{name.removeprefix('fft_')} along an axis of {before} entries, which grows, is not known"
        raise lowering.unknown(said, HOLD)
    inverse = "ifft" in name or "irfft" in name or name == "_fft_c2r"
    ends = (after, before) if inverse else (before, after)
    key = f"fourier from {ends[0]} to {ends[1]}"
    if key not in lowering.fixed:
        lowering.notes.append(RANDOM.format(call.source or call.module or "the module", before))
        with lowering.sketch.nodes.within(None):
            lowering.fixed[key] = lowering.sketch.data("fourier", ends, fixed=True)
    matrix = lowering.fixed[key]
    assert matrix is not None
    letters = [str(i) for i in range(len(value.dims))]
    kept = [*letters[:dim], "out", *letters[dim + 1 :]]
    rows = ["out", letters[dim]] if inverse else [letters[dim], "out"]
    made = lowering.sketch.combine("einsum", [(value, letters), (matrix, rows)], kept, "fourier")
    factor = power(max(ends, key=probe), _exponent(lowering, call, name, inverse))
    return made if factor is None else lowering.sketch.scale(made, factor)


def _exponent(lowering: Lowering, call: Call, name: str, inverse: bool) -> Fraction:
    """The power of the length by which a transform is multiplied."""
    norm = lowering.arg(call, 2, "normalization", 0) if name.startswith("_fft") else lowering.arg(call, 3, "norm")
    if norm in ("ortho", 1):
        return Fraction(-1, 2)
    whole = norm == 2 if name.startswith("_fft") else norm != "forward" if inverse else norm == "forward"
    return Fraction(-1 if whole else 0)


def _grown(value: Value) -> bool:
    return any(value.length(dim).scales for dim in range(len(value.dims)))


def _refused(lowering: Lowering, name: str, value: Value) -> Result:
    raise lowering.unknown(f"{name} of a value with axes that grow is not known", "give it as many axes as it returns")


def _dims(lowering: Lowering, call: Call, name: str, rank: int) -> tuple[int, ...]:
    """The dimensions that are transformed."""
    if name.startswith("_fft") or name.endswith("shift"):
        asked = lowering.arg(call, 1, "dim")
    else:
        asked = lowering.arg(call, 2, "dim")
    if asked is None:
        two, every = name.endswith("2"), name.endswith(("n", "shift"))
        return (rank - 2, rank - 1) if two else tuple(range(rank)) if every else (rank - 1,)
    dims = cast("tuple[object, ...]", asked) if isinstance(asked, tuple) else (asked,)
    return tuple(lowering.dim(dim, rank) for dim in dims)


@lowers("conj", "_conj", "resolve_conj", "resolve_neg")
def conjugate(lowering: Lowering, call: Call) -> Result:
    """The same numbers but for a sign."""
    return lowering.value(call, 0)


@lowers("real", "imag", "angle", "complex")
def part(lowering: Lowering, call: Call) -> Result:
    """One part of complex numbers, or a number made of two: as large as the whole; an angle is of size 0."""
    if operation(call.target) == "complex":
        return choice(lowering, call)
    value = parts_mixed(lowering, lowering.value(call, 0), call.shape)
    return lowering.sketch.unary(SOME, value, "angle") if operation(call.target) == "angle" else value

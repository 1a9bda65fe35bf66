"""Convolutions as products with windows, pooling, and images at another resolution."""

from __future__ import annotations

from dataclasses import replace

from scalerules.sizes.arithmetic import ONE, constant, is_one, over, product, same, times
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import HOLD, SUIT, Constant, Dim, Result, Value

from ..state import Lowering, as_length, copies, number, operation
from ..table import lowers
from .products import contracted
from .views import rearranged


@lowers("conv1d", "conv2d", "conv3d", "convolution", "_convolution", "conv_transpose1d", "conv_transpose2d",
        "conv_transpose3d", "cudnn_convolution", "mkldnn_convolution")  # fmt: skip
def convolution(lowering: Lowering, call: Call) -> Result:
    """Windows of every channel times the weight; each group of channels has its own part of it."""
    name = operation(call.target)
    x, w = lowering.value(call, 0), lowering.value(call, 1)
    general = name in ("convolution", "_convolution")
    turned = bool(lowering.arg(call, 6, "transposed")) if general else "transpose" in name
    groups = as_length(lowering.arg(call, 8 if general else 6, "groups", 1)) or ONE
    space = len(w.dims) - 2
    alone = len(x.dims) == space + 1
    if alone:
        x = x.at([(), *x.dims])
    out = call.shape[-space:] if space else ()
    taps = [w.length(2 + i) for i in range(space)]
    x = windows(lowering, x, [length or ONE for length in out], taps)
    x, w, together = grouped(lowering, x, w, groups, turned)
    u, k = [f"u{i}" for i in range(space)], [f"k{i}" for i in range(space)]
    weight = ["g", "i", "o", *k] if turned else ["g", "o", "i", *k]
    outputs = contracted(lowering, [(x, ["b", "g", "i", *u, *k]), (w, weight)], ["b", "g", "o", *u], _short(call))
    channels = (*outputs.dims[1], *outputs.dims[2])
    outputs = outputs.at([outputs.dims[0], channels, *outputs.dims[3:]])
    outputs = lowering.sketch.layout.merge(outputs, 1) if together else outputs
    if isinstance(bias := lowering.arg(call, 2, "bias"), Value):
        letters = [str(i) for i in range(len(outputs.dims))]
        outputs = lowering.sketch.combine("add", [(outputs, letters), (bias, ["1"])], letters, "bias")
    return outputs.at(outputs.dims[1:]) if alone else outputs


def _short(call: Call) -> str | None:
    return None if call.stack and "Conv" in call.stack[-1][1] else "conv"


def windows(lowering: Lowering, x: Value, out: list[Length], taps: list[Length]) -> Value:
    """Positions and taps in place of positions: dimensions (batch, channel, *positions, *taps)."""
    x = replace(x, curve=None, piece=None, stat=None)
    if all(is_one(tap) for tap in taps) and all(x.length(2 + i) == length for i, length in enumerate(out)):
        return x.at([*x.dims, *[() for _ in taps]])
    for dim in (0, 1):
        x = lowering.sketch.layout.merge(x, dim)
    growing = [length for length in [*out, *taps] if length.scales]
    if growing:
        raise lowering.unknown(f"a convolution over an axis of {growing[0]} positions, which grow, is not known", HOLD)
    return rearranged(lowering, x, [x.length(0), x.length(1), *out, *taps])


def grouped(lowering: Lowering, x: Value, w: Value, groups: Length, turned: bool) -> tuple[Value, Value, bool]:
    """Input and weight with a dimension for the groups, behind the batch and in front."""
    if is_one(groups):
        return x.at([x.dims[0], (), *x.dims[1:]]), w.at([(), *w.dims]), False
    x = _cut(lowering, x, 1, groups)
    first = w.length(0)
    w = _cut(lowering, w, 0, groups)
    return x, w, not is_one(over(first, groups) or ONE) and not turned or turned


def _cut(lowering: Lowering, value: Value, dim: int, groups: Length) -> Value:
    """A dimension in front of which its groups stand as one of their own."""
    inner = over(value.length(dim), groups)
    if inner is None:
        raise lowering.unknown(f"cannot make {groups} groups of {value.length(dim)} channels", SUIT)
    if is_one(inner):
        return value.at([*value.dims[: dim + 1], (), *value.dims[dim + 1 :]])
    value = lowering.sketch.layout.split(lowering.sketch.layout.merge(value, dim), dim, 0, (groups, inner))
    atoms: Dim = value.dims[dim]
    return value.at([*value.dims[:dim], atoms[:1], atoms[1:], *value.dims[dim + 1 :]])


@lowers("max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool1d",
        "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
        "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "lp_pool2d",
        "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_bilinear2d", "upsample_bicubic2d",
        "upsample_linear1d", "upsample_trilinear3d", "_upsample_nearest_exact2d", "_upsample_bilinear2d_aa",
        "_upsample_bicubic2d_aa", "_upsample_nearest_exact1d")  # fmt: skip
def pooled(lowering: Lowering, call: Call) -> Result:
    """Other positions, channel by channel."""
    value = lowering.value(call, 0)
    for dim, length in enumerate(call.shape):
        value = resampled(lowering, value, dim, length or ONE, "upsample" in call.target)
    return (value, *(Constant(shape, discrete=True) for shape in call.shapes[1:])) if len(call.shapes) > 1 else value


NEAREST = 1
"""How torch numbers the sampling that only looks entries up."""


@lowers("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def sampled(lowering: Lowering, call: Call) -> Result:
    """Entries at other positions, which a value may say: they change with it, by what lies next to each other.

    Positions (batch, out, out, 2) make one factor for all channels, bounded however far off they are.
    """
    value, places = pooled(lowering, call), lowering.arg(call, 1)
    if not (isinstance(value, Value) and isinstance(places, Value)) or number(lowering.arg(call, 2), 0.0) == NEAREST:
        return value
    batch, channels, *out = (str(i) for i in range(len(value.dims)))
    weights = lowering.sketch.unary("sigmoid", places, "weights")
    return lowering.sketch.combine(
        "einsum",
        [(value, [batch, channels, *out]), (weights, [batch, *out, "which"])],
        [batch, channels, *out],
        "sampled",
    )


@lowers("affine_grid_generator")
def affine_grid(lowering: Lowering, call: Call) -> Result:
    """Positions (batch, out, out, 2) that matrices (batch, 2, 3) make of fixed ones."""
    matrices = lowering.value(call, 0)
    sums = lowering.sketch.combine("einsum", [(matrices, ["batch", "to", "of"])], ["batch", "to"], "positions")
    between: list[Dim] = [()] * (len(call.shape) - 2)
    return lowering.widened(sums.at([sums.dims[0], *between, sums.dims[1]]), call.shape)


def resampled(lowering: Lowering, value: Value, dim: int, length: Length, near: bool) -> Value:
    """Other positions along a dimension; `near`: each is made of the few that are next to it, however many there are.

    Along an axis that grows there are so many times more or fewer of them, or, if they are made of near ones, a fixed
    number: then few of the entries are read at all.
    """
    total, layout = value.length(dim), lowering.sketch.layout
    if not total.scales or same(total, length):
        return layout.take(value, dim, length, "pooled")
    more, fewer = over(length, total), over(total, length)
    if more is not None and _whole(more):
        return value.at([*value.dims[:dim], (*value.dims[dim], *copies(more, lowering.sketch)), *value.dims[dim + 1 :]])
    if fewer is not None and _whole(fewer):
        split = layout.split(layout.merge(value, dim), dim, 0, (length, fewer))
        apart = split.at([*split.dims[:dim], split.dims[dim][:1], split.dims[dim][1:], *split.dims[dim + 1 :]])
        letters = [str(i) for i in range(len(apart.dims))]
        kept = [letter for i, letter in enumerate(letters) if i != dim + 1]
        return lowering.sketch.combine("einsum", [(apart, letters)], kept, "pooled")
    return layout.few(value, dim, length) if near and not length.scales else layout.take(value, dim, length)


def _whole(ratio: Length) -> bool:
    number = constant(ratio)
    return number is not None and number == round(number)


@lowers("im2col")
def im2col(lowering: Lowering, call: Call) -> Result:
    """Windows as columns: (batch, channels * taps, positions)."""
    value = lowering.value(call, 0)
    channels = value.length(1)
    taps = over(call.shape[1] or ONE, channels) or ONE
    columns = windows(lowering, value, [call.shape[2] or ONE], [taps])
    return columns.at([columns.dims[0], (*columns.dims[1], *columns.dims[3]), columns.dims[2]])


@lowers("pixel_shuffle")
def pixel_shuffle(lowering: Lowering, call: Call) -> Result:
    """Channels become positions: (b, c r r, h, w) -> (b, c, h r, w r)."""
    value = lowering.value(call, 0)
    r = as_length(call.args[1]) or ONE
    inner = over(value.length(1), times(r, r))
    if inner is None:
        raise lowering.unknown("the channels cannot be spread over positions", SUIT)
    parts = [inner, r, r]
    value = lowering.sketch.layout.split(lowering.sketch.layout.merge(value, 1), 1, 0, parts)
    atoms = list(value.dims[1])
    c = () if is_one(inner) else (atoms.pop(0),)
    return value.at([value.dims[0], c, (*value.dims[2], atoms[0]), (*value.dims[3], atoms[1])])


@lowers("pixel_unshuffle")
def pixel_unshuffle(lowering: Lowering, call: Call) -> Result:
    """Positions become channels: (b, c, h r, w r) -> (b, c r r, h, w)."""
    value = lowering.value(call, 0)
    r = as_length(call.args[1]) or ONE
    for dim in (2, 3):
        rest = over(value.length(dim), r) or ONE
        value = lowering.sketch.layout.split(lowering.sketch.layout.merge(value, dim), dim, 0, (rest, r))
    h, w = value.dims[2], value.dims[3]
    return value.at([value.dims[0], (*value.dims[1], *h[-1:], *w[-1:]), h[:-1], w[:-1]])


assert product

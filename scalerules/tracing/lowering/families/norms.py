"""Norms with their gains, and softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from scalerules.ops.functions import SOME
from scalerules.sizes.arithmetic import ONE, over, power, product, same
from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import SUIT, Constant, Result, Stat, Value

from ..state import Lowering, as_length, number, operation
from ..table import lowers
from .reductions import averaged


def affine(lowering: Lowering, value: Value, weight: object, bias: object, dims: Sequence[int]) -> Value:
    """Times a gain, plus a bias, both along `dims`."""
    letters = [str(i) for i in range(len(value.dims))]
    inner = [letters[d] for d in dims]
    if isinstance(weight, Value):
        value = lowering.sketch.combine("einsum", [(value, letters), (weight, inner)], letters, "gain")
    if isinstance(bias, Value):
        value = lowering.sketch.combine("add", [(value, letters), (bias, inner)], letters, "bias")
    return value


@lowers("layer_norm", "native_layer_norm", "rms_norm", "_fused_rms_norm", "fused_layer_norm")
def layer_norm(lowering: Lowering, call: Call) -> Result:
    """A layer norm or RMS norm with its gain and bias."""
    value = lowering.value(call, 0)
    count = len(call.args[1]) if isinstance(call.args[1], tuple) else 1
    dims = list(range(len(value.dims) - count, len(value.dims)))
    growing = [d for d in dims if value.length(d).scales]
    if len(growing) > 1:
        raise lowering.unknown("a norm over several axes that grow is not known", "let only one of them grow")
    rms = "rms" in operation(call.target)
    plain = replace(value, curve=None, piece=None, stat=None)
    normed = lowering.sketch.along("rms_norm" if rms else "layer_norm", plain, (growing or dims)[-1], "norm")
    bias = None if rms else lowering.arg(call, 3, "bias")
    normed = affine(lowering, normed, lowering.arg(call, 2, "weight"), bias, dims)
    return (normed, *(Constant(shape) for shape in call.shapes[1:])) if len(call.shapes) > 1 else normed


@lowers("group_norm", "native_group_norm")
def group_norm(lowering: Lowering, call: Call) -> Result:
    """A norm over the channels of each group, and all positions."""
    value = lowering.value(call, 0)
    if operation(call.target) == "native_group_norm":
        groups, weight, bias = as_length(lowering.arg(call, 6)), lowering.arg(call, 1), lowering.arg(call, 2)
    else:
        groups, weight, bias = (
            as_length(lowering.arg(call, 1)),
            lowering.arg(call, 2, "weight"),
            lowering.arg(call, 3, "bias"),
        )
    channels = value.length(1)
    inner = over(channels, groups or ONE)
    if inner is None or groups is None:
        raise lowering.unknown(f"cannot make groups of {channels} channels", SUIT)
    value = lowering.sketch.layout.merge(replace(value, curve=None, piece=None, stat=None), 1)
    if same(groups, ONE) or same(inner, ONE):
        normed = lowering.sketch.along("layer_norm", value, 1 if same(groups, ONE) else len(value.dims) - 1, "norm")
    else:
        split = lowering.sketch.layout.split(lowering.sketch.layout.real(value, 1), 1, 0, (groups, inner))
        apart = split.at([split.dims[0], split.dims[1][:1], split.dims[1][1:], *split.dims[2:]])
        normed = lowering.sketch.along("layer_norm", apart, 2, "norm")
        together = normed.at([normed.dims[0], (*normed.dims[1], *normed.dims[2]), *normed.dims[3:]])
        normed = lowering.sketch.layout.merge(together, 1)
    normed = affine(lowering, normed, weight, bias, [1])
    return (normed, *(Constant(shape) for shape in call.shapes[1:])) if len(call.shapes) > 1 else normed


@lowers("batch_norm", "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
        "cudnn_batch_norm", "_batch_norm_with_update", "instance_norm",
        "_native_batch_norm_legit_functional")  # fmt: skip
def batch_norm(lowering: Lowering, call: Call) -> Result:
    """A norm over the batch and all positions, channel by channel: as it is trained, whatever mode it was traced in."""
    value = lowering.value(call, 0)
    plain = lowering.sketch.layout.real(replace(value, curve=None, piece=None, stat=None))
    fixed_dims = [d for d, dim in enumerate(plain.dims) if d != 1 and dim and not plain.length(d).scales]
    if not fixed_dims:
        raise lowering.unknown("a batch norm needs a batch of more than one, or positions", "give a larger batch")
    own = fixed_dims[1:] if operation(call.target) == "instance_norm" else []
    dim = max(own or fixed_dims, key=lambda d: plain.length(d).at({}))  # over two entries nothing but signs is left
    normed = affine(
        lowering,
        lowering.sketch.along("layer_norm", plain, dim, "norm"),
        lowering.arg(call, 1),
        lowering.arg(call, 2),
        [1],
    )
    return (normed, *(Constant(shape) for shape in call.shapes[1:])) if len(call.shapes) > 1 else normed


@lowers("_weight_norm_interface", "_weight_norm")
def weight_norm(lowering: Lowering, call: Call) -> Result:
    """A direction times a length: `g * v / |v|`, of every slice along `dim`, or, where that is -1, of the whole."""
    v, g = lowering.value(call, 0), lowering.value(call, 1)
    dim = number(lowering.arg(call, 2, "dim", 0))
    letters = [str(i) for i in range(len(v.dims))]
    others = [d for d in range(len(v.dims)) if d != dim]
    growing = [d for d in others if v.length(d).scales]
    direction = lowering.sketch.along("rms_norm", v, (growing or others)[-1], "direction")
    inverse = power(product(v.length(d) for d in others), Fraction(-1, 2))
    direction = lowering.sketch.scale(direction, inverse, "unit") if inverse is not None else direction
    result = lowering.sketch.combine("einsum", [(direction, letters), (g, letters[: len(g.dims)])], letters, "weight")
    return (result, *(Constant(shape) for shape in call.shapes[1:])) if len(call.shapes) > 1 else result


# --- softmax -------------------------------------------------------------------------------------------


@lowers("softmax", "_softmax", "_safe_softmax", "special_softmax", "softmin")
def softmax(lowering: Lowering, call: Call) -> Result:
    """Positive weights that add up to one along a dimension."""
    value = lowering.value(call, 0)
    plain = replace(value, curve=None, piece=None, stat=None)
    return lowering.sketch.along(
        "softmax", plain, lowering.dim(lowering.arg(call, 1, "dim", -1), len(value.dims)), "weights"
    )


@lowers("log_softmax", "_log_softmax")
def log_softmax(lowering: Lowering, call: Call) -> Result:
    """Logits less a common number: as large as the logits, and a function of size 0.

    Over an axis that grows the number is the logarithm of their exponentials' mean; that of how many there are is left
    out.
    """
    value = replace(lowering.value(call, 0), curve=None, piece=None, stat=None)
    dim = lowering.dim(lowering.arg(call, 1, "dim", -1), len(value.dims))
    if not value.length(dim).scales:
        return lowering.sketch.unary(SOME, value, "log_softmax")
    mean = averaged(lowering, lowering.sketch.unary("exp", value), [dim], keep=True, short="logsumexp")
    common = lowering.sketch.unary(SOME, mean, "logsumexp")
    letters = [str(i) for i in range(len(value.dims))]
    logits = lowering.sketch.combine("add", [(value, letters), (common, letters)], letters, "log_softmax")
    return replace(logits, stat=Stat("log_softmax", value, (dim,)))

"""Sums and means over dimensions, norms, softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import cast

from scalerules.ops.functions import SOME
from scalerules.sizes.arithmetic import ONE, over, power, product, same
from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import Constant, Loss, Result, Stat, Value

from ..state import Lowering, as_length, number, operation
from ..table import lowers
from .pointwise import choice
from .written_norms import raised


def dims_of(at: Lowering, given: object, rank: int) -> tuple[int, ...]:
    """The dimensions that an argument names; all of them where it names none."""
    if given is None or given == ():
        return tuple(range(rank))
    asked = cast("tuple[object, ...]", given) if isinstance(given, tuple) else (given,)
    return tuple(sorted(at.dim(d, rank) for d in asked))


def totalled(at: Lowering, value: Value, dims: Sequence[int], keep: bool, short: str) -> Value:
    """The sum over dimensions."""
    letters = [str(i) for i in range(len(value.dims))]
    plain = replace(value, curve=None, piece=None, stat=None)
    left = [letter for i, letter in enumerate(letters) if i not in dims]
    made = (
        at.sketch.combine("einsum", [(plain, letters)], left, short)
        if any(value.dims[d] for d in dims)
        else plain.at([dim for i, dim in enumerate(plain.dims) if i not in dims])
    )
    if not keep:
        return made
    rest = list(made.dims)
    return made.at([() if i in dims else rest.pop(0) for i in range(len(value.dims))])


def averaged(at: Lowering, value: Value, dims: Sequence[int], keep: bool, short: str = "mean") -> Value:
    """The mean over dimensions: a sum, divided by the number of entries, also where that is fixed: it may be large."""
    made = totalled(at, value, dims, keep, short)
    inverse = power(product(value.length(d) for d in dims), Fraction(-1))
    if inverse is None or inverse == ONE:
        return made
    return at.sketch.unary("scale", made, f"{short}_scale", factor=inverse)


@lowers("mean", "nanmean", "adaptive_avg_pool_all")
def mean(at: Lowering, call: Call) -> Result:
    """The mean over dimensions."""
    found = at.arg(call, 0)
    if isinstance(found, Loss):
        return found
    value = at.value(call, 0)
    dims = dims_of(at, at.arg(call, 1, "dim"), len(value.dims))
    keep = bool(at.arg(call, 2, "keepdim", False))
    made = averaged(at, value, dims, keep)
    if value.stat is not None and value.stat.kind == "squared":
        return replace(made, stat=Stat("square", value.stat.base, dims))
    return replace(made, stat=Stat("mean", value, dims))


@lowers("sum", "nansum")
def sum_(at: Lowering, call: Call) -> Result:
    """The sum over dimensions."""
    found = at.arg(call, 0)
    if isinstance(found, Loss):
        return found
    value = at.value(call, 0)
    dims = dims_of(at, at.arg(call, 1, "dim"), len(value.dims))
    made = totalled(at, value, dims, bool(at.arg(call, 2, "keepdim", False)), "sum")
    if value.stat is not None and value.stat.kind == "squared":
        return replace(made, stat=Stat("sum", value.stat.base, dims))
    return made


@lowers("var", "std", "var_mean", "std_mean")
def var(at: Lowering, call: Call) -> Result:
    """The mean of squares of what is left without the mean."""
    value = at.value(call, 0)
    dims = dims_of(at, at.arg(call, 1, "dim"), len(value.dims))
    keep = bool(at.arg(call, 3, "keepdim", False))
    squares = replace(raised(at, value, Fraction(2)), stat=None)
    made = replace(averaged(at, squares, dims, keep, "var"), stat=Stat("variance", value, dims))
    if operation(call.target).startswith("std"):
        made = raised(at, made, Fraction(1, 2))
    if len(call.shapes) == 1:
        return made
    return made, replace(averaged(at, value, dims, keep), stat=Stat("mean", value, dims))


@lowers("linalg_vector_norm", "norm", "linalg_norm", "frobenius_norm")
def norm(at: Lowering, call: Call) -> Result:
    """The root of a sum of squares."""
    value = at.value(call, 0)
    asked = at.arg(call, 2, "dim")
    order = at.arg(call, 1, "ord", at.arg(call, 1, "p", 2))
    if number(order, 2.0) != 2.0:
        raise at.sketch.unknown(f"a norm of order {order} is not known")
    dims = dims_of(at, asked, len(value.dims))
    squares = replace(raised(at, value, Fraction(2)), stat=None)
    made = totalled(at, squares, dims, bool(at.arg(call, 3, "keepdim", False)), "squares")
    return raised(at, replace(made, stat=Stat("sum", value, dims)), Fraction(1, 2))


@lowers("cosine_similarity")
def cosine_similarity(at: Lowering, call: Call) -> Result:
    """The sum of products of two values, each divided by the root of its sum of squares."""
    both = [at.value(call, i) for i in range(2)]
    rank = max(len(value.dims) for value in both)
    dim = at.dim(at.arg(call, 2, "dim", 1), rank)
    unit: list[tuple[Value, list[str]]] = []
    for value in both:
        own = dim - rank + len(value.dims)
        plain = replace(value, curve=None, piece=None, stat=None)
        made = at.sketch.along("rms_norm", plain, own, "norm")
        root = power(value.length(own), Fraction(-1, 2))
        unit.append((at.sketch.scale(made, root) if root is not None else made, _from_the_back(rank, value)))
    left = [str(i) for i in range(rank) if i != dim]
    return at.sketch.combine("einsum", unit, left, "similarity")


def _from_the_back(rank: int, value: Value) -> list[str]:
    return [str(rank - len(value.dims) + i) for i in range(len(value.dims))]


@lowers("amax", "amin", "max", "min", "median", "logsumexp", "prod", "aminmax", "cummax", "mode", "kthvalue")
def extreme(at: Lowering, call: Call) -> Result:
    """The largest entry along dimensions that do not grow: as large as the others."""
    name = operation(call.target)
    second = at.arg(call, 1, "dim")
    if isinstance(second, (Value, Constant)):
        return choice(at, call)
    value = at.value(call, 0)
    dims = dims_of(at, second, len(value.dims))
    for dim in dims:
        if value.length(dim).scales:
            raise at.sketch.unknown(f"{name} over an axis of {value.length(dim)} entries, which grows, is not known")
    keep = bool(at.arg(call, 2, "keepdim", False)) or len(call.shape) == len(value.dims)
    made = totalled(at, value, dims, keep, name)
    if name == "logsumexp":
        made = at.sketch.unary(SOME, made, name)
    return (made, *(Constant(shape, discrete=True) for shape in call.shapes[1:])) if len(call.shapes) > 1 else made


# --- norms ---------------------------------------------------------------------------------------------


def affine(at: Lowering, value: Value, weight: object, bias: object, dims: Sequence[int]) -> Value:
    """Times a gain, plus a bias, both along `dims`."""
    letters = [str(i) for i in range(len(value.dims))]
    inner = [letters[d] for d in dims]
    if isinstance(weight, Value):
        value = at.sketch.combine("einsum", [(value, letters), (weight, inner)], letters, "gain")
    if isinstance(bias, Value):
        value = at.sketch.combine("add", [(value, letters), (bias, inner)], letters, "bias")
    return value


@lowers("layer_norm", "native_layer_norm", "rms_norm", "_fused_rms_norm", "fused_layer_norm")
def layer_norm(at: Lowering, call: Call) -> Result:
    """A layer norm or RMS norm with its gain and bias."""
    value = at.value(call, 0)
    count = len(call.args[1]) if isinstance(call.args[1], tuple) else 1
    dims = list(range(len(value.dims) - count, len(value.dims)))
    growing = [d for d in dims if value.length(d).scales]
    if len(growing) > 1:
        raise at.sketch.unknown("a norm over several axes that grow is not known")
    rms = "rms" in operation(call.target)
    plain = replace(value, curve=None, piece=None, stat=None)
    made = at.sketch.along("rms_norm" if rms else "layer_norm", plain, (growing or dims)[-1], "norm")
    bias = None if rms else at.arg(call, 3, "bias")
    made = affine(at, made, at.arg(call, 2, "weight"), bias, dims)
    return (made, *(Constant(shape) for shape in call.shapes[1:])) if len(call.shapes) > 1 else made


@lowers("group_norm", "native_group_norm")
def group_norm(at: Lowering, call: Call) -> Result:
    """Over the channels of each group, and all positions."""
    value = at.value(call, 0)
    if operation(call.target) == "native_group_norm":
        groups, weight, bias = as_length(at.arg(call, 6)), at.arg(call, 1), at.arg(call, 2)
    else:
        groups, weight, bias = as_length(at.arg(call, 1)), at.arg(call, 2, "weight"), at.arg(call, 3, "bias")
    channels = value.length(1)
    inner = over(channels, groups or ONE)
    if inner is None or groups is None:
        raise at.sketch.unknown(f"cannot make groups of {channels} channels")
    value = at.sketch.merge(replace(value, curve=None, piece=None, stat=None), 1)
    if same(groups, ONE) or same(inner, ONE):
        made = at.sketch.along("layer_norm", value, 1 if same(groups, ONE) else len(value.dims) - 1, "norm")
    else:
        split = at.sketch.split(at.sketch.real(value, 1), 1, 0, (groups, inner))
        apart = split.at([split.dims[0], split.dims[1][:1], split.dims[1][1:], *split.dims[2:]])
        made = at.sketch.along("layer_norm", apart, 2, "norm")
        made = at.sketch.merge(made.at([made.dims[0], (*made.dims[1], *made.dims[2]), *made.dims[3:]]), 1)
    made = affine(at, made, weight, bias, [1])
    return (made, *(Constant(shape) for shape in call.shapes[1:])) if len(call.shapes) > 1 else made


@lowers("batch_norm", "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
        "cudnn_batch_norm", "_batch_norm_with_update", "instance_norm",
        "_native_batch_norm_legit_functional")  # fmt: skip
def batch_norm(at: Lowering, call: Call) -> Result:
    """Over the batch and all positions, channel by channel: as it is trained, whatever mode it was traced in."""
    value = at.value(call, 0)
    plain = at.sketch.real(replace(value, curve=None, piece=None, stat=None))
    fixed_dims = [d for d, dim in enumerate(plain.dims) if d != 1 and dim and not plain.length(d).scales]
    if not fixed_dims:
        raise at.sketch.unknown("a batch norm needs a batch of more than one, or positions")
    own = fixed_dims[1:] if operation(call.target) == "instance_norm" else []
    dim = max(own or fixed_dims, key=lambda d: plain.length(d).at({}))  # over two entries nothing but signs is left
    made = affine(at, at.sketch.along("layer_norm", plain, dim, "norm"), at.arg(call, 1), at.arg(call, 2), [1])
    return (made, *(Constant(shape) for shape in call.shapes[1:])) if len(call.shapes) > 1 else made


@lowers("_weight_norm_interface", "_weight_norm")
def weight_norm(at: Lowering, call: Call) -> Result:
    """A direction times a length: `g * v / |v|`."""
    v, g = at.value(call, 0), at.value(call, 1)
    dim = at.dim(at.arg(call, 2, "dim", 0), len(v.dims))
    letters = [str(i) for i in range(len(v.dims))]
    others = [d for d in range(len(v.dims)) if d != dim]
    growing = [d for d in others if v.length(d).scales]
    made = at.sketch.along("rms_norm", v, (growing or others)[-1], "direction")
    inverse = power(product(v.length(d) for d in others), Fraction(-1, 2))
    made = at.sketch.scale(made, inverse, "unit") if inverse is not None else made
    result = at.sketch.combine("einsum", [(made, letters), (g, letters)], letters, "weight")
    return (result, *(Constant(shape) for shape in call.shapes[1:])) if len(call.shapes) > 1 else result


# --- softmax -------------------------------------------------------------------------------------------


@lowers("softmax", "_softmax", "_safe_softmax", "special_softmax", "softmin")
def softmax(at: Lowering, call: Call) -> Result:
    """Positive weights that add up to one along a dimension."""
    value = at.value(call, 0)
    plain = replace(value, curve=None, piece=None, stat=None)
    return at.sketch.along("softmax", plain, at.dim(at.arg(call, 1, "dim", -1), len(value.dims)), "weights")


@lowers("log_softmax", "_log_softmax")
def log_softmax(at: Lowering, call: Call) -> Result:
    """Logits less a common number: as large as the logits, and a function of size 0."""
    value = at.value(call, 0)
    if value.length(at.dim(at.arg(call, 1, "dim", -1), len(value.dims))).scales:
        raise at.sketch.unknown("log_softmax over an axis that grows is not known")
    return at.sketch.unary(SOME, replace(value, curve=None, piece=None, stat=None), "log_softmax")

"""Attention: queries times keys, a fixed factor, softmax, times values; masks select and do not scale."""

from __future__ import annotations

from fractions import Fraction

from scalerules.sizes.arithmetic import ONE, is_one, over, power
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import Constant, Result, Value

from ..state import Lowering, as_length, copies
from ..table import lowers
from .products import contracted


@lowers("scaled_dot_product_attention", "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_attention_math",
        "_scaled_dot_product_cudnn_attention")  # fmt: skip
def attention(lowering: Lowering, call: Call) -> Result:
    """Weights from scaled products of queries and keys, and the values that they mix."""
    q, k, v = (lowering.value(call, i) for i in range(3))
    mask = lowering.arg(call, 3, "attn_mask")
    rank = len(q.dims)
    k, v = _shared(lowering, k, q), _shared(lowering, v, q)
    batch = [f"b{i}" for i in range(rank - 2)]
    letters = ([*batch, "s", "d"], [*batch, "t", "d"], [*batch, "t", "e"])
    scores = contracted(lowering, [(q, letters[0]), (k, letters[1])], [*batch, "s", "t"], "dots")
    given = None if "kwargs[scale]" in call.unresolved else as_length(lowering.arg(call, 6, "scale"))
    factor = given if given is not None else _root(q.length(rank - 1))
    if q.length(rank - 1).scales or (factor is not None and factor.scales):
        scores = lowering.sketch.unary("scale", scores, "scores", factor=factor or ONE)
    if isinstance(mask, Value):
        wide = [str(i) for i in range(rank)]
        scores = lowering.sketch.combine("add", [(scores, wide), (mask, wide[rank - len(mask.dims) :])], wide, "masked")
    weights = lowering.sketch.along("softmax", scores, rank - 1, "weights")
    heads = contracted(lowering, [(weights, [*batch, "s", "t"]), (v, letters[2])], [*batch, "s", "e"], "heads")
    return (heads, *(Constant(shape) for shape in call.shapes[1:])) if len(call.shapes) > 1 else heads


def _root(length: Length) -> Length | None:
    """1 over the root of a length; of a sum (a part of the head that grows, one that does not) of its growing term."""
    growing = [monomial for monomial in length.monomials if monomial.powers]
    return power(Length((growing[0],)) if len(length.monomials) > 1 and growing else length, Fraction(-1, 2))


def _shared(lowering: Lowering, value: Value, q: Value) -> Value:
    """Keys or values that several query heads share: copied along the queries of a group."""
    dim = len(q.dims) - 3
    if dim < 0 or not q.dims[dim]:
        return value
    groups = over(q.length(dim), value.length(dim))
    if groups is None or is_one(groups) or not value.dims[dim]:
        return value
    dims = list(value.dims)
    dims[dim] = (*dims[dim], *copies(groups, lowering.sketch))
    return value.at(dims)

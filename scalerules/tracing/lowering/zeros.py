"""What is computed from a tensor of zeros: the state of a recurrence before its first step, most often."""

from __future__ import annotations

from scalerules.ops.functions import FUNCTIONS
from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import Constant, Result, Value

from .state import Lowering, operation

PRODUCTS = ("mul", "mm", "bmm", "matmul", "einsum", "dot", "mv", "outer", "linear")
SUMS = ("add", "sub")
KEEP = {
    *(name for name, function in FUNCTIONS.items() if function.shape.vanishes),
    *("chunk", "split", "split_with_sizes", "unbind", "cat", "stack", "div"),
}
"""Functions that are zero where all that they are computed from is zero."""


def of_zeros(lowering: Lowering, call: Call) -> Result | None:
    """The result where zeros decide it: a product with them, a function of them alone; None otherwise."""
    name = operation(call.target)
    operands = list(lowering.operands((*call.args, *call.kwargs.values())))
    zero = [isinstance(operand, Constant) and operand.number == 0 for operand in operands]
    if not any(zero):
        return None
    if all(zero) and name in (*KEEP, *PRODUCTS, *SUMS):
        results = tuple(Constant(shape, 0.0) for shape in call.shapes)
        return results[0] if len(results) == 1 else results
    if name in ("linear", "addmm"):
        return _affine(lowering, call, [0, 1] if name == "linear" else [1, 2])
    if name in PRODUCTS:
        return Constant(call.shape, 0.0)
    if name == "div" and zero[0] and len(zero) == 2:
        return Constant(call.shape, 0.0)
    return None


def _affine(lowering: Lowering, call: Call, factors: list[int]) -> Result | None:
    """`x W + b` where `x` or `W` is zero: the bias."""
    operands = [lowering.arg(call, i) for i in factors]
    if not any(isinstance(factor, Constant) and factor.number == 0 for factor in operands):
        return None
    bias = lowering.arg(call, 0) if factors[0] else lowering.arg(call, 2, "bias")
    return lowering.widened(bias, call.shape) if isinstance(bias, Value) else Constant(call.shape, 0.0)

"""Losses that the module computes itself: what they are computed from are the outputs of the graph."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from scalerules.tracing.record import Call
from scalerules.tracing.sketch.values import Constant, Loss, Part, Result, Value

from ..state import Lowering, number, operation
from ..table import lowers
from .arithmetic import pairwise
from .reductions import averaged, totalled
from .written_norms import raised

KINDS = {"cross_entropy_loss": "cross_entropy", "nll_loss": "cross_entropy", "nll_loss_forward": "cross_entropy",
         "nll_loss_nd": "cross_entropy", "nll_loss2d_forward": "cross_entropy",
         "nll_loss2d": "cross_entropy", "unplaced_labels_loss": "cross_entropy"}  # fmt: skip


@lowers("cross_entropy_loss", "nll_loss", "nll_loss_forward", "nll_loss_nd", "nll_loss2d", "nll_loss2d_forward",
        "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits",
        "binary_cross_entropy", "kl_div", "soft_margin_loss", "hinge_embedding_loss", "margin_ranking_loss",
        "cosine_embedding_loss", "unplaced_labels_loss", "poisson_nll_loss", "multilabel_margin_loss")  # fmt: skip
def loss(lowering: Lowering, call: Call) -> Result:
    """A loss remembers its predictions."""
    if (result := _between(lowering, call)) is not None:
        return result
    operands = [o for o in lowering.operands((*call.args, *call.kwargs.values())) if isinstance(o, (Value, Loss))]
    sources: list[Value] = []
    for operand in operands:
        sources.extend(operand.sources if isinstance(operand, Loss) else [operand])
    result = Loss(tuple(sources), KINDS.get(operation(call.target), "mse"))
    return (result, *(Constant(shape) for shape in call.shapes[1:])) if len(call.shapes) > 1 else result


@lowers("triplet_margin_loss")
def triplet(lowering: Lowering, call: Call) -> Result:
    """How much nearer to an anchor one value is than another: distances are roots of sums of squares."""
    anchor, positive, negative = (lowering.value(call, position) for position in range(3))
    shape = tuple(anchor.length(dim) for dim in range(len(anchor.dims)))
    last = len(shape) - 1
    distances: list[Value] = []
    for other in (positive, negative):
        apart = pairwise(lowering, "add", [anchor, other], shape, "difference")
        squares = raised(lowering, replace(apart, stat=None), Fraction(2))
        total = totalled(lowering, squares, [last], keep=False, short="squares")
        distances.append(raised(lowering, replace(total, stat=None), Fraction(1, 2)))
    nearer = pairwise(lowering, "add", distances, shape[:last], "nearer")
    return Loss((lowering.sketch.unary("relu", nearer),), "mse")


MEAN, SUM = 1, 2
"""How torch numbers the reductions of a loss."""


def _between(lowering: Lowering, call: Call) -> Result | None:
    """The distance of two values that the module both computes, along an axis that grows, as the number that it is.

    Neither of them is a prediction, so the loss is told from its own number: the mean of squares of a difference.
    """
    if operation(call.target) not in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        return None
    a, b = lowering.arg(call, 0), lowering.arg(call, 1)
    if not (isinstance(a, Value) and isinstance(b, Value) and _learnt(lowering, a) and _learnt(lowering, b)):
        return None
    if not any(a.length(dim).scales for dim in range(len(a.dims))):
        return None
    longer = max(a, b, key=lambda value: len(value.dims))
    shape = tuple(longer.length(dim) for dim in range(len(longer.dims)))
    apart = pairwise(lowering, "add", [a, b], shape, "difference")
    distance = raised(lowering, replace(apart, stat=None), Fraction(2))
    how = number(lowering.arg(call, 2, "reduction", MEAN), MEAN)
    if how == MEAN:
        distance = averaged(lowering, distance, range(len(distance.dims)), keep=False)
    elif how == SUM:
        distance = totalled(lowering, distance, range(len(distance.dims)), keep=False, short="sum")
    return Loss((distance,), "mse") if how in (MEAN, SUM) else distance


def _learnt(lowering: Lowering, value: Value) -> bool:
    """Whether a value depends on a weight."""
    stack, seen = [value.source], set[str]()
    while stack:
        source = stack.pop()
        if isinstance(source, Part):
            return True
        if source not in seen:
            seen.add(source)
            stack.extend(lowering.sketch.nodes[source].operands)
    return False

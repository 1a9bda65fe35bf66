"""Losses that the module computes itself: what they are computed from are the outputs of the graph."""

from __future__ import annotations

from .lowering import Lowering, lowers, operation
from .record import Call
from .values import Constant, Loss, Result, Value

KINDS = {"cross_entropy_loss": "cross_entropy", "nll_loss": "cross_entropy", "nll_loss_forward": "cross_entropy",
         "nll_loss_nd": "cross_entropy", "nll_loss2d_forward": "cross_entropy",
         "nll_loss2d": "cross_entropy"}  # fmt: skip


@lowers("cross_entropy_loss", "nll_loss", "nll_loss_forward", "nll_loss_nd", "nll_loss2d", "nll_loss2d_forward",
        "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits",
        "binary_cross_entropy", "kl_div", "soft_margin_loss", "hinge_embedding_loss", "margin_ranking_loss",
        "cosine_embedding_loss", "_ctc_loss", "ctc_loss", "poisson_nll_loss", "multilabel_margin_loss")  # fmt: skip
def loss(at: Lowering, call: Call) -> Result:
    """A loss remembers its predictions."""
    operands = [o for o in at.operands((*call.args, *call.kwargs.values())) if isinstance(o, (Value, Loss))]
    sources: list[Value] = []
    for operand in operands:
        sources.extend(operand.sources if isinstance(operand, Loss) else [operand])
    made = Loss(tuple(sources), KINDS.get(operation(call.target), "mse"))
    return (made, *(Constant(shape) for shape in call.shapes[1:])) if len(call.shapes) > 1 else made

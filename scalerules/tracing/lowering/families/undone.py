"""A term that is taken off the sum in which it stands, and a factor that its product is divided by.

`log_prob` of a sample that was drawn around a mean, `(mean + noise) - mean`, does not change with the mean.
"""

from __future__ import annotations

from dataclasses import replace

from scalerules.tracing.record import Call, Ref
from scalerules.tracing.sketch.values import Constant, Operand, Value

from ..state import Lowering, operation

MADE_BY = {"sub": "add", "div": "mul"}
"""What each of these undoes."""


def undone(lowering: Lowering, call: Call) -> Operand | None:
    """What is left of a sum less one of its own terms, or of a product over one of its factors; None of all else."""
    whole, part = call.args[:2]
    made = lowering.record.by_name.get(whole.name) if isinstance(whole, Ref) and isinstance(part, Ref) else None
    if not isinstance(made, Call) or operation(made.target) != MADE_BY.get(operation(call.target)):
        return None
    if len(call.args) > 2 or call.kwargs or len(made.args) > 2 or made.kwargs or part not in made.args:
        return None
    left = lowering.arg(made, 1 - made.args.index(part))
    if isinstance(left, Constant):
        return replace(left, shape=call.shape)
    return lowering.widened(left, call.shape) if isinstance(left, Value) else None

"""From a record to a sketch of the graph: every call of the record is lowered to elementary operations.

What has no entry in the table stops, unless no axis that it touches grows.
"""

from __future__ import annotations

from scalerules.tracing.record import Call, Record
from scalerules.tracing.sketch.sketch import Sketch
from scalerules.tracing.sketch.values import Constant, Filling, Loss, Result, Unknown, Value, place

from . import families  # fills the table
from .buffers import DISCRETE
from .constants import folded
from .families.choices import COMPARISONS
from .families.selection import put_at
from .folding import Folds
from .of_each_entry import of_each_entry
from .state import Lowering, operation, several
from .table import TABLE
from .zeros import of_zeros

assert families

SILENT = ("_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range_for_size", "sym_size")

KNOWN = frozenset({*TABLE, *SILENT})
"""The operations that are followed; of others it is only known that they are some function of what they read."""

DECIDED = ("topk", "sort", *COMPARISONS)
"""Calls of which more is known than that their results are whole numbers."""

FAULTS = (TypeError, ValueError, LookupError, AttributeError, AssertionError, ArithmeticError, RecursionError)
"""What a function of the table raises where a call is none of those that it was written for."""


def lowered(record: Record, sketch: Sketch, unfolded: frozenset[str] = frozenset()) -> Lowering:
    """Lowers the calls of a record in order; loops named in `unfolded` step by step."""
    lowering = Lowering(record, sketch, lower, unfolded)
    folds = Folds(lowering)
    for call in record.calls:
        if not folds.handles(call):
            lowering.results[call.name] = lowering.lower(call)
    return lowering


def lower(lowering: Lowering, call: Call) -> Result:
    """What a call computes. Raises `Unknown`."""
    name = operation(call.target)
    if name in SILENT:
        return Constant(())
    lowering.sketch.nodes.call = call
    result = _lower(lowering, name, call)
    if isinstance(result, Value) and isinstance(result.source, str):
        node = lowering.sketch.nodes[result.source]
        if node.call is not None and node.call.name == call.name:
            lowering.shown[result.source] = call.name
    return result


def _lower(lowering: Lowering, name: str, call: Call) -> Result:
    operands = list(lowering.operands((*call.args, *call.kwargs.values())))
    if not any(isinstance(o, (Value, Loss, Filling)) for o in operands):
        return put_at(lowering, call) or of_zeros(lowering, call) or folded(lowering, call)
    if call.dtypes and all(str(d).startswith(DISCRETE) for d in call.dtypes) and name not in DECIDED:
        return several(call, [Constant(shape, discrete=True, ref=call.name) for shape in call.shapes])
    if (zeros := of_zeros(lowering, call)) is not None:
        return zeros
    handler = TABLE.get(name)
    try:
        if handler is not None:
            return handler(lowering, call)
        return of_each_entry(lowering, call) or lowering.without_growth(call)
    except Unknown as error:
        if error.where is None:
            error.where = place(call)
        raise
    except FAULTS as error:
        said = f"{type(error).__name__}: {error}".strip(": ")
        raise Unknown(
            f"this operation is read in a way that tracing does not follow ({said})", where=place(call),
            hint="write this line with other operations, or report it with the line",
        ) from error  # fmt: skip

"""What does not depend on weights or real data: masks, positions, fixed numbers, buffers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from scalerules.sizes.arithmetic import fixed, over, plus, power, times
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call, Ref
from scalerules.tracing.sketch.values import Constant, Result

from .buffers import DISCRETE
from .state import Lowering, as_length, number, operation

FILLED = {"ones": 1.0, "ones_like": 1.0, "new_ones": 1.0, "zeros": 0.0, "zeros_like": 0.0, "new_zeros": 0.0}
SAME = ("_to_copy", "clone", "expand", "view", "reshape", "unsqueeze", "squeeze", "alias", "detach", "to", "repeat",
        "lift_fresh_copy", "contiguous", "permute", "transpose", "slice", "select", "_unsafe_view",
        "type_as")  # fmt: skip
"""Operations after which all entries are still the same number."""
COPIES = ("_to_copy", "clone", "alias", "detach", "to", "lift_fresh_copy", "contiguous", "type_as")
"""Those of them after which every entry still stands where it stood."""

TWO: dict[str, Callable[[Length, Length], Length | None]] = {
    "mul": times,
    "add": plus,
    "div": over,
    "sub": lambda a, b: plus(a, times(b, fixed(-1))),
}


def folded(lowering: Lowering, call: Call) -> Result:
    """The result of a call that reads constants only."""
    value = _number(lowering, call)
    first = lowering.arg(call, 0) if operation(call.target) in COPIES else None
    truth = first.truth if isinstance(first, Constant) else None
    results: list[Constant] = []
    for shape, dtype in zip(call.shapes, call.dtypes, strict=True):
        ref = call.name if len(call.shapes) == 1 else ""
        results.append(Constant(shape, value, str(dtype).startswith(DISCRETE), ref, truth))
    return results[0] if len(results) == 1 else tuple(results)


def _number(lowering: Lowering, call: Call) -> Length | float | None:
    name = operation(call.target)
    if name in FILLED:
        return FILLED[name]
    if name in ("full", "new_full"):
        return _plain(as_length(call.args[-1] if name == "full" else call.args[2]))
    if name == "full_like":
        return _plain(as_length(call.args[1]))
    if name in ("scalar_tensor", "lift_fresh_copy") and call.args and not at_ref(call.args[0]):
        return _plain(as_length(call.args[0]))
    operands = [lowering.arg(call, i) for i in range(len(call.args))]
    lengths = [as_length(o) for o in operands]
    if name in SAME and operands and isinstance(operands[0], Constant):
        return operands[0].number
    if name in TWO and len(lengths) >= 2 and lengths[0] is not None and lengths[1] is not None:
        return _plain(TWO[name](lengths[0], lengths[1]))
    if name in ("sqrt", "rsqrt", "reciprocal", "neg") and lengths and lengths[0] is not None:
        if name == "neg":
            return _plain(times(lengths[0], fixed(-1)))
        return _plain(power(lengths[0], {"sqrt": Fraction(1, 2), "rsqrt": Fraction(-1, 2)}.get(name, Fraction(-1))))
    if name == "pow" and lengths[0] is not None and lengths[1] is not None and not lengths[1].scales:
        return _plain(power(lengths[0], Fraction(number(lengths[1])).limit_denominator(64)))
    return None


def at_ref(value: object) -> bool:
    """Whether an argument is a tensor."""
    return isinstance(value, Ref)


def _plain(length: Length | None) -> Length | float | None:
    if length is None or length.scales:
        return length
    return length.value({})

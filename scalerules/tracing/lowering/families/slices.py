"""Parts of values: slices, single entries, splits."""

from __future__ import annotations

from dataclasses import replace

from scalerules.sizes.arithmetic import ONE, fixed, is_one, over, plus, probe, same
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call, Ref, Shape
from scalerules.tracing.sketch.values import SUIT, Constant, Filling, Operand, Piece, Result, Value

from ..state import Lowering, as_length, operation
from ..table import lowers


@lowers("slice", "narrow", "slice_copy", "narrow_copy")
def sliced(lowering: Lowering, call: Call) -> Result:
    """A stretch of a dimension."""
    if isinstance(given := lowering.arg(call, 0), Filling):
        return _unwritten(lowering, given, call)
    value = lowering.value(call, 0)
    rank = len(value.dims)
    dim = lowering.dim(lowering.arg(call, 1, "dim", 0), rank)
    wanted = call.shape[dim]
    if wanted is None:
        raise lowering.unknown("the length of a slice fits no simple function of the scales", SUIT)
    step = as_length(lowering.arg(call, 4, "step", 1)) if operation(call.target).startswith("slice") else ONE
    start = _start(lowering.arg(call, 2, "start"), value.length(dim))
    if step is not None and not is_one(step):
        return _strided(lowering, value, dim, start, step, wanted)
    return stretched(lowering, value, dim, start, wanted)


def _unwritten(lowering: Lowering, given: Filling, call: Call) -> Operand:
    """A stretch of a tensor that is still being filled: what was written there, or nothing yet."""
    start = _start(lowering.arg(call, 2, "start"), given.shape[given.dim] or ONE)
    for place, part in given.parts:
        if same(place, start) and part.length(given.dim) == call.shape[given.dim]:
            return part
        if probe(place)[0] <= probe(start)[0] < probe(plus(place, part.length(given.dim)))[0]:
            raise lowering.unknown("reads across parts of a tensor that is being filled", "join them with torch.cat")
    return Constant(call.shape)


def _start(given: object, total: Length) -> Length:
    length = as_length(given) or fixed(0)
    if not length.scales and length.value({}) < 0:
        return plus(total, length)
    return length


def stretched(lowering: Lowering, value: Value, dim: int, start: Length, length: Length) -> Value:
    """A stretch, which remembers what it is a piece of."""
    if same(length, value.length(dim)):
        return value
    stretch = lowering.sketch.layout.stretch(value, dim, start, length)
    return replace(stretch, piece=Piece(value, dim, start, length))


def _strided(lowering: Lowering, value: Value, dim: int, start: Length, step: Length, wanted: Length) -> Value:
    """Every second entry (or third ...): one of `step` when the axis is split in two factors."""
    total = value.length(dim)
    inner = over(total, step)
    if inner is None or not same(inner, wanted) or len(value.dims[dim]) != 1:
        return lowering.sketch.layout.take(value, dim, wanted)
    split = lowering.sketch.layout.split(value, dim, 0, (inner, step))
    apart = split.at([*split.dims[:dim], split.dims[dim][:1], split.dims[dim][1:], *split.dims[dim + 1 :]])
    one = lowering.sketch.layout.stretch(apart, dim + 1, start, ONE)
    picked = one.at([*one.dims[: dim + 1], *one.dims[dim + 2 :]])
    return replace(picked, piece=Piece(apart, dim + 1, start, ONE))


@lowers("select", "select_copy")
def select(lowering: Lowering, call: Call) -> Result:
    """One entry of a dimension."""
    value = lowering.value(call, 0)
    dim = lowering.dim(call.args[1], len(value.dims))
    if dim == len(value.dims) - 1 and _computed_pairs(lowering, call.args[0]):
        return parts_mixed(lowering, value.at([*value.dims[:-2], (*value.dims[-2], *value.dims[-1])]), call.shape)
    return selected(lowering, value, dim, _start(call.args[2], value.length(dim)))


def _computed_pairs(lowering: Lowering, operand: object) -> bool:
    """Whether an operand is the pairs of complex numbers that were computed, and not those that they were made of."""
    seen = _call_of(lowering, operand)
    made = _call_of(lowering, seen.args[0]) if seen is not None and operation(seen.target) == "view_as_real" else None
    return made is not None and operation(made.target) != "view_as_complex"


def _call_of(lowering: Lowering, operand: object) -> Call | None:
    made = lowering.record.by_name.get(operand.name) if isinstance(operand, Ref) else None
    return made if isinstance(made, Call) else None


def parts_mixed(lowering: Lowering, value: Value, shape: Shape) -> Value:
    """One part of each complex number that the last dimension may hold as pairs: of a product it depends on both."""
    last = value.dims[-1] if value.dims else ()
    wanted = shape[-1] if shape else None
    if not last or wanted is None or same(value.length(len(value.dims) - 1), wanted):
        return value
    if last[-1].slot is None:
        return value.at([*value.dims[:-1], last[:-1]])
    letters = [str(i) for i in range(len(value.dims))]
    apart = value.at([*value.dims[:-1], last[:-1], last[-1:]])
    return lowering.sketch.combine("einsum", [(apart, [*letters, "part"])], letters, "parts")


def selected(lowering: Lowering, value: Value, dim: int, start: Length) -> Value:
    """One entry of a dimension, which is gone then."""
    piece = Piece(value, dim, start, ONE)
    one = lowering.sketch.layout.stretch(value, dim, start, ONE) if value.dims[dim] else value
    return replace(one.at([*one.dims[:dim], *one.dims[dim + 1 :]]), piece=piece)


@lowers("unbind", "unbind_copy")
def unbind(lowering: Lowering, call: Call) -> Result:
    """Every entry of a dimension on its own."""
    value = lowering.value(call, 0)
    dim = lowering.dim(lowering.arg(call, 1, "dim", 0), len(value.dims))
    return tuple(selected(lowering, value, dim, fixed(i)) for i in range(len(call.shapes)))


@lowers("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk", "split_copy",
        "split_with_sizes_copy")  # fmt: skip
def split(lowering: Lowering, call: Call) -> Result:
    """Stretches one after the other."""
    value = lowering.value(call, 0)
    dim = lowering.dim(lowering.arg(call, 2, "dim", 0), len(value.dims))
    start, parts = fixed(0), list[Operand]()
    for shape in call.shapes:
        length = shape[dim]
        if length is None:
            raise lowering.unknown("the length of a part fits no simple function of the scales", SUIT)
        parts.append(stretched(lowering, value, dim, start, length))
        start = plus(start, length)
    return tuple(parts)

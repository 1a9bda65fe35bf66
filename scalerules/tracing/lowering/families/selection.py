"""Look-ups, selections and their inverses: indices are whole numbers and carry no size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scalerules.sizes.arithmetic import ONE, fixed, plus, probe, same
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call, Shape
from scalerules.tracing.sketch.values import Constant, Dim, Filling, Loss, Result, Value

from ..state import Lowering, as_length, copies, operation
from ..table import lowers
from .joins import joined
from .views import rearranged


@lowers("embedding", "embedding_bag", "_embedding_bag")
def embedding(at: Lowering, call: Call) -> Result:
    """Rows of a table: a product with one-hot vectors. A bag is the sum or mean of a few rows: as large as one."""
    table, indices = at.value(call, 0), at.arg(call, 1)
    bag = operation(call.target) != "embedding"
    if table.length(0).scales:
        raise at.sketch.unknown(f"a table of {table.length(0)} rows, which grow, is not known")
    if isinstance(table.source, str):
        made = looked_up(at, table, call.shape, 1)
    else:
        shape = indices.shape if isinstance(indices, Constant) and not bag else call.shape[:-1]
        tokens = at.sketch.data(at.sketch.name_here("tokens"), [*_known(at, shape), table.length(0)], "tokens")
        batch = [f"b{i}" for i in range(len(shape))]
        made = at.sketch.combine("einsum", [(tokens, [*batch, "v"]), (table, ["v", "n"])], [*batch, "n"])
    return (made, *(Constant(shape, discrete=True) for shape in call.shapes[1:])) if bag else made


def _known(at: Lowering, shape: Shape) -> list[Length]:
    if any(length is None for length in shape):
        raise at.sketch.unknown("a length fits no simple function of the scales")
    return [length for length in shape if length is not None]


def looked_up(at: Lowering, table: Value, shape: Shape, kept: int) -> Value:
    """Entries of a table by its first dimensions; the last ones stay."""
    rest = table.dims[len(table.dims) - kept :] if kept else ()
    new: list[Dim] = [copies(length, at.sketch) for length in shape[: len(shape) - len(rest)]]
    return table.at([*new, *rest])


@lowers("index", "_unsafe_index", "index_copy_out")
def index(at: Lowering, call: Call) -> Result:
    """Entries by lists of indices: along axes that do not grow, any of them."""
    value = at.value(call, 0)
    given = call.args[1]
    assert isinstance(given, tuple)
    picked = [i for i, each in enumerate(given) if each is not None]
    growing = [i for i in picked if value.length(i).scales]
    if growing:
        raise at.sketch.unknown(f"entries are picked from an axis of {value.length(growing[0])}, which grows")
    return moved_or_dropped(at, value, picked, call.shape)


def moved_or_dropped(at: Lowering, value: Value, picked: Sequence[int], shape: Shape) -> Value:
    """A selection; of a weight it is summed over what is selected from, one entry at a time being read."""
    kept = [dim for i, dim in enumerate(value.dims) if i not in picked]
    together = list(picked) == list(range(picked[0], picked[0] + len(picked))) if picked else True
    first = picked[0] if together and picked else 0
    fresh = len(shape) - len(kept)
    if not isinstance(value.source, str):
        new = [copies(length, at.sketch) for length in shape[first : first + fresh]]
        return value.at([*kept[:first], *new, *kept[first:]])
    wanted = _known(at, shape)
    return rearranged(at, _merged(at, value), wanted)


def _merged(at: Lowering, value: Value) -> Value:
    """Every dimension as one axis."""
    for dim in range(len(value.dims)):
        if value.length(dim).scales:
            value = at.sketch.merge(value, dim)
    return replace(value, curve=None, piece=None, stat=None)


@lowers("index_select", "gather", "take_along_dim", "take", "scatter_reduce_gather")
def gather(at: Lowering, call: Call) -> Result:
    """Entries along one dimension."""
    value = at.value(call, 0)
    dim = at.dim(at.arg(call, 1, "dim", 0), len(value.dims))
    if value.length(dim).scales:
        raise at.sketch.unknown(f"entries are picked from an axis of {value.length(dim)}, which grows")
    if not isinstance(value.source, str):
        return moved_or_dropped(at, value, [dim], call.shape)
    return at.sketch.take(value, dim, call.shape[dim] or ONE)


@lowers("topk", "sort", "msort")
def topk(at: Lowering, call: Call) -> Result:
    """The largest entries, along an axis that does not grow, and where they stand."""
    value = at.value(call, 0)
    position = 2 if operation(call.target) == "topk" else 1
    dim = at.dim(at.arg(call, position, "dim", -1), len(value.dims))
    if value.length(dim).scales:
        raise at.sketch.unknown(
            f"{operation(call.target)} over an axis of {value.length(dim)}, which grows, is not known"
        )
    plain = replace(value, curve=None, piece=None, stat=None)
    made = at.sketch.take(plain, dim, call.shape[dim] or ONE, "chosen")
    return (made, *(Constant(shape, discrete=True) for shape in call.shapes[1:])) if len(call.shapes) > 1 else made


@lowers("cumsum", "cumprod", "logcumsumexp")
def cumulated(at: Lowering, call: Call) -> Result:
    """Sums over all entries before, along an axis that does not grow."""
    value = at.value(call, 0)
    dim = at.dim(at.arg(call, 1, "dim"), len(value.dims))
    if value.length(dim).scales:
        raise at.sketch.unknown(f"a running sum over an axis of {value.length(dim)}, which grows, is not known")
    return replace(value, curve=None, piece=None, stat=None)


@lowers("scatter", "scatter_add", "index_add", "index_put", "index_put_", "_index_put_impl",
        "scatter_reduce", "index_copy",
        "select_scatter", "masked_scatter", "index_fill", "copy_slice", "diagonal_scatter",
        "_unsafe_index_put", "scatter_")  # fmt: skip
def scattered(at: Lowering, call: Call) -> Result:
    """Entries put into others, at places along axes that do not grow: as large as either."""
    operands = [o for o in at.operands((*call.args, *call.kwargs.values())) if isinstance(o, (Value, Loss))]
    wanted = _known(at, call.shape)
    parts: list[Value] = []
    for operand in operands:
        if isinstance(operand, Loss):
            return operand
        if len(operand.dims) <= len(wanted):
            operand = at.widened(operand, call.shape)
        same_rank = len(operand.dims) == len(wanted)
        equal = same_rank and all(operand.length(i) == length for i, length in enumerate(wanted))
        parts.append(operand if equal else rearranged(at, _merged(at, _padded(operand, len(wanted))), wanted))
    if len(parts) == 1:
        return replace(parts[0], curve=None, piece=None, stat=None)
    letters = [str(i) for i in range(len(wanted))]
    return at.sketch.combine("add", [(part, letters) for part in parts], letters, "put")


def _padded(value: Value, rank: int) -> Value:
    return value.at([*[()] * (rank - len(value.dims)), *value.dims])


@lowers("one_hot", "bincount", "argsort", "argmax", "argmin", "nonzero", "searchsorted", "bucketize", "histc")
def indices(at: Lowering, call: Call) -> Result:
    """Whole numbers carry no size."""
    made = [Constant(shape, discrete=True) for shape in call.shapes]
    return made[0] if len(made) == 1 else tuple(made)


@lowers("full_like", "zeros_like", "ones_like", "empty_like", "rand_like", "randn_like", "new_zeros", "new_ones",
        "new_full", "new_empty", "zero", "fill", "empty_permuted", "normal_functional", "randint_like")  # fmt: skip
def fresh(at: Lowering, call: Call) -> Result:
    """Numbers that only take their shape from a tensor."""
    name = operation(call.target)
    number = 1.0 if "ones" in name else 0.0 if "zero" in name else None
    if name in ("full_like", "fill"):
        length = as_length(at.arg(call, 1))
        number = length if length is not None and length.scales else length.value({}) if length is not None else None
    return Constant(call.shape, number)


@lowers("slice_scatter")
def slice_scatter(at: Lowering, call: Call) -> Result:
    """Entries written into a stretch of a dimension; when all of it is written, that is a concatenation."""
    base, source = at.arg(call, 0), at.value(call, 1)
    dim = at.dim(at.arg(call, 2, "dim", 0), len(call.shape))
    whole = call.shape[dim]
    if whole is None or same(source.length(dim), whole):
        return source
    if isinstance(base, Value) or (isinstance(base, Constant) and not whole.scales):
        return scattered(at, call)
    known = base.parts if isinstance(base, Filling) and base.dim == dim else ()
    parts = (*known, (as_length(at.arg(call, 3, "start")) or fixed(0), source))
    if same(plus(*(part.length(dim) for _, part in parts)), whole):
        return joined(at, [part for _, part in sorted(parts, key=lambda each: probe(each[0]))], dim, whole)
    return Filling(call.shape, dim, parts)

"""Look-ups, selections and their inverses: indices are whole numbers and carry no size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scalerules.sizes.arithmetic import ONE, fixed, plus, probe, same
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call, Shape
from scalerules.tracing.sketch.values import HOLD, SUIT, Constant, Dim, Filling, Loss, Result, Value

from ..detached import only_compared, unread
from ..fixed_entries import is_order
from ..look_ups import at_places, looked_up, of_data, places_along, put_back
from ..state import Lowering, as_length, copies, operation
from ..table import lowers
from .arithmetic import weighted
from .joins import joined
from .views import rearranged, reordered


@lowers("embedding", "embedding_bag", "_embedding_bag")
def embedding(lowering: Lowering, call: Call) -> Result:
    """Rows of a table: a product with one-hot vectors. A bag is the sum or mean of a few rows: as large as one."""
    table, indices = lowering.value(call, 0), lowering.arg(call, 1)
    bag = operation(call.target) != "embedding"
    if table.length(0).scales:
        said = f"a table of {table.length(0)} rows, which grow, is not known"
        raise lowering.unknown(said, "hold the number of its rows fixed")
    if not lowering.of_weights(table):
        rows = copied(lowering, table, call.shape, 1)
    else:
        shape = indices.shape if isinstance(indices, Constant) and not bag else call.shape[:-1]
        rows = looked_up(lowering, table, 0, shape)
    if bag:
        rows = weighted(lowering, rows, lowering.arg(call, 6, "per_sample_weights"), "weighted")
    return (rows, *(Constant(shape, discrete=True) for shape in call.shapes[1:])) if bag else rows


def _known(lowering: Lowering, shape: Shape) -> list[Length]:
    if any(length is None for length in shape):
        raise lowering.unknown("a length fits no simple function of the scales", SUIT)
    return [length for length in shape if length is not None]


def copied(lowering: Lowering, table: Value, shape: Shape, kept: int) -> Value:
    """Entries of a table by its first dimensions; the last ones stay."""
    rest = table.dims[len(table.dims) - kept :] if kept else ()
    new: list[Dim] = [copies(length, lowering.sketch) for length in shape[: len(shape) - len(rest)]]
    return table.at([*new, *rest])


@lowers("index", "_unsafe_index", "index_copy_out")
def index(lowering: Lowering, call: Call) -> Result:
    """Entries by lists of indices: along axes that do not grow, any of them."""
    value = lowering.value(call, 0)
    given: tuple[object, ...] = lowering.arg(call, 1)
    picked = [i for i, picks in enumerate(given) if picks is not None]
    growing = [i for i in picked if value.length(i).scales]
    if growing and len(picked) == 1 and _in_another_order(lowering, value, picked[0], given[picked[0]]):
        return replace(reordered(lowering, value, picked[0]), curve=None, piece=None, stat=None)
    if growing:
        raise lowering.unknown(f"entries are picked from an axis of {value.length(growing[0])}, which grows", HOLD)
    return _picked(lowering, value, picked, [given[i] for i in picked], call.shape)


def _in_another_order(lowering: Lowering, value: Value, dim: int, picks: object) -> bool:
    """Whether indices along a dimension are all of it: the same entries in another order, as `flip` gives them."""
    length = picks.shape[0] if isinstance(picks, Constant) and len(picks.shape) == 1 else None
    if length is None or not same(length, value.length(dim)):
        return False
    return isinstance(picks, Constant) and is_order(lowering.record, picks)


def _picked(lowering: Lowering, value: Value, picked: Sequence[int], indices: Sequence[object], shape: Shape) -> Value:
    """Entries by indices along some dimensions: of a weight a look-up, where data give them along one."""
    weights = lowering.of_weights(value)
    chosen = indices[0] if len(indices) == 1 and weights else None
    if isinstance(chosen, Constant) and of_data(lowering, chosen):
        return looked_up(lowering, value, picked[0], chosen.shape)
    return moved_or_dropped(lowering, value, picked, shape)


def moved_or_dropped(lowering: Lowering, value: Value, picked: Sequence[int], shape: Shape) -> Value:
    """A selection; of a weight it is summed over what is selected from, one entry at a time being read."""
    kept = [dim for i, dim in enumerate(value.dims) if i not in picked]
    together = list(picked) == list(range(picked[0], picked[0] + len(picked))) if picked else True
    first = picked[0] if together and picked else 0
    fresh = len(shape) - len(kept)
    if not isinstance(value.source, str):
        new = [copies(length, lowering.sketch) for length in shape[first : first + fresh]]
        return value.at([*kept[:first], *new, *kept[first:]])
    wanted = _known(lowering, shape)
    return rearranged(lowering, _merged(lowering, value), wanted)


def _merged(lowering: Lowering, value: Value) -> Value:
    """Every dimension as one axis."""
    for dim in range(len(value.dims)):
        if value.length(dim).scales:
            value = lowering.sketch.layout.merge(value, dim)
    return replace(value, curve=None, piece=None, stat=None)


@lowers("index_select", "gather", "take_along_dim", "take", "scatter_reduce_gather")
def gather(lowering: Lowering, call: Call) -> Result:
    """Entries along one dimension."""
    value = lowering.value(call, 0)
    dim = lowering.dim(lowering.arg(call, 1, "dim", 0), len(value.dims))
    if value.length(dim).scales:
        if _in_another_order(lowering, value, dim, lowering.arg(call, 2, "index")):
            return replace(reordered(lowering, value, dim), curve=None, piece=None, stat=None)
        if (chosen := _by_values(lowering, value, dim, lowering.arg(call, 2, "index"))) is not None:
            return chosen
        raise lowering.unknown(f"entries are picked from an axis of {value.length(dim)}, which grows", HOLD)
    if not isinstance(value.source, str):
        indices = [lowering.arg(call, 2, "index")] if operation(call.target) == "index_select" else []
        return _picked(lowering, value, [dim], indices, call.shape)
    return lowering.sketch.layout.take(value, dim, call.shape[dim] or ONE)


def _by_values(lowering: Lowering, value: Value, dim: int, places: object) -> Value | None:
    """Entries along an axis that grows, at places that an order of values gives: all of them, or a fixed number."""
    entry = lowering.record.by_name.get(places.ref) if isinstance(places, Constant) else None
    if not isinstance(places, Constant) or len(places.shape) != len(value.dims):
        return None
    count, plain = places.shape[dim], replace(value, curve=None, piece=None, stat=None)
    if places.places is not None and same(places.places.length(len(value.dims)), value.length(dim)):
        return at_places(lowering, plain, places.places, dim, "chosen")
    if count is None or not isinstance(entry, Call) or operation(entry.target) not in ORDERS:
        return None
    if not of_data(lowering, places):
        return None
    if same(count, value.length(dim)):
        return lowering.sketch.unary("leaky_relu", plain, "sorted")
    return (
        None if count.scales else at_places(lowering, plain, places_along(lowering, plain, dim, count), dim, "chosen")
    )


def put_at(lowering: Lowering, call: Call) -> Value | None:
    """A fixed number of entries at places along an axis that grows, and zeros elsewhere; None where it is none."""
    if operation(call.target) not in ("scatter", "scatter_"):
        return None
    base, index = lowering.arg(call, 0), lowering.arg(call, 2, "index")
    places = index.places if isinstance(index, Constant) else None
    if places is None:
        return None
    dim, entries = lowering.dim(lowering.arg(call, 1, "dim"), len(call.shape)), lowering.arg(call, 3, "src")
    if not isinstance(entries, Value):
        hint = "put the entries themselves there: torch.zeros_like(h).scatter(-1, places, h.gather(-1, places))"
        raise lowering.unknown("a mask leaves a fixed number of entries, which grow, where they stand", hint)
    if not (isinstance(base, Constant) and base.number == 0) or len(places.dims) != len(call.shape) + 1:
        hint = "put them among zeros, and add the others"
        raise lowering.unknown("a fixed number of entries is put among others, which grow", hint)
    return put_back(lowering, entries, places, dim)


ORDERS = ("argsort", "sort", "topk", "argmax", "argmin", "max", "min", "kthvalue")


@lowers("topk", "sort", "msort")
def topk(lowering: Lowering, call: Call) -> Result:
    """The largest entries, or all in their order, and where they stand.

    Along an axis that grows, a fixed number of them are look-ups; all of them are what an elementwise function without
    a symmetry makes of as many entries: sorted entries change as the entries do, and in the mean they are not zero.
    """
    value = lowering.value(call, 0)
    name = operation(call.target)
    dim = lowering.dim(lowering.arg(call, 2 if name == "topk" else 1, "dim", -1), len(value.dims))
    plain = replace(value, curve=None, piece=None, stat=None)
    count = call.shape[dim] or ONE
    if not value.length(dim).scales:
        chosen: Value | Constant = lowering.sketch.layout.take(plain, dim, count, "chosen")
    elif name != "topk":
        chosen = lowering.sketch.unary("leaky_relu", plain, "sorted")
    elif not count.scales:
        return _few(lowering, call, plain, dim, count)
    elif only_compared(lowering.record, call) or unread(lowering.record, call):
        chosen = Constant(call.shapes[0])
    else:
        raise lowering.unknown(
            f"the largest {count} of {value.length(dim)} entries, which grow, are not known",
            "leave them in their places, by a threshold that is only compared: h * (h >= h.topk(k).values[..., -1:])",
        )
    return (chosen, *(Constant(shape, discrete=True) for shape in call.shapes[1:])) if len(call.shapes) > 1 else chosen


def _few(lowering: Lowering, call: Call, value: Value, dim: int, count: Length) -> Result:
    """A fixed number of the largest entries, which grow in number, and their places."""
    if only_compared(lowering.record, call):
        said = f"{count} of {value.length(dim)} entries, which grow, are kept by a threshold"
        raise lowering.unknown(said, "put them among zeros: torch.zeros_like(h).scatter(-1, *h.topk(k)[::-1])")
    places = places_along(lowering, value, dim, count)
    chosen = lowering.sketch.unary("abs", at_places(lowering, value, places, dim, "largest"))
    return chosen, Constant(call.shapes[1], discrete=True, ref=call.name, places=places)


@lowers("cumsum", "cumprod", "logcumsumexp")
def cumulated(lowering: Lowering, call: Call) -> Result:
    """Sums over all entries before, along an axis that does not grow."""
    value = lowering.value(call, 0)
    dim = lowering.dim(lowering.arg(call, 1, "dim"), len(value.dims))
    if value.length(dim).scales:
        raise lowering.unknown(f"a running sum over an axis of {value.length(dim)}, which grows, is not known", HOLD)
    return replace(value, curve=None, piece=None, stat=None)


@lowers("scatter", "scatter_add", "index_add", "index_put", "index_put_", "_index_put_impl",
        "scatter_reduce", "index_copy",
        "select_scatter", "masked_scatter", "index_fill", "copy_slice", "diagonal_scatter",
        "_unsafe_index_put", "scatter_")  # fmt: skip
def scattered(lowering: Lowering, call: Call) -> Result:
    """Entries put into others, at places along axes that do not grow: as large as either."""
    if (few := put_at(lowering, call)) is not None:
        return few
    operands = [o for o in lowering.operands((*call.args, *call.kwargs.values())) if isinstance(o, (Value, Loss))]
    wanted = _known(lowering, call.shape)
    parts: list[Value] = []
    for operand in operands:
        if isinstance(operand, Loss):
            return operand
        if len(operand.dims) <= len(wanted):
            operand = lowering.widened(operand, call.shape)
        same_rank = len(operand.dims) == len(wanted)
        equal = same_rank and all(operand.length(i) == length for i, length in enumerate(wanted))
        parts.append(
            operand if equal else rearranged(lowering, _merged(lowering, _padded(operand, len(wanted))), wanted)
        )
    if len(parts) == 1:
        return replace(parts[0], curve=None, piece=None, stat=None)
    letters = [str(i) for i in range(len(wanted))]
    return lowering.sketch.combine("add", [(part, letters) for part in parts], letters, "put")


def _padded(value: Value, rank: int) -> Value:
    return value.at([*[()] * (rank - len(value.dims)), *value.dims])


@lowers("one_hot", "bincount", "argsort", "argmax", "argmin", "nonzero", "searchsorted", "bucketize", "histc")
def indices(lowering: Lowering, call: Call) -> Result:
    """Whole numbers carry no size."""
    numbers = [Constant(shape, discrete=True) for shape in call.shapes]
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


@lowers("full_like", "zeros_like", "ones_like", "empty_like", "rand_like", "randn_like", "new_zeros", "new_ones",
        "new_full", "new_empty", "zero", "fill", "empty_permuted", "normal_functional", "randint_like")  # fmt: skip
def fresh(lowering: Lowering, call: Call) -> Result:
    """Numbers that only take their shape from a tensor."""
    name = operation(call.target)
    number = 1.0 if "ones" in name else 0.0 if "zero" in name else None
    if name in ("full_like", "fill"):
        length = as_length(lowering.arg(call, 1))
        number = length if length is not None and length.scales else length.value({}) if length is not None else None
    return Constant(call.shape, number)


@lowers("slice_scatter")
def slice_scatter(lowering: Lowering, call: Call) -> Result:
    """Entries written into a stretch of a dimension; when all of it is written, that is a concatenation."""
    base, source = lowering.arg(call, 0), lowering.value(call, 1)
    dim = lowering.dim(lowering.arg(call, 2, "dim", 0), len(call.shape))
    whole = call.shape[dim]
    if whole is None or same(source.length(dim), whole):
        return source
    if isinstance(base, Value) or (isinstance(base, Constant) and not whole.scales):
        return scattered(lowering, call)
    earlier = base.parts if isinstance(base, Filling) and base.dim == dim else ()
    parts = (*earlier, (as_length(lowering.arg(call, 3, "start")) or fixed(0), source))
    if same(plus(*(part.length(dim) for _, part in parts)), whole):
        return joined(lowering, [part for _, part in sorted(parts, key=lambda piece: probe(piece[0]))], dim, whole)
    return Filling(call.shape, dim, parts)

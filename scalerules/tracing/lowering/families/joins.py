"""Values side by side: concatenation, stacks, padding."""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.sizes.arithmetic import ONE, fixed, plus, probe, same, times
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call
from scalerules.tracing.sketch.axes import Axis
from scalerules.tracing.sketch.sketch import Sketch
from scalerules.tracing.sketch.sketch_node import SketchNode
from scalerules.tracing.sketch.values import SUIT, Atom, Constant, Dim, Loss, Operand, Result, Value, same_source

from ..state import Lowering, as_length, copies, operation
from ..table import lowers
from .views import viewed


@lowers("cat", "concat", "concatenate", "hstack", "vstack")
def cat(lowering: Lowering, call: Call) -> Result:
    """Side by side along a dimension; the pieces of one value, put together again, are that value."""
    given = list(lowering.arg(call, 0))
    parts = [p for p in given if not _empty(p)] or given
    rank = len(call.shape)
    dim = lowering.dim(lowering.arg(call, 1, "dim", 0), rank)
    if any(isinstance(p, Loss) for p in parts):
        return parts[0]
    if len(parts) == 1:
        return parts[0]
    if (base := _rejoined(parts, dim)) is not None:
        return base
    if (found := _cut_and_piled(lowering, parts)) is not None:
        pile, rest = found
        return pile.at([*rest[:dim], (*pile.dims[0], *rest[dim]), *rest[dim + 1 :]])
    values = [p if isinstance(p, Value) else lowering.constant(p) for p in parts]
    length = call.shape[dim]
    if length is None:
        raise lowering.unknown("a length fits no simple function of the scales", SUIT)
    return joined(lowering, values, dim, length)


def _empty(part: Operand) -> bool:
    if isinstance(part, Value):
        lengths = [part.length(dim) for dim in range(len(part.dims))]
    else:
        lengths = part.shape if isinstance(part, Constant) else ()
    return any(length is not None and not length.scales and length.value({}) == 0 for length in lengths)


def _rejoined(parts: Sequence[Operand], dim: int) -> Value | None:
    """The value that all parts are pieces of, if they cover it; their order and signs may be others."""
    pieces = [p.piece for p in parts if isinstance(p, Value) and p.piece is not None and p.piece.dim == dim]
    if len(pieces) != len(parts) or not pieces:
        return None
    base = pieces[0].base
    if not all(same_source(piece.base, base) for piece in pieces) or len(base.dims) <= dim:
        return None
    starts = {probe(piece.start) for piece in pieces}
    total = plus(*(piece.length for piece in pieces))
    return base.at(base.dims) if len(starts) == len(pieces) and same(total, base.length(dim)) else None


def _cut_and_piled(lowering: Lowering, parts: Sequence[Operand]) -> tuple[Value, tuple[Dim, ...]] | None:
    """All equal stretches of one dimension of a value, in order, as that value: which stretch is its first dimension.

    Heads that are cut out of the width and put along the batch are read in one view, not one by one. With it the
    dimensions behind the first. None where the parts are something else.
    """
    pieces = [p.piece for p in parts if isinstance(p, Value) and p.piece is not None]
    first, count = pieces[0] if pieces else None, len(parts)
    if first is None or len(pieces) != count or count < 2 or first.dim >= len(first.base.dims):
        return None
    base, dim, length = first.base, first.dim, first.length
    alike = all(same_source(p.base, base) and p.dim == dim and same(p.length, length) for p in pieces)
    inside = [probe(times(length, fixed(i))) for i in range(count)]
    if (
        not alike
        or [probe(p.start) for p in pieces] != inside
        or not same(times(length, fixed(count)), base.length(dim))
    ):
        return None
    ranks = {len(p.dims) for p in parts if isinstance(p, Value)}
    if ranks == {len(base.dims)}:
        shape = [base.length(i) for i in range(len(base.dims))]
        base = viewed(lowering, base, (*shape[:dim], fixed(count), length, *shape[dim + 1 :]))
    elif ranks != {len(base.dims) - 1}:
        return None
    rest = (*base.dims[:dim], *base.dims[dim + 1 :])
    return base.at([base.dims[dim], *rest]), rest


def joined(lowering: Lowering, values: Sequence[Value], dim: int, length: Length) -> Value:
    """A concatenation: a node where the axis grows, otherwise the sum of what is put side by side."""
    if not length.scales:
        return _side_by_side(lowering, values, dim, length)
    return _concatenated(lowering, [_with_axis(lowering, value, dim) for value in values], dim, length)


def _with_axis(lowering: Lowering, value: Value, dim: int) -> Value:
    """The value with an axis of its own along a dimension of length 1: a single entry beside others."""
    if value.dims[dim]:
        return value
    axis, slots = Axis(ONE), lowering.sketch.nodes.slots(value.source)
    count = len(slots)
    name = lowering.sketch.nodes.rearranged(value.source, range(count + 1), (*slots, axis), "single")
    dims = list(value.dims)
    dims[dim] = (Atom(axis, count),)
    return Value(name, tuple(dims))


def _side_by_side(lowering: Lowering, values: Sequence[Value], dim: int, length: Length) -> Value:
    """Along an axis that does not grow every part is as large as in the whole."""
    wide = [lowering.sketch.layout.take(value, dim, length, "placed") for value in values]
    letters = [str(i) for i in range(len(values[0].dims))]
    return lowering.sketch.combine("add", [(value, letters) for value in wide], letters, "cat")


def _concatenated(lowering: Lowering, values: Sequence[Value], dim: int, length: Length) -> Value:
    sketch = lowering.sketch
    flat = [sketch.layout.merge(sketch.layout.real(value), dim) for value in values]
    flat = sketch.layout.matched(flat, [i for i in range(len(flat[0].dims)) if i != dim])
    sources = [_joined_last(sketch, value, dim) for value in flat]
    axis, slots = Axis(length), sketch.nodes.slots(sources[0])[:-1]
    node = SketchNode(sketch.nodes.name_here("cat"), "concat", tuple(sources), None, tuple(range(len(slots) + 1)),
                      (*slots, axis), along=len(slots))  # fmt: skip
    places = iter(range(len(slots)))
    dims = [(Atom(axis, len(slots)),) if i == dim else tuple(Atom(atom.axis, next(places)) for atom in atoms)
            for i, atoms in enumerate(flat[0].dims)]  # fmt: skip
    return Value(sketch.nodes.add(node), tuple(dims))


def _joined_last(sketch: Sketch, value: Value, dim: int) -> str:
    """The node of a value whose other dimensions come first, in order, and what is joined last."""
    rest = [a.slot for i, d in enumerate(value.dims) if i != dim for a in d if a.slot is not None]
    order = [*rest, *(a.slot for a in value.dims[dim] if a.slot is not None)]
    slots = sketch.nodes.slots(value.source)
    if order == list(range(len(slots))) and isinstance(value.source, str):
        return value.source
    return sketch.nodes.rearranged(value.source, order, [slots[s] for s in order], "turned")


@lowers("stack")
def stack(lowering: Lowering, call: Call) -> Result:
    """Side by side along a new dimension."""
    parts = list(lowering.arg(call, 0))
    rank = len(call.shape)
    dim = lowering.dim(lowering.arg(call, 1, "dim", 0), rank)
    if any(isinstance(p, Loss) for p in parts):
        return parts[0]
    if (base := _rejoined(parts, dim)) is not None:
        return base
    if (found := _cut_and_piled(lowering, parts)) is not None:
        pile, rest = found
        return pile.at([*rest[:dim], pile.dims[0], *rest[dim:]])
    values = [p if isinstance(p, Value) else lowering.constant(p) for p in parts]
    wide = [value.at([*value.dims[:dim], (), *value.dims[dim:]]) for value in values]
    if len(wide) == 1 and call.shape[dim] == ONE:
        return wide[0]
    return _side_by_side(lowering, wide, dim, call.shape[dim] or fixed(len(wide)))  # of a loop, the first steps


@lowers("block_diag")
def block_diagonal(lowering: Lowering, call: Call) -> Result:
    """Equal blocks along a diagonal: a fixed number of them, each as large as in the whole, and zeros beside it."""
    given = [p if isinstance(p, Value) else lowering.constant(p) for p in lowering.arg(call, 0)]
    blocks = [p.at([*[()] * (2 - len(p.dims)), *p.dims]) for p in given]
    if any(not same(p.length(dim), blocks[0].length(dim)) for p in blocks for dim in (0, 1)):
        raise lowering.unknown("blocks of several sizes along a diagonal are not known", "multiply by each block apart")
    count = fixed(len(blocks))
    placed = [p.at([(*copies(count, lowering.sketch), *dim) for dim in p.dims]) for p in blocks]
    return lowering.sketch.combine("add", [(p, "ij") for p in placed], "ij", "block_diag")


@lowers("constant_pad_nd", "pad", "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d",
        "reflection_pad3d", "replication_pad3d")  # fmt: skip
def padded(lowering: Lowering, call: Call) -> Result:
    """More entries at the ends of axes that do not grow, or zeros beside the entries of those that do."""
    value = lowering.value(call, 0)
    for dim, length in enumerate(call.shape):
        if length is not None and not same(length, value.length(dim)):
            beside = _zeros_beside(lowering, call, dim) if length.scales else []
            if beside:
                before, after = ([lowering.constant(_filled(value, dim, each))] if each else [] for each in beside)
                value = joined(lowering, [*before, value, *after], dim, length)
            else:
                value = lowering.sketch.layout.take(value, dim, length, "padded")
    return value


def _zeros_beside(lowering: Lowering, call: Call, dim: int) -> list[Length | None]:
    """How many zeros stand in front of a dimension and behind it (None: none); nothing where other entries do."""
    general = operation(call.target) == "pad"
    mode, number = lowering.arg(call, 2, "mode", "constant") if general else "constant", 3 if general else 2
    if mode != "constant" or lowering.arg(call, number, "value", 0) not in (None, 0):
        return []
    amounts = list(lowering.arg(call, 1, "pad"))
    place = 2 * (len(call.shape) - 1 - dim)
    lengths = [as_length(amount) for amount in amounts[place : place + 2]]
    if len(lengths) < 2 or any(length is None or min(probe(length)) < 0 for length in lengths):
        return []
    return [None if max(probe(length)) == 0 else length for length in lengths if length is not None]


def _filled(value: Value, dim: int, length: Length) -> Constant:
    """As many zeros along a dimension beside a value."""
    shape = [length if i == dim else value.length(i) for i in range(len(value.dims))]
    return Constant(tuple(shape), 0.0)

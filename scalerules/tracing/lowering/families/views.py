"""Views, copies, slices, joins and shifts: what changes only where entries stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from scalerules.sizes.arithmetic import ONE, constant, fixed, is_one, negative, over, probe, product, same
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call, Shape
from scalerules.tracing.sketch.axes import Axis
from scalerules.tracing.sketch.put_together import stretches
from scalerules.tracing.sketch.values import APART, SUIT, Atom, Constant, Dim, Piece, Result, Value

from ..state import Lowering, as_length, copies, number, operation
from ..table import lowers

END = 2**62


@lowers("clone", "contiguous", "alias", "_to_copy", "to", "dropout", "native_dropout", "lift_fresh_copy",
        "feature_dropout", "alpha_dropout", "dropout_", "type_as", "positive", "copy", "bernoulli", "identity",
        "checkpoint_name", "wait_tensor", "fake_quantize_per_tensor_affine_cachemask",
        "fake_quantize_per_channel_affine_cachemask")  # fmt: skip
def kept(lowering: Lowering, call: Call) -> Result:
    """The same entries (dropout keeps their size, and so does the nearest of many levels)."""
    operand = lowering.arg(call, 1 if operation(call.target) == "copy" else 0, "input")
    if isinstance(operand, Constant):
        return Constant(call.shape, operand.number, operand.discrete)
    return (operand, Constant(call.shapes[1])) if len(call.shapes) > 1 else operand


@lowers("detach")
def detached(lowering: Lowering, call: Call) -> Result:
    """The same entries, through which no gradient comes back."""
    operand = kept(lowering, call)
    if not isinstance(operand, Value) or operand.stat is not None:
        return operand
    return lowering.sketch.unary("stop_gradient", operand, "detached")


@lowers("view", "reshape", "_unsafe_view", "flatten", "unflatten", "view_copy", "_reshape_alias", "reshape_as", "ravel")
def view(lowering: Lowering, call: Call) -> Result:
    """The same entries under other dimensions: factors are merged without a node, and split where they have to be."""
    return viewed(lowering, lowering.value(call, 0), call.shape)


def viewed(lowering: Lowering, value: Value, shape: Shape) -> Value:
    """A value under the dimensions of `shape`."""
    wanted: list[Length] = []
    for length in shape:
        if length is None:
            raise lowering.unknown("a length fits no simple function of the scales", SUIT)
        wanted.append(length)
    value = value.at([tuple(atom for dim in value.dims for atom in dim)])  # all factors in one row
    dims: list[Dim] = []
    done = 0
    for length in wanted:
        rest, first = length, done
        while not is_one(rest):
            if done >= len(value.dims[0]):
                raise lowering.unknown(f"cannot view it as {length} entries", SUIT)
            atom = value.dims[0][done]
            if not same(atom.axis.length, rest) and probe(atom.axis.length) > probe(rest):
                other = over(atom.axis.length, rest)
                if other is None or (constant(other) or 1) != round(constant(other) or 1):
                    return _mixed(lowering, value, wanted)
                value = lowering.sketch.layout.split(value, 0, done, (rest, other))
                atom = value.dims[0][done]
            left = over(rest, atom.axis.length)
            if left is None or (constant(left) or 1) != round(constant(left) or 1):
                return _mixed(lowering, value, wanted)
            rest = left
            done += 1
        dims.append((first, done))  # type: ignore[arg-type]
    atoms = value.dims[0]
    return value.at([atoms[first:last] for first, last in dims])  # type: ignore[misc]


def _mixed(lowering: Lowering, value: Value, wanted: Sequence[Length]) -> Value:
    """A view that cuts across factors: all that is not a growing axis of its own is arranged anew."""
    growing = [atom for atom in value.dims[0] if atom.axis.length.scales]
    grown = [length for length in wanted if length.scales]
    whole = len(growing) == len(grown) and all(same(a.axis.length, b) for a, b in zip(growing, grown, strict=True))
    if not whole:
        raise lowering.unknown(
            f"cannot view {product(a.axis.length for a in value.dims[0])} entries across axes", APART
        )
    return rearranged(lowering, value, wanted)


def rearranged(lowering: Lowering, value: Value, wanted: Sequence[Length]) -> Value:
    """The value with the growing axes kept, in order, and new fixed ones."""
    value = lowering.sketch.layout.real(value)
    slots = lowering.sketch.nodes.slots(value.source)
    growing = [atom for dim in value.dims for atom in dim if atom.axis.length.scales]
    grown = [length for length in wanted if length.scales]
    if len(growing) != len(grown) or not all(same(a.axis.length, b) for a, b in zip(growing, grown, strict=True)):
        raise lowering.unknown("entries are put along an axis that grows in a way that is not known", APART)
    result: list[int] = []
    new: list[Axis] = []
    dims: list[Dim] = []
    fresh = len(slots)
    for length in wanted:
        if is_one(length):
            dims.append(())
            continue
        if length.scales:
            atom = growing.pop(0)
            assert atom.slot is not None
            result.append(atom.slot)
            new.append(atom.axis)
        else:
            result.append(fresh)
            new.append(Axis(length))
            fresh += 1
        dims.append((Atom(new[-1], len(new) - 1),))
    return Value(lowering.sketch.nodes.rearranged(value.source, result, new, "arranged"), tuple(dims))


@lowers("unsqueeze")
def unsqueeze(lowering: Lowering, call: Call) -> Result:
    """One more dimension of length 1."""
    value = lowering.value(call, 0)
    dim = lowering.dim(call.args[1], len(value.dims) + 1)
    moved = value.at([*value.dims[:dim], (), *value.dims[dim:]])
    return moved if value.piece is None else replace(moved, piece=_moved_piece(value.piece, dim))


def _moved_piece(piece: Piece, dim: int) -> Piece | None:
    """A piece with one more dimension; None where its base would have to be viewed too (done by the join instead)."""
    return Piece(piece.base, piece.dim + (dim <= piece.dim), piece.start, piece.length)


@lowers("squeeze")
def squeeze(lowering: Lowering, call: Call) -> Result:
    """The same entries without dimensions of length 1."""
    value = lowering.value(call, 0)
    if len(call.args) < 2:
        return value.at([dim for dim in value.dims if dim])
    asked = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    gone = {lowering.dim(d, len(value.dims)) for d in asked}
    return value.at([dim for i, dim in enumerate(value.dims) if i not in gone or dim])


@lowers("permute", "permute_copy")
def permute(lowering: Lowering, call: Call) -> Result:
    """The dimensions in another order."""
    value = lowering.value(call, 0)
    order = call.args[1]
    assert isinstance(order, tuple)
    return value.at([value.dims[lowering.dim(d, len(value.dims))] for d in order])


@lowers("movedim", "moveaxis")
def movedim(lowering: Lowering, call: Call) -> Result:
    """Dimensions moved to other places."""
    value = lowering.value(call, 0)
    rank = len(value.dims)
    pairs = [c if isinstance(c, tuple) else (c,) for c in call.args[1:3]]
    sources = [lowering.dim(d, rank) for d in pairs[0]]
    targets = [lowering.dim(d, rank) for d in pairs[1]]
    rest = [i for i in range(rank) if i not in sources]
    order: list[int] = []
    for i in range(rank):
        order.append(sources[targets.index(i)] if i in targets else rest.pop(0))
    return value.at([value.dims[i] for i in order])


@lowers("transpose", "swapaxes", "transpose_copy")
def transpose(lowering: Lowering, call: Call) -> Result:
    """Two dimensions exchanged."""
    value = lowering.value(call, 0)
    a, b = (lowering.dim(d, len(value.dims)) for d in call.args[1:3])
    dims = list(value.dims)
    dims[a], dims[b] = dims[b], dims[a]
    return value.at(dims)


@lowers("t", "numpy_T", "mT", "matrix_H", "adjoint")
def turned(lowering: Lowering, call: Call) -> Result:
    """The last two dimensions exchanged."""
    value = lowering.value(call, 0)
    return value.at([*value.dims[:-2], *value.dims[-2:][::-1]])


@lowers("expand", "expand_as", "broadcast_to", "expand_copy")
def expand(lowering: Lowering, call: Call) -> Result:
    """Copies along dimensions of length 1."""
    return lowering.widened(lowering.value(call, 0), call.shape)


@lowers("broadcast_tensors")
def broadcast(lowering: Lowering, call: Call) -> Result:
    """Every tensor with copies along the dimensions that others have."""
    operands, shapes = list(lowering.arg(call, 0)), call.shapes
    pairs = zip(operands, shapes, strict=True)
    return tuple(lowering.widened(o, shape) if isinstance(o, Value) else replace(o, shape=shape) for o, shape in pairs)


@lowers("repeat", "tile")
def repeat(lowering: Lowering, call: Call) -> Result:
    """Copies one after the other along a dimension."""
    value = lowering.value(call, 0)
    dims: list[Dim] = [() for _ in range(len(call.shape) - len(value.dims))] + list(value.dims)
    counts = [as_length(count) for count in call.args[1]] if isinstance(call.args[1], tuple) else []
    counts = [ONE] * (len(dims) - len(counts)) + [count or ONE for count in counts]
    dims = [(*copies(count, lowering.sketch), *dim) for count, dim in zip(counts, dims, strict=True)]
    return value.at(dims)


@lowers("repeat_interleave")
def repeat_interleave(lowering: Lowering, call: Call) -> Result:
    """Copies of every entry along a dimension."""
    value = lowering.value(call, 0)
    asked = lowering.arg(call, 2, "dim")
    dim = lowering.dim(asked, len(value.dims)) if asked is not None else 0
    total, length = call.shape[dim], value.length(dim)
    count = over(total, length) if total is not None else None
    if count is None or (constant(count) or 1) != round(constant(count) or 1):
        return lowering.sketch.layout.take(value, dim, total or ONE)
    dims = list(value.dims)
    dims[dim] = (*dims[dim], *copies(count, lowering.sketch))
    return value.at(dims)


@lowers("roll", "flip", "fliplr", "flipud", "rot90")
def shifted(lowering: Lowering, call: Call) -> Result:
    """The same entries in another order along an axis."""
    value, place = lowering.value(call, 0), 2 if operation(call.target) == "roll" else 1
    dims: object = lowering.arg(call, place, "dims", ())
    for dim in cast("Sequence[object]", dims) if isinstance(dims, (list, tuple)) else ():
        value = reordered(lowering, value, lowering.dim(dim, len(value.dims)))
    return value


def reordered(lowering: Lowering, value: Value, dim: int) -> Value:
    """The same entries in another order: where parts lie that the dimension was put together of is not known then."""
    atoms = value.dims[dim]
    slots = [atom.slot for atom in atoms if atom.slot is not None]
    if any(len(stretches(lowering.sketch.nodes, value.source, slot)) > 1 for slot in slots):
        return lowering.sketch.layout.arranged(value, dim, (Axis(value.length(dim)),), "ordered")
    return value


@lowers("unfold", "unfold_copy")
def unfold(lowering: Lowering, call: Call) -> Result:
    """Windows along an axis that does not grow: one more dimension, the last."""
    value = lowering.value(call, 0)
    dim = lowering.dim(call.args[1], len(value.dims))
    taken = lowering.sketch.layout.take(value, dim, call.shape[dim] or ONE, "windows")
    return lowering.widened(taken.at([*taken.dims, ()]), call.shape)


@lowers("view_as_complex")
def view_as_complex(lowering: Lowering, call: Call) -> Result:
    """Pairs as complex numbers: the dimension of 2 is kept inside of the last one."""
    value = lowering.value(call, 0)
    return value.at([*value.dims[:-2], (*value.dims[-2], *value.dims[-1])])


@lowers("view_as_real", "view_as_real_copy")
def view_as_real(lowering: Lowering, call: Call) -> Result:
    """Complex numbers as pairs: those that they were made of, else two numbers as large as each of them."""
    value = lowering.value(call, 0)
    last = value.dims[-1] if value.dims else ()
    if last and not same(value.length(len(value.dims) - 1), call.shape[-2] or ONE):
        return value.at([*value.dims[:-1], last[:-1], last[-1:]])
    return value.at([*value.dims, copies(fixed(2), lowering.sketch)])


@lowers("diag_embed", "diag")
def diagonal_matrix(lowering: Lowering, call: Call) -> Result:
    """A vector of weights as a matrix: times an identity. Of a matrix its diagonal."""
    value = lowering.value(call, 0)
    if len(value.dims) != 1 or not value.length(0).scales:
        return diagonal(lowering, call)
    if not lowering.of_weights(value):
        hint = "multiply by the vector itself: x * d for x @ diag(d)"
        raise lowering.unknown("a diagonal matrix of data along axes that grow is not known", hint)
    one = lowering.identity(value.length(0), value.length(0))
    return lowering.sketch.combine("einsum", [(value, "i"), (one, "ij")], "ij", "diag")


@lowers("diagonal", "trace")
def diagonal(lowering: Lowering, call: Call) -> Result:
    """The entries of two dimensions whose indices agree, or their sum: times an identity."""
    value = lowering.value(call, 0)
    rank, view = len(value.dims), operation(call.target) == "diagonal"
    places = (lowering.arg(call, 2, "dim1", 0), lowering.arg(call, 3, "dim2", 1)) if view else (0, 1)
    one, other = (lowering.dim(place, rank) for place in places)
    if not any(value.length(dim).scales for dim in range(rank)):
        return lowering.relabelled(value, call.shape)
    if not (value.length(one).scales and value.length(other).scales):
        raise lowering.unknown("a diagonal along one axis that grows is not known", "write it as an einsum, or a mask")
    letters = [str(i) for i in range(rank)]
    matrix = lowering.identity(value.length(one), value.length(other)), [letters[one], letters[other]]
    kept = [x for i, x in enumerate(letters) if i not in (one, other)] + [letters[one]]
    return lowering.sketch.combine("einsum", [(value, letters), matrix], kept[: len(call.shape)], "diagonal")


@lowers("tril", "triu", "masked_select", "unsafe_masked_index")
def part_of(lowering: Lowering, call: Call) -> Result:
    """Some entries are left out."""
    value = lowering.value(call, 0)
    return value if len(call.shape) == len(value.dims) else lowering.relabelled(value, call.shape)


assert negative and number and END

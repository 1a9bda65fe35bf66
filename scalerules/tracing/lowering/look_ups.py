"""Rows that whole numbers of the data choose: a look-up, however it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scalerules.sizes.arithmetic import ONE
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call, Input, Shape
from scalerules.tracing.sketch.values import SUIT, Constant, Put, Value

from .buffers import DISCRETE
from .state import Lowering, operation


def looked_up(lowering: Lowering, table: Value, dim: int, shape: Shape) -> Value:
    """Entries of a table along one dimension, by indices of this shape, which take its place."""
    letters = [str(i) for i in range(len(table.dims))]
    batch = [f"b{i}" for i in range(len(shape))]
    tokens = _tokens(lowering, (*shape, table.length(dim)))
    operands = [(tokens, [*batch, str(dim)]), (table, letters)]
    return lowering.sketch.combine("einsum", operands, [*letters[:dim], *batch, *letters[dim + 1 :]])


def chosen_rows(
    lowering: Lowering, constant: Constant, letters: Sequence[str], weights: Sequence[Sequence[str]],
    result: Sequence[str],
) -> tuple[Value, Sequence[str]] | None:  # fmt: skip
    """Whole numbers of the data as tokens, where one axis of them is summed over with a weight; else None.

    `weights`: the letters of the weights of the product.
    """
    summed = [letter for letter in letters if letter not in result and any(letter in each for each in weights)]
    if constant.number is not None or len(summed) != 1 or not of_data(lowering, constant):
        return None
    order = [*(letter for letter in letters if letter != summed[0]), *summed]
    lengths = dict(zip(letters, constant.shape, strict=True))
    if any(length is None or length.scales for length in lengths.values()):
        return None
    return _tokens(lowering, [lengths[letter] for letter in order]), order


def of_data(lowering: Lowering, constant: Constant) -> bool:
    """Whether a constant depends on whole numbers that are an input or that values decide: each example has its own."""
    stack, seen = [constant.ref], set[str]()
    while stack:
        name = stack.pop()
        entry = lowering.record.by_name.get(name) if name not in seen else None
        seen.add(name)
        if isinstance(entry, Input) and entry.dtype.startswith(DISCRETE):
            return True
        if isinstance(entry, Call) and not operation(entry.target).endswith("_like"):
            read = [ref.name for ref in entry.reads()]
            if any(isinstance(lowering.results.get(each), Value) for each in read):
                return not operation(entry.target).startswith("new_")  # of these only the shape is read
            stack += read
    return False


def _tokens(lowering: Lowering, shape: Sequence[Length | None]) -> Value:
    known = [length or ONE for length in shape]
    if None in shape:
        raise lowering.unknown("a length fits no simple function of the scales", SUIT)
    return lowering.sketch.data(lowering.sketch.nodes.name_here("tokens"), known, "tokens")


def places_along(lowering: Lowering, value: Value, dim: int, count: Length) -> Value:
    """For each of `count` entries along a dimension its place, as tokens: other dimensions, entries, the dimension."""
    others = [value.length(i) for i in range(len(value.dims)) if i != dim]
    name = lowering.sketch.nodes.name_here("place")
    return lowering.sketch.data(name, [*others, count, value.length(dim)], "tokens", fixed=True)


def at_places(lowering: Lowering, value: Value, places: Value, dim: int, short: str, *, put: bool = False) -> Value:
    """The entries at places along a dimension; or, to `put` them there, entries that are so many as zeros elsewhere."""
    letters = [str(i) for i in range(len(value.dims))]
    chosen = [letter if i != dim else "chosen" for i, letter in enumerate(letters)]
    row = [*(letter for i, letter in enumerate(letters) if i != dim), "chosen", letters[dim]]
    front, behind = (chosen, letters) if put else (letters, chosen)
    return lowering.sketch.combine("einsum", [(value, front), (places, row)], behind, short)


def put_back(lowering: Lowering, entries: Value, places: Value, dim: int) -> Value:
    """A fixed number of entries at their places, zeros elsewhere."""
    plain = replace(entries, curve=None, piece=None, stat=None)
    value = at_places(lowering, plain, places, dim, "put", put=True)
    lowering.put[str(value)] = Put(value, entries, places, dim)
    return value

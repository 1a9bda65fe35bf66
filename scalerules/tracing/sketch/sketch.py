"""A graph under construction: nodes whose operands are labelled axis by axis, before the axes have names.

Everything that lowering emits goes through `Sketch.combine` (einsum, add) and a few nodes of one operand.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from scalerules.sizes.arithmetic import is_one
from scalerules.sizes.lengths import Length

from .axes import Axis
from .layout import Layout
from .nodes import Nodes
from .sketch_node import SketchNode
from .values import Atom, Dim, Value
from .weight_parts import WeightParts


class Sketch:
    """The nodes so far, the layout of values in them, and the parts of weights that they read.

    `whole_weights` are the names of weights of which no parts are made.
    """

    def __init__(self, whole_weights: frozenset[str] = frozenset()) -> None:
        self.nodes = Nodes()
        self.parts = WeightParts(self.nodes, whole_weights)
        self.layout = Layout(self.nodes, self.parts)

    @contextmanager
    def attempt(self) -> Generator[None]:
        """What is added in the block stays only if the block ends without an error."""
        with kept_if_done(self.nodes.by_name, self.parts.changes, self.layout.cuts):
            yield

    # --- no operand, or one ------------------------------------------------------------------------

    def data(self, name: str, axes: Sequence[Length | Axis], kind: str = "normal", fixed: bool = False) -> Value:
        """An input: data with these axes, or entries that are `fixed` and count as such."""
        dims: list[Dim] = []
        slots: list[Axis] = []
        for axis in (axis if isinstance(axis, Axis) else Axis(axis) for axis in axes):
            if is_one(axis.length):
                dims.append(())
            else:
                dims.append((Atom(axis, len(slots)),))
                slots.append(axis)
        labels = tuple(range(len(slots)))
        name, fields = self.nodes.free_name(name), {"kind": kind}
        node = SketchNode(name, "input", (), None, labels, tuple(slots), fields=fields, fixed=fixed)
        return Value(self.nodes.add(node), tuple(dims))

    def constant(self) -> Value:
        """A fixed number of order one."""
        return Value(self.nodes.add(SketchNode(self.nodes.name_here("constant"), "constant", (), None, (), ())), ())

    def unary(self, op: str, value: Value, short: str | None = None, **fields: Any) -> Value:
        """A node with one operand and the same axes."""
        return self._unary(op, value, short, None, fields)

    def _unary(self, op: str, value: Value, short: str | None, along: int | None, fields: dict[str, Any]) -> Value:
        slots = self.nodes.slots(value.source)
        node = SketchNode(self.nodes.name_here(short or op), op, (value.source,), None, tuple(range(len(slots))), slots,
                          along=along, fields=fields)  # fmt: skip
        return Value(self.nodes.add(node), value.dims)

    def scale(self, value: Value, factor: Length, short: str = "scale") -> Value:
        """Times a number that varies with the scales."""
        return self.unary("scale", value, short, factor=factor) if factor.scales else value

    def along(self, op: str, value: Value, dim: int, short: str | None = None, **fields: Any) -> Value:
        """A node that works along one dimension (a norm, a softmax): of one atom, the one that grows where there is."""
        value = self.layout.real(value, dim)
        atoms = value.dims[dim]
        if len([atom for atom in atoms if atom.axis.length.scales]) > 1:
            value = self.layout.merge(value, dim)
            atoms = value.dims[dim]
        slots = self.nodes.slots(value.source)
        chosen = next((a for a in atoms if a.axis.length.scales), atoms[0] if atoms else None)
        if chosen is None or chosen.slot is None:
            if not slots or slots[-1].length.scales:
                return value
            chosen = Atom(slots[-1], len(slots) - 1)
        if chosen.axis.length.scales and sum(axis.whole is chosen.axis.whole for axis in slots) > 1:
            value = self._renamed(value, chosen)
        return self._unary(op, value, short, chosen.slot, fields)

    def _renamed(self, value: Value, atom: Atom) -> Value:
        """A value that has the same growing axis twice, with a new one in place of `atom`."""
        slots = [Axis(atom.axis.length) if i == atom.slot else axis
                 for i, axis in enumerate(self.nodes.slots(value.source))]  # fmt: skip
        name = self.nodes.rearranged(value.source, range(len(slots)), slots, "apart")
        return Value(name, tuple(tuple(a if a.slot is None else Atom(slots[a.slot], a.slot) for a in dim)
                                 for dim in value.dims))  # fmt: skip

    def ordered(self, value: Value, axes: Sequence[Axis] | None = None, short: str = "turned") -> str:
        """The node of a value with one axis per dimension, in order.

        Dimensions of length 1 are left out, unless `axes` says which axes they all have to be.
        """
        value = self.layout.real(value)
        for dim in range(len(value.dims)):
            value = self.layout.merge(value, dim)
        count = len(self.nodes.slots(value.source))
        order: list[int] = []
        new: list[Axis] = []
        for i, dim in enumerate(value.dims):
            if dim and dim[0].slot is not None:
                order.append(dim[0].slot)
                new.append(dim[0].axis)
                if axes is not None:
                    dim[0].axis.join(axes[i])
            elif axes is not None:
                order.append(count + i)
                new.append(axes[i])
        unchanged = order == list(range(count))
        if unchanged and isinstance(value.source, str) and self.nodes[value.source].body == self.nodes.body:
            return value.source
        return self.nodes.rearranged(value.source, order, new, short)

    # --- several operands --------------------------------------------------------------------------

    def combine(
        self, op: str, operands: Sequence[tuple[Value, Sequence[str]]], result: Sequence[str], short: str | None = None
    ) -> Value:
        """`einsum` or `add` of operands with a letter per dimension; letters that `result` lacks are summed over."""
        letters = [tuple(names) for _, names in operands]
        values = self.layout.aligned([value for value, _ in operands], letters)
        labels = _Labels(self.nodes)
        rows = [labels.of(value, names) for value, names in zip(values, letters, strict=True)]
        order: list[int] = []
        dims = tuple(labels.dim(letter, order) for letter in result)
        slots = tuple(labels.axes[label] for label in order)
        sources = tuple(value.source for value in values)
        node = SketchNode(self.nodes.name_here(short or op), op, sources, tuple(rows), tuple(order), slots)
        value = Value(self.nodes.add(node), dims)
        for axis in labels.copied(result):  # a sum over copies
            value = self.scale(value, axis.length, "copies")
        return value


class _Labels:
    """The labels of the axes of several operands: axes that one letter matches factor by factor share one."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.numbers: dict[tuple[str, int], int] = {}
        self.axes: dict[int, Axis] = {}
        self.real: set[int] = set()
        """Labels of axes that some operand has; along the others all are copied."""
        self.operands = 0

    def of(self, value: Value, letters: Sequence[str]) -> tuple[int, ...]:
        """The labels of the axes of an operand, in their order in its source."""
        row: dict[int, int] = {}
        for letter, dim in zip(letters, value.dims, strict=True):
            for index, atom in enumerate(dim):
                label = self._label(letter, index, atom.axis)
                if atom.slot is not None:
                    row[atom.slot] = label
        for slot, axis in enumerate(self.nodes.slots(value.source)):
            if slot not in row:  # one entry at a time is read along it
                row[slot] = self._label(f"{self.operands}!{slot}", 0, axis)
        self.operands += 1
        self.real.update(row.values())
        return tuple(row[slot] for slot in range(len(row)))

    def _label(self, letter: str, index: int, axis: Axis) -> int:
        label = self.numbers.setdefault((letter, index), len(self.numbers))
        self.axes.setdefault(label, axis).join(axis)
        return label

    def dim(self, letter: str, order: list[int]) -> Dim:
        """The dimension of the result that a letter is; the labels of its axes are put behind `order`."""
        atoms: list[Atom] = []
        while (label := self.numbers.get((letter, len(atoms)))) is not None:
            real = label in self.real
            atoms.append(Atom(self.axes[label], len(order) if real else None))
            if real:
                order.append(label)
        return tuple(atoms)

    def copied(self, result: Sequence[str]) -> list[Axis]:
        """The axes that are summed over and that no operand has."""
        return [self.axes[label] for (letter, _), label in self.numbers.items()
                if letter not in result and label not in self.real]  # fmt: skip


@contextmanager
def kept_if_done(*tables: dict[Any, Any]) -> Generator[None]:
    """Tables that are as before if the block ends in an error."""
    before = [dict(table) for table in tables]
    try:
        yield
    except BaseException:
        for table, entries in zip(tables, before, strict=True):
            table.clear()
            table.update(entries)
        raise

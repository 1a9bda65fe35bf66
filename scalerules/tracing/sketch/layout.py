"""How the dimensions of values lie in their nodes: cut into factors, merged, copied, taken in part, matched."""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.sizes.arithmetic import fixed, is_one, over, probe, same
from scalerules.sizes.lengths import Length

from .axes import Axis
from .nodes import Nodes
from .sketch_node import SketchNode, Split, Stretch
from .values import HOLD, PARTS, SUIT, Atom, Dim, Factor, Part, Source, Value, moved
from .weight_parts import WeightParts


class Layout:
    """Values with other dimensions. What is needed for them is added to `nodes`, parts of weights to `parts`."""

    def __init__(self, nodes: Nodes, parts: WeightParts) -> None:
        self.nodes, self.parts = nodes, parts
        self.cuts: dict[tuple[object, ...], tuple[Axis, ...]] = {}
        """The factors of axes that were cut, and the axes that factors were merged into."""

    def split(self, value: Value, dim: int, index: int, lengths: Sequence[Length]) -> Value:
        """A factor of a dimension split into several."""
        lengths = [length for length in lengths if not is_one(length)]
        atom = value.dims[dim][index]
        if len(lengths) < 2:
            return value
        if atom.slot is None:
            parts = tuple(Atom(Axis(length), None) for length in lengths)
            return value.at(_replaced(value.dims, dim, index, parts))
        axes = self._cut(atom.axis, tuple(lengths))
        if isinstance(value.source, Part) and self.parts.cuts(value.source, atom.slot):
            factors = [Factor(axis, axis.length) for axis in axes]
            return self._spliced(value, value.source.with_factors(atom.slot, factors), atom.slot, axes)
        change = Split(tuple(lengths))
        if change.makes_matrix:  # where weights make it as one row, they make it as a matrix
            changed = self.parts.changed(value.source, atom.slot, change)
            if changed is not None:
                source, count = changed
                made = self.nodes.slots(source)[atom.slot : atom.slot + count]
                return self._spliced(value, source, atom.slot, made)
        slots = self.nodes.slots(value.source)
        labels, fresh = range(len(slots)), range(len(slots), len(slots) + len(axes))
        result = (*labels[: atom.slot], *fresh, *labels[atom.slot + 1 :])
        new = (*slots[: atom.slot], *axes, *slots[atom.slot + 1 :])
        return self._spliced(value, self.nodes.rearranged(value.source, result, new, "split"), atom.slot, axes)

    def _spliced(self, value: Value, source: Source, slot: int, axes: Sequence[Axis]) -> Value:
        """The value read from `source`, in which `axes` stand in place of a slot."""
        dims: list[Dim] = []
        for dim in value.dims:
            atoms: list[Atom] = []
            for atom in dim:
                if atom.slot == slot:
                    atoms.extend(Atom(axis, slot + i) for i, axis in enumerate(axes))
                elif atom.slot is not None and atom.slot > slot:
                    atoms.append(Atom(atom.axis, atom.slot + len(axes) - 1))
                else:
                    atoms.append(atom)
            dims.append(tuple(atoms))
        there = self.nodes.slots(source)
        for atom in (atom for dim in dims for atom in dim if atom.slot is not None):
            there[atom.slot or 0].join(atom.axis)
        return Value(source, tuple(dims))

    def _cut(self, axis: Axis, lengths: tuple[Length, ...]) -> tuple[Axis, ...]:
        """The factors of an axis; the same ones every time that it is cut so."""
        key = (id(axis.whole), *(probe(length) for length in lengths))
        if key not in self.cuts:
            self.cuts[key] = tuple(Axis(length) for length in lengths)
            self.cuts[tuple(id(part.whole) for part in self.cuts[key])] = (axis,)
        return self.cuts[key]

    def merge(self, value: Value, dim: int) -> Value:
        """The value with a dimension of several factors merged into one axis."""
        atoms = value.dims[dim]
        if len(atoms) < 2:
            return value
        if all(atom.slot is None for atom in atoms):
            return value.at(_replaced(value.dims, dim, 0, (Atom(Axis(value.length(dim)), None),), drop=len(atoms)))
        key = tuple(id(atom.axis.whole) for atom in atoms)
        whole = self.cuts.get(key, (Axis(value.length(dim)),))[0]
        self.cuts[key] = (whole,)
        return self.arranged(value, dim, (whole,), "merged")

    def arranged(self, value: Value, dim: int, axes: Sequence[Axis], short: str) -> Value:
        """A dimension with new axes in place of its factors; what they are merged from or split into follows."""
        slots = self.nodes.slots(value.source)
        gone = [atom.slot for atom in value.dims[dim] if atom.slot is not None]
        first = min(gone, default=len(slots))
        kept = [slot for slot in range(len(slots)) if slot not in gone]
        before, behind = [slot for slot in kept if slot < first], [slot for slot in kept if slot >= first]
        axes = [axis for axis in axes if not is_one(axis.length)]
        fresh = range(len(slots), len(slots) + len(axes))
        result = [*before, *fresh, *behind]
        name = self.nodes.rearranged(
            value.source, result, [*(slots[s] for s in before), *axes, *(slots[s] for s in behind)], short
        )
        dim_of_new = tuple(Atom(axis, result.index(label)) for axis, label in zip(axes, fresh, strict=True))
        dims = moved((*value.dims[:dim], (), *value.dims[dim + 1 :]), result.index)
        return Value(name, (*dims[:dim], dim_of_new, *dims[dim + 1 :]))

    def real(self, value: Value, dim: int | None = None) -> Value:
        """The value with axes along which it is copied written out."""
        dims = [dim] if dim is not None else list(range(len(value.dims)))
        if not any(atom.slot is None for d in dims for atom in value.dims[d]):
            return value
        slots = self.nodes.slots(value.source)
        result, new, changed = [*range(len(slots))], [*slots], list(value.dims)
        for d in dims:
            atoms: list[Atom] = []
            for atom in value.dims[d]:
                if atom.slot is None:
                    atoms.append(Atom(atom.axis, len(result)))
                    result.append(len(result))
                    new.append(atom.axis)
                else:
                    atoms.append(atom)
            changed[d] = tuple(atoms)
        return Value(self.nodes.rearranged(value.source, result, new, "copied"), tuple(changed))

    def take(self, value: Value, dim: int, length: Length, short: str = "taken") -> Value:
        """Other entries along a dimension that does not grow: selected, padded, shifted, pooled."""
        if value.length(dim).scales and not same(value.length(dim), length):
            raise self.nodes.unknown(f"cannot follow a selection from an axis of {value.length(dim)} entries", HOLD)
        if not value.dims[dim] and is_one(length):
            return value
        if all(atom.slot is None for atom in value.dims[dim]):
            return value.at(_replaced(value.dims, dim, 0, _copies(length), drop=len(value.dims[dim])))
        if same(value.length(dim), length):
            return value
        return self.arranged(value, dim, (Axis(length),), short)

    def stretch(self, value: Value, dim: int, start: Length, length: Length) -> Value:
        """The entries from `start` on along a dimension: read from parts of the weights that make them if possible."""
        total = value.length(dim)
        if same(total, length):
            return value
        atoms = value.dims[dim]
        if all(atom.slot is None for atom in atoms):
            return value.at(_replaced(value.dims, dim, 0, _copies(length), drop=len(atoms)))
        if len(atoms) == 1 and atoms[0].slot is not None:
            slot, changed = atoms[0].slot, self.parts.changed(value.source, atoms[0].slot, Stretch(start, length))
            if changed is not None:
                source, count = changed
                axes = self.nodes.slots(source)[slot : slot + count]
                return self._spliced(value, source, slot, axes)
        if not total.scales:
            return self.take(value, dim, length)
        return self._sliced(self.merge(self.real(value, dim), dim), dim, start, length)

    def few(self, value: Value, dim: int, length: Length) -> Value:
        """A fixed number of the entries along a dimension that grows, wherever they stand."""
        return self._sliced(self.merge(self.real(value, dim), dim), dim, fixed(0), length)

    def _sliced(self, value: Value, dim: int, start: Length, length: Length) -> Value:
        """A slice node, which works on the last axis."""
        if isinstance(value.source, Part):
            name = value.source.weight.name
            raise self.nodes.unknown(f"a part of the weight {name!r} is read, and all of it elsewhere", PARTS)
        slots, (atom,) = self.nodes.slots(value.source), value.dims[dim]
        assert atom.slot is not None
        order = [*(s for s in range(len(slots)) if s != atom.slot), atom.slot]
        source: Source = value.source
        if order != list(range(len(slots))):
            source = self.nodes.rearranged(source, order, [slots[s] for s in order], "turned")
        axis = Axis(length)
        new = (*self.nodes.slots(source)[:-1], axis)
        node = SketchNode(self.nodes.name_here("slice"), "slice", (source,), None, tuple(range(len(new))), new,
                          along=len(new) - 1, fields={"offset": start})  # fmt: skip
        dims = [tuple(Atom(axis, a.slot) if a.slot == atom.slot else a for a in d) for d in value.dims]
        return Value(self.nodes.add(node), moved(dims, order.index))

    def aligned(self, values: list[Value], letters: Sequence[Sequence[str]]) -> list[Value]:
        """The operands with the dimensions of one letter cut into the same factors."""
        values = list(values)
        for letter in dict.fromkeys(name for names in letters for name in names):
            index = 0
            while True:
                places = [(i, d) for i, names in enumerate(letters) for d, name in enumerate(names)
                          if name == letter and len(values[i].dims[d]) > index]  # fmt: skip
                if not places:
                    break
                lengths = [values[i].dims[d][index].axis.length for i, d in places]
                smallest = min(lengths, key=probe)
                for (i, d), length in zip(places, lengths, strict=True):
                    if not same(length, smallest):
                        rest = over(length, smallest)
                        if rest is None or any(value < 1 for value in probe(rest)):
                            raise self.nodes.unknown(f"{length} and {smallest} entries do not fit together", SUIT)
                        values[i] = self.split(values[i], d, index, (smallest, rest))
                index += 1
        return values

    def matched(self, values: Sequence[Value], dims: Sequence[int]) -> list[Value]:
        """Values with the same factors, of the same axes, along `dims`."""
        letters = [[f"{d}" if d in dims else f"{i}:{d}" for d in range(len(v.dims))] for i, v in enumerate(values)]
        first, *others = matched = self.aligned(list(values), letters)
        for value in others:
            for d in dims:
                for a, b in zip(first.dims[d], value.dims[d], strict=True):
                    a.axis.join(b.axis)
        return matched


def _replaced(dims: Sequence[Dim], dim: int, index: int, atoms: Sequence[Atom], drop: int = 1) -> tuple[Dim, ...]:
    changed = (*dims[dim][:index], *atoms, *dims[dim][index + drop :])
    return (*dims[:dim], changed, *dims[dim + 1 :])


def _copies(length: Length) -> Dim:
    return () if is_one(length) else (Atom(Axis(length), None),)

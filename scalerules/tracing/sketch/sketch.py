"""A graph under construction: nodes whose operands are labelled axis by axis, before the axes have names.

Everything that lowering emits goes through `Sketch.combine` (einsum, add) and a few nodes of one operand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scalerules.sizes.arithmetic import ONE, is_one, over, plus, probe, same
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Call

from .axes import Axis
from .made import Change, Made, Split, Stretch
from .values import Atom, Dim, Factor, Part, Source, Unknown, Value, place

DEEP = 12
"""So far back a stretch of an axis is looked for in the weights that make it."""


class Sketch:
    """Nodes in order. `whole_weights` are weights of which no parts are made."""

    def __init__(self, whole_weights: frozenset[str] = frozenset()) -> None:
        self.nodes: dict[str, Made] = {}
        self.whole_weights = whole_weights
        self.call: Call | None = None
        self.body: str | None = None
        self._changed: dict[tuple[object, ...], tuple[Source, int] | None] = {}
        self._cuts: dict[tuple[object, ...], tuple[Axis, ...]] = {}

    # --- nodes -------------------------------------------------------------------------------------

    def slots(self, source: Source) -> tuple[Axis, ...]:
        """The axes of a node or weight."""
        return source.slots if isinstance(source, Part) else self.nodes[source].slots

    def free_name(self, wanted: str) -> str:
        """A name for a node that is not taken yet."""
        name, number = wanted, 0
        while name in self.nodes or name == "stream":
            number += 1
            name = f"{wanted}_{number}"
        return name

    def name_here(self, short: str | None = None) -> str:
        """A name for what the present call computes: its module, and `short` if it is not the module's main result."""
        call = self.call
        if call is None:
            return self.free_name(short or "node")
        path = call.stack[-1][0] if call.stack else ""
        words = [word for word in (path, short) if word]
        return self.free_name(".".join(words) or call.name)

    def add(self, made: Made) -> str:
        """Adds a node and returns its name."""
        self.nodes[made.name] = replace(made, call=made.call or self.call, body=self.body)
        return made.name

    def ordered(self, value: Value, axes: Sequence[Axis] | None = None, short: str = "turned") -> str:
        """The node of a value with one axis per dimension, in order.

        Dimensions of length 1 are left out, unless `axes` says which axes they all have to be.
        """
        value = self.real(value)
        for dim in range(len(value.dims)):
            value = self.merge(value, dim)
        slots = self.slots(value.source)
        order: list[int] = []
        new: list[Axis] = []
        for i, dim in enumerate(value.dims):
            if dim and dim[0].slot is not None:
                order.append(dim[0].slot)
                new.append(dim[0].axis)
                if axes is not None:
                    dim[0].axis.join(axes[i])
            elif axes is not None:
                order.append(len(slots) + i)
                new.append(axes[i])
        here = isinstance(value.source, str) and self.nodes[value.source].body == self.body
        if here and isinstance(value.source, str) and order == list(range(len(slots))):
            return value.source
        labels = tuple(range(len(slots)))
        return self.add(Made(self.name_here(short), "rearrange", (value.source,), (labels,), tuple(order), tuple(new)))

    def data(self, name: str, axes: Sequence[Length | Axis], kind: str = "normal") -> Value:
        """An input: data with these axes."""
        made = [axis if isinstance(axis, Axis) else Axis(axis) for axis in axes]
        dims: list[Dim] = []
        slots: list[Axis] = []
        for axis in made:
            if is_one(axis.length):
                dims.append(())
            else:
                dims.append((Atom(axis, len(slots)),))
                slots.append(axis)
        labels = tuple(range(len(slots)))
        name = self.add(Made(self.free_name(name), "input", (), None, labels, tuple(slots), fields={"kind": kind}))
        return Value(name, tuple(dims))

    def constant(self) -> Value:
        """A fixed number of order one."""
        name = self.add(Made(self.name_here("constant"), "constant", (), None, (), ()))
        return Value(name, ())

    def unary(self, op: str, value: Value, short: str | None = None, **fields: Any) -> Value:
        """A node with one operand and the same axes."""
        slots = self.slots(value.source)
        labels = tuple(range(len(slots)))
        name = self.name_here(short or op)
        self.add(Made(name, op, (value.source,), None, labels, slots, fields=fields))
        return Value(name, value.dims)

    def scale(self, value: Value, factor: Length, short: str = "scale") -> Value:
        """Times a number that varies with the scales."""
        return self.unary("scale", value, short, factor=factor) if factor.scales else value

    def along(self, op: str, value: Value, dim: int, short: str | None = None, **fields: Any) -> Value:
        """A node that works along one dimension (a norm, a softmax): of one atom, the one that grows where there is."""
        value = self.real(value, dim)
        atoms = value.dims[dim]
        if len([atom for atom in atoms if atom.axis.length.scales]) > 1:
            value = self.merge(value, dim)
            atoms = value.dims[dim]
        slots = self.slots(value.source)
        chosen = next((a for a in atoms if a.axis.length.scales), atoms[0] if atoms else None)
        if chosen is None or chosen.slot is None:
            if not slots:
                return value
            chosen = Atom(slots[-1], len(slots) - 1) if not slots[-1].length.scales else None
        if chosen is None:
            return value
        if chosen.axis.length.scales and sum(axis.whole is chosen.axis.whole for axis in slots) > 1:
            value, slots = self._renamed(value, chosen)
        name = self.name_here(short or op)
        labels = tuple(range(len(slots)))
        self.add(Made(name, op, (value.source,), None, labels, slots, along=chosen.slot, fields=fields))
        return Value(name, value.dims)

    def _renamed(self, value: Value, atom: Atom) -> tuple[Value, tuple[Axis, ...]]:
        """A value that has the same growing axis twice, with a new one in place of `atom`."""
        slots = list(self.slots(value.source))
        assert atom.slot is not None
        slots[atom.slot] = Axis(atom.axis.length)
        labels = tuple(range(len(slots)))
        name = self.add(Made(self.name_here("apart"), "rearrange", (value.source,), (labels,), labels, tuple(slots)))
        return Value(name, tuple(tuple(Atom(slots[a.slot], a.slot) if a.slot is not None else a for a in d)
                                 for d in value.dims)), tuple(slots)  # fmt: skip

    # --- several operands --------------------------------------------------------------------------

    def combine(
        self, op: str, operands: Sequence[tuple[Value, Sequence[str]]], result: Sequence[str], short: str | None = None
    ) -> Value:
        """`einsum` or `add` of operands with a letter per dimension; letters that `result` lacks are summed over."""
        values, letters = [value for value, _ in operands], [tuple(names) for _, names in operands]
        values = self._aligned(values, letters)
        label_of: dict[tuple[str, int], int] = {}
        axis_of: dict[int, Axis] = {}
        real: set[int] = set()
        rows: list[tuple[int, ...]] = []
        for value, names in zip(values, letters, strict=True):
            row: dict[int, int] = {}
            for letter, dim in zip(names, value.dims, strict=True):
                for index, atom in enumerate(dim):
                    label = label_of.setdefault((letter, index), len(label_of))
                    axis_of.setdefault(label, atom.axis).join(atom.axis)
                    if atom.slot is not None:
                        row[atom.slot] = label
                        real.add(label)
            for slot, axis in enumerate(self.slots(value.source)):
                if slot not in row:  # one entry at a time is read along it
                    row[slot] = label_of.setdefault((f"{len(rows)}!{slot}", 0), len(label_of))
                    axis_of[row[slot]] = axis
                    real.add(row[slot])
            rows.append(tuple(row[slot] for slot in range(len(row))))
        order: list[int] = []
        dims: list[Dim] = []
        for letter in result:
            atoms: list[Atom] = []
            index = 0
            while (letter, index) in label_of:
                label = label_of[letter, index]
                if label in real:
                    atoms.append(Atom(axis_of[label], len(order)))
                    order.append(label)
                else:
                    atoms.append(Atom(axis_of[label], None))
                index += 1
            dims.append(tuple(atoms))
        copied = [
            axis_of[label] for (letter, _), label in label_of.items() if letter not in result and label not in real
        ]
        slots = tuple(axis_of[label] for label in order)
        name = self.name_here(short or op)
        self.add(Made(name, op, tuple(v.source for v in values), tuple(rows), tuple(order), slots))
        made = Value(name, tuple(dims))
        for axis in copied:  # a sum over copies
            made = self.scale(made, axis.length, "copies")
        return made

    def _aligned(self, values: list[Value], letters: Sequence[Sequence[str]]) -> list[Value]:
        """The operands with the dimensions of one letter cut into the same factors."""
        values = list(values)
        for letter in dict.fromkeys(name for names in letters for name in names):
            index = 0
            while True:
                places = [
                    (i, d)
                    for i, names in enumerate(letters)
                    for d, name in enumerate(names)
                    if name == letter and len(values[i].dims[d]) > index
                ]
                if not places:
                    break
                lengths = [values[i].dims[d][index].axis.length for i, d in places]
                smallest = min(lengths, key=probe)
                for (i, d), length in zip(places, lengths, strict=True):
                    if not same(length, smallest):
                        rest = over(length, smallest)
                        if rest is None or any(value < 1 for value in probe(rest)):
                            raise self.unknown(f"{length} and {smallest} entries do not fit together")
                        values[i] = self.split(values[i], d, index, (smallest, rest))
                index += 1
        return values

    def matched(self, values: Sequence[Value], dims: Sequence[int]) -> list[Value]:
        """Values with the same factors, of the same axes, along `dims`."""
        letters = [[f"{d}" if d in dims else f"{i}:{d}" for d in range(len(v.dims))] for i, v in enumerate(values)]
        found = self._aligned(list(values), letters)
        for d in dims:
            for value in found[1:]:
                for a, b in zip(found[0].dims[d], value.dims[d], strict=True):
                    a.axis.join(b.axis)
        return found

    # --- one dimension -----------------------------------------------------------------------------

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
        if isinstance(value.source, Part):
            factors = [Factor(axis, axis.length) for axis in axes]
            i, j = value.source.where(atom.slot)
            if value.source.factors[i][j].start is not None:
                raise self.unknown(f"a part of the weight {value.source.weight.name!r} is viewed in factors")
            return self._spliced(value, value.source.with_factors(atom.slot, factors), atom.slot, axes)
        slots = self.slots(value.source)
        labels = tuple(range(len(slots)))
        new = (*slots[: atom.slot], *axes, *slots[atom.slot + 1 :])
        fresh = tuple(len(slots) + i for i in range(len(axes)))
        result = (*labels[: atom.slot], *fresh, *labels[atom.slot + 1 :])
        name = self.add(Made(self.name_here("split"), "rearrange", (value.source,), (labels,), result, tuple(new)))
        return self._spliced(value, name, atom.slot, axes)

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
        there = self.slots(source)
        for atom in (atom for dim in dims for atom in dim if atom.slot is not None):
            there[atom.slot or 0].join(atom.axis)
        return Value(source, tuple(dims))

    def _cut(self, axis: Axis, lengths: tuple[Length, ...]) -> tuple[Axis, ...]:
        """The factors of an axis; the same ones every time that it is cut so."""
        key = (id(axis.whole), *(probe(length) for length in lengths))
        if key not in self._cuts:
            self._cuts[key] = tuple(Axis(length) for length in lengths)
            self._cuts[tuple(id(part.whole) for part in self._cuts[key])] = (axis,)
        return self._cuts[key]

    def merge(self, value: Value, dim: int) -> Value:
        """The value with a dimension of several factors merged into one axis."""
        atoms = value.dims[dim]
        if len(atoms) < 2:
            return value
        if all(atom.slot is None for atom in atoms):
            return value.at(_replaced(value.dims, dim, 0, (Atom(Axis(value.length(dim)), None),), drop=len(atoms)))
        key = tuple(id(atom.axis.whole) for atom in atoms)
        whole = self._cuts.get(key, (Axis(value.length(dim)),))[0]
        self._cuts[key] = (whole,)
        return self.arranged(value, dim, (whole,), "merged")

    def arranged(self, value: Value, dim: int, axes: Sequence[Axis], short: str) -> Value:
        """A dimension with new axes in place of its factors; what they are merged from or split into follows."""
        slots = self.slots(value.source)
        labels = tuple(range(len(slots)))
        gone = [atom.slot for atom in value.dims[dim] if atom.slot is not None]
        at = min(gone, default=len(slots))
        kept = [slot for slot in labels if slot not in gone]
        before = [slot for slot in kept if slot < at]
        axes = [axis for axis in axes if not is_one(axis.length)]
        fresh = [len(slots) + i for i in range(len(axes))]
        result = (*before, *fresh, *(slot for slot in kept if slot >= at))
        new = [*(slots[s] for s in before), *axes, *(slots[s] for s in kept if s >= at)]
        name = self.add(Made(self.name_here(short), "rearrange", (value.source,), (labels,), result, tuple(new)))
        position = {label: place for place, label in enumerate(result)}
        dims = [tuple(Atom(a.axis, None if a.slot is None else position[a.slot]) for a in d) if i != dim else ()
                for i, d in enumerate(value.dims)]  # fmt: skip
        dims[dim] = tuple(Atom(axis, position[label]) for axis, label in zip(axes, fresh, strict=True))
        return Value(name, tuple(dims))

    def real(self, value: Value, dim: int | None = None) -> Value:
        """The value with axes along which it is copied written out."""
        dims = [dim] if dim is not None else list(range(len(value.dims)))
        if not any(atom.slot is None for d in dims for atom in value.dims[d]):
            return value
        slots = self.slots(value.source)
        labels = tuple(range(len(slots)))
        result, new, changed = [*labels], [*slots], list(value.dims)
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
        made = Made(self.name_here("copied"), "rearrange", (value.source,), (labels,), tuple(result), tuple(new))
        return Value(self.add(made), tuple(changed))

    def take(self, value: Value, dim: int, length: Length, short: str = "taken") -> Value:
        """Other entries along a dimension that does not grow: selected, padded, shifted, pooled."""
        if value.length(dim).scales and not same(value.length(dim), length):
            raise self.unknown(f"cannot follow a selection from an axis of {value.length(dim)} entries")
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
            found = self._change(value.source, atoms[0].slot, Stretch(start, length), DEEP)
            if found is not None:
                source, count = found
                slot = atoms[0].slot
                axes = self.slots(source)[slot : slot + count]
                return self._spliced(value, source, slot, axes)
        if not total.scales:
            return self.take(value, dim, length)
        return self._sliced(self.merge(self.real(value, dim), dim), dim, start, length)

    def _sliced(self, value: Value, dim: int, start: Length, length: Length) -> Value:
        """A slice node, which works on the last axis."""
        if isinstance(value.source, Part):
            raise self.unknown(f"a part of the weight {value.source.weight.name!r} is read, and all of it elsewhere")
        slots, (atom,) = self.slots(value.source), value.dims[dim]
        assert atom.slot is not None
        order = [*(s for s in range(len(slots)) if s != atom.slot), atom.slot]
        source: Source = value.source
        if order != list(range(len(slots))):
            labels = tuple(range(len(slots)))
            source = self.add(Made(self.name_here("turned"), "rearrange", (source,), (labels,), tuple(order),
                                   tuple(slots[s] for s in order)))  # fmt: skip
        axis = Axis(length)
        new = (*self.slots(source)[:-1], axis)
        position = {slot: place for place, slot in enumerate(order)}
        name = self.add(Made(self.name_here("slice"), "slice", (source,), None, tuple(range(len(new))), new,
                             along=len(new) - 1, fields={"offset": start}))  # fmt: skip
        dims = [tuple(Atom(axis if a.slot == atom.slot else a.axis, None if a.slot is None else position[a.slot])
                      for a in d) for d in value.dims]  # fmt: skip
        return Value(name, tuple(dims))

    # --- parts of weights --------------------------------------------------------------------------

    def _change(self, source: Source, slot: int, change: Change, deep: int) -> tuple[Source, int] | None:
        """The source with a change of one axis made in the weights that it comes from; how many axes there are then.

        None where the axis does not come from weights alone.
        """
        if isinstance(source, Part):
            return self._change_part(source, slot, change)
        key = (source, slot, *change.key)
        if key not in self._changed:
            self._changed[key] = self._change_node(self.nodes[source], slot, change, deep) if deep else None
        return self._changed[key]

    def _change_part(self, part: Part, slot: int, change: Change) -> tuple[Source, int] | None:
        if part.weight.name in self.whole_weights:
            return None
        key = (id(part), slot, *change.key)
        if key not in self._changed:
            i, j = part.where(slot)
            factor = part.factors[i][j]
            if isinstance(change, Split):
                if factor.start is not None:
                    return None
                new = [Factor(Axis(length), length) for length in change.lengths]
            else:
                axis = None if is_one(change.length) else Axis(change.length)
                new = [Factor(axis, factor.whole, plus(factor.start, change.start) if factor.start else change.start)]
            count = sum(f.axis is not None for f in new)
            self._changed[key] = part.with_factors(slot, new), count
            self._keep = [*getattr(self, "_keep", []), part]  # ids stay unique while the sketch lives
        return self._changed[key]

    def _change_node(self, made: Made, slot: int, change: Change, deep: int) -> tuple[Source, int] | None:
        if made.op in ("input", "constant", "scan", "stream", "repeat") or made.along == slot or made.op == "slice":
            return None
        if made.labels is None:
            inner = self._change(made.operands[0], slot, change, deep - 1)
            return None if inner is None else self._remade(made, (inner[0],), None, slot, inner[1])
        label = made.result[slot]
        if made.op == "rearrange" and label not in made.labels[0]:
            return self._change_split(made, slot, change, deep)
        operands, rows = list(made.operands), list(made.labels)
        count = 1
        found = False
        top = max((x for row in (*made.labels, made.result) for x in row), default=0)
        for k, row in enumerate(made.labels):
            if label not in row:
                continue
            inner = self._change(made.operands[k], row.index(label), change, deep - 1)
            if inner is None:
                return None
            operands[k], count = inner
            found = True
            fresh = tuple([label, *(top + 1 + i for i in range(count - 1))][:count])
            at = row.index(label)
            rows[k] = (*row[:at], *fresh, *row[at + 1 :])
        return self._remade(made, tuple(operands), tuple(rows), slot, count) if found else None

    def _change_split(self, made: Made, slot: int, change: Change, deep: int) -> tuple[Source, int] | None:
        """Through a node that splits an axis: the split goes to the weights, then the change to its factor."""
        assert made.labels is not None
        gone = [x for x in made.labels[0] if x not in made.result]
        fresh = [index for index, x in enumerate(made.result) if x not in made.labels[0]]
        if len(gone) != 1 or fresh != list(range(fresh[0], fresh[0] + len(fresh))) or isinstance(change, Split):
            return None
        at = made.labels[0].index(gone[0])
        lengths = tuple(made.slots[index].length for index in fresh)
        base = self._change(made.operands[0], at, Split(lengths), deep - 1)
        if base is None or base[1] != len(fresh):
            return None
        inner = self._change(base[0], at + fresh.index(slot), change, deep - 1)
        if inner is None:
            return None
        source, count = inner
        wanted: list[int] = []  # the places of the changed base, in the order of the split node
        kept = [x for x in made.labels[0] if x != gone[0]]
        places = {x: (i if made.labels[0].index(x) < at else i + len(fresh) - 1 + count) for i, x in enumerate(kept)}
        for index, x in enumerate(made.result):
            if x in places:
                wanted.append(places[x])
            elif index == slot:
                wanted.extend(at + fresh.index(slot) + i for i in range(count))
            else:
                k = fresh.index(index)
                wanted.append(at + k + (count - 1 if index > slot else 0))
        slots = self.slots(source)
        if wanted == list(range(len(slots))):
            return source, count
        labels = tuple(range(len(slots)))
        name = self.free_name(f"{made.name}.part")
        new = tuple(slots[w] for w in wanted)
        turned = Made(name, "rearrange", (source,), (labels,), tuple(wanted), new, call=made.call, body=made.body)
        self.nodes[name] = turned
        return name, count

    def _remade(
        self, made: Made, operands: tuple[Source, ...], rows: tuple[tuple[int, ...], ...] | None, slot: int, count: int
    ) -> tuple[Source, int]:
        """A node like `made` of changed operands, with `count` axes in place of a slot."""
        if rows is None:
            slots = self.slots(operands[0])
            result = tuple(range(len(slots)))
        else:
            axis_of: dict[int, Axis] = {}
            for source, row in zip(operands, rows, strict=True):
                for x, axis in zip(row, self.slots(source), strict=True):
                    axis_of.setdefault(x, axis).join(axis)
            top = max((x for row in (*(made.labels or ()), made.result) for x in row), default=0)
            label = made.result[slot]
            fresh = tuple([label, *(top + 1 + i for i in range(count - 1))][:count])
            result = (*made.result[:slot], *fresh, *made.result[slot + 1 :])
            old = dict(zip(made.result, made.slots, strict=True))
            slots = tuple(axis_of.get(x) or old[x] for x in result)
        along = made.along
        if along is not None and along > slot:
            along += count - 1
        name = self.free_name(f"{made.name}.part")
        changed = replace(made, name=name, operands=operands, labels=rows, result=result, slots=slots, along=along)
        self.nodes[name] = changed
        return name, count

    def unknown(self, what: str, hint: str | None = None) -> Unknown:
        """An error at the present call."""
        return Unknown(what, where=place(self.call) if self.call else None, hint=hint)


def _replaced(dims: Sequence[Dim], dim: int, index: int, atoms: Sequence[Atom], drop: int = 1) -> tuple[Dim, ...]:
    changed = (*dims[dim][:index], *atoms, *dims[dim][index + drop :])
    return (*dims[:dim], changed, *dims[dim + 1 :])


def _copies(length: Length) -> Dim:
    return () if is_one(length) else (Atom(Axis(length), None),)


__all__ = ["ONE", "Made", "Sketch"]

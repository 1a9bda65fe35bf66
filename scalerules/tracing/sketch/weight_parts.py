"""A change of one axis of a value (a stretch of it, factors of it), made in the weights that the value comes from.

A fused weight is one weight whose parts are read apart: rules are derived for each part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scalerules.ops.functions import SOME
from scalerules.sizes.arithmetic import is_one, over, plus, product

from .axes import Axis
from .nodes import Nodes
from .put_together import DEEP, ENDS, parts_within, stretches
from .sketch_node import Change, SketchNode, Split, Stretch
from .values import Factor, Part, Source

NORMS = ("rms_norm", "layer_norm")
"""Operations that divide by the size of all entries along an axis."""

Changed = tuple[Source, int]
"""The source of which an axis was changed, and how many axes stand in place of it."""
Labels = tuple[int, ...]


class WeightParts:
    """The changes that were made so far. `whole` are the names of weights of which no parts are made."""

    def __init__(self, nodes: Nodes, whole: frozenset[str]) -> None:
        self.nodes, self.whole = nodes, whole
        self.changes: dict[tuple[object, ...], Changed | None] = {}
        self._changed: list[Part] = []
        """Parts whose ids stand in `changes`: held, so that no other part gets one of these ids."""

    def cuts(self, part: Part, slot: int) -> bool:
        """Whether a weight is read in factors where an axis of it is cut."""
        return part.weight.name not in self.whole and part.whole_at(slot)

    def changed(self, source: Source, slot: int, change: Change, deep: int = DEEP) -> Changed | None:
        """The source with a change of one axis; None where the axis does not come from weights alone."""
        if isinstance(source, Part):
            if source.weight.name in self.whole:
                return None
            key = (id(source), slot, *change.key)
            if key not in self.changes:
                self._changed.append(source)
                self.changes[key] = _changed_part(source, slot, change)
            return self.changes[key]
        key = (source, slot, *change.key)
        if key not in self.changes:
            self.changes[key] = self._changed_node(self.nodes[source], slot, change, deep) if deep else None
        return self.changes[key]

    def _changed_node(self, node: SketchNode, slot: int, change: Change, deep: int) -> Changed | None:
        if node.along == slot:
            return self._changed_along(node, slot, change, deep) if isinstance(change, Stretch) else None
        if node.op in ENDS:
            return None
        if node.labels is None:
            inner = [self.changed(source, slot, change, deep - 1) for source in node.operands]
            made = [each for each in inner if each is not None]
            if len(made) < len(inner):
                return None
            return self._remade(node, tuple(source for source, _ in made), None, slot, made[0][1])
        label = node.result[slot]
        if node.op == "rearrange" and label not in node.labels[0]:
            return self._changed_split(node, slot, change, deep)
        operands, rows, count = list(node.operands), list(node.labels), None
        for k, row in enumerate(node.labels):
            if label in row:
                inner = self.changed(node.operands[k], row.index(label), change, deep - 1)
                if inner is None:
                    return None
                operands[k], count = inner
                rows[k] = _replaced(row, row.index(label), _fresh(node, label, count))
        return None if count is None else self._remade(node, tuple(operands), tuple(rows), slot, count)

    def _changed_along(self, node: SketchNode, slot: int, change: Stretch, deep: int) -> Changed | None:
        """A stretch of what was put together: the parts that lie in it, normalised along their own axis if all were.

        Of parts beside each other the one that grows says how large they are together.
        """
        if node.op in NORMS:
            lengths = stretches(self.nodes, node.operands[0], slot)
            grown = sum(bool(length.scales) for length in lengths) == 1 < len(lengths)
            inner = self.changed(node.operands[0], slot, change, deep - 1) if grown else None
            if inner is None or change.length.scales:
                return inner and self._remade(node, (inner[0],), None, slot, inner[1])
            return self._remade(replace(node, op=SOME, along=None, fields={}), (inner[0],), None, slot, inner[1])
        within = parts_within(self.nodes, node, slot, change) if node.op == "concat" else []
        if not within:
            return None
        (part, rest), *others = within
        if rest is not None:
            return self.changed(part, slot, rest, deep - 1)
        before, (_, *behind) = self.nodes.slots(part)[:slot], self.nodes.slots(part)[slot:]
        if others:
            slots = (*before, Axis(change.length), *behind)
            return self._put(replace(node, operands=tuple(each for each, _ in within), slots=slots)), 1
        if not is_one(change.length):
            return part, 1
        kept = [place for place in range(len(before) + 1 + len(behind)) if place != slot]
        return self.nodes.rearranged(part, kept, (*before, *behind), "one"), 0

    def _changed_split(self, node: SketchNode, slot: int, change: Change, deep: int) -> Changed | None:
        """A change through a node that splits an axis: the split goes to the weights, then the change to its factor."""
        assert node.labels is not None
        before = node.labels[0]
        gone = [x for x in before if x not in node.result]
        new = [index for index, x in enumerate(node.result) if x not in before]
        if len(gone) != 1 or new != list(range(new[0], new[0] + len(new))):
            return None
        if isinstance(change, Split) and not change.makes_matrix:
            return None
        start, lengths = before.index(gone[0]), tuple(node.slots[index].length for index in new)
        base = self.changed(node.operands[0], start, Split(lengths), deep - 1)
        if base is None or base[1] != len(new):
            return None
        inner = self.changed(base[0], start + new.index(slot), change, deep - 1)
        if inner is None:
            return None
        source, count = inner
        grown = len(new) - 1 + count
        places = {x: i if i < start else i + grown - 1 for i, x in enumerate(before)}  # in the changed base
        wanted: list[int] = []  # the places of the changed base, in the order of the split node
        for index, x in enumerate(node.result):
            if x in before:
                wanted.append(places[x])
            elif index == slot:
                wanted.extend(start + new.index(slot) + i for i in range(count))
            else:
                wanted.append(start + new.index(index) + (count - 1 if index > slot else 0))
        slots = self.nodes.slots(source)
        if wanted == list(range(len(slots))):
            return source, count
        return self._put(replace(node, operands=(source,), labels=(tuple(range(len(slots))),), result=tuple(wanted),
                                 slots=tuple(slots[w] for w in wanted), along=None, fields={})), count  # fmt: skip

    def _remade(
        self, node: SketchNode, operands: tuple[Source, ...], rows: tuple[Labels, ...] | None, slot: int, count: int
    ) -> Changed:
        """A node like `node` of changed operands, with `count` axes in place of a slot."""
        along = node.along
        if along is not None and along > slot:
            along += count - 1
        if rows is None:
            made = list(self.nodes.slots(operands[0]))
            if along is not None and node.along is not None:
                before = self.nodes.slots(node.operands[0])[node.along]
                if before.whole is not node.slots[node.along].whole:  # a norm has the axis of what it reads
                    made[along] = node.slots[node.along]
            slots = tuple(made)
            result = tuple(range(len(slots)))
        else:
            axis_of: dict[int, Axis] = {}
            for source, row in zip(operands, rows, strict=True):
                for x, axis in zip(row, self.nodes.slots(source), strict=True):
                    axis_of.setdefault(x, axis).join(axis)
            result = _replaced(node.result, slot, _fresh(node, node.result[slot], count))
            old = dict(zip(node.result, node.slots, strict=True))
            slots = tuple(axis_of.get(x) or old[x] for x in result)
        return self._put(replace(node, operands=operands, labels=rows, result=result, slots=slots, along=along)), count

    def _put(self, node: SketchNode) -> str:
        """Adds a node in the body and with the call of the one that it is made of."""
        name = self.nodes.free_name(f"{node.name}.part")
        self.nodes.by_name[name] = replace(node, name=name)
        return name


def _changed_part(part: Part, slot: int, change: Change) -> Changed | None:
    i, j = part.where(slot)
    factor = part.factors[i][j]
    if isinstance(change, Split):
        outer, *inner = [Factor(Axis(length), length) for length in change.lengths]
        if factor.start is not None:
            if not change.makes_matrix:
                return None
            beside = product(each.whole for each in inner)
            whole, start = over(factor.whole, beside), over(factor.start, beside)
            if whole is None or start is None:
                return None
            outer = Factor(outer.axis, whole, start)
        new = [outer, *inner]
    else:
        axis = None if is_one(change.length) else Axis(change.length)
        new = [Factor(axis, factor.whole, plus(factor.start, change.start) if factor.start else change.start)]
    return part.with_factors(slot, new), sum(f.axis is not None for f in new)


def _fresh(node: SketchNode, label: int, count: int) -> Labels:
    """Labels for `count` axes in place of one: its own, then new ones."""
    top = max((x for row in (*(node.labels or ()), node.result) for x in row), default=0)
    return tuple([label, *(top + i for i in range(1, count))][:count])


def _replaced(row: Sequence[int], index: int, labels: Labels) -> Labels:
    return (*row[:index], *labels, *row[index + 1 :])

"""Which fields of a configuration grow with its width, measured: models are built and traced with one field changed.

A field is a width if a trained weight makes an axis of its length and a trained weight sums over it, and no product of
two values of the data does: that is a size of heads, a state, or a choice of experts, whose scale is another one. The
number of heads is a part of the width without which the size of heads would grow; that of heads for keys is one that
products of two values share. What counts modules (depth), rows of a table (a vocabulary) or multiplies the width
(`expand`) is none of these.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from torch import nn

from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError
from scalerules.ops.node import Node
from scalerules.tracing.record import Record

from .configurations import Configured, Fields, built, grown
from .export import trace
from .traces import Trace

FEW = 1
"""So many blocks are enough to see what a field does."""

Axes = dict[tuple[str, int], int]
"""The length of every axis of every weight."""


@dataclass(frozen=True)
class Follow:
    """The fields that grow with a width, and those that change weights and are held."""

    with_it: tuple[str, ...]
    held: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """What is seen of the axes that grow: whether weights make one and weights sum over one.

    `shared`, `summed`: products of two values of the data that share one, or sum over one.
    """

    between_weights: bool
    shared: frozenset[str]
    summed: frozenset[str]


class Measured:
    """The shapes of a configuration's models, those at other values of some fields, and what their axes are for."""

    def __init__(
        self,
        configured: Configured,
        inputs: Callable[[Mapping[str, Any]], Any],
        graph_of: Callable[[Record], Graph],
    ) -> None:
        self.configured, self.inputs, self.graph_of = configured, inputs, graph_of
        self.few: Fields = {}
        self.first: Trace | None = None
        self.seen: dict[tuple[str, ...], Seen | None] = {}
        base = self._model({})
        self.rows = {f"{path}.weight" for path, part in base.named_modules() if isinstance(part, nn.Embedding)}
        self.base = _axes(base)
        for name in [name for name in self._fields() if self._counts_modules(name)]:
            if self.configured.fields[name] > FEW and self._axes({name: FEW}) is not None:
                self.few |= {name: FEW}
        self.base = self._axes({}) or self.base

    def following(self, width: str) -> Follow:
        """What grows with the field `width`. Raises `ScaleRulesError` where no weight shows that it does."""
        if width in self.few or self._counts_modules(width):
            return Follow((), ())
        doubled = self._axes(self._times(width))
        if doubled is not None and doubled == self.base:
            what = f"no weight of {self.configured.model.__name__} has a size that the field {width!r} says"
            raise ScaleRulesError(what, hint="name the field of the width, such as 'hidden_size'")
        others = [name for name in self._fields() if name != width]
        parts = [name for name in others if self._divides(name, width)]
        group, held = [width], list[str]()
        for name in parts:
            without, with_it = self._seen(*group), self._seen(*group, name)
            follows = without is not None and with_it is not None and with_it.summed < without.summed
            (group if follows else held).append(name)
        for name in (field for field in others if field not in parts and self._resizes(field)):
            follows = not self._multiplies(name, group) and self._is_width(name, group)
            (group if follows else held).append(name)
        return Follow(tuple(group[1:]), tuple(held))

    def _is_width(self, name: str, group: list[str]) -> bool:
        alone = self._seen(name)
        if alone is not None and (alone.summed or alone.between_weights):
            return not alone.summed
        without, with_it = self._seen(*group), self._seen(*group, name)
        if without is None or with_it is None:
            return False
        return with_it.shared > without.shared and with_it.summed <= without.summed

    def _fields(self) -> list[str]:
        fields = self.configured.fields
        return [name for name, value in fields.items() if isinstance(value, (int, list, tuple)) and self._sized(name)]

    def _sized(self, name: str) -> bool:
        try:
            return bool(self.configured.numbers(name))
        except ScaleRulesError:
            return False

    def _model(self, changed: Mapping[str, Any]) -> nn.Module:
        return built(self.configured, {**self.few, **changed})

    def _axes(self, changed: Mapping[str, Any]) -> Axes | None:
        """The axes of the weights at other values of fields; None where that model cannot be built."""
        try:
            return _axes(self._model(changed))
        except ScaleRulesError:
            return None

    def _times(self, *names: str, by: int = 2) -> Fields:
        return {name: grown(self.configured.fields[name], by, 1) for name in names}

    def _counts_modules(self, name: str) -> bool:
        """Whether a larger value of a field adds weights, or none can be told from the shapes alone."""
        value = self.configured.fields[name]
        if not isinstance(value, int):
            return False
        more = self._axes({name: value + 1})
        return more is not None and more.keys() != self.base.keys()

    def _divides(self, name: str, width: str) -> bool:
        """Whether the width has to be a multiple of a field: otherwise the model cannot be built, or is another one."""
        part, whole = self.configured.fields[name], self.configured.fields[width]
        if not isinstance(part, int) or not isinstance(whole, int) or part < 2 or whole % part:
            return False
        odd = next(number for number in range(part + 1, whole + 2) if whole % number)
        even = next((number for number in range(part + 1, whole + 1) if whole % number == 0), None)
        if even is None or self._axes({name: even}) is None:
            return False
        at_odd = self._axes({name: odd})
        return at_odd is None or (at_odd != self.base and self._axes({name: even}) == self.base)

    def _resizes(self, name: str) -> bool:
        """Whether a field is the length of some axes, and no number of modules or of a table's rows."""
        twice = self._axes(self._times(name))
        if twice is None or twice.keys() != self.base.keys():
            return False
        other = {axis for axis in twice if twice[axis] != self.base[axis]}
        return bool(other) and not any(weight in self.rows and dim == 0 for weight, dim in other)

    def _multiplies(self, name: str, group: list[str]) -> bool:
        """Whether an axis is a multiple of the width (and what grows with it) and of a field."""
        wide, twice = self._axes(self._times(*group)), self._axes(self._times(name))
        both = self._axes(self._times(*group, name))
        if wide is None or twice is None or both is None:
            return False
        return any(
            wide.get(axis, 0) != length and twice.get(axis, 0) != length and both.get(axis) == 4 * length
            for axis, length in self.base.items()
        )

    def _seen(self, *names: str) -> Seen | None:
        """What is seen of the axes that grow with some fields; None where the model is another one then."""
        if names not in self.seen:
            found = (_seen(graph) for by in (4, 1) if (graph := self._graph(names, by)) is not None)
            self.seen[names] = next(found, None)
        return self.seen[names]

    def _graph(self, names: tuple[str, ...], by: int) -> Graph | None:
        """The graph in which these fields alone grow: `by` halves of them; None where that model is another one."""
        from .recording import as_record
        from .unify import unify

        if by == 1 and any(number % 2 for name in names for number in self.configured.numbers(name)):
            return None
        changed = {name: grown(self.configured.fields[name], by, 2) for name in names}
        try:
            if self.first is None:
                self.first = self._trace({}, 2)
            traces = [self.first, self._trace(changed, by)]
            return self.graph_of(as_record(traces, unify(traces, spare=0), (), {}))
        except ScaleRulesError:
            return None

    def _trace(self, changed: Fields, size: int) -> Trace:
        """One export; `size` is what the fields that were changed are multiples of."""
        fields = {**self.few, **changed}
        found = trace(lambda: self.configured.make(fields), lambda: self.inputs(fields), {})
        return replace(found, sizes={"size": size})


def _axes(model: nn.Module) -> Axes:
    return {(name, dim): n for name, weight in model.named_parameters() for dim, n in enumerate(weight.shape)}


def _seen(graph: Graph) -> Seen:
    made = read = False
    shared, summed = set[str](), set[str]()
    for name, node in graph.walk():
        if node.op != "einsum":
            continue
        labels = [_growing(graph, name, place, part) for place, part in enumerate(node.labels()[0])]
        of_data, of_weights = labels[: len(node.inputs)], labels[len(node.inputs) :]
        result = set(node.labels()[1])
        both = set[str]().union(*(a & b for i, a in enumerate(of_data) for b in of_data[:i]))
        weights, data = set[str]().union(*of_weights), set[str]().union(*of_data)
        made = made or bool((weights - data) & result)
        read = read or bool((weights & data) - result)
        shared |= {name} if both & result and _sums(node) else set()
        summed |= {name} if both - result else set()
    return Seen(made and read, frozenset(shared), frozenset(summed))


def _sums(node: Node) -> bool:
    """Whether a product of several values of the data sums over an axis that they share."""
    operands, result = node.labels()
    values = [set(part) for part in operands[: len(node.inputs)]]
    return any((a & b) - set(result) for i, a in enumerate(values) for b in values[:i])


def _growing(graph: Graph, name: str, place: int, labels: list[str]) -> set[str]:
    """The labels of an operand whose length grows."""
    axes = [graph.lengths[axis] for axis in graph.operand_axes(name)[place]]
    direction = {"size": Fraction(1)}
    return {label for label, length in zip(labels, axes, strict=True) if length.growth(direction) > 0}

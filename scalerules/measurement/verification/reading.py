"""Where a graph is read by what is not linear, from its structure alone: there, and at the outputs, sizes matter.

A size that only linear operations read is a matter of writing: another factor makes up for it. Nothing here asks what
was derived.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from scalerules.architecture.graph import Graph
from scalerules.ops.arrange import Power
from scalerules.ops.functions import FUNCTIONS
from scalerules.ops.losses import LOSSES
from scalerules.ops.node import Node
from scalerules.ops.registry import law_of

LINEAR = frozenset(
    {"einsum", "mean", "add", "residual", "scale", "rearrange", "reshape", "concat", "slice", "window", "shift", "rfft",
     "irfft", "complex", "parts", "repeat", *(name for name, function in FUNCTIONS.items() if function.shape.linear)}
)  # fmt: skip
"""Operations that are linear in each operand (not in a value that they read twice)."""
EXPONENTIAL = frozenset({"exp", "negative_exp"})
"""Operations that turn a logarithm along an axis into a ramp, and leave nothing of a ramp."""
FREE_OF_SIZE = frozenset({"rms_norm", "layer_norm", "top_k"})
"""Operations that see only how large parts are beside each other."""
DRIVEN = frozenset({0, 3, 4})
"""The operands of a scan that it is linear in: what drives it, and how the state is written and read."""


@dataclass(frozen=True)
class Reading:
    """The readers of every value of a graph, through repeats, and what follows from them."""

    graph: Graph

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """Every node by name, those in the bodies of repeats too."""
        return dict(self.graph.walk())

    @cached_property
    def sources(self) -> dict[str, list[tuple[str, ...]]]:
        """What each input of a node stands for: a stream is what enters its repeat, or the block before."""
        streams: dict[str, tuple[str, ...]] = {}
        for name, node in self.graph.nodes.items():
            for inner in node.body or {}:
                streams[inner] = (*self._whole(node.inputs[0]), str(node.result))
            del name
        return {
            name: [streams[name] if source == "stream" else self._whole(source) for source in node.inputs]
            for name, node in self.nodes.items()
            if node.op != "repeat"
        }

    def _whole(self, name: str) -> tuple[str, ...]:
        """A repeat is read as the result of its body."""
        node = self.graph.nodes.get(name)
        return (str(node.result),) if node is not None and node.op == "repeat" else (name,)

    @cached_property
    def read_by(self) -> dict[str, list[tuple[str, int]]]:
        """The nodes that read a node, and as which operand."""
        readers: dict[str, list[tuple[str, int]]] = {name: [] for name in self.nodes}
        for name, inputs in self.sources.items():
            for k, group in enumerate(inputs):
                for source in group:
                    readers[source].append((name, k))
        return readers

    @cached_property
    def outputs(self) -> frozenset[str]:
        """The nodes whose values the loss reads."""
        return frozenset(name for output in self.graph.outputs for name in self._whole(output))

    def _depending(self, starts: Collection[str], linearly: bool = False) -> frozenset[str]:
        """These nodes and all that depend on them, or do so `linearly`."""
        return _reached(starts, lambda n: [r for r, k in self.read_by[n] if not linearly or self._linear(r, k)])

    @cached_property
    def with_data(self) -> frozenset[str]:
        """The nodes that depend on an input."""
        return self._depending([name for name, node in self.nodes.items() if node.op == "input"])

    @cached_property
    def weights(self) -> frozenset[str]:
        """The nodes without data that are only ever read as matrices, by what keeps one of their axes and sums another.

        Their size is a matter of writing, like that of a parameter: what they do is seen where data meet them.
        """
        names: set[str] = set()
        for name in reversed(list(self.nodes)):
            readers = self.read_by[name] if name not in self.with_data | self.outputs else []
            if readers and all(reader in names or self._as_matrix(reader, k) for reader, k in readers):
                names.add(name)
        return frozenset(names)

    def _as_matrix(self, reader: str, k: int) -> bool:
        """Whether a node with data reads its `k`-th operand as a matrix."""
        node = self.nodes[reader]
        if node.op != "einsum" or reader not in self.with_data:
            return False
        operands, result = node.labels()
        return bool(set(operands[k]) & set(result) and set(operands[k]) - set(result))

    @cached_property
    def trained(self) -> frozenset[str]:
        """The nodes that depend on a parameter that learns."""
        return self._depending([node for _, node in self.uses()])

    @cached_property
    def _learning(self) -> frozenset[str]:
        """The trained parameters to which a gradient of the loss comes back."""
        reached = _reached(self.outputs, lambda n: () if self._stops(n) else chain(*self.sources[n]))
        read = {parameter for name in reached for parameter in self.nodes[name].parameters}
        return frozenset(parameter for parameter in read if self.graph.parameters[parameter].trained)

    def _stops(self, name: str) -> bool:
        """Whether no gradient comes back through a node."""
        op = self.nodes[name].op
        return op in FUNCTIONS and FUNCTIONS[op].stops

    def _linear(self, reader: str, k: int) -> bool:
        """Whether a node is linear in its `k`-th operand."""
        node, inputs = self.nodes[reader], self.sources[reader]
        if node.op == "scan":
            return k in DRIVEN
        twice = sum(bool(set(group) & set(inputs[k])) for group in inputs) > 1
        return node.op in LINEAR and not (twice and node.op == "einsum")

    def _unlinear(self, name: str) -> list[str]:
        """The readers of a node that are not linear in it."""
        return [reader for reader, k in self.read_by[name] if not self._linear(reader, k)]

    @cached_property
    def judged(self) -> frozenset[str]:
        """The nodes with data that something not linear reads, and the outputs."""
        return frozenset(n for n in self.with_data if (n in self.outputs or self._unlinear(n)) and self._is_value(n))

    def _is_value(self, name: str) -> bool:
        return self.nodes[name].op not in ("input", "top_k", "repeat") and not self._one_number(name)

    def _one_number(self, name: str) -> bool:
        """Whether a node is the mean square of what norms along the same axis give, which never moves."""
        if self.nodes[name].op != "mean":
            return False
        squares = [source for group in self.sources[name] for source in group]
        normed = [self.nodes[source] for square in squares for group in self.sources[square] for source in group]
        return all(self.nodes[square].op == "square" for square in squares) and all(
            node.op in ("rms_norm", "layer_norm") and node.axis == self.nodes[name].axis for node in normed
        )

    def beside_itself(self, name: str) -> bool:
        """Whether only the parts of a value beside each other matter: all that read it not linearly are norms."""
        readers = self._unlinear(name)
        return name not in self.outputs and all(self.nodes[reader].op in FREE_OF_SIZE for reader in readers)

    def any_size(self, name: str) -> bool:
        """Whether a factor in front of a value stands behind all that read it not linearly, or is gone there."""
        kinds = {self.nodes[reader].op for reader in self._unlinear(name)} - FREE_OF_SIZE
        return name not in self.outputs and all(map(_homogeneous, kinds))

    @cached_property
    def ramped(self) -> frozenset[str]:
        """The nodes that grow along an axis as their parameters start: rates of decay, and these times a step."""
        starts = {name: parameter.init for name, parameter in self.graph.parameters.items()}
        grows = {name: "log_range" if node.op in EXPONENTIAL else "range" for name, node in self.nodes.items()}
        own = [n for n, node in self.nodes.items() if grows[n] in {starts[p] for p in node.parameters}]
        return self._depending(own, linearly=True)

    def falls(self, name: str) -> bool:
        """Whether exponentials alone read a value not linearly, and it grows along an axis: there they give nothing."""
        return name in self.ramped and all(self.nodes[reader].op in EXPONENTIAL for reader in self._unlinear(name))

    @cached_property
    def turning(self) -> frozenset[str]:
        """What only norms read not linearly, in a graph with weights that are normed themselves."""
        normed = any(self.nodes[name].op in FREE_OF_SIZE for name in self.weights)
        return frozenset(filter(self.beside_itself, self.judged if normed else ()))

    def picked(self, name: str) -> bool:
        """Whether the loss picks one of growing classes of an output: elsewhere it need not move, as under Muon."""
        axes = self.graph.axes_of(name)
        grows = bool(axes) and bool(self.graph.lengths[axes[-1]].scales)
        return grows and name in self.outputs and LOSSES[self.graph.loss].picks

    def first_judged(self, name: str) -> tuple[frozenset[str], bool]:
        """The first judged nodes from a node on; and whether another matrix stands before all of them.

        A value computed from parameters alone is a weight: whatever reads it is passed.
        """
        first, direct, seen, queue = set[str](), False, {name}, [(name, False)]
        while queue:
            node, behind = queue.pop()
            if node in self.judged:
                first.add(node)
                direct = direct or not behind
                continue
            for reader, k in self.read_by[node]:
                if reader not in seen and (node not in self.with_data or self._linear(reader, k)):
                    seen.add(reader)
                    queue.append((reader, behind or self._mixes(reader)))
        return frozenset(first), not direct

    def _mixes(self, name: str) -> bool:
        """Whether a node multiplies what it reads with something else and sums."""
        node = self.nodes[name]
        return node.op == "scan" or (node.op == "einsum" and len(node.operands) > 1)

    def uses(self) -> Iterator[tuple[str, str]]:
        """Every parameter that learns with each node that reads it."""
        for name, node in self.nodes.items():
            for parameter in dict.fromkeys(node.parameters):
                if parameter in self._learning:
                    yield parameter, name

    @cached_property
    def frozen(self) -> dict[str, frozenset[str]]:
        """By parameter the nodes at which it is seen what the parameter contributes."""
        seen_at: dict[str, set[str]] = {}
        for parameter, reader in self.uses():
            seen_at.setdefault(parameter, set()).update(self.first_judged(reader)[0])
        return {parameter: frozenset(nodes) for parameter, nodes in seen_at.items()}

    @cached_property
    def data_grow(self) -> bool:
        """Whether an input has more entries as a scale grows (not more kinds of tokens): a mean over them has less."""
        for node in self.nodes.values():
            if node.op == "input":
                axes = (node.axes or [])[: -1 if node.kind == "tokens" else None]
                if any(self.graph.lengths[axis].scales for axis in axes):
                    return True
        return False


def _reached(starts: Collection[str], after: Callable[[str], Iterable[str]]) -> frozenset[str]:
    """These nodes and all that come after them."""
    reached, queue = set(starts), list(starts)
    while queue:
        new = [name for name in after(queue.pop()) if name not in reached]
        reached.update(new)
        queue += new
    return frozenset(reached)


def _homogeneous(op: str) -> bool:
    """Whether an operation is a power, or a function that a factor passes through."""
    return isinstance(law_of(op).laws, Power) or (op in FUNCTIONS and FUNCTIONS[op].shape.degree is not None)

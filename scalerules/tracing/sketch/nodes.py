"""The nodes of a graph under construction, in order, with names for those that come."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from scalerules.tracing.record import Call

from .axes import Axis
from .sketch_node import SketchNode
from .values import Part, Source, Unknown, place


class Nodes(Mapping[str, SketchNode]):
    """The nodes by name. `call` is the call that is lowered at present, `body` the repeat in whose body nodes stand."""

    def __init__(self) -> None:
        self.by_name: dict[str, SketchNode] = {}
        self.call: Call | None = None
        self.body: str | None = None

    def __getitem__(self, name: str) -> SketchNode:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)

    def slots(self, source: Source) -> tuple[Axis, ...]:
        """The axes of a node or weight."""
        return source.slots if isinstance(source, Part) else self.by_name[source].slots

    def free_name(self, wanted: str) -> str:
        """A name for a node that is not taken yet."""
        name, number = wanted, 0
        while name in self.by_name or name == "stream":
            number += 1
            name = f"{wanted}_{number}"
        return name

    def name_here(self, short: str | None = None) -> str:
        """A name for what the present call computes: its module, and `short` if it is not the module's main result."""
        if self.call is None:
            return self.free_name(short or "node")
        path = self.call.stack[-1][0] if self.call.stack else ""
        words = [word for word in (path, short) if word]
        return self.free_name(".".join(words) or self.call.name)

    def add(self, node: SketchNode) -> str:
        """Adds a node of the present call and body; returns its name."""
        self.by_name[node.name] = replace(node, call=node.call or self.call, body=self.body)
        return node.name

    def rearranged(self, source: Source, result: Sequence[int], slots: Sequence[Axis], short: str) -> str:
        """Adds a rearrangement of a source: which of its slots stand where (numbers beyond them: new axes)."""
        labels = tuple(range(len(self.slots(source))))
        name = self.name_here(short)
        return self.add(SketchNode(name, "rearrange", (source,), (labels,), tuple(result), tuple(slots)))

    @contextmanager
    def within(self, body: str | None) -> Generator[None]:
        """What is added in the block stands in the body of this repeat (None: in none)."""
        before, self.body = self.body, body
        try:
            yield
        finally:
            self.body = before

    def unknown(self, what: str, hint: str) -> Unknown:
        """An error at the present call: what it is, and what to write instead."""
        return Unknown(what, where=place(self.call) if self.call else None, hint=hint)

"""What the passes share: of what every value and every parameter is made, and what has happened so far."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import TypeVar

from scalerules.architecture.graph import Graph
from scalerules.ops.law import Law
from scalerules.ops.registry import law_of
from scalerules.ops.site import Held, Site
from scalerules.optimizers.law import Optimizer
from scalerules.terms.merging import largest, merged
from scalerules.terms.pieces import Operand, Outer, Piece
from scalerules.terms.settling import content, joined, settled, together
from scalerules.terms.sums import root_mean_square
from scalerules.terms.term import SUMMABLE, Step, Term

from .events import Alignments, Event, Run, Told
from .plan import Plan
from .point import Point

Result = TypeVar("Result")


class State:
    """A training of the calculus at one point: every tensor at its start and what it has changed by since.

    `initial`, `change`: the pieces of every site and parameter by key. `told`: every application of a law is kept in
    the run; without it, what comes out as before is not computed again, and its terms are those from before.
    `searching`: a value that is too large at the start goes on as it will be once its equation holds; changes
    do not: what the next step makes of them would be equations of a training that there is not.
    """

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        point: Point,
        optimizer: Optimizer,
        isolated: bool,
        alignments: Alignments,
        *,
        told: bool,
        searching: bool,
    ) -> None:
        self.graph, self.plan, self.point, self.optimizer, self.isolated = graph, plan, point, optimizer, isolated
        self.alignments, self.told, self.searching, self.time = alignments, told, searching, 0
        self.run = Run(point, plan, told=[] if told else None)
        self.initial: dict[str, list[Piece]] = {}
        self.change: dict[str, list[Piece]] = {}
        self._before: dict[Hashable, tuple[list[Term], list[Term]]] = {}
        self._moved: dict[str, list[Piece]] = {}
        self._contents: dict[str, tuple[list[Piece], object]] = {}
        self._totals: dict[str, tuple[list[Piece], list[Piece]]] = {}
        reached: set[str] = set()
        for site in plan.sites:
            if site.parameters or any(key in reached for key in site.inputs):
                reached.add(site.key)
        self.reached = frozenset(reached)
        """Sites that depend on a parameter: only they need a gradient."""

    def law(self, site: Site) -> Law:
        """The laws of a site."""
        return law_of(site.op).laws

    def total(self, key: str) -> list[Piece]:
        """What a tensor is now."""
        parts = [*self.initial[key], *self.change[key]]
        if key in self.plan.parameters or key in self.plan.weights or not self.change[key]:
            return parts
        known = self._totals.get(key)
        if known is None or known[0] is not self.change[key]:
            terms = self.once(("total", key), [parts], lambda: merged(flat(parts), self.point.reach))
            known = self._totals[key] = (self.change[key], [terms])
        return known[1]

    def totals(self, site: Site) -> list[Operand]:
        """What the operands of a site are now."""
        return [self.total(key) for key in site.operands]

    def content(self) -> object:
        """What the next step depends on: where it does not move any more, the next step is like the last."""
        for key, pieces in self.change.items():
            known = self._contents.get(key)
            if known is None or known[0] is not pieces:
                shapes = frozenset(_shape(piece) for piece in pieces if isinstance(piece, Outer))
                self._contents[key] = pieces, (content(flat(pieces)), shapes)
        return {key: self._contents[key][1] for key in self.change}

    def once(self, key: Hashable, operands: Sequence[Sequence[object]], compute: Callable[[], Result]) -> Result:
        """What a law gives for these operands, not again as long as they are the same ones."""
        return compute() if self.told else self.point.applied.once(key, operands, compute)

    def place(self, site: Site) -> Hashable:
        """A site as what its laws give depends on it: of a free factor with the value that it has at this point."""
        return (site.key, self.point.factor(site)[0]) if site.node.free else site.key

    def settled(self, key: Hashable, terms: list[Term]) -> list[Term]:
        """The terms, or those of the step before where they are the same ones again."""
        if self.told:
            return terms
        made, before = self._before.get(key, (None, None))
        if made is not terms or before is None:
            self._before[key] = terms, (before := settled(before, terms))
        return before

    def move(self, held: Held, update: list[Piece]) -> None:
        """Adds an update to what a parameter has changed by; the same one again adds nothing."""
        known = self.change[held.key]
        if self._moved.get(held.key) is update and not self.told:
            return
        self._moved[held.key] = update
        add = together if self.told else joined
        self.change[held.key] = self.once(
            ("moved", held.key), [known, update], lambda: add(known, update, self.point.reach)
        )

    def because(self, terms: list[Term], stage: str, site: Site, of: str | None = None) -> None:
        """Notes that the law of a site gave these terms."""
        self.tell(Step(stage, self.time, site.name, law_of(site.op).reason, site.key, of or site.key), terms)

    def tell(self, step: Step, terms: Sequence[Term]) -> None:
        """Notes of every term that is new where it comes from."""
        for term in terms:
            if term.step is None:
                term.step = step
        if self.run.told is not None:
            self.run.told.append(Told(step, tuple(terms)))

    def record(
        self, kind: str, site: Site, terms: list[Term], judged: bool, parameter: str | None = None, first: bool = False
    ) -> Event:
        """Adds the size of what a site gives, the root mean square of its largest term, to what has happened."""
        top, ticks, discount = None, 0, ()
        for term in terms:
            size, below = root_mean_square(self.point, term, site.result) if term.profile else (term.size, ())
            if top is None or size > ticks or (size == ticks and term.log and not top.log):
                top, ticks, discount = term, size, below
        ticks -= self.point.unchosen(site.chosen) if kind == "own" else 0  # rows that are not chosen do not move
        event = Event(
            kind, site.name, self.time, top, ticks, parameter, judged, first, site.key, discount, tuple(terms)
        )  # fmt: skip
        if top is not None and site.given and kind != "value" and not site.makes:
            return self._held_against(event, largest(flat(self.initial[site.key])))
        if top is not None and first and site.beside:
            self.run.events.append(replace(event, first=False))
            return self._beside(replace(event, judged=False), largest(flat(self.total(site.key))) or top)
        if top is not None and site.key in self.plan.picked:  # the loss reads the entry of the label, not all alike
            return self._apart(event, "at the label", terms)
        if discount and site.key in self.plan.exponents:  # where they are not small, exponentials leave nothing
            return self._apart(event, "at its first entries", terms)
        if first and top is not None and SUMMABLE in (top.profile or ()):  # no other entries move
            self.run.events.append(self._largest(event, "at its first entries", terms, judged=False))
            event = replace(event, first=False)
        self.run.events.append(event)
        return event

    def _held_against(self, event: Event, start: Term | None) -> Event:
        """Adds an event, and one that counts: its size beside that of the value, which nothing else decides."""
        self.run.events.append(replace(event, judged=False, first=False))
        if start is None:
            return event
        return self._beside(replace(event, judged=True), start)

    def _beside(self, event: Event, value: Term) -> Event:
        """Adds an event: its size beside that of the value."""
        discount = tuple((symbol, -share) for symbol, share in value.form.items())
        over = replace(
            event, node=f"{event.node} beside its size", ticks=event.ticks - value.size,
            discount=(*event.discount, *discount),
        )  # fmt: skip
        self.run.events.append(over)
        return over

    def _apart(self, event: Event, where: str, terms: Sequence[Term]) -> Event:
        """Adds an event whose size is that of all entries alike, and one, which counts, of the largest ones."""
        self.run.events.append(replace(event, judged=False, first=False))
        largest = self._largest(event, where, terms, event.judged)
        self.run.events.append(largest)
        return largest

    def _largest(self, event: Event, where: str, terms: Sequence[Term], judged: bool) -> Event:
        entry = max(terms, key=lambda term: term.size)
        return replace(
            event, node=f"{event.node} {where}", term=entry, ticks=entry.size, discount=(), judged=judged
        )  # fmt: skip


def _shape(outer: Outer) -> object:
    """An update of a parameter as far as the next steps see it."""
    return tuple((labels, content(terms)) for labels, terms in outer.factors), outer.factor.size


def lowered(terms: list[Term], event: Event) -> list[Term]:
    """The terms of an event that is too large, as they will be once it is of size 0."""
    return [term.derived(size=term.size - event.ticks, matrix=term.matrix) for term in terms]


def flat(pieces: Sequence[Piece]) -> list[Term]:
    """The terms of the pieces that are multiplied out."""
    return [term for piece in pieces if not isinstance(piece, Outer) for term in piece]

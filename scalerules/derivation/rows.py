"""From the terms of a run to the rows of a derivation: each application of a law once, with what it follows from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from scalerules.architecture.graph import Graph
from scalerules.ops.site import Site
from scalerules.passes.events import Event, Run, Told
from scalerules.sizes.exponents import Exponents
from scalerules.solution.derivation import STAGES, Linear, Row, Sum
from scalerules.solving.equations import Vectors, vector_of
from scalerules.terms.term import Symbol, Term

from .drafts import (
    Draft,
    Law,
    Place,
    by_update,
    form_of,
    gathered,
    law_of,
    merged,
    named,
    ordered_drafts,
    said,
    stage_of,
)  # fmt: skip


class Rows:
    """Drafts of rows, made as they are asked for; every one once."""

    def __init__(self, graph: Graph, run: Run, vectors: Vectors, scales: Sequence[str]) -> None:
        self.graph, self.run, self.vectors, self.scales = graph, run, vectors, scales
        self.told = run.told or []
        self.sites = {site.key: site for site in run.plan.sites}
        self.reads: dict[str, tuple[str, ...]] = reads_of(run)
        self.where: dict[int, list[int]] = {}
        for index, told in enumerate(self.told):
            for term in told.terms:
                self.where.setdefault(id(term), []).append(index)
        self.gradients = {(t.step.time, t.step.of): (i, t.terms[0]) for i, t in enumerate(self.told)
                          if t.step.stage == "gradient"}  # fmt: skip
        self.drafts: dict[Place, Draft] = {}
        self.distinct: dict[object, Draft] = {}

    # --- places ----------------------------------------------------------------------------------------------------

    def place(self, term: Term, quantity: str, step: int, stages: Iterable[str]) -> Place | None:
        """Where a term was last told as the one of this quantity, in this step or before."""
        wanted = set(stages)
        for index in reversed(self.where.get(id(term), ())):
            told = self.told[index].step
            if told.of == quantity and told.time <= step and told.stage in wanted:
                return index, id(term)
        return None

    def _passed(self, term: Term, index: int) -> bool:
        """Whether the application `index` reads an initial value from an operation that passed it on as it was."""
        allowed = self.reads.get(self.told[index].step.at, ())
        return any(i < index and self.told[i].step.of in allowed for i in self.where.get(id(term), ()))

    def _source(self, term: Term, index: int) -> Place:
        """Where the application `index` took a term from: from what it reads, if it was passed on there.

        From its own value only what its operands do not have: a derivative reads the argument.
        """
        step = self.told[index].step
        allowed = self.reads.get(step.at, ())
        told = [i for i in reversed(self.where[id(term)]) if i < index and self.told[i].step.of in allowed]
        told.sort(key=lambda i: (self.told[i].step.stage, self.told[i].step.of) == ("forward", step.at))
        if told:
            return told[0], id(term)
        return next(i for i in self.where[id(term)] if self.told[i].step == term.step), id(term)

    def beside(self, run: Run) -> Rows:
        """Rows of another run that are the same ones where they say the same."""
        rows = Rows(self.graph, run, self.vectors, self.scales)
        rows.distinct = self.distinct
        return rows

    def judge(self, place: Place, event: Event) -> None:
        """Notes whether a row has to stay at most 0, and where its root mean square lies below its largest entries."""
        draft = self.drafts[place]
        if event.judged or not draft.judged:
            draft.below = named(dict(event.discount))
        draft.judged = draft.judged or (event.judged and event.kind != "gradient")

    def news(self, place: Place) -> int:
        """How many rows a place would need that are not there yet, or that are not the largest of their kind."""
        _, sources = self._read(place)
        return sum(1 + (source not in self.drafts) for source in sources
                   if source not in self.drafts or self.drafts[source].second)  # fmt: skip

    # --- rows ------------------------------------------------------------------------------------------------------

    def draft(self, place: Place) -> Draft:
        """The row of a place, and those that it follows from."""
        stack = [place]
        laws: dict[Place, tuple[Law, list[Place]]] = {}
        while stack:
            top = stack[-1]
            if top in self.drafts:
                stack.pop()
                continue
            if top not in laws:
                laws[top] = self._read(top)
            law, sources = laws[top]
            missing = [source for source in sources if source not in self.drafts]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            made = self._drafted(top, law, [self.drafts[source] for source in sources])
            kept = self.drafts[top] = self.distinct.setdefault(made.key, made)
            if (made.told.step.time, top[0]) < (kept.told.step.time, kept.place[0]):
                kept.told, kept.place = made.told, top
        return self.drafts[place]

    def _term(self, place: Place) -> Term:
        return next(term for term in self.told[place[0]].terms if id(term) == place[1])

    def _read(self, place: Place) -> tuple[Law, list[Place]]:
        """What an application did to give a term, and the places of the terms that it took."""
        term, told = self._term(place), self.told[place[0]]
        if term.step is not None and term.step.stage == "parameter" and not self._passed(term, place[0]):
            return law_of(term, lambda _: False), []
        if term.step != told.step:
            return Law([(term, Fraction(1))], {}, []), [self._source(term, place[0])]
        law = law_of(term, lambda other: self._passed(other, place[0]))
        sources = [self._source(parent, place[0]) for parent, _ in law.parents]
        gradient = self.gradients.get((told.step.time, told.step.of))
        if told.step.stage == "factor" and gradient is not None:
            law.parents.insert(0, (gradient[1], Fraction(1)))
            sources.insert(0, (gradient[0], id(gradient[1])))
        return law, sources

    def _drafted(self, place: Place, law: Law, sources: list[Draft]) -> Draft:
        term, told = self._term(place), self.told[place[0]]
        follows = [(draft, share) for draft, (_, share) in zip(sources, law.parents, strict=True)]
        adds = named(law.adds)
        follows, adds = by_update(law, follows, adds)
        follows = gathered(follows, told.step.stage in ("factor", "update"))
        kept = any(t.size > term.size for t in told.terms)
        return Draft(told, place, follows, adds, merged(law.sums), self._law(told, law), term, kept)

    def _law(self, told: Told, law: Law) -> str:
        step = told.step
        if step.stage in ("update", "factor", "gradient", "loss", "loss gradient"):
            return step.stage if step.stage != "factor" else "update"
        site = self.sites.get(step.at)
        if site is not None and site.op in ("einsum", "residual", "add", "concat", "recurrence"):
            name = "mirror" if law.mirror else {"einsum": "product", "recurrence": "recurrence"}.get(site.op, "sum")
            return name
        return site.op if site is not None else step.stage

    def size(self, form: Mapping[Symbol, Fraction]) -> Exponents:
        """The exponents of a linear form at the solution."""
        vector = vector_of(form, self.vectors, self.run, self.scales)
        return Exponents(dict(zip(self.scales, vector[1:], strict=True)))

    def value(self, linear: Linear) -> Exponents:
        """The exponents of growths, by the names that a derivation uses."""
        return self.size({("growth" if name[0] == "g" else "scale", name[2:]): share for name, share in linear.items()})

    def around(self) -> dict[str, tuple[str, ...]]:
        """What the rows of every operation and parameter that has rows may follow from, by name."""
        used = {draft.told.step.at for draft in self.distinct.values()}
        return {said(key): tuple(map(said, keys)) for key, keys in self.reads.items() if key in used}

    def finished(self) -> tuple[Row, ...]:
        """All rows that were asked for, in the order of training, numbered."""
        drafts = sorted(self.distinct.values(), key=lambda d: (d.told.step.time, d.place[0]))
        drafts = ordered_drafts(drafts)
        counts: Counter[str] = Counter()
        for draft in drafts:
            letter = STAGES[stage_of(draft)]
            counts[letter] += 1
            draft.name = f"{letter}{counts[letter]}"
        return tuple(self._finished(draft) for draft in drafts)

    def _finished(self, draft: Draft) -> Row:
        step = draft.told.step
        return Row(
            name=draft.name,
            stage=stage_of(draft),  # pyright: ignore[reportArgumentType]
            step=step.time,
            quantity=said(step.of),
            at=said(step.at),
            operation=self._operation(draft),
            law=draft.law,
            sums=draft.sums + self._fixed(draft),
            follows=tuple((other.name, share) for other, share in draft.follows),
            adds=draft.adds,
            size=self.size(form_of(draft)),
            judged=draft.judged,
            second=draft.second,
            below=draft.below,
        )

    def _operation(self, draft: Draft) -> str:
        """The application as a formula: `W_h1 a1`, `dW_h1 a1`, `relu(h1)`."""
        step = draft.told.step
        site = self.sites.get(step.at)
        if step.stage == "gradient":
            return f"d loss/d {self._letter(step.of)}"
        if site is None or step.stage in ("update", "factor", "loss"):
            update = f"d {self._letter(step.of)}"
            return update if step.stage != "loss" else f"gradient times {update}"
        if step.stage == "loss gradient":
            return "gradient of the loss"
        moved = {d.told.step.of for d, _ in draft.follows if stage_of(d) in ("update", "own", "change")}
        moved |= {key for key in site.parameters if f"c_{self.run.plan.parameters[key].name}" in draft.adds}
        changes = step.stage in ("own", "change")
        parts = [f"d {self._letter(key)}" if key in moved and changes else self._letter(key)
                 for key in site.operands if step.stage != "backward" or key != step.of]  # fmt: skip
        if step.stage == "backward":
            there = f"d loss/d {said(site.key)}"
            return " ".join([there, *parts]) if site.op == "einsum" else f"{there} through {site.op}"
        if site.op == "einsum":
            return " ".join(reversed(parts)) if len(parts) == 2 else " ".join(parts)
        if site.op in ("add", "residual"):
            return " + ".join(parts)
        return f"{site.op}({', '.join(parts)})" if parts else site.op

    def _letter(self, key: str) -> str:
        """An operand in a formula: a parameter that is called like a node is written `W_h1`."""
        return f"W_{said(key)}" if key.startswith("@") and said(key) in self.sites else said(key)

    def _fixed(self, draft: Draft) -> tuple[Sum, ...]:
        """The axes that are summed over and do not grow."""
        site = self.sites.get(draft.told.step.at)
        if site is None or site.op != "einsum" or not site.node.equation or draft.law == "sum":
            return ()
        labels, result = site.node.labels()
        axes = dict(self._axes(site, labels))
        if draft.told.step.stage == "backward":
            return ()
        gone = dict.fromkeys(axes[w] for part in labels for w in part if w not in result and w in axes)
        there = {each.axis for each in draft.sums}
        growing = {axis for axis, growth in self.run.point.growths.items() if growth}
        return tuple(Sum(axis, "fixed", Fraction(0)) for axis in gone if axis not in growing and axis not in there)

    def _axes(self, site: Site, labels: Sequence[Sequence[str]]) -> Iterable[tuple[str, str]]:
        try:
            shapes = self.graph.operand_axes(site.name)
        except KeyError:
            return ()
        return [pair for part, shape in zip(labels, shapes, strict=False) for pair in zip(part, shape, strict=False)]


def reads_of(run: Run) -> dict[str, tuple[str, ...]]:
    """For every operation and every parameter what its rows may follow from.

    That is itself, what it reads, and what stands around a matrix that it shares: of every place its update has terms.
    """
    found: dict[str, tuple[str, ...]] = {site.key: (site.key, *site.operands) for site in run.plan.sites}
    for key in run.plan.parameters:
        around = [k for site in run.plan.sites if key in site.operands for k in found[site.key]]
        found[key] = tuple(dict.fromkeys((key, *around)))
    for site in run.plan.sites:  # a weight without data multiplies updates out, and so reads what they are made of
        if site.key in run.plan.weights:
            found[site.key] = tuple(dict.fromkeys(k for key in found[site.key] for k in (key, *found.get(key, ()))))
    readers = Counter(key for site in run.plan.sites for key in {*site.operands})
    shared = {key for key in run.plan.parameters if readers[key] > 1}
    more = {key: {other: None for k in keys if k in shared for other in found[k]} for key, keys in found.items()}
    return {key: (*keys, *(other for other in more[key] if other not in keys)) for key, keys in found.items()}


def event_place(rows: Rows, event: Event, term: Term) -> Place | None:
    """The place of a term of an event."""
    stages = {"value": ("forward",), "gradient": ("gradient",), "own": ("own",), "change": ("own", "change"),
              "loss": ("loss",), "update": ("update",)}[event.kind]  # fmt: skip
    return rows.place(term, event.site, event.step, stages)

"""The passes: forward, backward, update and change, step by step, at one point of the unknowns.

A `Point` fixes a direction and a value for every unknown; `propagate` runs `T` training steps there and returns the
events: the size of every value, gradient, own contribution and change, each as a term that knows how it came about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from scalerules.architecture.graph import Graph
from scalerules.ops.law import Law
from scalerules.ops.registry import law_of
from scalerules.ops.site import Held, Site
from scalerules.optimizers.gradients import entries, explicit_if_summed, traces
from scalerules.optimizers.law import Optimizer
from scalerules.sizes.lengths import Direction
from scalerules.terms.contraction import explicit
from scalerules.terms.merging import largest, merged
from scalerules.terms.pieces import Operand, Outer, Piece, axis_name
from scalerules.terms.term import SUMMABLE, Step, Symbol, Term

from .events import Alignments, Event, Run, Told, root_mean_square
from .masks import masked, root
from .plan import Plan
from .point import Point
from .unfolding import lower

LOSS = "The loss is a mean over the growing axes of an output."
GRADIENT = "The gradient of a parameter: the gradient of what it makes, times what it reads."


def propagate(
    graph: Graph,
    plan: Plan,
    point: Point,
    optimizer: Optimizer,
    steps: int,
    *,
    isolated: bool = False,
    until: Callable[[list[Event]], bool] | None = None,
    alignments: Alignments | None = None,
    told: bool = False,
) -> Run:
    """Runs `steps` training steps of the calculus, or up to the first whose events `until` answers with True.

    `isolated`: one step, each parameter alone; its own contribution and, to first order, what it changes in the loss
    are judged, propagated changes are ignored. `alignments` prescribes, for the parameters it names, the exponents with
    which `dW x`, `W dx` and `dW dx` grow with the fan-in (Everett et al., arXiv 2407.05872); all others are derived.
    `told`: the run keeps every application of a law, from which a derivation is written.
    """
    passes = _Propagation(graph, plan, point, optimizer, isolated, alignments or {})
    passes.result.told = [] if told else None
    return passes.run(1 if isolated else steps, until)


class _Propagation:
    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        point: Point,
        optimizer: Optimizer,
        isolated: bool,
        alignments: Alignments,
    ) -> None:
        self.graph, self.plan, self.point, self.optimizer, self.isolated = graph, plan, point, optimizer, isolated
        self.alignments = alignments
        self.result = Run(point, plan)
        self.laws: dict[str, Law] = {site.op: law_of(site.op).laws for site in plan.sites}
        self.reasons = {site.op: law_of(site.op).reason for site in plan.sites}
        self.initial: dict[str, list[Piece]] = {}
        self.change: dict[str, list[Piece]] = {}
        self._totals: dict[str, tuple[list[Piece], list[Piece]]] = {}
        self.own: dict[str, dict[str, tuple[list[Term], bool]]] = {}
        self.time = 0
        for held in plan.parameters.values():
            self.initial[held.key] = [self._initial(held)]
            self.change[held.key] = []

    def run(self, steps: int, until: Callable[[list[Event]], bool] | None) -> Run:
        self.forward()
        events, seen = self.result.events, 0
        before: object = None
        while self.time < steps and not (until and until(events[seen:])):
            last, seen = events[seen:], len(events)
            self.time += 1
            state = self._state()
            if state == before:
                events.extend(replace(event, step=self.time) for event in last)
                continue
            before = state
            self.backward()
            self.changes()
        return self.result

    def _state(self) -> object:
        """What the next step depends on: where it does not move any more, the next step is like the last."""
        return {
            key: frozenset((t.signs, t.size, t.profile) for t in flat(pieces)) for key, pieces in self.change.items()
        }, {key: {_shape(piece) for piece in self.change[key]} for key in self.plan.parameters}

    # one pass each

    def forward(self) -> None:
        for site in self.plan.sites:
            if site.op == "input":
                terms = [self._data(site)]
            else:
                terms = self.laws[site.op].value(self.point, site, self._operands(site, self.initial))
            self._because(terms, "forward", site)
            self.initial[site.key], self.change[site.key] = [terms], []
            self._record("value", site, terms, site.result, judged=site.judged)

    def backward(self) -> None:
        gradients: dict[str, list[Term]] = {}
        for site in self.plan.sites:
            if site.key in self.plan.outputs:
                gradients[site.key] = [self._output_gradient(site)]
                self._tell(Step("loss gradient", self.time, site.name, LOSS, site.key, site.key), gradients[site.key])
        pieces: dict[str, list[Piece]] = {key: [] for key in self.plan.parameters}
        for site in reversed(self.plan.sites):
            d = gradients.get(site.key)
            if not d or site.op == "input":
                continue
            totals = [self._behind(key) for key in site.operands]
            for k, key in enumerate(site.operands):
                if key in self.plan.parameters:
                    if self.graph.parameters[self.plan.parameters[key].name].trained:
                        pieces[key].append(self._gradient(site, totals, k, d))
                elif key in self._reaches:
                    terms = self.laws[site.op].pull(self.point, site, totals, k, d)
                    self._because(terms, "backward", site, key)
                    gradients[key] = merged([*gradients.get(key, []), *terms], self.point.reach)
        for key, parts in pieces.items():
            self._update(self.plan.parameters[key], parts)

    def changes(self) -> None:
        self.own = {}
        for site in self.plan.sites:
            if site.op == "input":
                continue
            terms = self._owns(site)
            if not self.isolated:
                for k, key in enumerate(site.inputs):
                    if self.change[key]:
                        if self._prescribed(site):
                            moved = self._prescribed_change(site, key)
                        else:
                            law, around = self.laws[site.op], self._around(site, k)
                            moved = law.push(self.point, site, around, k, self.change[key])
                        self._because(moved, "change", site)
                        terms.extend(moved)
                terms = merged(terms, self.point.reach)
                self.change[site.key] = [terms] if terms else []
                self._record("change", site, terms, site.result, judged=site.judged)

    # helpers

    @property
    def _reaches(self) -> frozenset[str]:
        """Sites that depend on a parameter: only they need a gradient."""
        if not hasattr(self, "_reached"):
            reached: set[str] = set()
            for site in self.plan.sites:
                if site.parameters or any(key in reached for key in site.inputs):
                    reached.add(site.key)
            self._reached = frozenset(reached)
        return self._reached

    def _operands(self, site: Site, source: Mapping[str, list[Piece]]) -> list[Operand]:
        return [source[key] for key in site.operands]

    def _total(self, key: str) -> list[Piece]:
        parts = [*self.initial[key], *self.change[key]]
        if key in self.plan.parameters or key in self.plan.weights or not self.change[key]:
            return parts
        known = self._totals.get(key)
        if known is None or known[0] is not self.change[key]:
            known = self._totals[key] = (self.change[key], [merged(flat(parts), self.point.reach)])
        return known[1]

    def _behind(self, key: str) -> list[Piece]:
        """What the backward pass reads: everything now, but a matrix whose alignment is prescribed as it was at first.

        Analyses that assume an alignment take the gradients of initialisation (Everett et al., arXiv 2407.05872).
        """
        held = self.plan.parameters.get(key)
        if held is not None and held.name in self.alignments and any(self.initial[key]):
            return self.initial[key]
        return self._total(key)

    def _around(self, site: Site, k: int) -> list[Operand]:
        """The operands around a change of the `k`-th: parameters and values before it at their start, later ones now.

        A function of one operand is taken where it has arrived, since changes are finite.
        """
        held = len(site.inputs)
        return [
            self.initial[key] if i < k or (i >= held and k < held and i != k) else self._total(key)
            for i, key in enumerate(site.operands)
        ]

    def _owns(self, site: Site) -> list[Term]:
        """Own contributions of the parameters that are read here, and of those carried here."""
        law, found = self.laws[site.op], dict[str, list[Term]]()
        first: dict[str, bool] = {}
        direct: list[Term] = []
        for k, key in enumerate(site.operands):
            if key in self.plan.parameters and self.change[key]:
                if self._prescribed(site) == key:
                    terms = self._prescribed_own(site, key)
                else:
                    around = [self._total(other) for other in site.operands]
                    terms = law.push(self.point, site, around, k, self.change[key])
                self._because(terms, "own", site)
                found[key] = [*found.get(key, []), *terms]
                first[key] = True
                direct.extend(terms)
        totals: list[Operand] | None = None
        for k, source in enumerate(site.inputs):
            for key, (terms, pending) in self.own.get(source, {}).items():
                totals = totals or [self._total(other) for other in site.operands]
                moved = law.push(self.point, site, totals, k, [terms])
                self._because(moved, "own", site)
                found[key] = [*found.get(key, []), *moved]
                first[key] = first.get(key, False) or pending
        for key, terms in found.items():
            held = self.plan.parameters[key]
            joins = site.joins is not None and site.joins == held.depth
            self._record("own", site, terms, site.result, site.judged, held.name, first[key] and site.judged)
            if site.carries or (held.depth and not joins):
                pending = first[key] and not site.judged
                self.own.setdefault(site.key, {})[key] = (merged(terms, self.point.reach // 2), pending)
        return direct

    def _prescribed(self, site: Site) -> str | None:
        """The parameter of a dense site whose alignment is prescribed."""
        dense = site.op == "einsum" and len(site.inputs) == len(site.parameters) == 1
        key = site.parameters[0] if dense else None
        return key if key and self.plan.parameters[key].name in self.alignments else None

    def _prescribed_own(self, site: Site, key: str) -> list[Term]:
        along, _, crossed = self.alignments[self.plan.parameters[key].name]
        held, x = self.plan.parameters[key], site.inputs[0]
        update = largest(t for t in (entries(self.point, piece) for piece in self.change[key]) if t is not None)
        terms = [self._scaled(site, held, update, largest(flat(self.initial[x])), along)]
        terms.append(self._scaled(site, held, update, largest(flat(self.change[x])), crossed))
        return [term for term in terms if term is not None]

    def _prescribed_change(self, site: Site, x: str) -> list[Term]:
        key = site.parameters[0]
        held, weight = self.plan.parameters[key], largest(flat(self.initial[key]))
        across = self.alignments[held.name][1]
        term = self._scaled(site, held, weight, largest(flat(self.change[x])), across)
        return [term] if term is not None else []

    def _scaled(self, site: Site, held: Held, w: Term | None, x: Term | None, share: Fraction) -> Term | None:
        """A product summed over the fan-in with a prescribed share of its growth."""
        if w is None or x is None:
            return None
        ticks = sum(self.point.ticks(axis) for axis in held.fan_in)
        bit = self.point.bit("image", held.key, "prescribed")
        shift = tuple((("growth", axis), share) for axis in held.fan_in)
        return Term(w.size + x.size + int(ticks * share), tuple(bit for _ in site.result), (w, x), shift)

    def _gradient(self, site: Site, totals: list[list[Piece]], k: int, d: list[Term]) -> Piece:
        if site.op != "einsum":
            return self.laws[site.op].pull(self.point, site, totals, k, d)
        factors = [(site.result, tuple(d))]
        for i, operand in enumerate(totals):
            if i != k:
                factors.append((site.labels[i], tuple(explicit(self.point, operand, site.labels[i]))))
        if self.optimizer.sides:
            name = self.plan.parameters[site.operands[k]].name
            self.result.sides[name] = traces(self.point, site.labels[k], factors)
        outer = Outer(tuple(factors), site.labels[k], Term(0))
        known = {label for labels, _ in factors for label in labels}
        if any(label not in known for label in site.labels[k]):
            return self.laws[site.op].pull(self.point, site, totals, k, d)
        return explicit_if_summed(self.point, outer)

    def _update(self, held: Held, parts: list[Piece]) -> None:
        parts = [part for part in parts if not (isinstance(part, list) and not part)]
        weights = [*self.initial[held.key], *self.change[held.key]]
        sides = self.result.sides.get(held.name)
        update, top, scaling = self.optimizer.update(self.point, held, parts, weights, sides)
        self.result.scalings.setdefault(held.name, []).append(scaling)
        labels = [f"{axis}|{i}" for i, axis in enumerate(held.axes)]
        if top is not None:
            self._tell(Step("gradient", self.time, held.name, GRADIENT, held.key, held.key), [top])
        ticks, discount = root_mean_square(self.point, top, labels) if top else (0, ())
        ticks -= self.point.unchosen(held.chosen)
        density = self.point.density(held.name)
        if density[0]:
            ticks += root(*density)[0]  # what is measured counts the zeros, what is asked of epsilon does not
            update = masked(self.point, held.key, len(held.axes), update, density)
        self.result.events.append(
            Event("gradient", held.name, self.time, top, ticks, held.name, False, False, held.key, discount)
        )
        arrived = self.isolated or self.change[held.key]  # a first step may change the gradient itself (behind a norm)
        if top is not None and arrived and held.name not in self.alignments:
            loss = self.optimizer.loss(self.point, held, top, scaling)
            loss = loss.derived(size=loss.size + density[0], shift=density[1]) if density[0] else loss
            step = Step("loss", self.time, held.name, "An update times its own gradient: all entries agree.")
            self._tell(replace(step, at=held.key, of=held.key), [loss])
            self.result.events.append(
                Event("loss", held.name, self.time, loss, loss.size, held.name, site=held.key, terms=(loss,))
            )
        for piece in update:
            step = Step("update", self.time, held.name, self.optimizer.reason, held.key, held.key)
            if isinstance(piece, Outer):
                self._tell(replace(step, stage="factor"), [piece.factor])
            else:
                self._tell(step, piece)
        self.change[held.key].extend(update)

    def _because(self, terms: list[Term], stage: str, site: Site, of: str | None = None) -> None:
        self._tell(Step(stage, self.time, site.name, self.reasons[site.op], site.key, of or site.key), terms)

    def _tell(self, step: Step, terms: Sequence[Term]) -> None:
        """Notes of every term that is new where it comes from."""
        for term in terms:
            if term.step is None:
                term.step = step
        if self.result.told is not None:
            self.result.told.append(Told(step, tuple(terms)))

    def _record(
        self,
        kind: str,
        site: Site,
        terms: list[Term],
        labels: Sequence[str],
        judged: bool,
        parameter: str | None = None,
        first: bool = False,
    ) -> None:
        best: tuple[int, Term | None, tuple[tuple[Symbol, Fraction], ...]] = (0, None, ())
        for term in terms:
            ticks, discount = root_mean_square(self.point, term, labels)
            if best[1] is None or ticks > best[0] or (ticks == best[0] and term.log and not best[1].log):
                best = (ticks, term, discount)
        ticks, top, discount = best
        ticks -= self.point.unchosen(site.chosen) if kind == "own" else 0  # rows that are not chosen do not move
        self.result.events.append(
            Event(kind, site.name, self.time, top, ticks, parameter, judged, first, site.key, discount, tuple(terms))
        )

    def _data(self, site: Site) -> Term:
        """Data: entries of size 0, random along every axis; of tokens one along the last axis, and zeros beside it."""
        signs = [self.point.bit("data", site.key, i) for i in range(len(site.result))]
        if site.node.kind == "tokens" and site.result and axis_name(site.result[-1]) == (site.node.axes or [""])[-1]:
            return Term(0, (*signs[:-1], 0), profile=(*(0,) * (len(signs) - 1), SUMMABLE))
        return Term(0, tuple(signs))

    def _output_gradient(self, site: Site) -> Term:
        """The loss is a mean over the growing axes of an output."""
        shift = tuple((("growth", label.partition("|")[0]), Fraction(-1)) for label in site.result)
        return Term(-sum(self.point.ticks(label) for label in site.result), (0,) * len(site.result), (), shift)

    def _fixed(self, held: Held, signs: tuple[int, ...], **fields: Any) -> Term:
        """Initial entries that agree in sign, times the factor that a parameter has."""
        size, shift = self.point.start(held.name)
        return Term(size, signs, (), shift, **fields)

    def _initial(self, held: Held) -> list[Term]:
        init = self.graph.parameters[held.name].init
        zero = (0,) * len(held.axes)
        last_grows = bool(held.axes) and held.axes[-1:] == tuple(self.graph.parameters[held.name].axes[-1:])
        if init == "zeros":
            terms: list[Term] = []
        elif init == "normal":
            bit = self.point.bit("parameter", held.key)
            shift: tuple[tuple[Symbol, Fraction], ...] = ((("init", held.name), Fraction(1)),)
            zeros = root(*self.point.density(held.name))
            size, shift = self.point.unknown("init", held.name) + zeros[0], (*shift, *zeros[1])
            matrix = held.key if len(held.axes) > 1 else None
            terms = [Term(size, tuple(bit for _ in held.axes), (), shift, matrix=matrix)]
        elif init == "range" and last_grows:
            terms = [self._fixed(held, zero, profile=(*zero[:-1], -2))]
        else:
            terms = [self._fixed(held, zero, ramp=init == "log_range" and last_grows)]
        for term in terms:
            term.step = Step("parameter", 0, held.name, "The initial value of the parameter.", held.key, held.key)
        return terms


def _shape(piece: Piece) -> object:
    """A piece of a parameter's change as far as the next steps see it."""
    if not isinstance(piece, Outer):
        return frozenset((t.signs, t.size, t.profile) for t in piece)
    factors = tuple((labels, frozenset((t.signs, t.size, t.profile) for t in terms)) for labels, terms in piece.factors)
    return (factors, piece.factor.size)


def flat(pieces: Sequence[Piece]) -> list[Term]:
    """The terms of the pieces that are multiplied out."""
    return [term for piece in pieces if not isinstance(piece, Outer) for term in piece]


def start(graph: Graph, direction: Direction) -> Plan:
    """The plan of a graph for the axes that grow along `direction`."""
    growing = frozenset(axis for axis, length in graph.lengths.items() if length.growth(direction))
    return lower(graph, growing)

"""The backward pass: the gradient of every value and parameter, and the step that the optimizer makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from scalerules.ops.forms import read
from scalerules.ops.registry import law_of
from scalerules.ops.scan import Discretised
from scalerules.ops.site import Held, Site
from scalerules.optimizers.gradients import entries, explicit_if_summed, largest, traces
from scalerules.terms.contraction import explicit
from scalerules.terms.diagonals import is_identity
from scalerules.terms.merging import merged
from scalerules.terms.pieces import Operand, Outer, Piece, axis_name
from scalerules.terms.sums import root_mean_square
from scalerules.terms.term import SUMMABLE, Step, Term

from .events import Event
from .masks import masked, root
from .state import State

LOSS = "The loss is a mean over the growing axes of an output."
PICKS = "The loss is a sum over the classes, and picks one for each example: one entry of the gradient, the label's."
GRADIENT = "The gradient of a parameter: the gradient of what it makes, times what it reads."
FINITE = "The gradient as a step sees it that is not small: what turns ever faster changes no more than it is large."


def backward(state: State) -> None:
    """Runs the backward pass and updates every parameter."""
    finite = _gradients(state, finite=True) if _steep(state) else None
    gradients = _gradients(state)
    for key, parts in gradients.items():
        _update(state, state.plan.parameters[key], parts, parts if finite is None else finite[key])


def _steep(state: State) -> bool:
    """Whether there is a derivative that only a small step sees: what updates change in the loss is followed apart."""
    laws = ((site, law_of(site.op).laws) for site in state.plan.sites if site.key in state.reached)
    return any(isinstance(law, Discretised) and law.steep(state.point, site, state.totals(site)) for site, law in laws)


def _gradients(state: State, finite: bool = False) -> dict[str, list[Piece]]:
    """The gradient of every parameter; `finite`: as a step sees it that is not small."""
    arriving: dict[str, list[list[Term]]] = {}
    for site in state.plan.sites:
        if site.key in state.plan.outputs:
            arriving[site.key] = [state.once(("loss", site.key), [], lambda site=site: _of_loss(state, site))]
            because = PICKS if site.key in state.plan.picked else LOSS
            step = Step("loss gradient", state.time, site.name, because, site.key, site.key)
            state.tell(step, arriving[site.key][0])
    gradients: dict[str, list[Piece]] = {key: [] for key in state.plan.parameters}
    for site in reversed(state.plan.sites):
        if site.op != "input" and (d := _arrived(state, site, arriving.get(site.key, []), finite)):
            _pull(state, site, d, arriving, gradients, finite)
    return {key: [part for part in parts if part != []] for key, parts in gradients.items()}


def _of_loss(state: State, site: Site) -> list[Term]:
    """The gradient of the loss at an output: 1 over its growing axes, and, of classes, 1 at the label."""
    shift = tuple((("growth", axis_name(label)), Fraction(-1)) for label in site.result)
    flat = Term(-sum(state.point.ticks(label) for label in site.result), (0,) * len(site.result), (), shift)
    if site.key not in state.plan.picked:
        return [flat]
    size, profile = flat.size + state.point.ticks(site.result[-1]), (*(0,) * (len(site.result) - 1), SUMMABLE)
    return [Term(size, flat.signs, (), shift[:-1], profile=profile), flat]


def _arrived(state: State, site: Site, parts: list[list[Term]], finite: bool) -> list[Term]:
    """The gradient of a site, from what every reader of it gave."""
    if not parts:
        return []

    def total() -> list[Term]:
        terms: list[Term] = []
        for part in parts:
            terms = merged([*terms, *part] if terms else part, state.point.reach)
        return terms

    key = "gradient", site.key, finite
    return state.settled(key, state.once(key, [parts], total))


def _pull(
    state: State, site: Site, d: list[Term], arriving: dict[str, list[list[Term]]], gradients: dict[str, list[Piece]],
    finite: bool,
) -> None:  # fmt: skip
    """Passes the gradient of a site on to what it reads."""
    law = state.law(site)
    pull = law.secant if finite and isinstance(law, Discretised) else law.pull
    around = [_behind(state, key) for key in site.operands]
    for k, key in enumerate(site.operands):
        place, seen = (state.place(site), k, finite), [*read(law, around, k), [d]]
        if key in gradients:
            if state.graph.parameters[state.plan.parameters[key].name].trained:
                gradient, sides = state.once(
                    ("gradient of", *place), seen, lambda k=k: _gradient(state, site, around, k, d)
                )
                gradients[key].append(gradient)
                if sides is not None:
                    state.run.sides[key] = sides
        elif key in state.reached:
            terms = state.once(("pull", *place), seen, lambda k=k: pull(state.point, site, around, k, d))
            state.because(terms, "backward", site, key)
            arriving.setdefault(key, []).append(terms)


def _behind(state: State, key: str) -> list[Piece]:
    """What the backward pass reads: everything now, but a matrix whose alignment is prescribed as it was at first.

    Analyses that assume an alignment take the gradients of initialisation (Everett et al., arXiv 2407.05872).
    """
    held = state.plan.parameters.get(key)
    if held is not None and held.name in state.alignments and any(state.initial[key]):
        return state.initial[key]
    return state.total(key)


def _gradient(
    state: State, site: Site, around: Sequence[Operand], k: int, d: list[Term]
) -> tuple[Piece, tuple[Term, Term] | None]:
    """The gradient of a parameter, of a matrix an outer product, kept as its factors; its sides where asked for."""
    if site.op != "einsum":
        return state.law(site).pull(state.point, site, around, k, d), None
    factors, one = [(site.result, tuple(d))], dict[str, str]()
    for i, operand in enumerate(around):
        if i != k and is_identity(operand):
            one |= dict.fromkeys(site.labels[i], site.labels[i][0])
        elif i != k:
            factors.append((site.labels[i], tuple(explicit(state.point, operand, site.labels[i]))))
    factors = [(tuple(one.get(label, label) for label in labels), terms) for labels, terms in factors]
    wanted = tuple(one.get(label, label) for label in site.labels[k])
    sides = traces(state.point, wanted, factors) if state.optimizer.sides else None
    known = {label for labels, _ in factors for label in labels}
    bare = [label for label in dict.fromkeys(wanted) if label not in known]
    if not set(bare) <= set(one.values()):
        return state.law(site).pull(state.point, site, around, k, d), sides
    factors += [((label,), (Term(0, (0,)),)) for label in bare]  # the diagonal of an identity
    return explicit_if_summed(state.point, Outer(tuple(factors), wanted, Term(0))), sides


def _update(state: State, held: Held, parts: list[Piece], finite: list[Piece]) -> None:
    """Notes the gradient of a parameter and what its update changes in the loss, and makes the update.

    `finite`: the gradient as a step sees it that is not small.
    """
    point, optimizer, time = state.point, state.optimizer, state.time
    weights = [*state.initial[held.key], *state.change[held.key]]
    sides = state.run.sides.get(held.key)
    update, top, scaling = state.once(
        ("update", held.key, point.unknown(optimizer.unknown, held.name)), [parts, weights, sides or (), [optimizer]],
        lambda: optimizer.update(point, held, parts, weights, sides),
    )  # fmt: skip
    state.run.scalings.setdefault(held.name, []).append(scaling)
    seen = top if finite is parts else largest(t for t in (entries(point, piece) for piece in finite) if t is not None)
    if seen is not None and seen is not top:
        state.tell(Step("gradient", time, held.name, FINITE, held.key, held.key), [seen])
    if top is not None:
        state.tell(Step("gradient", time, held.name, GRADIENT, held.key, held.key), [top])
    labels = [f"{axis}|{i}" for i, axis in enumerate(held.axes)]
    ticks, discount = root_mean_square(point, top, labels) if top else (0, ())
    ticks -= point.unchosen(held.chosen)
    density = point.density(held.name)
    if density[0]:
        ticks += root(*density)[0]  # what is measured counts the zeros, what is asked of epsilon does not
        bare = update
        update = state.once(
            ("masked", held.key), [bare], lambda: masked(point, held.key, len(held.axes), bare, density)
        )
    state.run.events.append(Event("gradient", held.name, time, top, ticks, held.name, False, False, held.key, discount))
    arrived = state.isolated or state.change[held.key]  # a first step may change the gradient itself (behind a norm)
    if top is not None and seen is not None and arrived and held.name not in state.alignments:
        loss = optimizer.loss(point, held, seen, top, scaling)
        loss = loss.derived(size=loss.size + density[0], shift=density[1]) if density[0] else loss
        because = "An update times its own gradient: all entries agree."
        state.tell(Step("loss", time, held.name, because, held.key, held.key), [loss])
        state.run.events.append(
            Event("loss", held.name, time, loss, loss.size, held.name, site=held.key, terms=(loss,))
        )  # fmt: skip
    for piece in update:
        step = Step("update", time, held.name, optimizer.reason, held.key, held.key)
        if isinstance(piece, Outer):
            state.tell(replace(step, stage="factor"), [piece.factor])
        else:
            state.tell(step, piece)
    state.move(held, update)

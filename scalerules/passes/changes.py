"""The changes of all values since their start: of the parameters read here, and of what comes from further below."""

from __future__ import annotations

from collections.abc import Hashable

from scalerules.ops.forms import read
from scalerules.ops.site import Site
from scalerules.terms.merging import merged
from scalerules.terms.pieces import Operand
from scalerules.terms.term import Term

from .prescribed import prescribed, prescribed_change, prescribed_own
from .state import State

Owns = dict[str, dict[str, tuple[list[Term], bool]]]
"""By site and parameter, the own contribution that is followed on, and whether it is still to be asked for."""


def changes(state: State) -> None:
    """Sets the change of every site."""
    carried: Owns = {}
    for site in state.plan.sites:
        if site.op == "input":
            continue
        owns, asked, parts = _owns(state, site, carried)
        terms: list[Term] = []
        if not state.isolated:
            parts += [_pushed(state, site, k, key) for k, key in enumerate(site.inputs) if state.change[key]]
            terms = state.settled(
                ("change", site.key), _together(state, ("change", site.key), parts, state.point.reach)
            )
            before = state.change[site.key]
            if not (before and before[0] is terms):
                state.change[site.key] = [terms] if terms else []
        _note(state, site, owns, asked, carried)
        if not state.isolated:
            state.record("change", site, terms, site.judged)


def _pushed(state: State, site: Site, k: int, key: str) -> list[Term]:
    """What the change of the `k`-th operand changes here."""
    if prescribed(state, site):
        terms = prescribed_change(state, site, key)
    else:
        around, change = _around(state, site, k), state.change[key]
        terms = state.once(
            ("push", state.place(site), k), [*read(state.law(site), around, k), change],
            lambda: state.law(site).push(state.point, site, around, k, change),
        )  # fmt: skip
    state.because(terms, "change", site)
    return terms


def _together(state: State, key: Hashable, parts: list[list[Term]], reach: int) -> list[Term]:
    """The terms of several lists, merged."""
    return state.once(key, [parts], lambda: merged((term for part in parts for term in part), reach))


def _around(state: State, site: Site, k: int) -> list[Operand]:
    """The operands around a change of the `k`-th: parameters and values before it at their start, later ones now.

    A function of one operand is taken where it has arrived, since changes are finite.
    """
    held = len(site.inputs)
    return [
        state.initial[key] if i < k or (i >= held and k < held and i != k) else state.total(key)
        for i, key in enumerate(site.operands)
    ]


def _owns(
    state: State, site: Site, carried: Owns
) -> tuple[dict[str, list[list[Term]]], dict[str, bool], list[list[Term]]]:
    """The own contributions of parameters by key, which are still to be asked for, and those read here, all together.

    Those of the parameters read here, and of those that are carried here.
    """
    law, point, now = state.law(site), state.point, state.totals(site)
    owns, asked, direct = dict[str, list[list[Term]]](), dict[str, bool](), list[list[Term]]()
    for k, key in enumerate(site.operands):
        if key in state.plan.parameters and state.change[key]:
            change, totals = state.change[key], _moved(state, site, key, now)
            if prescribed(state, site) == key:
                terms = prescribed_own(state, site, key)
            else:
                terms = state.once(
                    ("own", state.place(site), k), [*read(law, totals, k), change],
                    lambda k=k, change=change, totals=totals: law.push(point, site, totals, k, change),
                )  # fmt: skip
            state.because(terms, "own", site)
            owns[key], asked[key] = [*owns.get(key, []), terms], True
            direct.append(terms)
    for k, source in enumerate(site.inputs):
        for key, (own, pending) in carried.get(source, {}).items():
            totals = _moved(state, site, key, now)
            terms = state.once(
                ("carried", state.place(site), k, key), [*read(law, totals, k), [own]],
                lambda k=k, own=own, totals=totals: law.push(point, site, totals, k, [own]),
            )  # fmt: skip
            state.because(terms, "own", site)
            owns[key], asked[key] = [*owns.get(key, []), terms], asked.get(key, False) or pending
    return owns, asked, direct


def _moved(state: State, site: Site, key: str, now: list[Operand]) -> list[Operand]:
    """What the operands are `now`, where all parameters move together; where each does alone, this one alone has."""
    if not state.isolated:
        return now
    return [state.total(other) if other == key else state.initial[other] for other in site.operands]


def _note(state: State, site: Site, owns: dict[str, list[list[Term]]], asked: dict[str, bool], carried: Owns) -> None:
    """Notes own contributions, and carries them on; what they are held against has changed by then."""
    for key, parts in owns.items():
        held = state.plan.parameters[key]
        joins = site.joins is not None and site.joins == held.depth
        here = (site.judged or site.given) and site.asked and not site.makes
        state.record(
            "own", site, [term for part in parts for term in part], site.judged, held.name, asked[key] and here
        )
        if site.carries or (held.depth and not joins):
            own = _together(state, ("own", site.key, key), parts, state.point.reach // 2)
            own = state.settled(("own", site.key, key), own)
            carried.setdefault(site.key, {})[key] = own, asked[key] and not here

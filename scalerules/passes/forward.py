"""The forward pass: every value at initialisation, from data and the initial entries of the parameters."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from scalerules.ops.site import Held, Site
from scalerules.terms.pieces import Labels, Outer, Piece, axis_name
from scalerules.terms.term import SUMMABLE, Fresh, Shift, Step, Term

from .masks import root
from .state import State, lowered

DIAGONAL = "diagonal"
"""The label of both axes of an identity."""


def start_parameters(state: State) -> None:
    """Sets every parameter to its initial entries."""
    for held in state.plan.parameters.values():
        _number_sources(state, held)
        place = "initial", held.key, state.point.unknown("init", held.name)
        absent = not state.point.biased and held.key in state.plan.biases
        state.initial[held.key] = [[] if absent else state.once(place, [], lambda held=held: _initial(state, held))]
        state.change[held.key] = []


def _number_sources(state: State, held: Held) -> None:
    """Numbers the sources of a random parameter and of its images, in every run alike, whatever it meets first."""
    if state.graph.parameters[held.name].init != "normal":
        return
    state.point.bit("parameter", held.key)
    blocks = range(bool(held.depth))
    for axis in range(len(blocks), len(held.axes)) if len(held.axes) > len(blocks) + 1 else ():
        state.point.bit("image", held.key, frozenset([*blocks, axis]))


def forward(state: State) -> None:
    """Sets every value at initialisation."""
    for site in state.plan.sites:
        if site.op == "input":
            terms = state.once(("data", site.key, state.point.biased), [], lambda site=site: _data(state, site))
        else:
            operands = [state.initial[key] for key in site.operands]
            terms = state.once(
                ("value", state.place(site)), operands,
                lambda site=site, operands=operands: state.law(site).value(state.point, site, operands),
            )  # fmt: skip
        state.because(terms, "forward", site)
        value = state.record("value", site, terms, site.judged)
        if value.unstable and state.searching:
            terms = state.once(("lowered", site.key), [terms], lambda of=terms, value=value: lowered(of, value))
        state.initial[site.key], state.change[site.key] = [terms], []


def _data(state: State, site: Site) -> list[Term]:
    """Data: entries of size 0, random along every axis; of tokens one along the last axis, and zeros beside it.

    What has no samples and grows along two axes (noise on a weight) is a random matrix. Every kind of token stands at
    its share of the places, which is what a mean over them leaves (an unbiased run is without it).
    """
    if site.node.kind != "tokens" and len(site.result) == len(site.node.axes or ()) > 1:
        bit = state.point.bit("data", site.key)
        return [Term(0, (bit,) * len(site.result), matrix=Fresh(site.key, bit))]
    signs = tuple([state.point.bit("data", site.key, i) for i in range(len(site.result))])
    if site.node.kind != "tokens" or not site.result:
        return [Term(0, signs)]
    *places, last = site.result
    nowhere = (0,) * len(signs)
    if axis_name(last) != (site.node.axes or [""])[-1]:
        return [Term(0, signs), *([Term(0, nowhere)] if state.point.biased else [])]
    one = Term(0, (*signs[:-1], 0), profile=(*nowhere[1:], SUMMABLE))
    share = Term(-state.point.ticks(last), nowhere, shift=((("growth", axis_name(last)), Fraction(-1)),))
    return [one, share] if places and state.point.biased else [one]


def _initial(state: State, held: Held) -> Piece:
    """The initial entries of a parameter."""
    init = state.graph.parameters[held.name].init
    step = Step("parameter", 0, held.name, "The initial value of the parameter.", held.key, held.key)
    zero = (0,) * len(held.axes)
    last_grows = bool(held.axes) and held.axes[-1:] == tuple(state.graph.parameters[held.name].axes[-1:])
    if init == "zeros":
        terms: list[Term] = []
    elif init == "normal":
        terms = [_random(state, held)]
    elif init == "range" and last_grows:
        terms = [_fixed(state, held, zero, profile=(*zero[:-1], -2))]
    elif init == "identity":
        labels = _diagonal(state, held)
        if labels.count(DIAGONAL) == 2:
            one = _fixed(state, held, ())
            one.step = step
            return Outer((), labels, one)
        terms = [_fixed(state, held, zero, profile=tuple(SUMMABLE * (label == DIAGONAL) for label in labels))]
    else:
        terms = [_fixed(state, held, zero, ramp=init == "log_range" and last_grows)]
    for term in terms:
        term.step = step
    return terms


def _diagonal(state: State, held: Held) -> Labels:
    """Labels of the growing axes of an identity, of which the first two have the same one."""
    axes = enumerate(state.graph.parameters[held.name].axes)
    grown = [DIAGONAL if i < 2 else f"{axis}|{i}" for i, axis in axes if axis in held.axes]
    return (*(["depth"] if held.depth else []), *grown)


def _random(state: State, held: Held) -> Term:
    """Independent initial entries, some of which a mask may set to zero."""
    bit = state.point.bit("parameter", held.key)
    zeros, shift = root(*state.point.density(held.name))
    size = state.point.unknown("init", held.name) + zeros
    drawn: Shift = ((("init", held.name), Fraction(1)), *shift)
    both = len(held.axes) > 1 + bool(held.depth)
    matrix = Fresh(held.key, bit, both) if len(held.axes) > 1 else None
    return Term(size, (bit,) * len(held.axes), (), drawn, matrix=matrix)


def _fixed(state: State, held: Held, signs: tuple[int, ...], **fields: Any) -> Term:
    """Initial entries that agree in sign, times the factor that a parameter has."""
    size, shift = state.point.start(held.name)
    return Term(size, signs, (), shift, **fields)

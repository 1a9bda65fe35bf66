"""Alignments that are prescribed: the exponents with which `dW x`, `W dx` and `dW dx` grow with the fan-in.

Source: Everett et al. 2024, "Scaling exponents across parameterizations and optimizers", arXiv 2407.05872.
"""

from __future__ import annotations

from fractions import Fraction

from scalerules.ops.site import Held, Site
from scalerules.optimizers.gradients import entries
from scalerules.terms.merging import largest
from scalerules.terms.term import Term

from .state import State, flat


def prescribed(state: State, site: Site) -> str | None:
    """The parameter of a dense site whose alignment is prescribed."""
    dense = site.op == "einsum" and len(site.inputs) == len(site.parameters) == 1
    key = site.parameters[0] if dense else None
    return key if key and state.plan.parameters[key].name in state.alignments else None


def prescribed_own(state: State, site: Site, key: str) -> list[Term]:
    """The own contribution of a parameter: its update times what it reads, and times what that has changed by."""
    held, x = state.plan.parameters[key], site.inputs[0]
    along, _, crossed = state.alignments[held.name]
    update = largest(t for t in (entries(state.point, piece) for piece in state.change[key]) if t is not None)
    terms = [_scaled(state, site, held, update, largest(flat(state.initial[x])), along)]
    terms.append(_scaled(state, site, held, update, largest(flat(state.change[x])), crossed))
    return [term for term in terms if term is not None]


def prescribed_change(state: State, site: Site, x: str) -> list[Term]:
    """What a change of what a parameter reads becomes behind it."""
    held = state.plan.parameters[site.parameters[0]]
    weight, across = largest(flat(state.initial[held.key])), state.alignments[held.name][1]
    term = _scaled(state, site, held, weight, largest(flat(state.change[x])), across)
    return [term] if term is not None else []


def _scaled(state: State, site: Site, held: Held, w: Term | None, x: Term | None, share: Fraction) -> Term | None:
    """A product summed over the fan-in with a prescribed share of its growth."""
    if w is None or x is None:
        return None
    ticks = sum(state.point.ticks(axis) for axis in held.fan_in)
    bit = state.point.bit("image", held.key, "prescribed")
    shift = tuple((("growth", axis), share) for axis in held.fan_in)
    return Term(w.size + x.size + int(ticks * share), (bit,) * len(site.result), (w, x), shift)

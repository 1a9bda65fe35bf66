"""A law read for one parameter: its update as powers of what it is made of, and what else has a size in it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from scalerules.errors import ScaleRulesError

from .powers import AXES, Powers
from .symbolic import OWN, Facts, Quantity, given, kind_of

Formula = Callable[..., Any]
"""A law: `(g)`, `(g, w)` or `(g, w, p)` -> update, of a gradient, the parameter, and its place."""

STATES = ("there", "late", "zero")
KINDS = tuple(Facts("", matrix, first, last) for matrix in (True, False) for first in (False, True)
              for last in (False, True))  # fmt: skip
"""The kinds of parameters that a law may tell apart."""


@dataclass(frozen=True)
class Form:
    """The update of one parameter.

    `powers`: its size over the rate; `moves`: it is not exactly zero. `levelled`: its entries are made alike; `whole`:
    a matrix moves by its singular values. `dampings`: what it adds to what it divides by, by name; `decayed`: what
    coupled weight decay stands beside.
    """

    powers: Powers
    moves: bool
    levelled: bool
    whole: bool
    dampings: Mapping[str, Powers]
    decayed: Powers

    @property
    def normalised(self) -> bool:
        """Whether the update depends on axes alone."""
        return _atoms(self.powers).issubset(AXES)


def _atoms(powers: Powers) -> set[str]:
    inside = {name for _, options in powers.largest for option in options for name in _atoms(option)}
    return {name for name, _ in powers.atoms} | inside


@lru_cache(maxsize=4096)
def form(law: Formula, facts: Facts, state: str = "there") -> Form:
    """The law as it is for a parameter. Raises `ScaleRulesError` where it is no law."""
    g, w, p = given(facts, state)
    returned = law(*(g, w, p)[: arity(law)])
    update = checked(returned)
    return Form(update.powers, not update.zero, update.levelled, update.whole, g.notes.dampings, g.notes.decayed)


def checked(update: object) -> Quantity:
    """What a law returned, if it is an update. Raises `ScaleRulesError`."""
    if not isinstance(update, Quantity):
        hint = "return the update, such as g / (abs(g) + eps)"
        raise ScaleRulesError(f"returns {kind_of(update)}, not an update", hint=hint)
    if not update.tensor:
        raise ScaleRulesError("returns a number, not an update", hint="multiply it with g, sign(g) or orthogonal(g)")
    if update.signs != OWN and not update.zero:
        text = "returns the parameter's own signs" if update.signs else "returns squares, without the gradient's signs"
        raise ScaleRulesError(text, hint="an update follows the gradient; weight decay is added beside it")
    return update


def arity(law: Formula) -> int:
    """How many of (g, w, p) a law takes. Raises `ScaleRulesError`."""
    parameters = inspect.signature(law).parameters.values()
    free = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    named = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 3
    if named or not 1 <= len(free) <= 3:
        hint = "the gradient g, the parameter w, its place p: law(g), law(g, w) or law(g, w, p)"
        raise ScaleRulesError(f"takes {len(free)} arguments", hint=hint)
    return len(free)

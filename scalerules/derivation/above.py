"""How long the story of a term is: the applications of laws above it, down to what is held already."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction

from scalerules.terms.term import Raised, Term

Key = tuple[str, str, frozenset[object]]
"""What a term is of, where its law was applied, and its form: equal in every run for what is said by the same row."""


def key_of(term: Term) -> Key:
    """The key of a term; of one that no law was told to have given, that of nothing."""
    of, at = (term.step.of, term.step.at) if term.step is not None else ("", "")
    return of, at, frozenset(term.form.items())


def applications(term: Term, held: Collection[Key]) -> int:
    """How many applications of laws lie above a term, those left out that cancel or that only held ones lead to."""
    order = ordered(term, held)
    counts = {id(each): Fraction(0) for each, _ in order} | {id(term): Fraction(1)}
    found: set[Key] = set()
    for each, parents in reversed(order):
        count = counts[id(each)]
        if count:
            if each.step is not None and each.step.stage != "parameter":
                found.add(key_of(each))
            for parent, share in parents:
                counts[id(parent)] += share * count
    return len(found)


def ordered(term: Term, held: Collection[Key]) -> list[tuple[Term, Sequence[tuple[Term, Fraction | int]]]]:
    """A term and all above it with what each is made of, every one behind those."""
    order: list[tuple[Term, Sequence[tuple[Term, Fraction | int]]]] = []
    parents: dict[int, list[tuple[Term, Fraction | int]]] = {}
    done: set[int] = set()
    stack = [term]
    while stack:
        top = stack[-1]
        if id(top) in done:
            stack.pop()
            continue
        if id(top) not in parents:
            leaf = top is not term and top.step is not None and key_of(top) in held
            parents[id(top)] = [] if leaf else _parents(top)
            stack += [parent for parent, _ in parents[id(top)] if id(parent) not in done]
            continue
        stack.pop()
        done.add(id(top))
        order.append((top, parents[id(top)]))
    return order


def _parents(term: Term) -> list[tuple[Term, Fraction | int]]:
    if isinstance(term, Raised):
        return [(term.base, term.power)]
    return [*((parent, 1) for parent in term.parents), *((parent, -1) for parent in term.minus)]

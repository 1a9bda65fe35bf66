"""How long the story of a term is: the applications of laws above it, down to what is held already."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction

from scalerules.terms.term import Raised, Term

Key = tuple[str, str, frozenset[object]]
"""What a term is of, where its law was applied, and its form: equal in every run for what is said by the same row."""


Made = list[tuple[Term, int | Fraction]]
"""What a term is made of."""


class Above:
    """What lies above terms, down to `held` ones; of terms that lie above several of them it is read once."""

    def __init__(self, held: Collection[Key]) -> None:
        self._held = held
        self._keys: dict[int, Key] = {}
        self._made: dict[int, Made] = {}

    def applications(self, term: Term) -> int:
        """How many applications of laws lie above a term, those left out that cancel or that only held ones lead to."""
        order = self.ordered(term)
        counts: dict[int, int | Fraction] = {id(each): 0 for each, _ in order}
        counts[id(term)] = 1
        found: set[Key] = set()
        for each, parents in reversed(order):
            count = counts[id(each)]
            if count:
                if each.step is not None and each.step.stage != "parameter":
                    found.add(self._key(each))
                for parent, share in parents:
                    counts[id(parent)] += share * count
        return len(found)

    def ordered(self, term: Term) -> list[tuple[Term, Made]]:
        """A term and all above it with what each is made of, every one behind those."""
        order: list[tuple[Term, Made]] = []
        parents: dict[int, Made] = {}
        done: set[int] = set()
        stack = [term]
        while stack:
            top = stack[-1]
            if id(top) in done:
                stack.pop()
                continue
            if id(top) not in parents:
                parents[id(top)] = made = _parents(term) if top is term else self._parents(top)
                stack += [parent for parent, _ in made if id(parent) not in done]
                continue
            stack.pop()
            done.add(id(top))
            order.append((top, parents[id(top)]))
        return order

    def _parents(self, term: Term) -> Made:
        """What a term is made of; nothing where it is held."""
        if id(term) not in self._made:
            held = term.step is not None and self._key(term) in self._held
            self._made[id(term)] = [] if held else _parents(term)
        return self._made[id(term)]

    def _key(self, term: Term) -> Key:
        if id(term) not in self._keys:
            self._keys[id(term)] = key_of(term)
        return self._keys[id(term)]


def key_of(term: Term) -> Key:
    """The key of a term; of one that no law was told to have given, that of nothing."""
    of, at = (term.step.of, term.step.at) if term.step is not None else ("", "")
    return of, at, frozenset(term.counts.items())


def _parents(term: Term) -> Made:
    if isinstance(term, Raised):
        return [(term.base, term.power)]
    return [*((parent, 1) for parent in term.parents), *((parent, -1) for parent in term.minus)]

"""Applications of laws, read off terms: what each took and added, and as rows before these are numbered.

A law works in several moves; a row is the whole of one application, down to the terms that other applications gave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from scalerules.passes.events import Told
from scalerules.solution.derivation import KINDS, Linear, Sum
from scalerules.terms.term import Mirrored, Raised, Symbol, Term

Place = tuple[int, int]
"""Where a term was told (the application), and its identity."""

HALF = Fraction(1, 2)


def named(form: Mapping[Symbol, Fraction]) -> dict[str, Fraction]:
    """A linear form of the calculus with the names of symbols that a derivation uses."""
    return {f"{KINDS[kind]}_{name}": value for (kind, name), value in form.items() if value}


@dataclass
class Law:
    """What one application did: the terms that it took, with coefficients, what it added, and its sums."""

    parents: list[tuple[Term, Fraction]]
    adds: dict[Symbol, Fraction]
    sums: list[Sum]
    mirror: bool = False


Follows = list[tuple["Draft", Fraction]]


@dataclass
class Draft:
    """A row before the rows are numbered."""

    told: Told
    place: Place
    follows: list[tuple[Draft, Fraction]]
    adds: dict[str, Fraction]
    sums: tuple[Sum, ...]
    law: str
    term: Term
    second: bool
    name: str = ""
    judged: bool = False
    below: dict[str, Fraction] = field(default_factory=dict[str, Fraction])

    @property
    def key(self) -> object:
        """Equal for rows that say the same, in whatever step."""
        step = self.told.step
        follows = tuple((id(draft), share) for draft, share in self.follows)
        stage = "update" if step.stage == "factor" else step.stage
        return (stage, step.of, step.at, follows, tuple(sorted(self.adds.items())), self.sums, self.law)


def stage_of(draft: Draft) -> str:
    """The kind of a row."""
    return {"factor": "update", "loss gradient": "backward"}.get(draft.told.step.stage, draft.told.step.stage)


def said(key: str) -> str:
    """The name of a site or a parameter: the second copy of a repeated block has a dash."""
    return key.removeprefix("@")


def form_of(draft: Draft) -> dict[Symbol, Fraction]:
    """The size of a row in unknowns and growths: of an update, that of its entries."""
    gradient = _gradient_of(draft)
    if draft.told.step.stage != "factor" or gradient is None:
        return draft.term.form
    total = dict(draft.term.form)
    for symbol, value in form_of(gradient).items():
        total[symbol] = total.get(symbol, Fraction(0)) + value
    return {symbol: value for symbol, value in total.items() if value}


def _gradient_of(update: Draft) -> Draft | None:
    """The gradient that an update is made of, where it was told."""
    first = update.follows[0][0] if update.follows else None
    return first if first is not None and first.told.step.stage == "gradient" else None


def law_of(term: Term, passed: Callable[[Term], bool]) -> Law:
    """The whole of one application, down to the terms that others gave, or `passed` on (initial values)."""
    law = Law([], {}, [])
    stack: list[tuple[Term, Fraction, bool]] = [(term, Fraction(1), True)]
    while stack:
        top, share, first = stack.pop()
        leaf = top.step is not None and top.step.stage == "parameter" and not passed(top)
        if not first and top.step is not None and not leaf:
            law.parents.append((top, share))
            continue
        if isinstance(top, Raised):
            stack.append((top.base, share * top.power, False))
            continue
        for symbol, value in top.shift:
            law.adds[symbol] = law.adds.get(symbol, Fraction(0)) + share * value
            if symbol[0] == "growth" and share * value and not leaf:
                law.sums.append(Sum(symbol[1], _how(top, share * value), share * value))
        law.mirror = law.mirror or isinstance(top, Mirrored)
        stack += [(parent, -share, False) for parent in reversed(top.minus)]
        stack += [(parent, share, False) for parent in reversed(top.parents)]
    return law


def _how(term: Term, share: Fraction) -> str:
    """What an axis does."""
    if share < 0:
        return "divided by"
    falls = any(parent.profile for parent in term.parents)
    if not falls and share == 1:
        return "aligned"
    if not falls and share == HALF:
        return "independent"
    return "decaying" if falls else "scaled"


def merged(sums: Iterable[Sum]) -> tuple[Sum, ...]:
    """The sums, every axis once for each of what it does."""
    total: dict[tuple[str, str], Fraction] = {}
    for each in sums:
        total[each.axis, each.how] = total.get((each.axis, each.how), Fraction(0)) + each.share
    return tuple(Sum(axis, how, share) for (axis, how), share in total.items() if share)


def by_update(law: Law, follows: Follows, adds: dict[str, Fraction]) -> tuple[Follows, dict[str, Fraction]]:
    """The same row through the update of a parameter, where it is made of its own entries; else spelled out."""
    made: Follows = []
    factors = [draft for draft, _ in follows if draft.told.step.stage == "factor"]
    rest = [(draft, share) for draft, share in follows if draft.told.step.stage != "factor"]
    for update in factors:
        gradient = _gradient_of(update)
        taken = _without(rest, gradient.follows) if gradient is not None else None
        if gradient is not None and taken is not None:
            rest, adds = taken, _plus(adds, gradient.adds, -1)
            law.sums += [Sum(each.axis, each.how, -each.share) for each in gradient.sums]
            made.append((update, Fraction(1)))
        else:
            made += update.follows[1:] if gradient is not None else update.follows
            adds = _plus(adds, update.adds, 1)
            law.sums += update.sums
    return made + rest, adds


def gathered(follows: Follows, both: bool) -> Follows:
    """Every row once; what is taken and given back is left out, unless `both` are told or there is nothing else."""
    total: dict[tuple[int, bool], tuple[Draft, Fraction]] = {}
    for draft, share in follows:
        key = id(draft), share < 0
        total[key] = draft, share + total.get(key, (draft, Fraction(0)))[1]
    if both:
        return list(total.values())
    sums: dict[int, tuple[Draft, Fraction]] = {}
    for draft, share in total.values():
        sums[id(draft)] = draft, share + sums.get(id(draft), (draft, Fraction(0)))[1]
    return [(draft, share) for draft, share in sums.values() if share] or list(total.values())


def _without(
    follows: list[tuple[Draft, Fraction]], gone: Iterable[tuple[Draft, Fraction]]
) -> list[tuple[Draft, Fraction]] | None:
    rest = list(follows)
    for draft, share in gone:
        found = next((i for i, (d, s) in enumerate(rest) if d is draft and s == share), None)
        if found is None:
            return None
        del rest[found]
    return rest


def _plus(adds: dict[str, Fraction], other: Linear, share: int) -> dict[str, Fraction]:
    total = dict(adds)
    for name, value in other.items():
        total[name] = total.get(name, Fraction(0)) + share * value
    return {name: value for name, value in total.items() if value}


def ordered_drafts(drafts: list[Draft]) -> list[Draft]:
    """Every row after those that it follows from."""
    done: set[int] = set()
    ordered: list[Draft] = []
    for draft in drafts:
        stack = [draft]
        while stack:
            top = stack[-1]
            missing = [d for d, _ in top.follows if id(d) not in done]
            if id(top) in done or not missing:
                stack.pop()
                if id(top) not in done:
                    done.add(id(top))
                    ordered.append(top)
                continue
            stack.extend(missing)
    return ordered

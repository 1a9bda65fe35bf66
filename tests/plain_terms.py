"""What tests hold the calculus of terms against: a plain look at every pair, with no bound, no order, no shortcut."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from scalerules.terms.pieces import Labels
from scalerules.terms.term import KEPT, MOST_SOURCES, SUMMABLE, Fresh, Mirror, Profile, Shift, Term

GROWTHS = {"n": 16, "s": 8, "m": 12}
VALUES = {("growth", axis): growth for axis, growth in GROWTHS.items()} | {("lr", "W"): 1, ("lr", "P"): -7}
"""The values of the unknowns at which terms have their sizes; all others are 0."""
N, S, M = "n|i", "s|o", "m|k"
A, B, C, D, IMAGE = 2, 4, 8, 16, 32


class Scope:
    """A point with three growing axes."""

    def __init__(self, reach: int, coherent: bool = True) -> None:
        self.reach, self.coherent = reach, coherent

    def ticks(self, label: str) -> int:
        return GROWTHS[label[0]]

    def bit(self, *key: object) -> int:
        return IMAGE


class Point(Scope):
    """A point at which a factor is -5 and the rate of `P` is -7, and nothing is remembered."""

    def unknown(self, kind: str, name: str) -> int:
        return VALUES[kind, name]

    def factor(self, site: Any) -> tuple[int, Shift]:
        return -5, ((("lr", "W"), Fraction(-5)),)

    def once(self, key: str, pieces: Any, compute: Callable[[], list[Term]]) -> list[Term]:
        return compute()


class Pair(NamedTuple):
    """What is known of one product."""

    size: int
    log: int
    remembered: tuple[int, ...]
    degree: int
    signs: tuple[int, ...]
    profile: Profile | None
    matrix: Fresh | None


def base(rng: random.Random, axes: int, sizes: Sequence[int], decays: bool, many: float) -> Term:
    """A term whose size is that of its form, of one to three parameters."""
    size = -rng.choice(sizes)
    shift = ((("lr", "W"), Fraction(size)), *((("lr", f"V{k}"), Fraction(1)) for k in range(rng.choice((0, 0, 1, 2)))))
    sources = [
        sum(rng.sample((A, B, C, D), 3 if rng.random() < many else rng.choice((0, 1, 1, 2)))) for _ in range(axes)
    ]
    profile = tuple(rng.choice((0, 0, 1, 2, -1, SUMMABLE)) for _ in sources) if decays else ()
    log = rng.choice((0, 0, 1)) if any(profile) else 0
    made = Term(size, tuple(sources), (), shift, profile=profile if any(profile) else None, log=log)
    if axes and rng.random() < 0.4:
        made.mirror = Mirror(Fresh("W", D), rng.choice((A, B, C, D)), made, (), (), made, {})
    return made


def pair(scope: Scope, la: Labels, x: Term, lb: Labels, y: Term, result: Labels) -> Pair:
    """The product of two terms, summed over what is not in the result."""

    def of(term: Term, labels: Labels, label: str, values: Sequence[int] | None) -> int:
        return values[labels.index(label)] if values and label in labels else 0

    size, log = x.size + y.size, x.log + y.log
    for label in dict.fromkeys((*la, *lb)):
        if label in result:
            continue
        p, q = of(x, la, label, x.signs), of(y, lb, label, y.signs)
        decay = of(x, la, label, x.profile) + of(y, lb, label, y.profile)
        power = (2 if p == q and (scope.coherent or p == 0) else 1) - decay
        size += max(0, power) * GROWTHS[label[0]] // 2
        log += power == 0 and decay != 0
    signs = tuple(of(x, la, label, x.signs) ^ of(y, lb, label, y.signs) for label in result)
    halves = [of(x, la, label, x.profile) + of(y, lb, label, y.profile) for label in result]
    profile = tuple(SUMMABLE if h > SUMMABLE // 2 else h for h in halves)
    remembered = tuple(t.mirror.bit for t in (x, y) if t.mirror and any(t.mirror.bit & mask for mask in signs))
    fresh = x.matrix if la == result and not any(y.signs) else y.matrix if lb == result and not any(x.signs) else None
    return Pair(size, log, remembered[:1], x.degree + y.degree, signs, profile if any(profile) else None, fresh)


def kept(found: Sequence[Pair], reach: int) -> list[Pair]:
    """One of every signature and profile; none too small; few of many sources; none that another one is above."""

    def standing(p: Pair) -> tuple[int, int, int, tuple[int, ...], Profile]:
        return p.size, -p.degree, -sources(p), p.signs[::-1], p.profile or ()

    groups: dict[Any, list[Pair]] = {}
    for p in found:
        groups.setdefault((p.signs, p.profile), []).append(p)
    best: list[Pair] = []
    for members in groups.values():
        top = max((p.size, p.log) for p in members)
        tied = [p for p in members if (p.size, p.log) == top]
        best.append(max(tied, key=lambda p: (bool(p.remembered), -p.degree)))
    best = [p for p in best if p.size >= max(p.size for p in best) - reach]
    gone = sorted((p for p in best if sources(p) > MOST_SOURCES), key=standing, reverse=True)[KEPT:]
    best = sorted((p for p in best if p not in gone), key=lambda p: (-p.size, p.degree))
    if not any(p.profile for p in best):
        return best
    outer: list[Pair] = []
    for p in best:
        flat = (0,) * len(p.signs)
        above = [q for q in outer if q.signs == p.signs and q.log >= p.log]
        if not any(all(x <= y for x, y in zip(q.profile or flat, p.profile or flat, strict=True)) for q in above):
            outer.append(p)
    return outer


def sources(term: Term | Pair) -> int:
    """The number of sources of a term; of several axes with the same ones, of one of them."""
    return sum(mask.bit_count() for mask in set(term.signs))


def told(found: Sequence[Term | Pair]) -> list[object]:
    """What tells terms apart where nothing is left to the order among equals."""
    all_of_them: list[object] = []
    for t in found:
        mirror = bool(t.remembered) if isinstance(t, Pair) else t.mirror is not None
        all_of_them.append((t.size, t.log, t.signs, str(t.profile), mirror, None if mirror else t.degree, t.matrix))
    return sorted(all_of_them, key=str)


def evaluated(term: Term) -> Fraction | int:
    """The size that the form of a term has."""
    return sum(VALUES.get(symbol, 0) * value for symbol, value in term.form.items())

"""The axes of a product of two tensors: those of its result, and those that are summed over."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache, cached_property, lru_cache

from .merging import crowded
from .pieces import Labels, axis_name
from .point import Scope
from .term import MOST_SOURCES, Profile, Shift, Symbol, Term, decayed

SIGNS, KIND = 3, 5
Law = tuple[Profile | None, int, int]
"""The profile of a product, and what the sums add to its size and to the power of its logarithm."""


Part = tuple[int, int, int, int, int, int, Term]
"""A term as the products see it: size, log, degree, signs, mirror, kind, term.

`signs`: those on the axes of the result side by side in one number. `mirror`: the source of the image that it
remembers, on each of these axes. `kind`: a number for its profile and its signs on the axes that are summed over.
"""


def side_by_side(signs: Sequence[int], width: int) -> int:
    """The signs on all axes side by side in one number, each of them `width` bits wide."""
    total = 0
    for mask in reversed(signs):
        total = total << width | mask
    return total


def apart(signs: int, width: int, count: int) -> tuple[int, ...]:
    """The signs that are side by side in one number."""
    mask = (1 << width) - 1
    return tuple([signs >> width * axis & mask for axis in range(count)])


class Axes:
    """The axes of a product of two tensors: those of the result, and those that are summed over."""

    def __init__(
        self, scope: Scope, labels: tuple[Labels, Labels], gone: Sequence[str], result: Labels, sources: int
    ) -> None:
        self.coherent, self.nearest, self.count, self.sources = scope.coherent, scope.reach, len(result), sources
        self.width = sources.bit_length()
        self.once_each = sum(1 << self.width * axis for axis in range(self.count))
        self.gone, self.growths = [axis_name(label) for label in gone], [scope.ticks(label) for label in gone]
        self.places = [[side.index(x) if x in side else -1 for x in result] for side in labels]
        self.sums = [[side.index(x) if x in side else -1 for x in gone] for side in labels]
        self.kinds: list[dict[tuple[Profile | None, tuple[int, ...]], int]] = [{}, {}]
        self._laws: dict[int, list[Law]] = {}
        self._alike: dict[object, Law] = {}

    def floor(self, left: Sequence[Part], right: Sequence[Part]) -> int:
        """Below this sum of the sizes of two factors their product is not within reach of the largest one.

        `left`, `right`: the terms of both sides, the largest first.
        """
        first = self.laws(left[0])[right[0][KIND]][1]
        for x in left:
            self.laws(x)
        most = max([more for _, more, _ in self._alike.values()])
        return left[0][0] + right[0][0] + first - most - self.nearest

    @cached_property
    def most(self) -> int:
        """No sum adds more than this to a size."""
        aligned = (True,) * len(self.gone)
        return max([self._law(x, y, aligned)[1] for x in {x for x, _ in self.kinds[0]} for y in self._profiles])

    def parts(self, side: int, terms: Sequence[Term]) -> list[Part]:
        """The terms of one side."""
        places, sums, kinds = self.places[side], self.sums[side], self.kinds[side]
        found: list[Part] = []
        for t in terms:
            signs = [t.signs[place] if place >= 0 else 0 for place in places]
            images = (t.mirror.bit & self.sources) * self.once_each if t.mirror else 0
            summed = tuple([t.signs[place] if place >= 0 else 0 for place in sums])
            kind = kinds.setdefault((t.profile, summed), len(kinds))
            found.append((t.size, t.log, t.degree, side_by_side(signs, self.width), images, kind, t))
        return found

    def apart(self, signs: int) -> tuple[int, ...]:
        """The signs on every axis of the result."""
        return apart(signs, self.width, self.count)

    def crowded(self, signs: int) -> bool:
        """Whether signs have many sources (a source on several axes counts once where these have the same ones)."""
        return signs.bit_count() > MOST_SOURCES and _crowded(signs, self.width, self.count)

    def few(self, signs: int, others: list[Part]) -> list[Part]:
        """Of some terms those whose products with signs have few sources; on three axes and more all of them."""
        if self.count > 2:
            return others
        once, most = self.once_each, MOST_SOURCES * self.count
        return [
            part
            for part in others
            if (product := signs ^ part[SIGNS]).bit_count() <= MOST_SOURCES
            or (product.bit_count() <= most and not product % once)  # the same ones on both axes
        ]

    def laws(self, x: Part) -> list[Law]:
        """The laws of the products of a term with every kind of the other side."""
        *_, kind_x, term = x
        laws = self._laws.get(kind_x)
        if laws is None:
            nowhere = (False,) * len(self.gone)
            apart = {profile: self._law(term.profile, profile, nowhere) for profile in self._profiles}
            laws = [apart[profile] for profile, _ in self._right]
            signs = [term.signs[i] if i >= 0 else 0 for i in self.sums[0]]
            for kind in {kind for axis, mask in enumerate(signs) for kind in self._with[axis].get(mask, ())}:
                profile, others = self._right[kind]
                aligned = tuple([p == q and (self.coherent or not p) for p, q in zip(signs, others, strict=True)])
                laws[kind] = self._law(term.profile, profile, aligned)
            self._laws[kind_x] = laws
        return laws

    @cached_property
    def _right(self) -> list[tuple[Profile | None, tuple[int, ...]]]:
        return list(self.kinds[1])

    @cached_property
    def _profiles(self) -> set[Profile | None]:
        return {profile for profile, _ in self._right}

    @cached_property
    def _with(self) -> list[dict[int, list[int]]]:
        """The kinds of the second side by their signs on every axis that is summed."""
        by_signs: list[dict[int, list[int]]] = [{} for _ in self.gone]
        for kind, (_, signs) in enumerate(self._right):
            for kinds, mask in zip(by_signs, signs, strict=True):
                kinds.setdefault(mask, []).append(kind)
        return by_signs

    def _law(self, x: Profile | None, y: Profile | None, aligned: tuple[bool, ...]) -> Law:
        """The law of all products that are as aligned and decay alike."""
        key = x, y, aligned
        law = self._alike.get(key)
        if law is None:
            sums = self._sums(x, y, aligned)
            profile = tuple(decayed(halves) for halves in self._decays(x, y, self.places))
            law = profile if any(profile) else None, sum(more for more, _, _ in sums), sum(log for _, _, log in sums)
            self._alike[key] = law
        return law

    def shift(self, x: Term, y: Term) -> Shift:
        """The shares of the growths that the sums add."""
        if not self.gone:
            return ()
        shares = [share for _, share, _ in self._sums(x.profile, y.profile, self._aligned(x, y))]
        return tuple((("growth", axis), share) for axis, share in zip(self.gone, shares, strict=True) if share)

    def _sums(self, x: Profile | None, y: Profile | None, aligned: Sequence[bool]) -> list[tuple[int, Fraction, bool]]:
        """What each sum adds."""
        sums = zip(aligned, self._decays(x, y, self.sums), self.growths, strict=True)
        return [sum_law(*each) for each in sums]

    def _aligned(self, x: Term, y: Term) -> tuple[bool, ...]:
        """Where nothing random is left on an axis; of two factors with randomness, where coherence is counted."""
        aligned: list[bool] = []
        left, right = self.sums
        for i, j in zip(left, right, strict=True):
            p, q = x.signs[i] if i >= 0 else 0, y.signs[j] if j >= 0 else 0
            aligned.append(p == q and (self.coherent or not p))
        return tuple(aligned)

    def _decays(self, x: Profile | None, y: Profile | None, places: Sequence[Sequence[int]]) -> list[int]:
        """The profile of a product on some axes, in halves."""
        return [(x[i] if x and i >= 0 else 0) + (y[j] if y and j >= 0 else 0) for i, j in zip(*places, strict=True)]


@lru_cache(maxsize=1 << 16)
def _crowded(signs: int, width: int, count: int) -> bool:
    """Whether signs side by side have many sources; the same few are asked for again and again."""
    return crowded(apart(signs, width, count))


@cache
def sum_law(aligned: bool, decay: int, growth: int) -> tuple[int, Fraction, bool]:
    """Ticks, share of the growth, and whether a logarithm appears, of the sum over one axis.

    An aligned sum of `i**-h` contributes `g max(0, 1 - h)` (a logarithm at h = 1), an independent one
    `g max(0, 1/2 - h)` (the root of one at h = 1/2). Profiles count halves.
    """
    halves = (2 if aligned else 1) - decay
    share = max(0, halves)
    return growth * share // 2, share_of(share), bool(decay and halves == 0 and growth)


@cache
def share_of(count: int) -> Fraction:
    """So many halves."""
    return Fraction(count, 2)


def root_mean_square(scope: Scope, term: Term, labels: Sequence[str]) -> tuple[int, Shift]:
    """Size of the root mean square over all entries, and what it lies below the first entries of the profile."""
    if not term.profile:
        return term.size, ()
    ticks = term.size
    discount: list[tuple[Symbol, Fraction]] = []
    for label, halves in zip(labels, term.profile, strict=True):
        share = Fraction(min(halves, 1), 2)
        ticks -= int(scope.ticks(label) * share)
        if share:
            discount.append((("growth", label.partition("|")[0]), -share))
    return ticks, tuple(discount)

"""Functions of one entry: what matters is parity, whether f(0) = 0, and whether f is homogeneous."""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.terms.contraction import contract, explicit
from scalerules.terms.entrywise import entrywise
from scalerules.terms.merging import among_alike, crowded, largest, left_out, merged, rank, relative
from scalerules.terms.pieces import Labels, Operand, Outer
from scalerules.terms.sums import side_by_side
from scalerules.terms.term import KEPT, SUMMABLE, Fresh, Profile, Term, decayed

from .forms import fitted
from .functions import FUNCTIONS, Shape
from .law import Point
from .registry import register, same_axes
from .site import Site


def powers(point: Point, terms: list[Term], parity: str, homogeneous: bool, constant: bool) -> list[Term]:
    """The terms of a function of `terms`: themselves (odd), products of pairs and a constant (even), or both.

    Pairs of a homogeneous function are as large as the smaller one of the two, those of a smooth one as the product.
    """
    kept = list(terms) if parity != "even" else []
    if parity != "odd" and terms:
        kept += _pairs(sorted(terms, key=rank, reverse=True), homogeneous, point.reach)
        if constant:
            kept.append(Term(0, (0,) * len(terms[0].signs)))
    return merged(kept, point.reach)


def _pairs(terms: list[Term], homogeneous: bool, reach: int) -> list[Term]:
    """Products of two terms, the largest with itself too: of each signature the largest; sorted, the largest first."""
    kept = KEPT + sum(crowded(t.signs) for t in terms)  # each of these may come in place of a product
    if not homogeneous and len(terms[0].signs) == 1:
        return entrywise(terms, terms, reach, kept, mirrors=False)
    width = max(mask.bit_length() for t in terms for mask in t.signs) if terms[0].signs else 0
    parts = [(t.size, t.degree, side_by_side(t.signs, width), t) for t in terms]
    best: dict[object, tuple[int, int, Term, Term]] = {}
    floor = (1 if homogeneous else 2) * terms[0].size - reach
    for i, (size_a, degree_a, signs_a, a) in enumerate(parts):
        if homogeneous:
            size_a = degree_a = 0
        for size_b, degree_b, signs_b, b in parts[i + 1 if i else 0 :]:
            size = size_a + size_b
            if size < floor:
                break
            key = (signs_a ^ signs_b, b.profile) if homogeneous else signs_a ^ signs_b
            known = best.get(key)
            if known is None or size > known[0] or (size == known[0] and degree_a + degree_b < known[1]):
                best[key] = size, degree_a + degree_b, a, b
    pairs = [(size, degree, a, b, tuple([x ^ y for x, y in zip(a.signs, b.signs, strict=True)]))
             for size, degree, a, b in best.values()]  # fmt: skip
    crowd = {place: (size, -degree) for place, (size, degree, *_, signs) in enumerate(pairs) if crowded(signs)}
    profiles = [b.profile if homogeneous else None for _, _, _, b, _ in pairs]
    gone = left_out(crowd, lambda place: among_alike(pairs[place][-1], profiles[place]), kept)  # as `merged` would
    return [
        b.derived(signs=signs, mirror=None) if homogeneous else Term(size, signs, (a, b))
        for place, (size, _, a, b, signs) in enumerate(pairs) if place not in gone
    ]  # fmt: skip


def times(point: Point, labels: Labels, a: list[Term], b: list[Term]) -> list[Term]:
    """Entry by entry."""
    return contract(point, [(labels, [a]), (labels, [b])], labels)


class Elementwise:
    """f(x), f'(x) dx and f'(x) d, with f' of the opposite parity; nothing comes back where it `stops`."""

    def __init__(self, shape: Shape, stops: bool = False) -> None:
        self.shape, self.stops = shape, stops

    def value(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        f = self.shape
        x, ramps = self._argument(point, site, operands)
        terms = powers(point, [_level(t) for t in x] if f.exponential else x, f.parity, f.homogeneous, constant=False)
        if f.homogeneous and f.degree == 2:
            terms = _by_largest(terms, x)
        if not f.vanishes:
            terms = [*terms, Term(0, (0,) * len(site.result))]
        return merged(self._along(terms, x, ramps), point.reach)

    def derivative(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        """Terms of f'(x)."""
        return point.once(site.key, operands[0], lambda: self._derivative(point, site, operands))

    def _derivative(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        f = self.shape
        if f.linear:
            return [Term(0, (0,) * len(site.result))]
        x, ramps = self._argument(point, site, operands)
        parity = {"odd": "even", "even": "odd", "generic": "generic"}[f.parity]
        if f.homogeneous and f.degree == 2:  # the derivative is homogeneous of degree 1
            return powers(point, x, "generic", True, constant=False)
        if f.homogeneous:
            x = relative(x)
        terms = powers(point, [_level(t) for t in x] if f.exponential else x, parity, homogeneous=False, constant=False)
        if parity != "odd":
            terms = [*terms, Term(0, (0,) * len(site.result))]
        return merged(self._along(terms, x, ramps), point.reach)

    def push(self, point: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]:
        dx = fitted(point, explicit(point, v, site.labels[k]), site.labels[k], site.result)
        moved = times(point, site.result, self.derivative(point, site, operands), dx)
        scatter = self._scatter(point, site, operands)
        known = [t for t in dx if scatter and t.signs[0] & scatter.signs[0]]
        return merged([*moved, *_each(known, scatter)], point.reach) if known else moved

    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        if self.stops:
            return []
        moved = times(point, site.result, self.derivative(point, site, operands), d)
        scatter = self._scatter(point, site, operands)
        return merged([*moved, *_each(d[:1] and [max(d, key=rank)], scatter)], point.reach) if scatter else moved

    def _scatter(self, point: Point, site: Site, operands: Sequence[Operand]) -> Term | None:
        """How far the derivative of an odd function of a random matrix scatters about its mean.

        Squares are more than their mean: what they scatter by is a matrix of full rank, with signs of its own.
        """
        x = [t for piece in operands[0] if not isinstance(piece, Outer) for t in piece if t.matrix and t.matrix.both]
        if self.shape.parity != "odd" or self.shape.homogeneous or not x:
            return None
        term, bit = max(x, key=rank), point.bit("scatter", site.key)
        signs = (bit,) * len(site.result)
        return Term(2 * term.size, signs, (term, term), matrix=Fresh(f"{site.key} scatter", bit))

    def _argument(self, point: Point, site: Site, operands: Sequence[Operand]) -> tuple[list[Term], list[Term]]:
        """The terms of the argument, and apart from them those that grow like a logarithm of the index."""
        x = fitted(point, explicit(point, operands[0], site.labels[0]), site.labels[0], site.result)
        if not self.shape.exponential:
            return x, []
        return [t for t in x if not t.ramp], [t for t in x if t.ramp]

    def _along(self, terms: list[Term], x: list[Term], ramps: list[Term]) -> list[Term]:
        """The terms with the profile that an exponential has along axes where its argument grows.

        exp(x + log i) is i exp(x), and exp(-i x) decays exponentially; exp(i x) is no number that a machine can hold.
        """
        ramped = _times(terms, (*((0,) * (len(ramps[0].signs) - 1)), -2)) if ramps else terms
        grown = {i for t in x for i, halves in enumerate(t.profile or ()) if halves < 0}
        if not self.shape.exponential or not grown:
            return ramped
        return _times(ramped, tuple(SUMMABLE if i in grown else 0 for i in range(len(terms[0].signs))))


def _level(term: Term) -> Term:
    """The term without its profile, if it grows: what an exponential makes of it has another one."""
    return term.derived(profile=None) if any(halves < 0 for halves in term.profile or ()) else term


def _each(terms: Sequence[Term], by: Term | None) -> list[Term]:
    """Terms times one that has their axes."""
    return [
        Term(t.size + by.size, tuple(x ^ y for x, y in zip(t.signs, by.signs, strict=True)), (t, by),
             profile=t.profile, matrix=None if t.signs[0] & by.signs[0] else by.matrix)
        for t in terms if by is not None
    ]  # fmt: skip


def _by_largest(terms: list[Term], x: list[Term]) -> list[Term]:
    """Every term times the size of the argument."""
    top = largest(x)
    return [] if top is None else [t.derived(size=t.size + top.size, parents=(t, top)) for t in terms]


def _times(terms: list[Term], profile: Profile) -> list[Term]:
    """The terms times what has this profile."""
    return [t.derived(profile=_added(t.profile, profile)) for t in terms]


def _added(a: tuple[int, ...] | None, b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(decayed(x + y) for x, y in zip(a or (0,) * len(b), b, strict=True))


def _reason(name: str, function: Shape, stops: bool) -> str:
    homogeneous = " and passes sizes through (it is homogeneous)" if function.homogeneous else ""
    zero = "f(0) = 0" if function.vanishes else "f(0) is not 0, so it has a constant part of size 0"
    kind = {"odd": "An odd function", "even": "An even function", "generic": "A function without symmetry"}
    kept = {"odd": "keeps odd products of its terms", "even": "keeps even products", "generic": "keeps all products"}
    back = "; no gradient comes back through it" if stops else ""
    return f"{kind[function.parity]} ({name}) {kept[function.parity]}{homogeneous}; {zero}{back}."


for _name, _function in FUNCTIONS.items():
    _shape = _function.shape
    register(
        _name,
        _reason(_name, _shape, _function.stops),
        same_axes,
        laws=Elementwise(_shape, _function.stops),
        passes=_shape.linear,
    )

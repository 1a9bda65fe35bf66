"""The two forms that the laws of an operation take: a multilinear map, or a function with a derivative.

Every operation answers three questions. `value`: the terms of its result. `push`: the change of the result when operand
`k` changes by `v` (the other operands as given). `pull`: the gradient at operand `k` when the gradient at the result is
`d`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from scalerules.terms.contraction import contract, explicit
from scalerules.terms.merging import merged
from scalerules.terms.pieces import Labels, Operand
from scalerules.terms.point import Scope
from scalerules.terms.term import SUMMABLE, Shift, Term

from .law import Law, Point
from .site import Site


def fitted(scope: Scope, terms: list[Term], labels: Labels, wanted: Labels) -> list[Term]:
    """Summed over the labels that are not wanted, constant along those that are missing."""
    kept = tuple(label for label in wanted if label in labels)
    if kept != labels:
        terms = contract(scope, [(labels, [terms])], kept)
    if kept == wanted:
        return terms
    place = [kept.index(label) if label in kept else None for label in wanted]
    return [
        term.derived(
            signs=tuple(0 if i is None else term.signs[i] for i in place),
            profile=term.profile and tuple(0 if i is None else term.profile[i] for i in place),
        )
        for term in terms
    ]


def shifted(terms: list[Term], ticks: int, shift: Shift) -> list[Term]:
    """Every term times a constant factor."""
    return [term.derived(size=term.size + ticks, shift=shift, matrix=term.matrix) for term in terms]


def read(law: Law, operands: Sequence[Operand], k: int) -> Sequence[Operand]:
    """The operands that a change or a gradient of the `k`-th is multiplied with: of a product the others."""
    if isinstance(law, Sum):
        return ()
    return [*operands[:k], *operands[k + 1 :]] if isinstance(law, Contraction) else operands


class Contraction:
    """einsum, over the labels of the site."""

    def value(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        return contract(point, list(zip(site.labels, operands, strict=True)), site.result)

    def push(self, point: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]:
        return self.value(point, site, [v if i == k else operand for i, operand in enumerate(operands)])

    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        parts: list[tuple[Labels, Operand]] = [(site.result, [d])]
        parts += [(site.labels[i], operand) for i, operand in enumerate(operands) if i != k]
        labelled = {label for labels, _ in parts for label in labels}
        there = tuple(label for label in site.labels[k] if label in labelled)
        return fitted(point, contract(point, parts, there), there, site.labels[k])


class Mean(Contraction):
    """A sum over one axis divided by its length."""

    def value(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        return self._divided(point, site, super().value(point, site, operands))

    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        return self._divided(point, site, super().pull(point, site, operands, k, d))

    def _divided(self, point: Point, site: Site, terms: list[Term]) -> list[Term]:
        gone = [label for label in site.labels[0] if label not in site.result]
        shift = tuple((("growth", label.partition("|")[0]), Fraction(-1)) for label in gone)
        return shifted(terms, -sum(point.ticks(label) for label in gone), shift)


class Sum:
    """Addition: the terms of all operands; a residual sums its branch over depth."""

    def value(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        terms = (term for k, operand in enumerate(operands) for term in self.push(point, site, operands, k, operand))
        return merged(terms, point.reach)

    def push(self, point: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]:
        return fitted(point, explicit(point, v, site.labels[k]), site.labels[k], site.result)

    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        return fitted(point, d, site.result, site.labels[k])


class Factor(Sum):
    """A constant factor, given or solved for."""

    def push(self, point: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]:
        return shifted(super().push(point, site, operands, k, v), *point.factor(site))

    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        return shifted(super().pull(point, site, operands, k, d), *point.factor(site))


class Layout(Sum):
    """Another arrangement of the same entries: axes are matched in order, sources go with the entries."""

    def push(self, point: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]:
        return self._moved(explicit(point, v, site.labels[k]), site.labels[k], site.result)

    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        return self._moved(d, site.result, site.labels[k])

    @staticmethod
    def _moved(terms: list[Term], labels: Labels, wanted: Labels) -> list[Term]:
        if len(labels) == len(wanted):
            return terms
        moved: list[Term] = []
        lead = 0
        while lead < min(len(labels), len(wanted)) and labels[lead] == wanted[lead]:
            lead += 1
        for term in terms:
            rest = 0
            for mask in term.signs[lead:]:
                rest |= mask
            signs = (*term.signs[:lead], *([rest] * (len(wanted) - lead)))
            moved.append(term.derived(signs=signs, profile=None, mirror=None))
        return moved


class Stretch(Layout):
    """A part of the last axis. Of a fixed number of entries of an axis that grows no others get a gradient."""

    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        terms, missing = super().pull(point, site, operands, k, d), len(site.labels[k]) - len(site.result)
        if missing != 1:
            return terms
        return [
            term.derived(signs=(*given.signs, 0), profile=(*(given.profile or (0,) * len(given.signs)), SUMMABLE))
            for given, term in zip(d, terms, strict=True)
        ]

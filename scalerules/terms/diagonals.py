"""Matrices of which only the diagonal is not zero: in a contraction their two labels are one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .pieces import Labels, Operand, Outer
from .term import SUMMABLE, Term, decayed

_Flat = list[tuple[Labels, list[Term]]]


def is_identity(operand: Operand) -> bool:
    """Whether an operand is an identity over its two axes, and nothing else."""
    if len(operand) != 1 or not isinstance(operand[0], Outer):
        return False
    return not operand[0].factors and len(operand[0].labels) == 2


def joined(outer: Outer, labels: Labels) -> list[tuple[str, str]]:
    """The labels of this use of an outer product that are one, since a label of its own stands twice."""
    first: dict[str, str] = {}
    pairs = [(first.setdefault(own, label), label) for own, label in zip(outer.labels, labels, strict=True)]
    return [(one, other) for one, other in pairs if one != other]


def identified(flat: _Flat, result: Labels, equal: Sequence[tuple[str, str]]) -> tuple[_Flat, Labels]:
    """The operands and the result of a contraction in which labels are `equal`, by one of them each."""
    name: dict[str, str] = {}
    for one, other in equal:
        kept, gone = name.get(one, one), name.get(other, other)
        name = {label: kept if now == gone else now for label, now in name.items()} | {gone: kept}
    flat = [_on_diagonal(tuple(name.get(label, label) for label in labels), terms) for labels, terms in flat]
    bare = set(name.values()) - {label for labels, _ in flat for label in labels}
    ones: _Flat = [((label,), [Term(0, (0,))]) for label in sorted(bare)]
    return [*flat, *ones], tuple(name.get(label, label) for label in result)


def _on_diagonal(labels: Labels, terms: list[Term]) -> tuple[Labels, list[Term]]:
    """One operand, of whose entries only those are read whose indices agree where a label stands twice."""
    short = tuple(dict.fromkeys(labels))
    if short == labels:
        return labels, terms
    places = [[i for i, other in enumerate(labels) if other == label] for label in short]
    return short, [
        term.derived(
            signs=tuple(_any(term.signs[i] for i in each) for each in places),
            profile=term.profile and tuple(decayed(sum(term.profile[i] for i in each)) for each in places),
            mirror=None,
        )
        for term in terms
    ]


def _any(masks: Iterable[int]) -> int:
    """The sources of any of these."""
    either = 0
    for mask in masks:
        either |= mask
    return either


def spread(terms: list[Term], short: Labels, wanted: Labels) -> list[Term]:
    """Terms over `short` as the diagonal of `wanted`, where labels stand again: in a row one entry is not zero.

    So is a row read (a sum along the last of the axes has one term); the rows together are not.
    """
    again = [label in wanted[:i] for i, label in enumerate(wanted)]
    place = [short.index(label) for label in wanted]
    spread: list[Term] = []
    for term in terms:
        falls = term.profile or (0,) * len(short)
        signs = tuple(0 if new else term.signs[i] for i, new in zip(place, again, strict=True))
        profile = tuple(SUMMABLE if new else falls[i] for i, new in zip(place, again, strict=True))
        spread.append(term.derived(signs=signs, profile=profile))
    return spread

"""The contraction law: how large a sum of products is, from what is left on the axes that are summed over.

Every multilinear operation (dense layers, gains, attention, convolutions, outer products of gradients, sums over depth)
goes through `contract`; it is the only place that knows of alignment.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product

from .diagonals import identified, joined, spread
from .entrywise import entrywise
from .images import image_of
from .merging import merged, profiled
from .pieces import Labels, Operand, Outer
from .point import Scope
from .products import inner, knows, products, scaled
from .term import Term


def contract(scope: Scope, operands: Sequence[tuple[Labels, Operand]], result: Labels) -> list[Term]:
    """Terms of `einsum(operands) -> result`, all over growing axes only.

    For every axis that is summed over: nothing left on it, `s^g` (law of large numbers); sources left, `s^(g/2)`
    (central limit); a fresh matrix, `s^(g/2)` and a fresh image, and for the image of a transpose the mirror term. Over
    the axis of an identity no sum runs: it gives another axis its place.
    """
    if all([len(pieces) == 1 and not isinstance(pieces[0], Outer) for _, pieces in operands]):
        terms = _contract_flat(scope, [(labels, pieces[0]) for labels, pieces in operands], result)  # type: ignore[misc]
        return terms if len(operands) > 1 else merged(terms, scope.reach)
    products: list[list[Term]] = []
    for pieces in product(*(pieces for _, pieces in operands)):
        flat: list[tuple[Labels, list[Term]]] = []
        factors: list[Term] = []
        equal: list[tuple[str, str]] = []
        for number, ((labels, _), piece) in enumerate(zip(operands, pieces, strict=True)):
            if isinstance(piece, Outer):
                flat.extend(_renamed(piece, labels, number))
                factors.append(piece.factor)
                equal.extend(joined(piece, labels))
            else:
                flat.append((labels, piece))
        flat, wanted = identified(flat, result, equal) if equal else (flat, result)
        short = tuple(dict.fromkeys(wanted))
        terms = _contract_flat(scope, flat, short)
        products.append(_times(terms if short == wanted else spread(terms, short, wanted), factors))
    if len(products) == 1 and len(operands) > 1:
        return products[0]  # of one pair, and so merged
    return merged((term for terms in products for term in terms), scope.reach)


def explicit(scope: Scope, pieces: Operand, labels: Labels) -> list[Term]:
    """The pieces of one operand multiplied out to terms."""
    if len(pieces) == 1 and isinstance(pieces[0], list):
        return merged(pieces[0], scope.reach)
    if all(isinstance(piece, list) for piece in pieces):
        return merged((term for piece in pieces for term in piece), scope.reach)  # type: ignore[union-attr]
    return contract(scope, [(labels, pieces)], labels)


def _renamed(outer: Outer, labels: Labels, number: int) -> list[tuple[Labels, list[Term]]]:
    """The factors of an outer product with the parameter's labels of this use; the others made unique."""
    here = dict(zip(outer.labels, labels, strict=True))
    flat: list[tuple[Labels, list[Term]]] = []
    for names, terms in outer.factors:
        new = tuple(here.get(name, f"{name}'{number}") for name in names)
        flat.append((new, list(terms)))
    return flat


def _times(terms: list[Term], factors: list[Term]) -> list[Term]:
    if not factors:
        return terms
    extra = sum(factor.size for factor in factors)
    return [t.derived(size=t.size + extra, parents=(t, *factors), matrix=t.matrix) for t in terms]


def _contract_flat(scope: Scope, flat: list[tuple[Labels, list[Term]]], result: Labels) -> list[Term]:
    """Pairwise contraction: always the pair that sums an axis away soonest, fresh matrices last.

    Fresh matrices of the same axes come first. What shares no axis is multiplied last, unless a matrix sums over both
    and has an axis left: one of which no axis is left is applied to one side at a time.
    """
    if not all([terms for _, terms in flat]):
        return []
    for index in _alone(tuple([labels for labels, _ in flat]), result):
        flat[index] = _summed(scope, flat, index, result)
    while len(flat) > 1:
        i, j = _best_pair(flat, result)
        others = [part for index, part in enumerate(flat) if index not in (i, j)]
        keep = result + tuple([label for labels, _ in others for label in labels])
        flat = [*others, _pair(scope, flat[i], flat[j], keep)]
        if not flat[-1][1]:
            return []
    labels, terms = flat[0]
    if labels != result:
        order = [labels.index(label) for label in result]
        terms = [
            t.derived(
                signs=tuple(t.signs[i] for i in order),
                profile=t.profile and tuple(t.profile[i] for i in order),
                matrix=t.matrix and t.matrix.turned(order),
            )
            for t in terms
        ]
    return terms


@lru_cache(maxsize=1 << 12)
def _alone(operands: tuple[Labels, ...], result: Labels) -> list[int]:
    """The numbers of the operands with axes that no other operand and not the result have."""
    found: list[int] = []
    for index, labels in enumerate(operands):
        elsewhere = set(result).union(*operands[:index], *operands[index + 1 :])
        if not elsewhere.issuperset(labels):
            found.append(index)
    return found


def _summed(
    scope: Scope, flat: list[tuple[Labels, list[Term]]], index: int, result: Labels
) -> tuple[Labels, list[Term]]:
    """One operand, summed over the axes that no other operand and not the result have."""
    elsewhere = result + tuple([label for i, (other, _) in enumerate(flat) if i != index for label in other])
    return _pair(scope, flat[index], ((), [Term(0)]), elsewhere)


def _best_pair(flat: list[tuple[Labels, list[Term]]], result: Labels) -> tuple[int, int]:
    if len(flat) == 2:
        return 0, 1

    matrices = [k for k, (_, terms) in enumerate(flat) if any(term.matrix for term in terms)]

    def cost(i: int, j: int) -> tuple[bool, bool, bool, int, int]:
        rest = [(k, {*labels}) for k, (labels, _) in enumerate(flat) if k not in (i, j)]
        left, right = {*flat[i][0]}, {*flat[j][0]}
        gone = len((left | right).difference(result, *(labels for _, labels in rest)))
        fresh = i in matrices or j in matrices
        entrywise = fresh and left == right
        apart = left.isdisjoint(right) and not any(
            k in matrices and not labels <= left | right and _sums(labels.difference(result), left, right)
            for k, labels in rest
        )
        return (apart, fresh and not entrywise, not entrywise, -gone, len(left | right))

    pairs = [(i, j) for i in range(len(flat)) for j in range(i + 1, len(flat))]
    return min(pairs, key=lambda pair: cost(*pair))


def _sums(summed: set[str], left: set[str], right: set[str]) -> bool:
    """Whether axes of both sides are among those that are summed over."""
    return not (summed.isdisjoint(left) or summed.isdisjoint(right))


def _pair(
    scope: Scope,
    left: tuple[Labels, list[Term]],
    right: tuple[Labels, list[Term]],
    keep: Labels,
) -> tuple[Labels, list[Term]]:
    (la, a), (lb, b) = left, right
    if any([t.matrix for t in a]) and (len(a) == 1 or not any([t.matrix for t in b])):
        (la, a), (lb, b) = (lb, b), (la, a)
    gone, result, through = _parted(la, lb, keep)
    if through and any([t.matrix for t in b]):
        return result, merged(_images(scope, la, a, lb, b, gone, result), scope.reach)
    if not gone and not (la and lb) and len(b if la else a) == 1:
        return result, scaled(a, b, scope.reach)
    if len(la) == len(lb) == 1 and not profiled(a) and not profiled(b):
        if not result:
            return result, inner(scope, a, b, gone[0])
        if la == lb:
            return result, entrywise(a, b, scope.reach)
    return result, products(scope, la, a, lb, b, gone, result)


def _images(
    scope: Scope, la: Labels, a: list[Term], lb: Labels, b: list[Term], gone: Labels, result: Labels
) -> list[Term]:
    """Fresh matrices applied to what does not know them; what is made of one of them entry by entry does."""
    terms: list[Term] = []
    plain, alike = [w for w in b if w.matrix is None], {*la} == {*lb}
    matrices = [t for t in a if t.matrix is not None] if alike else []
    others = [t for t in a if t.matrix is None] if alike else a
    if plain and others:
        terms += products(scope, la, others, lb, plain, gone, result)
    if plain and matrices:
        terms += _images(scope, lb, plain, la, matrices, gone, result)
    for w in b:
        if w.matrix is not None:
            inside = {*lb} <= {*la}
            known, new = ([t for t in a if (inside and knows(t, w)) is which] for which in (True, False))
            terms += products(scope, la, known, lb, [w], gone, result) if known else []
            terms += image_of(scope, la, new, lb, w, result) if new else []
    return terms


@lru_cache(maxsize=1 << 12)
def _parted(la: Labels, lb: Labels, keep: Labels) -> tuple[Labels, Labels, bool]:
    """The labels of two operands that are summed over, those that are kept, and whether the second one has both."""
    labels = dict.fromkeys(la + lb)
    gone, result = tuple(x for x in labels if x not in keep), tuple(x for x in labels if x in keep)
    return gone, result, not set(lb).isdisjoint(gone) and not set(lb).isdisjoint(result)

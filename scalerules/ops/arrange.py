"""Operations that traced modules need: other arrangements of axes, fixed numbers, and powers of positive values."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from scalerules.errors import GraphError
from scalerules.terms.contraction import explicit
from scalerules.terms.merging import largest, merged, relative
from scalerules.terms.pieces import Labels, Operand
from scalerules.terms.term import Raised, Term

from .elementwise import Elementwise, powers
from .forms import fitted
from .functions import Shape
from .law import Point
from .node import Node
from .registry import Lengths, register
from .site import Site


def _arranged(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    operands, result = node.labels()
    axes = node.axes or []
    if len(operands) != 1 or len(operands[0]) != len(shapes[0]) or len(result) != len(axes):
        shown = f"{' '.join(shapes[0])!r} to {' '.join(axes)!r}"
        raise GraphError(f"{node.equation!r} does not say how {shown} are arranged", where=where)
    if len(set(operands[0])) < len(operands[0]) or len(set(result)) < len(result):
        raise GraphError(f"a label stands twice on one side of {node.equation!r}", where=where)
    here = dict(zip(operands[0], shapes[0], strict=True))
    for label, axis in zip(result, axes, strict=True):
        if label in here and lengths[here[label]] != lengths[axis]:
            raise GraphError(f"label {label!r} joins axes of different lengths: {here[label]}, {axis}", where=where)
    left = [lengths[axis] for label, axis in here.items() if label not in result]
    right = [lengths[axis] for label, axis in zip(result, axes, strict=True) if label not in here]
    if any(length.scales for length in left) and not any(length.scales for length in right):
        raise GraphError(
            f"{node.equation!r} selects from an axis that grows", where=where, hint="sum over it, or slice"
        )
    return axes


class Arrangement:
    """Entries go where their labels go; labels that are only on the left are merged into those only on the right."""

    def value(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        return self.push(point, site, operands, 0, operands[0])

    def push(self, point: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]:
        return _moved(point, explicit(point, v, site.labels[0]), site.labels[0], site.result)

    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        return _moved(point, d, site.result, site.labels[0])


def _word(label: str) -> str:
    """The word of a label: both sides of an arrangement may call the axis of a word by another name."""
    return label.partition("|")[2]


def _moved(point: Point, terms: list[Term], labels: Labels, wanted: Labels) -> list[Term]:
    """What is merged or split carries the sources of all its parts; a new axis is constant, one that is left is summed.

    (Summing happens only backward, where the forward pass had copied entries along an axis.)
    """
    words = [_word(label) for label in labels]
    place = [words.index(_word(label)) if _word(label) in words else None for label in wanted]
    gone = [i for i in range(len(labels)) if i not in place]
    if gone and None not in place:
        kept = tuple(label for i, label in enumerate(labels) if i not in gone)
        return _moved(point, fitted(point, terms, labels, kept), kept, wanted)
    if labels == wanted:
        return terms
    whole = len(gone) == place.count(None) < 2  # axis by axis: the entries of a matrix stand in another order
    moved: list[Term] = []
    for term in terms:
        together = 0
        for i in gone:
            together |= term.signs[i]
        signs = tuple(together if i is None else term.signs[i] for i in place)
        one = len(gone) == place.count(None) == 1  # what it is merged with, or split from, has a fixed length
        alone = term.profile[gone[0]] if term.profile and one else 0
        profile = term.profile and tuple(alone if i is None else term.profile[i] for i in place)
        matrix = term.matrix.turned([gone[0] if i is None else i for i in place]) if term.matrix and whole else None
        kept = profile if profile and any(profile) else None
        moved.append(term.derived(signs=signs, profile=kept, mirror=None, matrix=matrix))
    return merged(moved, point.reach)


class Constant:
    """A fixed number: entries of size 0 that agree in sign."""

    def value(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        return [Term(0, (0,) * len(site.result))]

    def push(self, point: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]:
        return []

    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        return []


class Power(Elementwise):
    """x**p of positive x: homogeneous of degree p; what is smaller than x moves it relative to x."""

    def __init__(self, power: Fraction) -> None:
        super().__init__(Shape(vanishes=False, degree=1))
        self.power = power

    def value(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        return self._raised(point, site, operands, self.power)

    def _derivative(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        return self._raised(point, site, operands, self.power - 1)

    def _raised(self, point: Point, site: Site, operands: Sequence[Operand], power: Fraction) -> list[Term]:
        x = fitted(point, explicit(point, operands[0], site.labels[0]), site.labels[0], site.result)
        top = largest(x)
        if top is None:
            return []
        terms = [*powers(point, relative(x), "generic", False, constant=False), Term(0, (0,) * len(site.result))]
        whole = Raised(top, power)
        whole.degree = 0  # the factor is the same for every term
        return merged([t.derived(size=t.size + int(power * top.size), parents=(t, whole)) for t in terms], point.reach)


def _axes_of_constant(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    return node.axes or []


def _unary(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    return shapes[0]


register(
    "rearrange",
    "Axes in another order, merged, split, copied, or selected from where they do not grow: no entry changes its size.",
    _arranged,
    required=["equation", "axes"],
    laws=Arrangement(),
    kind="layout",
    passes=True,
)
register(
    "constant",
    "Fixed numbers of size 0: they do not move, and agree in sign.",
    _axes_of_constant,
    operands=(0, 0),
    optional=["axes"],
    laws=Constant(),
    kind="data",
)
for _name, _power, _words in (
    ("reciprocal", Fraction(-1), "1/x"),
    ("sqrt", Fraction(1, 2), "The root of x"),
    ("rsqrt", Fraction(-1, 2), "1 over the root of x"),
):
    register(_name, f"{_words}, x positive: its size is {_power} times that of x.", _unary, laws=Power(_power))

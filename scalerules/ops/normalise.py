"""Normalisation and softmax: division by the size of the tensor itself."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from scalerules.terms.contraction import contract, explicit
from scalerules.terms.merging import largest, merged, profiled, rank, relative
from scalerules.terms.pieces import Labels, Operand, axis_name
from scalerules.terms.sums import root_mean_square
from scalerules.terms.term import Term

from .elementwise import Elementwise
from .forms import shifted
from .functions import Shape
from .law import Point
from .registry import register, with_axis
from .site import Site


def told(site: Site) -> Labels:
    """The label that a node works along, where it grows: of two axes of one name (queries and keys) the last."""
    return tuple(label for label in site.result if axis_name(label) == site.node.axis)[-1:]


class Norm:
    """x / |x|: the change and the gradient lose the part along x, which comes back with the signs of x."""

    def value(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        x = explicit(point, operands[0], site.labels[0])
        return _over_their_mean(point, site, x) if profiled(x) else relative(x)

    def push(self, point: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]:
        return self._linear(point, site, operands, explicit(point, v, site.labels[0]))

    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        return self._linear(point, site, operands, d)

    def _divided(self, terms: list[Term], operands: Sequence[Operand], point: Point, site: Site) -> list[Term]:
        x = explicit(point, operands[0], site.labels[0])
        top = largest(_mean_squares(point, site, x) if profiled(x) else x)
        return [] if top is None else [t.derived(size=t.size - top.size, minus=(top,), matrix=t.matrix) for t in terms]

    def _linear(self, point: Point, site: Site, operands: Sequence[Operand], v: list[Term]) -> list[Term]:
        if not explicit(point, operands[0], site.labels[0]):  # of zeros the norm's epsilon is the size, a number
            return v
        y = point.once(site.key, operands[0], lambda: self.value(point, site, operands))
        gone = told(site)
        places = [site.result.index(label) for label in gone]
        matrix = _matrix(y) if places else None
        moved = [t for t in v if matrix is None or not _radial(t, matrix, places)]
        direct = self._divided(moved, operands, point, site)
        left = tuple(label for label in site.result if label not in gone)
        along = contract(point, [(site.result, [y]), (site.result, [direct])], left)
        shift = tuple((("growth", axis_name(label)), Fraction(-1)) for label in gone)
        along = shifted(along, -sum(point.ticks(label) for label in gone), shift)
        radial = contract(point, [(site.result, [y]), (left, [along])], site.result)
        return merged([*direct, *radial], point.reach)


def _mean_squares(point: Point, site: Site, terms: Sequence[Term]) -> list[Term]:
    """Terms as large as the root of the mean of their squares along the axis: entries that decay are less than that."""
    gone, found = told(site), list[Term]()
    for term in terms:
        decays = tuple(h if x in gone else 0 for h, x in zip(term.profile or (), site.labels[0], strict=False))
        size, below = root_mean_square(point, term.derived(profile=decays or None), site.labels[0])
        found.append(term.derived(size=size, shift=below, profile=None))
    return found


def _over_their_mean(point: Point, site: Site, terms: Sequence[Term]) -> list[Term]:
    """Terms over the root of the mean square of all of them: few entries that are larger than that stay so."""
    means = _mean_squares(point, site, terms)
    top = max(means, key=rank)
    by = [mean if (mean.size, mean.log) == (top.size, top.log) else top for mean in means]
    return [
        t.derived(size=t.size - each.size, minus=(each,), matrix=t.matrix) for t, each in zip(terms, by, strict=True)
    ]


def _matrix(y: list[Term]) -> Term | None:
    """The random matrix that is normalised, where it alone is the largest: of two neither is what they make up."""
    high = max([t.size for t in y], default=0)
    known = [t for t in y if t.size == high]
    return known[0] if len(known) == 1 and known[0].matrix else None


def _radial(term: Term, matrix: Term, places: list[int]) -> bool:
    """Whether a term is this matrix, rows of it longer or shorter: of that nothing is left."""
    pairs = enumerate(zip(term.signs, matrix.signs, strict=True))
    return all(s == k if i in places else s & k == k for i, (s, k) in pairs)


class Softmax(Elementwise):
    """Softmax: over a fixed axis a generic function; over a growing one, entries of size minus its growth."""

    def __init__(self) -> None:
        super().__init__(Shape(vanishes=False))

    def value(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        return self._spread(point, site, super().value(point, site, operands))

    def _derivative(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        return self._spread(point, site, super()._derivative(point, site, operands))

    def _spread(self, point: Point, site: Site, terms: list[Term]) -> list[Term]:
        over = told(site)
        shift = tuple((("growth", axis_name(label)), Fraction(-1)) for label in over)
        return shifted(terms, -sum(point.ticks(label) for label in over), shift) if over else terms


register(
    "rms_norm",
    "Divides by the root mean square along the axis: by the tensor's own size, and so does the gradient.",
    with_axis,
    required=["axis"],
    laws=Norm(),
    kind="norm",
)
register(
    "layer_norm",
    "Subtracts the mean and divides by the standard deviation along the axis: by the tensor's own size.",
    with_axis,
    required=["axis"],
    laws=Norm(),
    kind="norm",
)
register(
    "softmax",
    "A generic function of its argument over a fixed axis; over a growing axis, entries as small as it is long.",
    with_axis,
    required=["axis"],
    optional=["causal"],
    laws=Softmax(),
    kind="norm",
)

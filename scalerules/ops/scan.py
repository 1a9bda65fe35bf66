"""State-space models: a recurrence over time with a diagonal transition, selective or not, real or complex.

Operands of `scan`: `u` (batch time channel), `dt`, `A`, then `B` and `C` where the state has an axis of its own, with
`x_t = decay(dt, A) x_{t-1} + input(dt, A) B_t u_t`, `y_t = C_t x_t`; `x` is the node `NAME.state`. Without `B` and `C`
the state is the channels' and is the result (S5, LRU). Instead of one channel axis there may be two, `heads head`; `dt`
may be fixed over time or the same for a head, `A` shared over channels or states. `A` may be a `complex` node.
Source: Gu and Dao 2023, arXiv 2312.00752, section 3; the recurrence is computed by `backends/scan/`.
"""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.errors import GraphError
from scalerules.terms.contraction import explicit
from scalerules.terms.merging import merged
from scalerules.terms.pieces import Operand
from scalerules.terms.term import SUMMABLE, Term, decayed

from .elementwise import powers, times
from .forms import Sum, fitted
from .law import Point
from .node import Node
from .registry import Lengths, internal, register
from .site import Site


def _scan_axes(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    u = shapes[0]
    if len(u) not in (3, 4):
        raise GraphError(f"operand u has axes {' '.join(u)!r}, not batch, time and channels", where=where)
    if len(shapes) not in (3, 5):
        raise GraphError(f"takes 3 or 5 operands, not {len(shapes)}", where=where, hint="u dt A, or u dt A B C")
    when, channels = u[:2], u[2:]
    state = shapes[3][-1:] if len(shapes) == 5 else ()
    parts = {channels, channels[:1]}  # by channel, or the same for all of a head
    fixed = {(*part, *state) for part in parts}
    allowed = [{u}, {(*w, *part) for w in (when, ()) for part in parts}, fixed | parts | {state}]
    if state:
        allowed += [{(*when, *state)} | fixed] * 2
    for name, shape, shapes_allowed in zip(("u", "dt", "A", "B", "C"), shapes, allowed, strict=False):
        if not shape or shape not in shapes_allowed:
            expected = " or ".join(sorted(repr(" ".join(s)) for s in shapes_allowed if s))
            raise GraphError(f"operand {name} has axes {' '.join(shape)!r}, not {expected}", where=where)
    return u


def _same_parts(node: Node, shapes: list[tuple[str, ...]], lengths: Lengths, where: str) -> Sequence[str]:
    """The axes of two equal parts, or of one tensor whose last axis holds the two."""
    if len(shapes) == 2 and shapes[0] != shapes[1]:
        raise GraphError(f"the parts have axes {list(shapes[0])} and {list(shapes[1])}", where=where)
    if len(shapes) == 1 and (not shapes[0] or str(lengths[shapes[0][-1]]) != "2"):
        raise GraphError(f"the last of the axes {list(shapes[0])} is not two parts long", where=where)
    return shapes[0] if len(shapes) == 2 else shapes[0][:-1]


register(
    "scan",
    "The fixed point of its body over the fixed number of steps; entries that decay along the state axis keep "
    "their index profile.",
    _scan_axes,
    operands=(3, 5),
    required=["discretisation"],
    kind="recurrence",
)


class Discretised:
    """A function of `dt A`: the decay `exp(dt A)`, or the input factor. Operands: `dt`, `A` or its two parts.

    `h` is its profile along a ramp of `A`, in halves; a decay falls along a ramp of the real part only.
    """

    def __init__(self, h: int, reads_a: bool = True, modulus: bool = False) -> None:
        self.h, self.reads_a, self.modulus = h, reads_a, modulus

    def value(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        dt, *parts = (explicit(point, o, site.labels[i]) for i, o in enumerate(operands))
        dt = fitted(point, dt, site.labels[0], site.result)
        argument = merged(powers(point, dt, "generic", False, False), point.reach)
        if not self.reads_a:
            return argument
        for i, part in enumerate(parts, 1):
            signed = [t for t in fitted(point, part, site.labels[i], site.result) if any(t.signs)]
            argument = [*argument, *powers(point, [_flat(t) for t in signed], "generic", False, False)]
        zero = Term(0, (0,) * len(site.result))
        profile = self._profile(parts, site)
        return [t.derived(profile=profile) for t in merged([zero, *(_flat(t) for t in argument)], point.reach)]

    def _now(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        pieces = [piece for operand in operands for piece in operand]
        return point.once(site.key, pieces, lambda: self.value(point, site, operands))

    def _profile(self, parts: Sequence[list[Term]], site: Site) -> tuple[int, ...] | None:
        """Where `A` grows along an axis like the index, the function decays along it."""
        seen = [(i, t) for i, part in enumerate(parts[: 1 if self.modulus else 2], 1) for t in part if t.profile]
        falls = {site.labels[i][k] for i, t in seen for k, h in enumerate(t.profile or ()) if h < 0}
        return tuple(self.h if label in falls else 0 for label in site.result) if falls else None

    def push(self, point: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]:
        if k and not self.reads_a:
            return []
        change = [_flat(t) for t in fitted(point, explicit(point, v, site.labels[k]), site.labels[k], site.result)]
        return times(point, site.result, self._now(point, site, operands), change)

    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        if k and not self.reads_a:
            return []
        terms = times(point, site.result, self._now(point, site, operands), d)
        if k:  # the derivative with respect to A has one power of 1/A more
            parts = [explicit(point, o, site.labels[i]) for i, o in enumerate(operands) if i]
            falls = self._profile(parts, site)
            terms = [t.derived(profile=_faster(t.profile, falls)) for t in terms] if falls else terms
        return fitted(point, terms, site.result, site.labels[k])


def _faster(profile: tuple[int, ...] | None, falls: tuple[int, ...]) -> tuple[int, ...]:
    """One power of the index more along the axes on which the function falls."""
    return tuple(decayed(h + (2 if f else 0)) for h, f in zip(profile or (0,) * len(falls), falls, strict=True))


def _flat(term: Term) -> Term:
    """The term without its profile: an exponential, or a function of the product `dt A`, has a profile of its own."""
    return term.derived(profile=None) if term.profile else term


class Recurrence:
    """x = decay x + input over a fixed number of steps: the input, and the input times the decay."""

    def value(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        decay, driven = (
            fitted(point, explicit(point, operand, labels), labels, site.result)
            for operand, labels in zip(operands, site.labels, strict=True)
        )
        return merged([*driven, *times(point, site.result, decay, driven)], point.reach)

    def push(self, point: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]:
        if k == 0:
            change = fitted(point, explicit(point, v, site.labels[0]), site.labels[0], site.result)
            return times(point, site.result, change, self.value(point, site, operands))
        return self.value(point, site, [operands[0], v])

    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        if k == 0:
            state = self.value(point, site, operands)
            return fitted(point, times(point, site.result, d, state), site.result, site.labels[0])
        return self.value(point, site, [operands[0], [d]])


internal("decay", "The decay exp(dt A) of a scan is summable along a ramp of A.", Discretised(SUMMABLE, modulus=True))
internal("step_zoh", "Zero-order hold: (exp(dt A) - 1) / A falls like 1/i along a ramp of A.", Discretised(2))
internal("step_euler", "Euler: the input factor is dt, the same for every entry of the state.", Discretised(0, False))
internal("step_bilinear", "Bilinear: dt / (1 - dt A / 2) falls like 1/i along a ramp of A.", Discretised(2))
internal("recurrence", "A fixed number of steps: the input and the input times the decay.", Recurrence())
register(
    "complex",
    "A complex number is as large as the larger of its parts.",
    _same_parts,
    operands=(1, 2),
    laws=Sum(),
    linear=True,
)
register(
    "parts",
    "The real and the imaginary part, along an axis of two: both as large as the number, for phases do not matter.",
    lambda node, shapes, lengths, where: [*shapes[0], str(node.axis)],
    required=["axis"],
    laws=Sum(),
    linear=True,
)

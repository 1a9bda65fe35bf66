"""State-space models: a recurrence over time with a diagonal transition, selective or not, real or complex.

Operands of `scan`: `u` (batch time channel), `dt`, `A`, then `B` and `C` where the state has an axis of its own, with
`x_t = decay(dt, A) x_{t-1} + input(dt, A) B_t u_t`, `y_t = C_t x_t`; `x` is the node `NAME.state`. Without `B` and `C`
the state is the channels' and is the result (S5, LRU). Instead of one channel axis there may be two, `heads head`; `dt`
may be fixed over time or the same for a head, `A` shared over channels or states. `A` may be a `complex` node.
Source: Gu and Dao 2023, arXiv 2312.00752, section 3; the recurrence is computed by `backends/scan/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scalerules.errors import GraphError
from scalerules.terms.contraction import explicit
from scalerules.terms.merging import merged
from scalerules.terms.pieces import Labels, Operand
from scalerules.terms.term import SUMMABLE, Profile, Term, decayed

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


class Falls(NamedTuple):
    """How a function of `dt A` falls along a ramp of `A`, in halves: itself, its derivatives by `dt` and by `A`.

    `turns`: the ramp is imaginary.
    """

    value: int
    by_dt: int
    by_a: int
    turns: bool = False


FLAT = Falls(0, 0, 0)


class Discretised:
    """A function of `dt A`: the decay, or the input factor. Operands: `dt`, `A` or its two parts.

    `real` says how it falls where the real part of `A` is a ramp, `imaginary` where only the other part is one: then
    `exp(dt A)` turns ever faster, and its derivative by `dt` grows with the index while the function does not. There a
    derivative by `dt` or by the imaginary part is a quarter turn away from the function, a source of its own: along the
    ramp it adds up with what has it too, and not with the function.
    """

    def __init__(self, real: Falls, imaginary: Falls | None = None, reads_a: bool = True) -> None:
        self.real, self.imaginary, self.reads_a = real, (imaginary or real)._replace(turns=True), reads_a

    def value(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        profile = _profile([fall.value for fall in self._falls(point, site, operands)])
        terms = self._now(point, site, operands)
        return [t.derived(profile=profile) for t in terms] if self.reads_a else terms

    def _now(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        """The terms of the function and of its derivatives, without profiles."""
        pieces = [piece for operand in operands for piece in operand]
        return point.once(site.key, pieces, lambda: self._terms(point, site, operands))

    def _terms(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        dt, *parts = (explicit(point, o, site.labels[i]) for i, o in enumerate(operands))
        dt = fitted(point, dt, site.labels[0], site.result)
        argument = merged(powers(point, dt, "generic", False, False), point.reach)
        if not self.reads_a:
            return argument
        for i, part in enumerate(parts, 1):
            signed = [t for t in fitted(point, part, site.labels[i], site.result) if any(t.signs)]
            argument = [*argument, *powers(point, [_flat(t) for t in signed], "generic", False, False)]
        zero = Term(0, (0,) * len(site.result))
        return merged([zero, *(_flat(t) for t in argument)], point.reach)

    def _falls(self, point: Point, site: Site, operands: Sequence[Operand]) -> list[Falls]:
        """By label of the result how it falls there: as along a ramp of `A`, where `A` grows like the index."""
        ramps = [_ramps(explicit(point, o, site.labels[i]), site.labels[i]) for i, o in enumerate(operands) if i]
        imaginary = ramps[1] if len(ramps) > 1 else frozenset[str]()
        return [
            self.real if label in ramps[0] else self.imaginary if label in imaginary else FLAT for label in site.result
        ]

    def push(self, point: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]:
        """The derivative times the change, and no more than the function itself: changes are finite.

        Along an imaginary ramp a change of `dt` turns every entry to somewhere else, and what was there is gone.
        """
        if k and not self.reads_a:
            return []
        falls = self._falls(point, site, operands)
        whole = _profile([fall.value for fall in falls])
        moved = fitted(point, explicit(point, v, site.labels[k]), site.labels[k], site.result)
        change = [t.derived(profile=_profile(_least(falls, _slopes(falls, k), t.profile))) for t in moved]
        turned = _turned(point, site, falls, k, change, far=not k)
        if turned is not change:
            even = powers(point, [_flat(t) for t in moved], "even", False, False)
            turned = [*turned, *(t.derived(profile=whole) for t in even)]
        return times(point, site.result, self._now(point, site, operands), turned)

    def pull(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        return self._pulled(point, site, operands, k, d, _slopes(self._falls(point, site, operands), k))

    def secant(self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        """The gradient that a step which is not small sees: no steeper than the function is large."""
        falls = self._falls(point, site, operands)
        return self._pulled(point, site, operands, k, d, _least(falls, _slopes(falls, k)))

    def steep(self, point: Point, site: Site, operands: Sequence[Operand]) -> bool:
        """Whether a derivative is larger than the function: a small step alone sees it."""
        return any(min(fall.by_dt, fall.by_a) < fall.value for fall in self._falls(point, site, operands))

    def _pulled(
        self, point: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term], slopes: Sequence[int]
    ) -> list[Term]:
        if k and not self.reads_a:
            return []
        terms = [t.derived(profile=_profile(slopes)) for t in self._now(point, site, operands)]
        terms = _turned(point, site, self._falls(point, site, operands), k, terms)
        return fitted(point, times(point, site.result, terms, d), site.result, site.labels[k])


def _ramps(terms: Sequence[Term], labels: Labels) -> frozenset[str]:
    """The labels along which entries grow."""
    return frozenset(labels[i] for term in terms for i, halves in enumerate(term.profile or ()) if halves < 0)


def _turned(
    point: Point, site: Site, falls: Sequence[Falls], k: int, terms: list[Term], far: bool = False
) -> list[Term]:
    """Terms a quarter turn away, along imaginary ramps; the derivative by the real part (the first of two) is not.

    `far`: by so much that no two entries have turned alike.
    """
    if k == 1 or not any(fall.turns for fall in falls):
        return terms
    bit = point.bit("far" if far else "turn", site.inputs[1])
    signs = [bit if fall.turns else 0 for fall in falls]
    return [t.derived(signs=tuple(x ^ y for x, y in zip(t.signs, signs, strict=True))) for t in terms]


def _slopes(falls: Sequence[Falls], k: int) -> list[int]:
    """How the derivative by the `k`-th operand falls along each label."""
    return [fall.by_a if k else fall.by_dt for fall in falls]


def _least(falls: Sequence[Falls], slopes: Sequence[int], profile: Sequence[int] | None = None) -> list[int]:
    """A derivative times what has a profile, where that is less than the function itself."""
    steps = profile or (0,) * len(slopes)
    return [max(fall.value, decayed(slope + step)) for fall, slope, step in zip(falls, slopes, steps, strict=True)]


def _profile(halves: Sequence[int]) -> Profile | None:
    return tuple(halves) if any(halves) else None


def _flat(term: Term) -> Term:
    """The term without its profile: a function of the product `dt A` has a profile of its own."""
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


internal(
    "decay",
    "The decay exp(dt A) of a scan is summable along a ramp of A, but of size 0 at every entry where the ramp is "
    "imaginary: there its derivative by dt grows like i.",
    Discretised(Falls(SUMMABLE, SUMMABLE, SUMMABLE), Falls(0, -2, 0)),
)
internal(
    "decay_bilinear",
    "Bilinear: the decay (1 + dt A / 2) / (1 - dt A / 2) tends to -1 along a ramp of A; its derivatives by dt and by A "
    "fall like 1/i and 1/i^2.",
    Discretised(Falls(0, 2, 4)),
)
internal(
    "step_zoh",
    "Zero-order hold: (exp(dt A) - 1) / A falls like 1/i along a ramp of A. Its derivative by dt, exp(dt A), is "
    "summable, that by A falls like 1/i^2; where the ramp is imaginary the one stays, the other falls like 1/i.",
    Discretised(Falls(2, SUMMABLE, 4), Falls(2, 0, 2)),
)
internal(
    "step_euler",
    "Euler: the input factor is dt, the same for every entry of the state.",
    Discretised(FLAT, reads_a=False),
)
internal(
    "step_bilinear",
    "Bilinear: dt / (1 - dt A / 2) falls like 1/i along a ramp of A, its derivatives like 1/i^2.",
    Discretised(Falls(2, 4, 4)),
)
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

"""The selective scan: a recurrence over time with a diagonal transition.

Operands of `scan`: `u` (batch time channel), `dt` (batch time channel), `A` (channel state), `B` and `C`
(batch time state, or channel state). Result: `y` (batch time channel), with
`x_t = decay(dt, A) x_{t-1} + input(dt, A) B_t u_t`, `y_t = C_t x_t`; `x` is the node `NAME.state`.
Source: Gu and Dao 2023, arXiv 2312.00752, section 3; the recurrence is computed by `backends/scan.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import GraphError
from ..terms import SUMMABLE, Term, merged
from .elementwise import powers, times
from .forms import Point, fitted
from .laws import Operand, explicit
from .registry import internal, register

if TYPE_CHECKING:
    from ..graph import Graph, Node
    from ..lower import Site


def _scan_axes(node: Node, shapes: list[tuple[str, ...]], graph: Graph, where: str) -> Sequence[str]:
    u, dt, a, b, c = shapes
    batch, time, channel = u if len(u) == 3 else ("", "", "")
    state = a[-1] if a else ""
    wanted = [(u, "u"), (dt, "dt"), (a, "A"), (b, "B"), (c, "C")]
    allowed = [
        {(batch, time, channel)},
        {(batch, time, channel)},
        {(channel, state), (state,)},
        {(batch, time, state), (channel, state)},
        {(batch, time, state), (channel, state)},
    ]
    for (shape, name), shapes_allowed in zip(wanted, allowed, strict=True):
        if len(u) != 3 or shape not in shapes_allowed:
            expected = " or ".join(sorted(" ".join(s) for s in shapes_allowed)) if len(u) == 3 else "3 axes"
            raise GraphError(f"operand {name} has axes {' '.join(shape)!r}, not {expected!r}", where=where)
    return u


register(
    "scan",
    "The fixed point of its body over the fixed number of steps; entries that decay along the state axis keep "
    "their index profile.",
    _scan_axes,
    operands=(5, 5),
    required=["discretisation"],
)


class Discretised:
    """A function of `dt A`: the decay `exp(dt A)`, or the input factor.

    `h` is its profile along a ramp of `A`, in halves.
    """

    def __init__(self, h: int | None, reads_a: bool = True) -> None:
        self.h, self.reads_a = h, reads_a

    def value(self, at: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        dt, a = (explicit(at, o, site.labels[i]) for i, o in enumerate(operands))
        argument = merged(powers(at, fitted(at, dt, site.labels[0], site.result), "generic", False, False), at.reach)
        if not self.reads_a:
            return argument
        signed = [t for t in fitted(at, a, site.labels[1], site.result) if any(t.signs)]
        argument = [*argument, *powers(at, [_flat(t) for t in signed], "generic", False, False)]
        zero = Term(0, (0,) * len(site.result))
        profile = self._profile(a, site)
        return [t.derived(profile=profile) for t in merged([zero, *(_flat(t) for t in argument)], at.reach)]

    def _profile(self, a: list[Term], site: Site) -> tuple[int, ...] | None:
        """Where `A` grows along an axis like the index, the function decays along it."""
        falls = {site.labels[1][i] for t in a if t.profile for i, h in enumerate(t.profile) if h < 0}
        return tuple(int(self.h or 0) if label in falls else 0 for label in site.result) if falls else None

    def push(self, at: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]:
        if k == 1 and not self.reads_a:
            return []
        change = [_flat(t) for t in fitted(at, explicit(at, v, site.labels[k]), site.labels[k], site.result)]
        return times(at, site.result, self.value(at, site, operands), change)

    def pull(self, at: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        if k == 1 and not self.reads_a:
            return []
        terms = times(at, site.result, self.value(at, site, operands), d)
        if k == 1:  # the derivative with respect to A has one power of 1/A more
            falls = self._profile(explicit(at, operands[1], site.labels[1]), site)
            terms = [t.derived(profile=_faster(t.profile, falls)) for t in terms] if falls else terms
        return fitted(at, terms, site.result, site.labels[k])


def _faster(profile: tuple[int, ...] | None, falls: tuple[int, ...]) -> tuple[int, ...]:
    """One power of the index more along the axes on which the function falls."""
    return tuple(min(h + (2 if f else 0), SUMMABLE) for h, f in zip(profile or (0,) * len(falls), falls, strict=True))


def _flat(term: Term) -> Term:
    """Without its profile: an exponential, or a function of the product `dt A`, has a profile of its own."""
    return term.derived(profile=None) if term.profile else term


class Recurrence:
    """x = decay x + input over a fixed number of steps: the input, and the input times the decay."""

    def value(self, at: Point, site: Site, operands: Sequence[Operand]) -> list[Term]:
        decay, driven = (fitted(at, explicit(at, o, site.labels[i]), site.labels[i], site.result)
                         for i, o in enumerate(operands))
        return merged([*driven, *times(at, site.result, decay, driven)], at.reach)

    def push(self, at: Point, site: Site, operands: Sequence[Operand], k: int, v: Operand) -> list[Term]:
        if k == 0:
            change = fitted(at, explicit(at, v, site.labels[0]), site.labels[0], site.result)
            return times(at, site.result, change, self.value(at, site, operands))
        return self.value(at, site, [operands[0], v])

    def pull(self, at: Point, site: Site, operands: Sequence[Operand], k: int, d: list[Term]) -> list[Term]:
        if k == 0:
            state = self.value(at, site, operands)
            return fitted(at, times(at, site.result, d, state), site.result, site.labels[0])
        return self.value(at, site, [operands[0], [d]])


internal("decay", "The decay exp(dt A) of a scan is summable along a ramp of A.", Discretised(SUMMABLE))
internal("step_zoh", "Zero-order hold: (exp(dt A) - 1) / A falls like 1/i along a ramp of A.", Discretised(2))
internal("step_euler", "Euler: the input factor is dt, the same for every entry of the state.", Discretised(0, False))
internal("step_bilinear", "Bilinear: dt / (1 - dt A / 2) falls like 1/i along a ramp of A.", Discretised(2))
internal("recurrence", "A fixed number of steps: the input and the input times the decay.", Recurrence())

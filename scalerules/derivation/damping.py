"""What else of an optimizer has a size: its epsilons, weight decay, and the threshold at which gradients are clipped.

A number that is added to another one acts alike at every scale when it grows as that one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from scalerules.ops.site import Held
from scalerules.optimizers.law import Optimizer, Scaling, axes_of
from scalerules.optimizers.powers import BEHIND, GRADIENT, READ, WEIGHT, Resolved, shift
from scalerules.optimizers.symbolic import Facts
from scalerules.passes.events import Run
from scalerules.sizes.exponents import Exponents
from scalerules.solution.rule import Rule
from scalerules.solving.equations import Vectors, vector_of
from scalerules.terms.term import Term

Decaying = Literal["time-scale", "update"]
"""What weight decay keeps: its time scale in steps, or its share of every update."""

DECAYS: dict[str, str] = {
    "time-scale": "Weight decay keeps its time scale: lr * wd is constant, so a parameter forgets its past in as many "
    "steps at every size.",
    "update": "Weight decay is as large as the update: lr * wd times the parameter grows as what the gradient moves it by.",  # noqa: E501
}
"""Both conventions, as a solution states them."""


@dataclass(frozen=True)
class Share:
    """What an update, weight decay and every damping carry of something that multiplies gradients."""

    update: Fraction
    decay: Fraction
    dampings: Mapping[str, Fraction]


@dataclass(frozen=True)
class Tuning:
    """The sizes of what an optimizer adds to what it divides by, at a solution."""

    optimizer: Optimizer
    run: Run
    vectors: Vectors
    scales: Sequence[str]
    decaying: Decaying = "time-scale"

    def growth(self, axis: str) -> Exponents:
        """The exponents with which the length of an axis grows."""
        return self._exponents({("growth", axis): Fraction(1)})

    def dampings(self, held: Held | None, name: str, gradient: Exponents) -> dict[str, Exponents]:
        """The exponents of every damping by name: each grows as what it is added to."""
        if held is None:
            return {}
        scaling = self._last(name)
        resolved: Mapping[str, Resolved] = scaling.dampings if scaling is not None else {}
        return {damping: self.product(held, name, powers, gradient) for damping, powers in resolved.items()}

    def product(self, held: Held, name: str, powers: Resolved, gradient: Exponents) -> Exponents:
        """The exponents of a product of powers."""
        weight, total = self._weight(name), gradient.plus(gradient, -1)
        parts: dict[str, Exponents] = {GRADIENT: gradient}
        if weight is not None:
            parts[WEIGHT] = self._exponents(weight.form)
        sides = self.run.sides.get(held.key)
        if sides is not None:
            parts |= {READ: self._exponents(sides[0].form), BEHIND: self._exponents(sides[1].form)}
        for part, power in powers.items():
            if part in parts:
                total = total.plus(parts[part], power)
            elif part == BEHIND:  # of a matrix that no product of samples is known of: both sides make up the gradient
                total = total.plus(gradient, 2 * power)
            for axis in axes_of(held, part):
                total = total.plus(self.growth(axis), power)
        return total

    def decay(self, held: Held | None, lr: Exponents, gradient: Exponents) -> Exponents:
        """The exponents of weight decay.

        Decoupled (`lr * wd` of the parameter goes a step) it keeps one time scale at `-lr`, independent (`wd` of it
        goes) at 0. Decay that is to be as large as the update grows as the update over the parameter. Coupled decay is
        added to the gradient: a plain gradient takes it as decoupled; what normalises the sum must not be drowned by
        it, which is so at the size of what it is added to over that of the parameter.
        """
        none, way = lr.plus(lr, -1), self.optimizer.decay
        scaling, weight = (self._last(held.name), self._weight(held.name)) if held is not None else (None, None)
        kept = none if way == "independent" else lr.plus(lr, -2)
        if held is None or scaling is None or weight is None:
            return kept
        against = scaling.powers if self.decaying == "update" and way != "coupled" else scaling.decayed
        share = self.product(held, held.name, against, gradient).plus(self._exponents(weight.form), -1)
        if way == "coupled":
            plain = scaling.powers == {GRADIENT: 1} and self.decaying != "update"
            return kept if plain else share
        if self.decaying != "update":
            return kept
        return share.plus(lr) if way == "independent" else share

    def gauges(self, held: Held | None) -> Share:
        """The powers by which they grow when the multiplier of a parameter grows by one and its std falls by one.

        The rate falls by one for the smaller entries, and by what the update grows with the gradient.
        """
        scaling = self._last(held.name) if held is not None else None
        if held is None or scaling is None:
            return Share(Fraction(-1), Fraction(1), {})
        return _share(self.optimizer, scaling.powers, scaling.decayed, scaling.dampings, self.decaying)

    def of_norm(self, name: str, part: str, power: int) -> Share:
        """The power of the norm of all gradients in each, which they carry as a power of an atom."""
        scaling = self._last(name)
        if scaling is None:
            return Share(Fraction(0), Fraction(0), {})
        taken = power * scaling.powers.get(part, Fraction(0))
        decay = power * scaling.decayed.get(part, Fraction(0)) if self.optimizer.decay == "coupled" else taken
        dampings = {name: power * powers.get(part, Fraction(0)) for name, powers in scaling.dampings.items()}
        return Share(taken, decay, dampings)

    def _last(self, name: str) -> Scaling | None:
        there = [scaling for scaling in self.run.scalings.get(name, []) if scaling.weight is not None]
        return (there or self.run.scalings.get(name) or [None])[-1]

    def _weight(self, name: str) -> Term | None:
        weights = [scaling.weight for scaling in self.run.scalings.get(name, []) if scaling.weight is not None]
        return max(weights, key=lambda term: term.size, default=None)

    def _exponents(self, form: Mapping[tuple[str, str], Fraction]) -> Exponents:
        vector = vector_of(form, self.vectors, self.run, self.scales)
        return Exponents(dict(zip(self.scales, vector[1:], strict=True)))


def _share(
    optimizer: Optimizer, powers: Resolved, decayed: Resolved, dampings: Mapping[str, Resolved], decaying: Decaying
) -> Share:
    update, way = shift(powers), optimizer.decay
    wd = Fraction(0) if way == "independent" else 1 + update
    if way == "coupled" and (decaying == "update" or powers != {GRADIENT: 1}):
        wd = 1 + shift(decayed)
    return Share(-1 - update, wd, {name: shift(atoms) for name, atoms in dampings.items()})


def in_general(optimizer: Optimizer, facts: Facts) -> Share:
    """The powers of `Tuning.gauges`, where nothing is known of sizes."""
    law = optimizer.form(facts)
    powers, decayed = (p.resolved(lambda _: 0) for p in (law.powers, law.decayed))
    dampings = {name: p.resolved(lambda _: 0) for name, p in law.dampings.items()}
    return _share(optimizer, powers, decayed, dampings, "time-scale")


def global_norm(
    rules: Mapping[str, Rule], gradients: Mapping[str, Exponents], entries: Mapping[str, Exponents],
    direction: Mapping[str, Fraction],
) -> tuple[str, Exponents] | None:  # fmt: skip
    """The norm of all gradients together: the parameter that decides it, and its exponents; None without gradients.

    `entries` are the numbers of entries. Gradients of parameters with a multiplier are larger by it, so the norm
    belongs to a gauge.
    """
    norms = {name: gradients[name].plus(rules[name].mult).plus(entries[name], Fraction(1, 2)) for name in gradients}
    return max(norms.items(), key=lambda item: item[1].size(direction), default=None)


def divided(rule: Rule, norm: Exponents, share: Share, optimizer: Optimizer) -> Rule:
    """The rule where gradients carry a power of their norm that the law was solved without.

    An update moves by that much less, for which the rate makes up, and dampings follow what they are added to.
    """
    dampings = {name: size.plus(norm, share.dampings.get(name, 0)) for name, size in rule.dampings.items()}
    return replace(
        rule, lr=rule.lr.plus(norm, -share.update), eps=rule.eps.plus(norm, share.dampings.get("eps", 0)),
        wd=rule.wd if optimizer.decay == "independent" else rule.wd.plus(norm, share.decay), dampings=dampings,
    )  # fmt: skip


def clipping_said(optimizer: Optimizer, norm: tuple[str, Exponents], direction: Mapping[str, Fraction]) -> str:
    """What clipping does, in a sentence."""
    name, exponents = norm
    start = f"The global norm of all gradients has size {exponents} (by {name!r}) in this gauge"
    if optimizer.clip == "scaled":
        return f"{start}, and the threshold of clipping grows as it does."
    acts = "so it divides every gradient" if exponents.size(direction) > 0 else "so it changes no exponent"
    return f"{start}; the threshold of clipping is held fixed, {acts}."

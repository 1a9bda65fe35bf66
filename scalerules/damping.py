"""What else of an optimizer has a size: its epsilons, weight decay, and the threshold at which gradients are clipped.

A number that is added to another one acts alike at every scale when it grows as that one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from .equations import Vectors, vector_of
from .lower import Held
from .propagate import Run
from .solution import Exponents, Rule
from .terms import Term
from .update import Optimizer


@dataclass(frozen=True)
class Tuning:
    """The sizes of what an optimizer adds to what it divides by, at a solution."""

    optimizer: Optimizer
    run: Run
    vectors: Vectors
    scales: Sequence[str]

    def growth(self, axis: str) -> Exponents:
        """The exponents with which the length of an axis grows."""
        return self._exponents({("growth", axis): Fraction(1)})

    def epsilon(self, held: Held | None, gradient: Exponents) -> Exponents:
        """Of the epsilon: as large as what it is added to."""
        degree, shares = self.optimizer.damped(held)
        eps = gradient.plus(gradient, degree - 1)
        for axis, share in shares:
            eps = eps.plus(self.growth(axis), share)
        return eps

    def others(self, name: str) -> dict[str, Exponents]:
        """Of the other dampings by name: K-FAC's two (of the factors over fan-in and fan-out), Adafactor's floor."""
        if self.optimizer.sides and name in self.run.sides:
            pairs = zip(self.optimizer.sides, self.run.sides[name], strict=True)
            return {side: self._exponents(term.form) for side, term in pairs}
        weight = self._weight(name)
        return {"eps2": self._exponents(weight.form)} if self.optimizer.relative == "floor" and weight else {}

    def decay(self, name: str, lr: Exponents, gradient: Exponents) -> Exponents:
        """Of weight decay.

        Decoupled (`lr * wd` of the parameter goes a step) it keeps one time scale at `-lr`, independent (`wd` of it
        goes) at 0. Coupled decay is added to the gradient: a plain gradient takes it as decoupled; what normalises the
        sum must not be drowned by it, which is so at the size of the gradient over that of the parameter. Rules that
        normalise before they add it (LAMB) compare it with 1.
        """
        if self.optimizer.decay == "independent":
            return lr.plus(lr, -1)
        weight = self._weight(name)
        if self.optimizer.decay == "decoupled" or self.optimizer.degree == 1 or weight is None:
            return lr.plus(lr, -2)
        against = gradient.plus(gradient, -1) if self.optimizer.relative == "one" else gradient
        return against.plus(self._exponents(weight.form), -1)

    def _weight(self, name: str) -> Term | None:
        weights = [scaling.weight for scaling in self.run.scalings.get(name, []) if scaling.weight is not None]
        return max(weights, key=lambda term: term.size, default=None)

    def _exponents(self, form: Mapping[tuple[str, str], Fraction]) -> Exponents:
        vector = vector_of(form, self.vectors, self.run, self.scales)
        return Exponents(dict(zip(self.scales, vector[1:], strict=True)))


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


def clipped(
    rules: Mapping[str, Rule], norm: Exponents, optimizer: Optimizer, direction: Mapping[str, Fraction]
) -> dict[str, Rule]:
    """The rules when gradients are divided by their global norm wherever that is above a fixed threshold.

    A norm that does not grow changes no exponent. One that grows divides every gradient: a rule of degree p in the
    gradient moves by its power p less, for which the rate makes up, and epsilon follows the gradient. K-FAC's factors
    are of gradients before clipping, so it moves by the norm itself less.
    """
    if optimizer.clip != "fixed" or norm.size(direction) <= 0:
        return dict(rules)
    degree, moved = (0, Fraction(1)) if optimizer.sides else (optimizer.damped(None)[0], optimizer.degree)
    return {
        name: replace(rule, lr=rule.lr.plus(norm, moved), eps=rule.eps.plus(norm, -degree),
                      wd=rule.wd.plus(norm, -moved) if optimizer.decay == "decoupled" else rule.wd)
        for name, rule in rules.items()
    }  # fmt: skip


def clipping_said(optimizer: Optimizer, norm: tuple[str, Exponents], direction: Mapping[str, Fraction]) -> str:
    """What clipping does, in a sentence."""
    name, exponents = norm
    start = f"The global norm of all gradients has size {exponents} (by {name!r}) in this gauge"
    if optimizer.clip == "scaled":
        return f"{start}, and the threshold of clipping grows as it does."
    acts = "so it divides every gradient" if exponents.size(direction) > 0 else "so it changes no exponent"
    return f"{start}; the threshold of clipping is held fixed, {acts}."

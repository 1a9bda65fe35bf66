"""What a user asks for: the numbers at the base size, by name, and the class of the optimizer that receives them.

Each is checked against the class: whether it moves as the rules take for granted, and has a use for the number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from scalerules.errors import ScaleRulesError
from scalerules.optimizers.law import RADIUS
from scalerules.optimizers.law import Optimizer as Law
from scalerules.optimizers.named import named_in
from scalerules.optimizers.powers import GRADIENT, WEIGHT
from scalerules.optimizers.symbolic import Facts
from scalerules.optimizers.table import OPTIMIZERS

from .at_sizes import Sizes
from .receiver import Moves, Receiver
from .tuned import Tuned, betas, epsilon, number

EPS = 1e-8
"""Adam's epsilon at the base size, unless `optimizer=` or `eps=` says otherwise."""


@dataclass(frozen=True)
class Asked:
    """The numbers at the base size, by name, and the optimizer that receives them."""

    lr: Tuned
    lr_beside: Tuned
    """Of what an optimizer beside Muon takes."""
    weight_decay: Tuned
    eps: Tuned | None
    betas: Tuned | None
    receiver: Receiver | None
    radius: float = 0.05
    unruled: tuple[str, ...] = ()
    """Patterns of parameters that may be without a rule."""

    @classmethod
    def of(
        cls, law: Law | None, lr: Any, weight_decay: Any, eps: Any, averages: Any, optimizer: Any, lr_beside: Any,
        rho: Any, unruled: Iterable[str] | str,
    ) -> Asked:  # fmt: skip
        """Fills in the optimizer's own epsilon; raises `ScaleRulesError` if numbers or rules are not for it."""
        receiver = None if optimizer is None else Receiver.of(optimizer)
        rate = Tuned.of("lr", lr, number)
        beside = rate if lr_beside is None else Tuned.of("lr_beside", lr_beside, number)
        if lr_beside is not None and law is not None and "muon" not in law.name:
            what = f"is the rate of what another optimizer takes, and {law.name} has none beside it"
            raise ScaleRulesError(what, where="lr_beside=", hint="lr= by name, or rules of muon")
        decay = Tuned.of("weight_decay", weight_decay, number)
        damping = None if eps is None else Tuned.of("eps", eps, epsilon)
        means = None if averages is None else Tuned.of("betas", averages, betas)
        if receiver is not None:
            check_kind(law, receiver)
            if not for_matrices_only(law, receiver):
                _check_taken(receiver, decay, damping, means)
        if receiver is not None:
            for tuned in (rate, decay, damping, means):
                if tuned is not None:
                    check_shadowed(receiver, tuned.what, tuned.values.values())
        if damping is None and (own := _own_epsilon(law, receiver)) is not None:
            damping = Tuned("eps", {"*": own})
        patterns = (unruled,) if isinstance(unruled, str) else tuple(unruled)
        return cls(rate, beside, decay, damping, means, receiver, float(number(RADIUS, rho)), patterns)

    @property
    def decays(self) -> bool:
        """Whether there is any weight decay."""
        return any(float(value) for value in self.weight_decay.values.values())

    def check(self, names: Iterable[str]) -> None:
        """Raises `ScaleRulesError` for a pattern that fits none of these names."""
        listed = list(names)
        for tuned in (self.lr, self.lr_beside, self.weight_decay, self.eps, self.betas):
            if tuned is not None:
                tuned.check(listed)
        Tuned("unruled", dict.fromkeys(self.unruled)).check(listed)


def check_shadowed(receiver: Receiver, what: str, tuned: Iterable[Any]) -> None:
    """Raises `ScaleRulesError` for an argument of a class that its groups override, with other numbers."""
    if what in receiver.options and not any(_same(receiver.options[what], value) for value in tuned):
        text = f"{what}= has no effect, every group has its own"
        raise ScaleRulesError(text, where=f"optimizer {receiver.name}", hint=f"apply(..., {what}=...)")


def _same(one: Any, other: Any) -> bool:
    pairs = [tuple(cast("list[Any]", each)) if isinstance(each, list) else each for each in (one, other)]
    return bool(pairs[0] == pairs[1])


def law_at(at: Sizes) -> Law | None:
    """The optimizer that the rules were derived for; None for one that is not known here (in a file by hand)."""
    return law_named(at.solution.optimizer)


def law_named(name: str) -> Law | None:
    """The optimizer of a name; None for one that is not known here."""
    try:
        return named_in(name)
    except ScaleRulesError:
        return None


def for_matrices_only(law: Law | None, receiver: Receiver) -> bool:
    """Whether the class takes matrices alone, and another optimizer beside it the rest."""
    return law is not None and law.spectral and receiver.moves is not None and receiver.moves.spectral and (
        "muon" in law.name)  # fmt: skip


def check_kind(law: Law | None, receiver: Receiver) -> None:
    """Raises `ScaleRulesError` if rules for `law` are not rules for this class; one that cannot be tried passes."""
    where = f"optimizer {receiver.name}"
    if not receiver.obeys:
        is_relative = "relative_step" in receiver.arguments
        hint = "relative_step=False, in a functools.partial" if is_relative else "take another one"
        raise ScaleRulesError("does not follow the rates of its groups", where=where, hint=hint)
    moves = receiver.moves
    if law is None or moves is None:
        return
    powers = law.guess(Facts(matrix=True))
    alike = (powers.get(GRADIENT, 0), powers.get(WEIGHT, 0)) == (moves.gradient, moves.weight)
    beside = law.spectral and not moves.gradient and not moves.weight  # what is no matrix moves entry by entry
    if not (alike or beside) or (moves.spectral and not law.spectral):
        what = f"is not what the rules were derived for ({law.name})"
        other = _law_of(moves, receiver.name.lower())
        hint = f"derive(graph, optimizer={other!r})" if other else "derive with a law of your own in a file"
        raise ScaleRulesError(what, where=where, hint=hint)


def _law_of(moves: Moves, own: str) -> str | None:
    """The name of a law that moves so: `own` if there is one of that name."""
    fitting: list[str] = []
    for name, law in OPTIMIZERS.items():
        powers = law.guess(Facts(matrix=True))
        alike = (powers.get(GRADIENT, 0), powers.get(WEIGHT, 0)) == (moves.gradient, moves.weight)
        if alike and law.spectral == moves.spectral:
            fitting.append(name)
    return own if own in fitting else next(iter(fitting), None)


def _check_taken(receiver: Receiver, decay: Tuned, eps: Tuned | None, averages: Tuned | None) -> None:
    """Raises `ScaleRulesError` for a number that the class has no use for, or has in another form."""
    where = f"optimizer {receiver.name}"
    if any(float(value) for value in decay.values.values()) and not receiver.takes("weight_decay"):
        raise ScaleRulesError("has no weight decay", where=where, hint="weight_decay=0")
    if averages is not None and not receiver.takes("betas"):
        raise ScaleRulesError("has no betas", where=where, hint="leave betas= out")
    if eps is not None:
        own = _own_epsilon(None, receiver)
        if own is None and not receiver.takes("eps"):
            raise ScaleRulesError("has no epsilon", where=where, hint="leave eps= out")
        if own is not None and isinstance(own, tuple) != any(isinstance(value, tuple) for value in eps.values.values()):
            form = "a pair" if isinstance(own, tuple) else "one number"
            raise ScaleRulesError(f"takes {form} for eps", where=where, hint=f"such as eps={own}")


def _own_epsilon(law: Law | None, receiver: Receiver | None) -> Any:
    """The epsilon that a class has by itself; None for one without, and where its form is not known."""
    if receiver is not None and not for_matrices_only(law, receiver):
        own = receiver.default("eps")
        if own is None and isinstance(receiver.default("eps1"), float):
            own = (receiver.default("eps1"), receiver.default("eps2"))
        return tuple(own) if isinstance(own, (tuple, list)) else own if isinstance(own, float) else None
    if law is None:
        return None
    dampings = {name for form in law.kinds for name in form.dampings}
    return EPS if dampings == {"eps"} else None

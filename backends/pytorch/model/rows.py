"""The numbers of every parameter of a live model: what was tuned at the base size times a factor of its rule.

The factors are those of the optimizer that receives them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from scalerules.architecture.uses import fan_in, matrix
from scalerules.errors import ScaleRulesError
from scalerules.optimizers.law import RADIUS

from .asked import Asked, law_at
from .at_sizes import Sizes
from .decay import decay_exponents
from .match import Follower, Matched
from .matrices import adjustment
from .receiver import Receiver
from .weight_norm import is_by_row
from .weight_parts import with_numbers

if TYPE_CHECKING:
    from torch.nn import Parameter

MUON, ENTRYWISE = "muon", "entrywise"

Part = tuple[str, float, float]
"""Of a fused matrix: what a part reads (`[0:64, :]`), its rate and its decay over those of the whole."""


@dataclass(frozen=True)
class Row:
    """What one parameter gets: `tuned` are the numbers at the base size, `factor` what each is multiplied with here.

    `kind`: under Muon `muon` or `entrywise`; `parts`: of a fused matrix.
    """

    name: str
    rules: tuple[str, ...]
    shape: tuple[int, ...]
    tuned: Mapping[str, Any]
    factor: Mapping[str, Any]
    kind: str | None = None
    parts: tuple[Part, ...] = ()

    @property
    def numbers(self) -> dict[str, Any]:
        """The numbers that the optimizer gets."""
        return {key: _times(value, self.factor.get(key, 1.0)) for key, value in self.tuned.items()}

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for parameters that can share a group."""
        plain = tuple((key, value if isinstance(value, tuple) else float(value)) for key, value in self.tuned.items())
        rounded = tuple((key, _rounded(value)) for key, value in self.factor.items() if key in self.tuned)
        return (plain, rounded, self.kind, self.parts)


def _times(value: Any, factor: Any) -> Any:
    if isinstance(value, tuple) and isinstance(factor, tuple):
        pairs = zip(cast("tuple[Any, ...]", value), cast("tuple[float, ...]", factor), strict=True)
        return tuple(None if v is None else v * f for v, f in pairs)
    return cast("Any", value) if isinstance(value, (float, tuple)) and factor == 1 else value * factor


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_rounded(inner) for inner in cast("tuple[Any, ...]", value))
    return float(f"{value:.12g}")


def rows_of(matched: Matched, target: Sizes, asked: Asked) -> dict[str, Row]:
    """The numbers of all parameters that are trained, by name; those without a rule have the base numbers.

    Raises `ScaleRulesError` for parameters to which an optimizer cannot do what their rules are for.
    """
    return {name: _row(target, name, follower, asked) for name, follower in matched.items() if follower.trained}


def _row(target: Sizes, name: str, follower: Follower, asked: Asked) -> Row:
    law = law_at(target)
    kind: str | None = ENTRYWISE if law is not None and "muon" in law.name else None
    parts: tuple[Part, ...] = ()
    if not follower.rules:
        factor: dict[str, Any] = {"lr": 1.0, "weight_decay": 1.0, "eps": 1.0}
    elif follower.part == "magnitude":
        factor = _magnitude(target, name, follower)
    else:
        factor, kind, parts = _of_rules(target, name, follower, asked)
    names = follower.names or (name,)
    tuned: dict[str, Any] = {"lr": (asked.lr_beside if kind == ENTRYWISE else asked.lr).of_names(names)}
    tuned["weight_decay"] = asked.weight_decay.of_names(names)
    if asked.eps is not None and kind != MUON:  # Muon's is another thing, relative to the norm of a gradient
        _epsilons(tuned, factor, asked.eps.of_names(names), asked.receiver)
    if asked.betas is not None and kind != MUON:
        tuned["betas"] = asked.betas.of_names(names)
    if RADIUS in factor:
        tuned[RADIUS] = asked.radius
    return Row(name, follower.rules, tuple(follower.parameter.shape), tuned, factor, kind, parts)


def _epsilons(tuned: dict[str, Any], factor: dict[str, Any], given: Any, receiver: Receiver | None) -> None:
    """One epsilon, or two: the first is added to squares, in torch's Adafactor to what they are squares of."""
    first, second = factor.pop("eps", 1.0), factor.pop("eps2", 1.0)
    if not isinstance(given, tuple):
        tuned["eps"], factor["eps"] = given, first
        return
    own = receiver.written("eps") if receiver is not None else (None, None)
    if isinstance(own, tuple) and cast("tuple[Any, ...]", own)[0] is None:
        first = math.sqrt(first)
    if receiver is not None and receiver.default("eps") is None and receiver.takes("eps1"):
        tuned |= {"eps1": given[0], "eps2": given[1]}
        factor |= {"eps1": first, "eps2": second}
    else:
        tuned["eps"], factor["eps"] = cast("Any", given), (first, second)


def _of_rules(
    target: Sizes, name: str, follower: Follower, asked: Asked
) -> tuple[dict[str, Any], str | None, tuple[Part, ...]]:
    """The factors of a parameter; of a fused one that moves entry by entry the smallest rate of its parts."""
    all_factors = [_of_rule(target, name, rule, follower, asked) for rule in follower.rules]
    chosen = min(all_factors, key=lambda of_rule: float(of_rule[0]["lr"]))
    factor, kind = dict(chosen[0]), chosen[1]
    factor["eps"] = min(float(of_rule[0]["eps"]) for of_rule in all_factors)
    if len(all_factors) == 1:
        return factor, kind, ()
    law = law_at(target)
    if law is not None and law.spectral and kind != MUON and any(_is_matrix(target, rule) for rule in follower.rules):
        what = f"is one matrix of {len(all_factors)} parts, and {law.name} would mix them"
        raise ScaleRulesError(what, where=f"parameter {name!r}", hint="split it in the model, or derive for adamw")
    if kind != MUON:
        return factor, kind, ()
    parts = tuple(
        (with_numbers(rule, target.sizes), own["lr"] / factor["lr"], own["weight_decay"] / factor["weight_decay"])
        for rule, (own, _) in zip(follower.rules, all_factors, strict=True)
    )
    return factor, kind, parts


def _is_matrix(target: Sizes, rule: str) -> bool:
    return target.graph is None or matrix(target.graph, rule) is not None


def _of_rule(
    target: Sizes, name: str, rule: str, follower: Follower, asked: Asked
) -> tuple[dict[str, Any], str | None]:
    exponents, parameter, law = target.solution.parameters[rule], follower.parameter, law_at(target)
    factor: dict[str, Any] = {
        "lr": target.factor(exponents.lr),
        "weight_decay": target.factor(
            decay_exponents(target, rule, exponents, asked.receiver) if asked.decays else exponents.wd
        ),
        "eps": target.factor(exponents.eps),
    }
    factor |= {key: target.factor(exponents.dampings[key]) for key in ("eps2", RADIUS) if key in exponents.dampings}
    if law is None or "muon" not in law.name:
        return factor, None
    if target.graph is None:
        raise ScaleRulesError("which parameters are matrices is not known without the graph", hint="give it: graph=...")
    if matrix(target.graph, rule) is None:
        return factor, ENTRYWISE
    if asked.receiver is not None and (adjust := asked.receiver.adjust) is not None:
        _two_dimensions(name, parameter, asked.receiver)
        change = adjustment(target, rule, parameter, adjust, len(follower.rules) > 1)
        factor["lr"] /= change
        factor["weight_decay"] *= change  # torch decays by lr * weight_decay
    return factor, MUON


def _two_dimensions(name: str, parameter: Parameter, receiver: Receiver) -> None:
    if parameter.ndim != 2:
        what = f"moves as a matrix, but has {parameter.ndim} dimensions, and {receiver.name} takes two"
        raise ScaleRulesError(what, where=f"parameter {name!r}", hint="keep one matrix per parameter and layer")


def _magnitude(target: Sizes, name: str, follower: Follower) -> dict[str, Any]:
    """The factors of a weight norm without a rule of its own: its norms of rows move as all rules let rows move.

    The norm of a row has the size `init * sqrt(fan_in)`, and a change of it by a fixed share changes each output by
    that share. What step that takes is known for rules whose steps do not depend on the gradient's size.
    """
    law = law_at(target)
    if law is None or not law.normalised() or target.graph is None or not is_by_row(follower.parameter):
        what = f"is the magnitude of a weight norm, whose rate does not follow from the rule {follower.rule!r} alone"
        raise ScaleRulesError(what, where=f"parameter {name!r}", hint="derive from the model itself: sr.trace(...)")
    exponents = target.solution.parameters[follower.rule]
    sums = [fan_in(target.graph, follower.rule, sizes) for sizes in (target.sizes, target.base)]
    norm = target.factor(exponents.init) * math.sqrt(sums[0] / sums[1])
    return {"lr": norm, "weight_decay": 1 / norm, "eps": target.factor(exponents.eps)}

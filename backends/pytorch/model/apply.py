"""Sets up a live torch model by the rules of a solution: initialisation in place, and the optimizer's groups.

Everything goes by parameter name: nothing is hung on a Parameter, so copies, compiled models and checkpoints keep it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scalerules.architecture.graph import Graph
from scalerules.errors import MissingExtra, ScaleRulesError
from scalerules.solution.solution import Solution

from ..python_text import law
from .asked import Asked, law_at
from .at_sizes import ModelWarning, Sizes
from .decay import ways
from .doubts import warn_of_epsilon, warn_of_parts
from .draw import draw
from .fitting import check_arguments, check_lengths, check_model
from .forward_factors import Places, check_places, own_factor, set_factors
from .groups import Groups, groups_of
from .made import Made
from .match import Matched, Names, Silent, match
from .rescale import check_growth, reference_stds, reference_values, rescale
from .rows import rows_of
from .tuned import Epsilon, Number

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


__all__ = ["Groups", "ModelWarning", "apply"]


def apply(
    model: Module,
    solution: Solution,
    *,
    base: Mapping[str, float],
    sizes: Mapping[str, float],
    lr: Number | Mapping[str, Number],
    weight_decay: Number | Mapping[str, Number] = 0.0,
    eps: Epsilon | Mapping[str, Epsilon] | None = None,
    betas: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    reference: Module | Mapping[str, float] | None = None,
    optimizer: Any = None,
    lr_beside: Number | Mapping[str, Number] | None = None,
    rho: float = 0.05,
    names: Mapping[str, str] | None = None,
    unruled: str | Sequence[str] = (),
    init: bool = True,
    seed: int | None = None,
    places: Places | None = None,
    graph: Graph | None = None,
) -> Groups:
    """Initialises the parameters of `model` by name, in place, and returns the optimizer's parameter groups.

    `scalerules.apply` says what each argument is. Raises `ScaleRulesError` for names, scales, numbers and optimizers
    that do not fit, with the model as it was; `MissingExtra` without torch.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtra("setting up a torch model", "torch") from error

    check_model(model, solution)
    check_arguments(reference, names, unruled, init, seed, places, graph)
    graph = graph or getattr(solution, "architecture", None)
    target = Sizes.of(solution, graph, base, sizes)
    law = law_at(target)
    asked = Asked.of(law, lr, weight_decay, eps, betas, optimizer, lr_beside, rho, unruled)
    rule_names, silent = _names(solution, graph, names or {}, asked.unruled)
    matched = match(model, rule_names, silent)
    check_lengths(matched.ruled, target)
    followers = {**matched.ruled, **matched.unruled}
    asked.check(name for follower in followers.values() for name in follower.names)
    rows = rows_of(followers, target, asked)  # all that can be refused is refused before anything is changed
    check_places(target, places)
    if init and (target.changed or seed is not None):
        with torch.no_grad():
            _initialise(model, matched.ruled, rule_names, target, reference, seed)
    warn_of_parts(followers, rows, target)
    warn_of_epsilon(followers, rows)
    factors = set_factors(model, matched.ruled, target, places)
    lines = [_said(target, name, factors.relative[name]) for name in factors.missing]
    _warn(target, lines, matched.left, model)
    origin = Made(
        solution.graph, solution.optimizer, {s: target.base[s] for s in target.sizes}, target.sizes, asked.lr.plain,
        asked.lr_beside.plain, asked.weight_decay.plain, asked.receiver,
        ways(law, asked.receiver)[1] if law is not None else "decoupled", tuple(lines), matched.left,
    )  # fmt: skip
    return Groups(groups_of(rows, followers), factors.relative, factors.placed, rows, origin)


def _names(
    solution: Solution, graph: Graph | None, given: Mapping[str, str], unruled: Sequence[str]
) -> tuple[Names, Silent]:
    """The names that have rules, and those that need none."""
    fixed = {name for name, parameter in graph.parameters.items() if not parameter.trained} if graph else set[str]()
    stacked = {name for name in solution.parameters if graph is None or graph.repeat_of(name)}
    record = getattr(graph, "record", None)  # of a traced module: weights that no output depends on have no rule
    rule_names = Names.of([name for name in solution.parameters if name not in fixed], stacked, given)
    return rule_names, Silent.of(fixed, {weight.name for weight in getattr(record, "weights", ())}, unruled)


def _warn(target: Sizes, lines: Sequence[str], left: Mapping[str, str], model: Module) -> None:
    """Says what is left to do, what is in no group though it could learn, and where the rules do not reach."""
    if lines:
        text = "these factors stand in the forward pass and cannot be set from outside; set them in the model:"
        warnings.warn("\n  ".join([text, *lines]), ModelWarning, stacklevel=4)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if lost := [name for name in left if name in trained]:
        text = f"in no group: {', '.join(lost)}: {left[lost[0]]}; unruled= trains it with the numbers of the base size"
        warnings.warn(text, ModelWarning, stacklevel=4)
    if broken := target.outside():
        text = "sizes= lies outside of the directions in which the rules hold"
        warnings.warn(f"{text}: not {', '.join(broken)}; derive with scales= along it", ModelWarning, stacklevel=4)


def _initialise(
    model: Module,
    matched: Matched,
    names: Names,
    target: Sizes,
    reference: Module | Mapping[str, float] | None,
    seed: int | None,
) -> None:
    """The values: those of the model multiplied, or with a seed new ones, of those that other processes do not hold."""
    here = {name: follower for name, follower in matched.items() if not follower.parameter.is_meta}
    if len(here) < len(matched) and (seed is None or not here):
        name = next(name for name in matched if name not in here)
        hint = "materialise it first: model.to_empty(device=...), then apply(..., seed=0) draws them"
        raise ScaleRulesError("has no values yet (meta device)", where=f"parameter {name!r}", hint=hint)
    values: dict[str, Tensor] = {}
    if reference is None or isinstance(reference, Mapping):
        stds = reference
    else:
        check_growth(model, reference, names, target)
        stds = reference_stds(reference, names, target)
        values = reference_values(reference, names, target)
    if seed is None:
        rescale(model, here, target, stds)
    else:
        draw(model, here, target, values, stds, seed)


def _said(target: Sizes, name: str, factor: float) -> str:
    """What has to be set by hand, in words."""
    rule = target.solution.parameters.get(name)
    text = f"{name}: {factor:g} times its value at the base size"
    if rule is not None:
        return f"{text} ({law(rule.mult)}), in front of the parameter"
    nodes = dict(target.graph.walk()) if target.graph is not None else {}
    written = nodes[name].factor if name in nodes else None
    text = f"{text} ({law(target.solution.multipliers[name])})"
    if written is None:
        return text
    base = own_factor(target, name)[1]
    return f"{text}: {factor * base:g} where that is {written} = {base:g}"

"""Sets up a live torch model by the rules of a solution: initialisation in place, and the optimizer's groups.

Everything goes by parameter name: nothing is hung on a Parameter, so copies, compiled models and checkpoints keep it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scalerules.errors import MissingExtra
from scalerules.graph import Graph

from .pytorch_groups import Groups, Tuned, groups_of
from .pytorch_match import Names, match
from .pytorch_rescale import ModelWarning, check_growth, reference_stds, rescale
from .pytorch_sizes import Sizes
from .pytorch_text import law

if TYPE_CHECKING:
    from torch.nn import Module

    from scalerules.solution import Solution


def apply(
    model: Module,
    solution: Solution,
    *,
    base: Mapping[str, float],
    sizes: Mapping[str, float],
    lr: float,
    weight_decay: float = 0.0,
    eps: float | None = None,
    reference: Module | Mapping[str, float] | None = None,
    optimizer: type | None = None,
    names: Mapping[str, str] | None = None,
    init: bool = True,
    graph: Graph | None = None,
) -> Groups:
    """Initialises the parameters of `model` by name, in place, and returns the optimizer's parameter groups.

    `base` and `sizes` are values of scales: where `lr`, `weight_decay` and `eps` were tuned, and those of `model`. At
    the base size nothing is touched and all groups are equal. Elsewhere every random parameter is multiplied so that
    its std is that of the base size times `ratio**init`; constants (zeros, ones) and fixed structures stay.

    `reference` gives the std at the base size: a model built there by the same code, or a mapping from names to std.
    Without it the model's own initialisation is taken to be proportional to 1/sqrt(fan_in), or constant for what no sum
    runs over. `optimizer` is the class that will take the groups; `names` maps names of the model (`*` allowed) to
    rules; `init=False` only returns the groups, for a model that is initialised or loaded already.

    Raises `ScaleRulesError` for names, scales and optimizers that do not fit, `MissingExtra` without torch.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtra("setting up a torch model", "torch") from error

    graph = graph or getattr(solution, "architecture", None)
    at = Sizes.of(solution, graph, base, sizes)
    tuned = Tuned.of(at, lr, weight_decay, eps, optimizer)
    fixed = {name for name, parameter in graph.parameters.items() if not parameter.trained} if graph else set[str]()
    stacked = {name for name in solution.parameters if graph is None or graph.repeat_of(name)}
    known = Names(frozenset(solution.parameters) - fixed, frozenset(stacked), names or {})
    matched = match(model, known, fixed)
    if init and at.changed:
        if reference is not None and not isinstance(reference, Mapping):
            check_growth(model, reference, known, at)
            reference = reference_stds(reference, known)
        with torch.no_grad():
            rescale(matched, at, reference)
    if broken := at.outside():
        text = "sizes= lies outside of the directions in which the rules hold"
        warnings.warn(f"{text}: not {', '.join(broken)}; derive with scales= along it", ModelWarning, stacklevel=2)
    return Groups(groups_of(matched, at, tuned), _factors(at))


def _factors(at: Sizes) -> dict[str, float]:
    """What the forward pass has to be multiplied with, relative to the base size; says so where it is not 1."""
    exponents = dict(at.solution.multipliers)
    exponents |= {name: rule.mult for name, rule in at.solution.parameters.items() if at.factor(rule.mult) != 1}
    factors = {name: at.factor(exponent) for name, exponent in exponents.items()}
    lines = [_said(at, name, factor, law(exponents[name])) for name, factor in factors.items() if factor != 1]
    if lines:
        text = "these factors stand in the forward pass and cannot be set from outside; set them in the model:"
        warnings.warn("\n  ".join([text, *lines]), ModelWarning, stacklevel=3)
    return factors


def _said(at: Sizes, name: str, factor: float, rule: str) -> str:
    text = f"{name}: {factor:g} times its value at the base size ({rule})"
    nodes = dict(at.graph.walk()) if at.graph is not None else {}
    if name in at.solution.parameters:
        return f"{text}, in front of the parameter"
    start = nodes[name].factor if name in nodes else None
    if start is None or at.graph is None:
        return text
    value = at.graph.length(start, f"node {name!r}").value(at.base)
    return f"{text}: {factor * value:g} where that is {start} = {value:g}"

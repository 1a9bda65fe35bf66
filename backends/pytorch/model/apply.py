"""Sets up a live torch model by the rules of a solution: initialisation in place, and the optimizer's groups.

Everything goes by parameter name: nothing is hung on a Parameter, so copies, compiled models and checkpoints keep it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scalerules.architecture.graph import Graph
from scalerules.errors import MissingExtra, ScaleRulesError
from scalerules.solution.solution import Solution

from ..python_text import law
from .at_sizes import ModelWarning, Sizes
from .draw import draw
from .forward_factors import Places, own_factor, set_factors
from .groups import Groups, Tuned, groups_of
from .match import Matched, Names, match
from .rescale import check_growth, reference_stds, reference_values, rescale

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
    lr: float,
    weight_decay: float = 0.0,
    eps: float | None = None,
    reference: Module | Mapping[str, float] | None = None,
    optimizer: type | None = None,
    lr_beside: float | None = None,
    rho: float = 0.05,
    names: Mapping[str, str] | None = None,
    init: bool = True,
    seed: int | None = None,
    places: Places | None = None,
    graph: Graph | None = None,
) -> Groups:
    """Initialises the parameters of `model` by name, in place, and returns the optimizer's parameter groups.

    `base` and `sizes` are values of scales: where `lr`, `weight_decay` and `eps` were tuned, and those of `model`. At
    the base size nothing is touched and all groups are equal. Elsewhere every random parameter is multiplied so that
    its std is that of the base size times `ratio**init`; constants (zeros, ones) and fixed structures stay.

    `reference` gives the std at the base size: a model built there by the same code, or a mapping from names to std.
    Without it the model's own initialisation is taken to be proportional to 1/sqrt(fan_in), or constant for what no sum
    runs over. `optimizer` is the class that will take the groups; `lr_beside` the rate of what an optimizer beside Muon
    takes (`lr` if none is given); `rho` the radius of a perturbation (of groups that have one: `"rho"`);
    `names` maps names of the model (`*` allowed) to
    rules; `init=False` leaves the values alone, for a model that is initialised or loaded already.

    With a `seed` the values of the model are not read but drawn, from one generator per parameter (seeded by its
    name), at the base size too: after `to_empty`, or for parameters that are sharded over processes, which then start
    bit by bit where one process would. Buffers are left.

    Factors of the forward pass that are not 1 are set on the model where that is possible from outside (an attribute,
    or a forward hook); `places` says where: node -> path of an attribute or of a module. What is left is said.

    Raises `ScaleRulesError` for names, scales and optimizers that do not fit, `MissingExtra` without torch.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtra("setting up a torch model", "torch") from error

    graph = graph or getattr(solution, "architecture", None)
    at = Sizes.of(solution, graph, base, sizes)
    tuned = Tuned.of(at, lr, weight_decay, eps, optimizer, lr_beside, rho)
    fixed = {name for name, parameter in graph.parameters.items() if not parameter.trained} if graph else set[str]()
    stacked = {name for name in solution.parameters if graph is None or graph.repeat_of(name)}
    known = Names.of([name for name in solution.parameters if name not in fixed], stacked, names or {})
    record = getattr(graph, "record", None)  # of a traced module: weights that no output depends on have no rule
    matched = match(model, known, fixed | {weight.name for weight in getattr(record, "weights", ())})
    if init and (at.changed or seed is not None):
        with torch.no_grad():
            _initialise(model, matched, known, at, reference, seed)
    factors = set_factors(model, matched, at, places)
    if lines := [_said(at, name, factors.relative[name]) for name in factors.missing]:
        text = "these factors stand in the forward pass and cannot be set from outside; set them in the model:"
        warnings.warn("\n  ".join([text, *lines]), ModelWarning, stacklevel=3)
    if broken := at.outside():
        text = "sizes= lies outside of the directions in which the rules hold"
        warnings.warn(f"{text}: not {', '.join(broken)}; derive with scales= along it", ModelWarning, stacklevel=3)
    return Groups(groups_of(matched, at, tuned), factors.relative, factors.placed)


def _initialise(
    model: Module,
    matched: Matched,
    known: Names,
    at: Sizes,
    reference: Module | Mapping[str, float] | None,
    seed: int | None,
) -> None:
    """The values: those of the model multiplied, or with a seed new ones."""
    for name, follower in matched.items():
        if follower.parameter.is_meta:
            hint = "materialise it first: model.to_empty(device=...), then apply(..., seed=0) draws them"
            raise ScaleRulesError("has no values yet (meta device)", where=f"parameter {name!r}", hint=hint)
    values: dict[str, Tensor] = {}
    if reference is None or isinstance(reference, Mapping):
        stds = reference
    else:
        check_growth(model, reference, known, at)
        stds = reference_stds(reference, known, at)
        values = reference_values(reference, known, at)
    if seed is None:
        rescale(model, matched, at, stds)
    else:
        draw(model, matched, at, values, stds, seed)


def _said(at: Sizes, name: str, factor: float) -> str:
    """What has to be set by hand, in words."""
    rule = at.solution.parameters.get(name)
    text = f"{name}: {factor:g} times its value at the base size"
    if rule is not None:
        return f"{text} ({law(rule.mult)}), in front of the parameter"
    nodes = dict(at.graph.walk()) if at.graph is not None else {}
    written = nodes[name].factor if name in nodes else None
    text = f"{text} ({law(at.solution.multipliers[name])})"
    if written is None:
        return text
    base = own_factor(at, name)[1]
    return f"{text}: {factor * base:g} where that is {written} = {base:g}"

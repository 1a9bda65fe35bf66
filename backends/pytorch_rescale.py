"""Initialisation of a live model in place: every random parameter gets the std that its rule asks for."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scalerules.errors import ScaleRulesError

from .natural import fan_in
from .pytorch_match import Matched, Names, bare
from .pytorch_sizes import Sizes
from .pytorch_tensors import constant, root_mean_square, spread
from .pytorch_weight_norm import weight_norms

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Reference = Mapping[str, float]
"""The std at the base size, by the name of a parameter of the model or of its rule."""


class ModelWarning(UserWarning):
    """Something that `apply` cannot do from outside of the model, or had to assume."""


def rescale(model: Module, matched: Matched, at: Sizes, reference: Reference | None) -> None:
    """Multiplies every random parameter so that its std is that of the base size times `ratio**init`.

    Constants stay, and so does what the graph declares as zeros, ones or a fixed structure.
    """
    kept: list[str] = []
    normed = weight_norms(model)
    factors: dict[str, float] = {}
    for name, follower in sorted(matched.items(), key=lambda item: item[1].part == "magnitude"):
        if follower.parameter.is_meta:
            hint = "materialise it first: model.to_empty(device=...), then apply(..., seed=0) draws them"
            raise ScaleRulesError("has no values yet (meta device)", where=f"parameter {name!r}", hint=hint)
        if follower.part == "magnitude":  # of the weight that the direction stands for: both alike
            follower.parameter.mul_(factors.get(normed[name].weight, 1.0))
            continue
        if constant(follower.parameter):
            continue
        kind = at.graph.parameters[follower.rule].init if at.graph is not None else "normal"
        if kind == "normal":
            is_gain = name in normed and normed[name].part == "magnitude"
            factor = _factor(at, name, follower.rule, follower.parameter, reference, is_gain)
            if factor != 1:
                follower.parameter.mul_(factor)
            if follower.part == "direction":
                factors[normed[name].weight] = factor
        elif kind in ("zeros", "ones"):
            kept.append(name)
    if kept:
        _warn(f"the graph declares {', '.join(kept)} as constant at first, the model draws them: left as they are")
    if reference is None:
        _warn(
            "without reference= the model's own initialisation is taken to be proportional to 1/sqrt(fan_in), and "
            "constant for parameters that no sum runs over; give reference= a model built at the base size if it is not"
        )


def check_growth(model: Module, reference: Module, names: Names, at: Sizes) -> None:
    """Raises `ScaleRulesError` if a parameter of the model is not as much larger than the reference's as sizes say."""
    lengths = at.graph.lengths if at.graph is not None else {}
    before = {bare(name): parameter.numel() for name, parameter in reference.named_parameters(remove_duplicate=False)}
    for name, parameter in model.named_parameters():
        rule = names.rule(name)
        if at.graph is not None and rule is not None and bare(name) in before:
            stacked = names.mapped(name) is None and bare(name) == rule
            axes = at.graph.shape_of(rule) if stacked else at.graph.parameters[rule].axes
            expected = math.prod(lengths[axis].value(at.sizes) / lengths[axis].value(at.base) for axis in axes)
            grown = parameter.numel() / before[bare(name)]
            if not expected / 1.5 < grown < expected * 1.5:
                what = f"has {grown:g} times the entries that it has in reference=, sizes= and base= say {expected:g}"
                hint = "give the scale values that the two models were built with"
                raise ScaleRulesError(what, where=f"parameter {name!r}", hint=hint)


def _factor(at: Sizes, name: str, rule: str, parameter: Tensor, reference: Reference | None, is_gain: bool) -> float:
    """What a parameter is multiplied with; of a weight norm's magnitude (`is_gain`) the mean counts, not the std."""
    exponent = at.factor(at.solution.parameters[rule].init)
    if reference is not None:
        for known in (name, bare(name), rule):
            if known in reference:
                return reference[known] * exponent / (root_mean_square(parameter) if is_gain else spread(parameter))
        raise ScaleRulesError("is not in reference=", where=f"parameter {name!r}", hint=f"{rule!r}: std covers it too")
    if at.graph is None:
        what = "how the model's own initialisation changes with its size is not known without the graph"
        raise ScaleRulesError(what, hint="give graph=..., or reference=...")
    if is_gain:  # torch starts with the norms of rows whose entries are 1/sqrt(fan_in)
        return exponent
    return math.sqrt(fan_in(at.graph, rule, at.sizes) / fan_in(at.graph, rule, at.base)) * exponent


def reference_stds(model: Module, names: Names) -> dict[str, float]:
    """The std of every parameter of a model, by its name, and of all parameters of a rule together by the rule's.

    Of a weight norm's magnitude the root mean square.
    """
    stds: dict[str, float] = {}
    squares: dict[str, list[float]] = {}
    normed = weight_norms(model)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        is_gain = name in normed and normed[name].part == "magnitude"
        stds[bare(name)] = root_mean_square(parameter) if is_gain else spread(parameter)
        rule = names.rule(name)
        if rule is not None:
            squares.setdefault(rule, []).append(stds[bare(name)] ** 2)
    return {rule: math.sqrt(sum(values) / len(values)) for rule, values in squares.items()} | stds


def _warn(text: str) -> None:
    warnings.warn(text, ModelWarning, stacklevel=4)

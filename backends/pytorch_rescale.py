"""Initialisation of a live model in place: every random parameter gets the std that its rule asks for."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scalerules.errors import ScaleRulesError

from .natural import fan_in
from .pytorch_match import Names, bare
from .pytorch_sizes import Sizes

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

Reference = Mapping[str, float]
"""The std at the base size, by the name of a parameter of the model or of its rule."""


class ModelWarning(UserWarning):
    """Something that `apply` cannot do from outside of the model, or had to assume."""


def rescale(matched: Mapping[str, tuple[str, Parameter]], at: Sizes, reference: Reference | None) -> None:
    """Multiplies every random parameter so that its std is that of the base size times `ratio**init`.

    Constants stay, and so does what the graph declares as zeros, ones or a fixed structure.
    """
    kept: list[str] = []
    for name, (rule, parameter) in matched.items():
        if parameter.is_meta:
            hint = "materialise the model and run its own initialisation first"
            raise ScaleRulesError("has no values yet (meta device)", where=f"parameter {name!r}", hint=hint)
        if constant(parameter):
            continue
        kind = at.graph.parameters[rule].init if at.graph is not None else "normal"
        if kind == "normal":
            factor = _factor(at, name, rule, parameter, reference)
            if factor != 1:
                parameter.mul_(factor)
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


def _factor(at: Sizes, name: str, rule: str, parameter: Tensor, reference: Reference | None) -> float:
    exponent = at.factor(at.solution.parameters[rule].init)
    if reference is not None:
        for known in (name, bare(name), rule):
            if known in reference:
                return reference[known] * exponent / spread(parameter)
        raise ScaleRulesError("is not in reference=", where=f"parameter {name!r}", hint=f"{rule!r}: std covers it too")
    if at.graph is None:
        what = "how the model's own initialisation changes with its size is not known without the graph"
        raise ScaleRulesError(what, hint="give graph=..., or reference=...")
    return math.sqrt(fan_in(at.graph, rule, at.sizes) / fan_in(at.graph, rule, at.base)) * exponent


def reference_stds(model: Module, names: Names) -> dict[str, float]:
    """The std of every parameter of a model, by its name, and of all parameters of a rule together by the rule's."""
    stds: dict[str, float] = {}
    squares: dict[str, list[float]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        stds[bare(name)] = spread(parameter)
        rule = names.rule(name)
        if rule is not None:
            squares.setdefault(rule, []).append(stds[bare(name)] ** 2)
    return {rule: math.sqrt(sum(values) / len(values)) for rule, values in squares.items()} | stds


def spread(parameter: Tensor) -> float:
    """The std of the entries (of complex ones: of their distance to the mean)."""
    values = parameter.detach().flatten()
    return float((values - values.mean()).abs().double().square().mean().sqrt())


def constant(parameter: Tensor) -> bool:
    """Whether all entries are the same number."""
    values = parameter.detach()
    return values.numel() == 0 or bool((values == values.flatten()[0]).all())


def _warn(text: str) -> None:
    warnings.warn(text, ModelWarning, stacklevel=4)

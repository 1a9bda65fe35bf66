"""Initialisation of a live model in place: every random parameter gets the std that its rule asks for."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scalerules.architecture.uses import fan_in
from scalerules.errors import ScaleRulesError

from .at_sizes import ModelWarning, Sizes
from .match import Follower, Matched, Names, bare
from .sharded import constant, fill, root_mean_square, spread, whole
from .weight_norm import weight_norms
from .weight_parts import part_of, region, weight_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Reference = Mapping[str, float]
"""The std at the base size, by the name of a parameter of the model or of its rule."""


def rescale(model: Module, matched: Matched, target: Sizes, reference: Reference | None) -> None:
    """Multiplies every random parameter so that its std is that of the base size times `ratio**init`.

    Constants stay, and so does what the graph declares as zeros, ones or a fixed structure. Layers that the reference
    lacks keep the model's own profile over layers: they are multiplied as those of the same rule that it has.
    """
    kept: list[str] = []
    normed = weight_norms(model)
    factors: dict[str, float] = {}
    starts = Known(reference)
    late = {name for name, follower in matched.items() if follower.part == "magnitude"}
    for name in sorted(matched, key=lambda name: (name in late, not starts.has(name))):
        follower = matched[name]
        if follower.part == "magnitude":  # of the weight that the direction stands for: both alike
            follower.parameter.mul_(factors.get(normed[name].weight, 1.0))
            continue
        is_gain = name in normed and normed[name].part == "magnitude"
        shares: list[float] = []
        for rule in follower.rules:
            values = (
                region(whole(follower.parameter), rule, target.sizes) if len(follower.rules) > 1 else follower.parameter
            )
            kind = target.graph.parameters[rule].init if target.graph is not None else "normal"
            drawn = not constant(values)
            if drawn and kind in ("zeros", "ones"):
                kept.append(name)
            shares.append(_factor(target, name, rule, values, starts, is_gain) if drawn and kind == "normal" else 1.0)
        _multiply(follower, shares, target)
        if follower.part == "direction":
            factors[normed[name].weight] = shares[0]
    if kept:
        _warn(f"the graph declares {', '.join(kept)} as constant at first, the model draws them: left as they are")
    if reference is None:
        _warn(
            "without reference= the model's own initialisation is taken to be proportional to 1/sqrt(fan_in), and "
            "constant for parameters that no sum runs over; give reference= a model built at the base size if it is not"
        )


def _multiply(follower: Follower, factors: list[float], target: Sizes) -> None:
    """A parameter times its factor, or times one for each of its parts."""
    if set(factors) == {1.0}:
        return
    if len(set(factors)) == 1:
        follower.parameter.mul_(factors[0])
        return
    values = whole(follower.parameter).clone()
    for rule, factor in zip(follower.rules, factors, strict=True):
        region(values, rule, target.sizes).mul_(factor)
    fill(follower.parameter, values)


def check_growth(model: Module, reference: Module, names: Names, target: Sizes) -> None:
    """Raises `ScaleRulesError` if a parameter of the model is not as much larger than the reference's as sizes say."""
    lengths = target.graph.lengths if target.graph is not None else {}
    before = {bare(name): parameter.numel() for name, parameter in reference.named_parameters(remove_duplicate=False)}
    for name, parameter in model.named_parameters():
        rule = names.rule(name)
        is_whole = rule is not None and names.parts[rule] == (rule,)
        if target.graph is not None and rule is not None and is_whole and bare(name) in before:
            stacked = names.mapped(name) is None and bare(name) == rule
            axes = target.graph.shape_of(rule) if stacked else target.graph.parameters[rule].axes
            expected = math.prod(lengths[axis].value(target.sizes) / lengths[axis].value(target.base) for axis in axes)
            grown = parameter.numel() / before[bare(name)]
            if not expected / 1.5 < grown < expected * 1.5:
                what = f"has {grown:g} times the entries that it has in reference=, sizes= and base= say {expected:g}"
                hint = "give the scale values that the two models were built with"
                raise ScaleRulesError(what, where=f"parameter {name!r}", hint=hint)


@dataclass
class Known:
    """The std at the base size by name, and over the model's own std those of the layers that have one, by rule."""

    stds: Reference | None
    ratios: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def has(self, name: str) -> bool:
        """Whether there is one of this very parameter, or of one of its parts."""
        return self.stds is not None and any(weight_of(key) in (name, bare(name)) for key in self.stds)

    def ratio(self, name: str, rule: str, own: float) -> float | None:
        """The std at the base size over `own`; None where nothing is known."""
        if self.stds is None or own == 0:
            return None
        for key in (name + part_of(rule), bare(name) + part_of(rule)):
            if key in self.stds:
                self.ratios.setdefault(rule, []).append(self.stds[key] / own)
                return self.ratios[rule][-1]
        if rule in self.ratios:
            return math.sqrt(sum(ratio**2 for ratio in self.ratios[rule]) / len(self.ratios[rule]))
        return self.stds[rule] / own if rule in self.stds else None


def _factor(target: Sizes, name: str, rule: str, parameter: Tensor, starts: Known, is_gain: bool) -> float:
    """What a parameter is multiplied with; of a weight norm's magnitude (`is_gain`) the mean counts, not the std."""
    exponent = target.factor(target.solution.parameters[rule].init)
    if starts.stds is not None:
        ratio = starts.ratio(name, rule, root_mean_square(parameter) if is_gain else spread(parameter))
        if ratio is None:
            hint = f"{rule!r}: std covers it too"
            raise ScaleRulesError("is not in reference=", where=f"parameter {name!r}", hint=hint)
        return ratio * exponent
    if target.graph is None:
        what = "how the model's own initialisation changes with its size is not known without the graph"
        raise ScaleRulesError(what, hint="give graph=..., or reference=...")
    if is_gain:  # torch starts with the norms of rows whose entries are 1/sqrt(fan_in)
        return exponent
    return math.sqrt(fan_in(target.graph, rule, target.sizes) / fan_in(target.graph, rule, target.base)) * exponent


def reference_stds(model: Module, names: Names, target: Sizes) -> dict[str, float]:
    """The std of every parameter of a model, by its name, and of all parameters of a rule together by the rule's.

    Of a part of a fused weight by the name with the part; of a weight norm's magnitude the root mean square.
    """
    stds: dict[str, float] = {}
    squares: dict[str, list[float]] = {}
    normed = weight_norms(model)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        is_gain = name in normed and normed[name].part == "magnitude"
        weight = names.rule(name)
        for rule in names.parts[weight] if weight is not None else ("",):
            values = region(whole(parameter), rule, target.base)
            key = bare(name) + part_of(rule)
            stds[key] = root_mean_square(values) if is_gain else spread(values)
            if rule:
                squares.setdefault(rule, []).append(stds[key] ** 2)
    return {rule: math.sqrt(sum(values) / len(values)) for rule, values in squares.items()} | stds


def reference_values(model: Module, names: Names, target: Sizes) -> dict[str, Tensor]:
    """The values of every parameter of a model, whole, by its name and part, and one of each rule by the rule's."""
    values: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        weight = names.rule(name)
        for rule in names.parts[weight] if weight is not None else ("",):
            values[bare(name) + part_of(rule)] = region(whole(parameter), rule, target.base)
            values.setdefault(rule, region(whole(parameter), rule, target.base))
    return values


def _warn(text: str) -> None:
    warnings.warn(text, ModelWarning, stacklevel=6)

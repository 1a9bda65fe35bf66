"""Fills the parameters of a live model from a seed, so that neither sharding nor order changes a number.

Every parameter has a generator of its own, seeded by its name. The whole tensor is drawn, and a sharded parameter
takes its part of it: two processes, or two hundred, start where one would. Needed after `to_empty`, when nothing has
values, and wherever a model's own initialisation would draw the same numbers on every rank.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scalerules.errors import ScaleRulesError

from ...base_values import identity_, natural_std, start
from .at_sizes import Sizes
from .match import Follower, Matched, bare
from .sharded import constant, fill, root_mean_square
from .weight_norm import norms, weight_norms
from .weight_parts import part_of, region

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


def seed_of(seed: int, name: str) -> int:
    """The seed of a parameter's generator: from the run's seed and its name, without what wrappers put into it."""
    digest = hashlib.blake2b(f"{seed} {bare(name)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def draw(
    model: Module,
    matched: Matched,
    target: Sizes,
    values: Mapping[str, Tensor],
    stds: Mapping[str, float] | None,
    seed: int,
) -> None:
    """Fills every matched parameter, whatever it holds.

    `values` and `stds` are those at the base size, by name or rule, as far as they are known. Random parameters are
    normal with the std of their rule; constants and fixed structures are what the graph says, or what `values` holds.
    Raises `ScaleRulesError` where neither says what a parameter starts at.
    """
    normed = weight_norms(model)
    directions: dict[str, Tensor] = {}
    late: dict[str, Follower] = {}
    for name, follower in matched.items():
        if follower.part == "magnitude":
            late[name] = follower
            continue
        is_gain = not follower.part and name in normed and normed[name].part == "magnitude"
        drawn = _gain(target, name, follower, values) if is_gain else _whole(target, name, follower, values, stds, seed)
        fill(follower.parameter, drawn)
        if follower.part == "direction":
            directions[normed[name].weight] = drawn
    for name, follower in late.items():
        fill(follower.parameter, norms(directions[normed[name].weight], follower.parameter))


def _whole(
    target: Sizes, name: str, follower: Follower, references: Mapping[str, Tensor], stds: Mapping[str, float] | None,
    seed: int,
) -> Tensor:  # fmt: skip
    """The whole parameter, in 32 bits; of a fused weight part by part."""
    import torch

    parameter = follower.parameter
    if len(follower.rules) == 1:
        return _start(target, name, follower.rule, parameter, references, stds, seed)
    values = torch.zeros(parameter.shape, device=parameter.device)
    for rule in follower.rules:
        part = region(values, rule, target.sizes)
        part.copy_(_start(target, name, rule, part, references, stds, seed))
    return values


def _start(
    target: Sizes,
    name: str,
    rule: str,
    like: Tensor,
    references: Mapping[str, Tensor],
    stds: Mapping[str, float] | None,
    seed: int,
) -> Tensor:
    """What a parameter, or a part of one, starts with."""
    import torch

    key = bare(name) + part_of(rule)
    given = references.get(key, references.get(rule))
    declared = target.graph.parameters[rule].init if target.graph is not None else None
    growth = target.factor(target.solution.parameters[rule].init)
    if given is not None and given.numel() > 1 and constant(given):
        fixed = declared not in (None, "normal")
        return _full(like, float(given.flatten()[0]) * (growth if fixed else 1.0))
    times = start(target.graph, rule, target.base) * growth if target.graph is not None else 1.0
    if declared in ("zeros", "ones"):
        return _full(like, times if declared == "ones" else 0.0)
    if declared in ("range", "log_range"):
        row = torch.arange(1.0, like.shape[-1] + 1, device=like.device)
        return ((row.log() if declared == "log_range" else row) * times).expand(like.shape).contiguous()
    if declared == "identity" and target.graph is not None:
        value = torch.empty_like(like, dtype=torch.float32)
        identity_(value, like.dim() - len(target.graph.parameters[rule].axes), times)
        return value
    generator = torch.Generator(like.device).manual_seed(seed_of(seed, key))
    dtype = torch.complex64 if like.is_complex() else torch.float32
    normal = torch.randn(like.shape, generator=generator, device=like.device, dtype=dtype)
    return normal * _std(target, name, rule, stds)


def _gain(target: Sizes, name: str, follower: Follower, references: Mapping[str, Tensor]) -> Tensor:
    """The magnitude of a weight norm that has a rule of its own: as large as the reference's, 1 without one."""
    given = references.get(bare(name), references.get(follower.rule))
    base = root_mean_square(given) if given is not None else 1.0
    return _full(follower.parameter, base * target.factor(target.solution.parameters[follower.rule].init))


def _full(like: Tensor, value: float) -> Tensor:
    import torch

    return torch.full(like.shape, value, device=like.device)


def _std(target: Sizes, name: str, rule: str, stds: Mapping[str, float] | None) -> float:
    factor = target.factor(target.solution.parameters[rule].init)
    if stds is not None:
        for key in (name + part_of(rule), bare(name) + part_of(rule), rule):
            if key in stds:
                return stds[key] * factor
        raise ScaleRulesError("is not in reference=", where=f"parameter {name!r}", hint=f"{rule!r}: std covers it too")
    if target.graph is None:
        what, hint = "the std at the base size is not known without the graph", "give graph=..., or reference=..."
        raise ScaleRulesError(what, hint=hint)
    return natural_std(target.graph, rule, target.base) * factor

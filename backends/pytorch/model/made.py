"""What groups were made from, kept beside them: the rules' optimizer, the sizes, the tuned numbers, what was left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .receiver import Decay, Receiver

Group = dict[str, Any]
"""A parameter group as torch takes it."""


@dataclass(frozen=True)
class Made:
    """`lr`, `lr_beside` and `weight_decay` are the tuned numbers (of several by name that of `*`, or the first)."""

    graph: str = ""
    optimizer: str = ""
    base: Mapping[str, float] = field(default_factory=dict[str, float])
    sizes: Mapping[str, float] = field(default_factory=dict[str, float])
    lr: Any = None
    lr_beside: Any = None
    weight_decay: Any = 0.0
    receiver: Receiver | None = None
    decay: Decay = "decoupled"
    """How the optimizer decays that the numbers are for."""
    missing: tuple[str, ...] = ()
    """What has to be set by hand in the forward pass, in words."""
    left: Mapping[str, str] = field(default_factory=dict[str, str])
    """Parameters that are in no group, and why."""

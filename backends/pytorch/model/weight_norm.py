"""Weight norm, `W = g v / |v|` (Salimans and Kingma 2016, arXiv 1602.07868): two parameters that follow one rule.

Where the solution has rules for `g` and `v` themselves (a traced graph), those hold. Otherwise they follow the rule of
`W`: torch starts with `v = W` and `g = |v|`, so a change of `v` is one of `W`; `g` is as large as a row of `W`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Part = Literal["", "magnitude", "direction"]


@dataclass(frozen=True)
class Normed:
    """One of the two parameters that stand for a weight: which part, and the name that the weight would have."""

    weight: str
    part: Part


def weight_norms(model: Module) -> dict[str, Normed]:
    """The parameters of weight-normed modules, by name; of `parametrizations.weight_norm` and of the older form."""
    normed: dict[str, Normed] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        start = f"{path}." if path else ""
        for name, parametrization in getattr(module, "parametrizations", {}).items():
            if [type(step).__name__ for step in parametrization] == ["_WeightNorm"]:
                inner = f"{start}parametrizations.{name}.original"
                normed[f"{inner}0"] = Normed(start + name, "magnitude")
                normed[f"{inner}1"] = Normed(start + name, "direction")
        for hook in module._forward_pre_hooks.values():
            if type(hook).__name__ == "WeightNorm":
                name = str(getattr(hook, "name", "weight"))
                normed[f"{start}{name}_g"] = Normed(start + name, "magnitude")
                normed[f"{start}{name}_v"] = Normed(start + name, "direction")
    return normed


def norms(direction: Tensor, magnitude: Tensor) -> Tensor:
    """The norms of the whole `direction` along the axes that `magnitude` lacks (where its length is 1)."""
    summed = [axis for axis, length in enumerate(magnitude.shape) if length == 1]
    if magnitude.ndim != direction.ndim:
        summed = list(range(direction.ndim))
    return direction.square().sum(summed, keepdim=True).sqrt().reshape(magnitude.shape)


def is_by_row(magnitude: Tensor) -> bool:
    """Whether there is one number per entry of the first axis, torch's default."""
    return magnitude.ndim > 1 and all(length == 1 for length in magnitude.shape[1:])

"""What a user is told of numbers that a model or a dtype cannot take as they are."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, cast

from ..python_text import law
from .at_sizes import ModelWarning, Sizes
from .match import Matched
from .rows import MUON, Row
from .weight_parts import part_of


def warn_of_parts(matched: Matched, rows: Mapping[str, Row], target: Sizes) -> None:
    """Says where the parts of one parameter should have different rates, once for all layers."""
    fused: dict[tuple[str, ...], list[str]] = {}
    for name, row in rows.items():
        factors = [target.factor(target.solution.parameters[rule].lr) for rule in matched[name].rules]
        alike = not factors or math.isclose(min(factors), max(factors), rel_tol=1e-9)
        if row.kind != MUON and not alike:
            fused.setdefault(row.rules, []).append(name)
    for rules, names in fused.items():
        rates = ", ".join(f"{part_of(rule)} {law(target.solution.parameters[rule].lr)}" for rule in rules)
        more = f" (and of {len(names) - 1} more like it)" if len(names) > 1 else ""
        _warn(
            f"the parts of {names[0]}{more} have different rates ({rates}) and are one parameter: the smallest is taken"
        )


def warn_of_epsilon(matched: Matched, rows: Mapping[str, Row]) -> None:
    """Says where an epsilon is lost, or becomes another number, in the dtype of the parameter."""
    import torch

    lost: dict[str, list[str]] = {}
    for name, row in rows.items():
        dtype = matched[name].parameter.dtype
        for value in _epsilons(row.numbers):
            held = float(torch.tensor(value, dtype=torch.float64).to(dtype).abs())
            if abs(held - value) > 0.1 * value:
                lost.setdefault(f"eps {value:.3g} is {held:.3g} in {str(dtype)[6:]}", []).append(name)
    for text, names in lost.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        hint = "keep the optimizer's state in 32 bits, or give a larger eps="
        _warn(f"{text}, the dtype of {names[0]}{more}: {hint}")


def _epsilons(numbers: Mapping[str, Any]) -> list[float]:
    epsilons: list[float] = []
    for key in ("eps", "eps1", "eps2"):
        value = numbers.get(key)
        several = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)
        epsilons += [float(one) for one in several if one]
    return epsilons


def _warn(text: str) -> None:
    warnings.warn(text, ModelWarning, stacklevel=5)

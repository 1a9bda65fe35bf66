"""An optimizer by its name and options, as a user writes it: `adam`, `adamw(coupled)`, `shampoo(1/4, 1/4)`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

from scalerules.boundary.exact import exact
from scalerules.errors import ScaleRulesError, UnknownName, short

from .law import Decay, Optimizer
from .own import ASKED, from_file
from .table import OPTIMIZERS, with_exponents

OPTIONS: dict[str, tuple[str, ...]] = {"decay": get_args(Decay), "clip": ("fixed", "scaled")}
"""What any optimizer can be asked with: how weight decay enters, and clipping by the global norm of all gradients."""


_NAME = re.compile(r"\s*([\w-]+|.+\.py)\s*(?:\(([^()]*)\))?\s*")


def optimizer(name: str) -> Optimizer:
    """The optimizer called `name`, or that of a user's file, options in brackets behind it.

    Raises `UnknownName` with the nearest one, and `ScaleRulesError` for a file that holds no law.
    """
    match = _NAME.fullmatch(name) if isinstance(name, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]
    if match is None:
        raise ScaleRulesError(f"cannot read the optimizer {short(name)}", hint="such as adamw(decay=independent)")
    base, inside = match[1], match[2]
    plain = _known(base)
    if inside is None:
        return plain
    words = [word.strip() for word in inside.split(",") if word.strip()]
    rule = _with_exponents(plain, [word for word in words if "=" not in word])
    options = _options(base, [word for word in words if "=" in word])
    if options.get("decay") == "coupled" and rule.spectral:
        raise ScaleRulesError(
            "coupled decay would be preconditioned with the gradient, as a matrix of full rank",
            where=f"optimizer {name!r}", hint="decay=decoupled or decay=independent",
        )  # fmt: skip
    said = ",".join([*(word for word in words if "=" not in word), *(f"{k}={v}" for k, v in options.items())])
    return replace(rule, name=f"{base}({said})" if said else base, **options)


def named_in(solution: str) -> Optimizer:
    """The optimizer that a solution names: a file is run where it was asked for, not because a solution names it.

    Raises `ScaleRulesError`.
    """
    match = _NAME.fullmatch(solution)
    if match is not None and match[1].endswith(".py") and match[1] not in ASKED:
        hint = f"derive(graph, optimizer={solution!r}) runs it"
        raise ScaleRulesError("is a file that was not asked for here", where=f"optimizer {solution!r}", hint=hint)
    return optimizer(solution)


def _known(base: str) -> Optimizer:
    if base.endswith(".py"):
        return from_file(base)
    if base not in OPTIMIZERS:
        raise UnknownName("optimizer", base, OPTIMIZERS)
    return OPTIMIZERS[base]


def _with_exponents(plain: Optimizer, exponents: Sequence[str]) -> Optimizer:
    """The rule with the exponents that stand in the brackets."""
    base = plain.name
    if not exponents:
        return plain
    try:
        numbers = [exact(text) for text in exponents]
    except ScaleRulesError:
        numbers = []
    if base != "shampoo":
        hint = f"{', '.join(f'{key}=' for key in OPTIONS)}"
        raise ScaleRulesError(f"takes no exponents, not {exponents[0]!r}", where=f"optimizer {base!r}", hint=hint)
    if len(numbers) != 2 or any(not 0 <= e <= 1 or e.denominator > 64 for e in numbers) or not sum(numbers):
        hint = "such as shampoo(1/4,1/4)"
        raise ScaleRulesError("needs two exponents between 0 and 1", where="optimizer 'shampoo'", hint=hint)
    return with_exponents(numbers[0], numbers[1], base)


def _options(base: str, words: Sequence[str]) -> dict[str, Any]:
    """`decay=...` and `clip=...` as written."""
    options: dict[str, Any] = {}
    for word in words:
        key, _, value = (part.strip() for part in word.partition("="))
        if key not in OPTIONS:
            raise UnknownName("option", key, OPTIONS, where=f"optimizer {base!r}")
        if value not in OPTIONS[key]:
            raise UnknownName(key, value, OPTIONS[key], where=f"optimizer {base!r}")
        options[key] = value
    return options

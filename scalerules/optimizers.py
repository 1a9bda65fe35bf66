"""The optimizers by name, each as a law on gradient terms with its source, and how a question names one with options.

`shampoo(1/8,1/8)` has other exponents, `adamw(decay=independent)` another decay, `sgd(clip=fixed)` clipped gradients.
What the fields say is in `scalerules.update`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, get_args

from .errors import ScaleRulesError, UnknownName, short
from .exact import exact
from .ops.laws import HALF
from .update import Damping, Decay, Optimizer, entries, explicit_if_summed

__all__ = ["OPTIMIZERS", "Optimizer", "entries", "explicit_if_summed", "optimizer"]

ONE, QUARTER = Fraction(1), Fraction(1, 4)

_SGD = "The update is the gradient times the rate; momentum changes no size."
_ADAM = (
    "Every entry is divided by its own recent size, so the update has the size of the rate and the gradient's signs."
)
_SINGULAR = "singular values of a gradient of bounded rank are its size times sqrt(fan_in fan_out)"


def _shampoo(name: str, left: Fraction, right: Fraction) -> Optimizer:
    """L^-left G R^-right, with L = G G^T and R = G^T G: a singular value s becomes s^(1 - 2 left - 2 right)."""
    power = left + right
    return Optimizer(
        name, f"L^-{left} G R^-{right}, L = G G^T and R = G^T G summed over steps: {_SINGULAR}, and each becomes its "
        f"power {1 - 2 * power}; a vector's one Gram matrix gets both exponents. shampoo(e_L,e_R) has others.",
        "Gupta, Koren and Singer 2018, arXiv 1802.09568", degree=1 - 2 * power, power=power, vectors=True,
        exponents=(left, right), damping=Damping(2, ONE),
    )  # fmt: skip


OPTIMIZERS: dict[str, Optimizer] = {
    rule.name: rule
    for rule in [
        Optimizer("sgd", _SGD, "Robbins and Monro 1951; Polyak 1964", degree=ONE, entrywise=False),
        Optimizer("momentum", _SGD, "Polyak 1964", degree=ONE, entrywise=False),
        Optimizer("nesterov", _SGD, "Nesterov 1983; Sutskever et al. 2013", degree=ONE, entrywise=False),
        Optimizer("adam", _ADAM, "Kingma and Ba 2015, arXiv 1412.6980", damping=Damping()),
        Optimizer("adamw", _ADAM, "Loshchilov and Hutter 2019, arXiv 1711.05101", damping=Damping()),
        Optimizer("rmsprop", _ADAM, "Tieleman and Hinton 2012", damping=Damping()),
        Optimizer("adagrad", _ADAM, "Duchi, Hazan and Singer 2011", damping=Damping()),
        Optimizer("adam-atan2", "atan2(m, sqrt(v)) entry by entry: the ratio decides, and there is no epsilon.",
                  "Everett et al. 2024, arXiv 2407.05872"),
        Optimizer("lion", "The update is the sign of an average of gradients.", "Chen et al. 2023, arXiv 2302.06675"),
        Optimizer("sign", "The update is the sign of the gradient.", "Bernstein et al. 2018, arXiv 1802.04434"),
        Optimizer("learned", "A learned optimizer whose update has size one per entry, whatever the gradient's size.",
                  "Therien et al. 2024, arXiv 2406.00153"),
        Optimizer("adafactor", "As adam, the second moment kept per row and column, the rate times the root mean "
                  "square of the parameter (eps2 where it started at zero).",
                  "Shazeer and Stern 2018, arXiv 1804.04235", relative="floor", damping=Damping(2)),
        Optimizer("lamb", "As adam, times |W| / |update|: relative to the parameter (1 where that is zero).",
                  "You et al. 2020, arXiv 1904.00962", relative="one", damping=Damping()),
        Optimizer("lars", "The gradient times |W| / |gradient|: relative to the parameter (a plain gradient where that "
                  "is zero).", "You, Gitman and Ginsburg 2017, arXiv 1708.03888", entrywise=False,
                  relative="gradient", damping=Damping(1, HALF)),
        Optimizer("muon", "A matrix moves by an orthogonal one: spectral norm one at bounded rank, entries "
                  "1/sqrt(fan_in fan_out); other parameters move by the sign-like rule.",
                  "Jordan et al. 2024; no adjustment of the rate", power=HALF),
        Optimizer("muon-spectral", "As muon, the rate times sqrt(fan_out/fan_in).",
                  "Bernstein and Newhouse 2024, arXiv 2409.20325", power=HALF, adjust="spectral"),
        Optimizer("muon-original", "As muon, the rate times sqrt(max(1, fan_out/fan_in)).",
                  "torch.optim.Muon, adjust_lr_fn='original'", power=HALF, adjust="original"),
        Optimizer("muon-match-rms", "As muon, the rate times sqrt(max(fan_out, fan_in)).",
                  "Liu et al. 2025, arXiv 2502.16982; torch.optim.Muon, adjust_lr_fn='match_rms_adamw'",
                  power=HALF, adjust="match_rms"),
        _shampoo("shampoo", QUARTER, QUARTER),
        Optimizer("soap", "adam in the eigenbasis of Shampoo's factors: a gradient of bounded rank has few entries "
                  "there, which become of size one, so a matrix moves with spectral norm one; others move as by adam.",
                  "Vyas et al. 2024, arXiv 2409.11321", power=HALF, damping=Damping(1, HALF, matrices=True)),
        Optimizer("kfac", f"B^-1 G A^-1 with A = x x^T over fan-in, B = d d^T over fan-out: {_SINGULAR}, and each "
                  "becomes its inverse.", "Martens and Grosse 2015, arXiv 1503.05671", degree=-ONE, power=ONE,
                  vectors=True, damping=Damping(2, ONE), sides=("A", "B")),
    ]
}  # fmt: skip
"""The law of every optimizer by name."""

OPTIONS: dict[str, tuple[str, ...]] = {"decay": get_args(Decay), "clip": ("fixed", "scaled")}
"""What any optimizer can be asked with: how weight decay enters, and clipping by the global norm of all gradients."""

_NAME = re.compile(r"\s*([\w-]+)\s*(?:\(([^()]*)\))?\s*")


def optimizer(name: str) -> Optimizer:
    """The optimizer called `name`, options in brackets. Raises `UnknownName` with the nearest one."""
    match = _NAME.fullmatch(name) if isinstance(name, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]
    if match is None:
        raise ScaleRulesError(f"cannot read the optimizer {short(name)}", hint="such as adamw(decay=independent)")
    base, inside = match[1], match[2]
    if base not in OPTIMIZERS:
        raise UnknownName("optimizer", base, OPTIMIZERS)
    if inside is None:
        return OPTIMIZERS[base]
    words = [word.strip() for word in inside.split(",") if word.strip()]
    rule = _with_exponents(base, [word for word in words if "=" not in word])
    options = _options(base, [word for word in words if "=" in word])
    if options.get("decay") == "coupled" and rule.spectral:
        raise ScaleRulesError(
            "coupled decay would be preconditioned with the gradient, as a matrix of full rank",
            where=f"optimizer {name!r}", hint="decay=decoupled or decay=independent",
        )  # fmt: skip
    said = ",".join([*(word for word in words if "=" not in word), *(f"{k}={v}" for k, v in options.items())])
    return replace(rule, name=f"{base}({said})" if said else base, **options)


def _with_exponents(base: str, exponents: Sequence[str]) -> Optimizer:
    """The rule with the exponents that stand in the brackets."""
    if not exponents:
        return OPTIMIZERS[base]
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
    return _shampoo(base, *numbers)


def _options(base: str, words: Sequence[str]) -> dict[str, Any]:
    """`decay=...` and `clip=...` as written."""
    found: dict[str, Any] = {}
    for word in words:
        key, _, value = (part.strip() for part in word.partition("="))
        if key not in OPTIONS:
            raise UnknownName("option", key, OPTIONS, where=f"optimizer {base!r}")
        if value not in OPTIONS[key]:
            raise UnknownName(key, value, OPTIONS[key], where=f"optimizer {base!r}")
        found[key] = value
    return found

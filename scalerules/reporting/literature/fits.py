"""Batch size and training length: fits from the literature, kept apart from what is derived and off unless asked for.

What the engine derives holds batch and length fixed. How settings follow them is measured, not derived: every fit here
has its source, its range and how it was taken (`fits.yaml`). `empirical("lr-tokens").scaled(...)` gives the
settings to pass to `scalerules.apply`, so that a fit composes with a derived rule and is never part of it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from scalerules.architecture.documents import read
from scalerules.errors import ScaleRulesError, UnknownName

FILE = Path(__file__).parent / "fits.yaml"

Law = Literal["power", "half-life", "one-minus", "noise"]


class Fit(BaseModel):
    """One fit: what it is of, its law and exponents, where it holds, and where it is from (see `fits.yaml`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    of: Literal["lr", "weight_decay", "beta1", "beta2", "eps", "batch"]
    law: Law
    exponents: dict[str, float]
    basis: Literal["fit", "model", "rule of thumb"]
    optimizers: str
    setup: str
    valid: dict[str, tuple[float, float]]
    says: str
    source: str
    confidence: Literal["read", "second-hand"]
    coefficient: float | None = None
    with_derived: bool = True

    @property
    def formula(self) -> str:
        """The law in one line, such as `lr ~ tokens^-0.32`."""
        powers = " ".join(name if power == 1 else f"{name}^{power:g}" for name, power in self.exponents.items())
        if self.law == "half-life":
            return f"half-life of {self.of} in tokens is kept"
        if self.law == "one-minus":
            return f"1 - {self.of} ~ {powers}"
        if self.law == "noise":
            power = self.exponents["batch"]
            return f"{self.of} ~ 1/(1 + noise/batch)" + ("" if power == 1 else f"^{power:g}")
        return f"{self.of} = {self.coefficient:g} {powers}" if self.coefficient else f"{self.of} ~ {powers}"

    @property
    def needs(self) -> list[str]:
        """The quantities of a run that have to be known."""
        own = [name for name in self.exponents if name != "lr"]
        return [*own, "noise"] if self.law == "noise" else own

    def factor(self, base: Mapping[str, float], sizes: Mapping[str, float], lr: float = 1.0) -> float:
        """The factor by which the setting (a decay rate's half-life or `1 - beta`) changes from `base` to `sizes`.

        `lr` is the factor of the learning rate. Raises `ScaleRulesError` for a quantity that is missing or no number.
        """
        if self.law == "noise":
            before, after = (1 + _of(run, "noise", self) / _of(run, "batch", self) for run in (base, sizes))
            return (before / after) ** self.exponents["batch"]
        factor = 1.0
        for name, power in self.exponents.items():
            ratio = lr if name == "lr" else _of(sizes, name, self) / _of(base, name, self)
            factor *= ratio**power
        return factor

    def changed(self, setting: float, factor: float) -> float:
        """The setting after a change by `factor`. Raises `ScaleRulesError` where a decay rate would leave (0, 1)."""
        if self.law not in ("half-life", "one-minus"):
            return setting * factor
        if not 0 < setting < 1:
            raise ScaleRulesError(f"{self.of} has to lie between 0 and 1, not {setting:g}", where=f"fit {self.name!r}")
        new = setting**factor if self.law == "half-life" else 1 - (1 - setting) * factor
        if not 0 < new < 1:
            hint = "the batch has changed by more than this rule can follow"
            raise ScaleRulesError(f"{self.of} would become {new:g}", where=f"fit {self.name!r}", hint=hint)
        return new

    def value(self, **sizes: float) -> float:
        """The setting itself, where the fit gives it: `empirical("batch-step-law").fits[0].value(tokens=1e11)`."""
        if self.coefficient is None:
            raise ScaleRulesError("says only how the setting changes", where=f"fit {self.name!r}", hint="scaled()")
        return self.coefficient * math.prod(_of(sizes, name, self) ** power for name, power in self.exponents.items())

    def outside(self, sizes: Mapping[str, float]) -> list[str]:
        """What of `sizes` lies outside of the range in which the fit was made, in words."""
        texts: list[str] = []
        for name, (low, high) in self.valid.items():
            if name in sizes and not low <= sizes[name] <= high:
                texts.append(f"{self.name}: {name} {sizes[name]:g} is outside of the fit's range, {low:g} to {high:g}")
        return texts


@dataclass(frozen=True)
class Layer:
    """Fits that are used together, at most one for each setting."""

    fits: tuple[Fit, ...]

    def factors(self, *, base: Mapping[str, float], sizes: Mapping[str, float]) -> dict[str, float]:
        """The factor by which each setting changes, by name (of `beta1`, `beta2`: see the fit's law)."""
        factors: dict[str, float] = {}
        for fit in sorted(self.fits, key=lambda fit: fit.of != "lr"):  # decay follows the learning rate
            factors[fit.of] = fit.factor(base, sizes, factors.get("lr", 1.0))
        return factors

    def scaled(self, *, base: Mapping[str, float], sizes: Mapping[str, float], **settings: Any) -> dict[str, Any]:
        """`settings` (lr, weight_decay, betas, beta1, beta2, eps, batch), tuned in the run `base`, for the run `sizes`.

        Runs are described by `tokens`, `batch` (in tokens), `parameters`, `compute`, `noise`. A setting for which there
        is no fit stays. Warns where a run lies outside of a fit's range, or a fit holds the model size already.
        """
        for text in self.warnings(base, sizes):
            warnings.warn(text, stacklevel=2)
        factors = self.factors(base=base, sizes=sizes)
        by_name = {fit.of: fit for fit in self.fits}
        result: dict[str, Any] = {}
        for name, value in settings.items():
            if name == "betas":
                pairs = zip(("beta1", "beta2"), value, strict=True)
                result[name] = tuple(by_name[n].changed(v, factors[n]) if n in by_name else v for n, v in pairs)
            elif name in by_name:
                result[name] = by_name[name].changed(value, factors[name])
            elif name in SETTINGS:
                result[name] = value
            else:
                raise UnknownName("setting", name, SETTINGS)
        return result

    def warnings(self, base: Mapping[str, float], sizes: Mapping[str, float]) -> list[str]:
        """What speaks against using these fits for these runs."""
        texts = [text for fit in self.fits for run in (base, sizes) for text in fit.outside(run)]
        texts += [
            f"{fit.name}: holds the model size, in the standard parametrization; use it in place of a derived rate"
            for fit in self.fits
            if not fit.with_derived
        ]
        return list(dict.fromkeys(texts))


SETTINGS = ("lr", "weight_decay", "betas", "beta1", "beta2", "eps", "batch")


def empirical(*names: str) -> Layer:
    """The fits of these names (`scalerules list fits`). Raises `ScaleRulesError` for two of the same setting."""
    by_name = {fit.name: fit for fit in fits()}
    for name in names:
        if name not in by_name:
            raise UnknownName("fit", name, by_name)
    if not names:
        raise ScaleRulesError("needs the name of a fit", hint="scalerules list fits")
    chosen = tuple(by_name[name] for name in dict.fromkeys(names))
    for index, fit in enumerate(chosen):
        for other in chosen[:index]:
            if other.of == fit.of:
                what = f"{other.name} and {fit.name} are both fits of {fit.of}"
                raise ScaleRulesError(what, hint="use one of them: each was made with its own setup")
    return Layer(chosen)


@cache
def fits() -> tuple[Fit, ...]:
    """All fits, in the order of the file."""
    return tuple(Fit.model_validate(data) for data in read(FILE).data["fits"])


def listed() -> list[tuple[str, str]]:
    """Every fit: its name, and in a line its formula, basis, setup, range and source."""
    return [(fit.name, f"{fit.formula} ({'; '.join(_terms(fit))}). {fit.source}") for fit in fits()]


def _terms(fit: Fit) -> Iterable[str]:
    yield {"fit": "fitted", "model": "from a model of training", "rule of thumb": "a rule of thumb"}[fit.basis]
    yield fit.optimizers.replace(" ", ", ")
    yield fit.setup
    for name, (low, high) in fit.valid.items():
        yield f"{name} {_short(low)} to {_short(high)}" if low else f"{name} up to {_short(high)}"
    if not fit.with_derived:
        yield "in place of a derived rate"


def _short(number: float) -> str:
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if unit <= number < 1000 * unit:
            return f"{number / unit:g}{name}"
    return f"{number:.0e}".replace("e+", "e")


def _of(run: Mapping[str, float], name: str, fit: Fit) -> float:
    if name not in run:
        hint = f"give base and sizes {', '.join(fit.needs)}"
        raise ScaleRulesError(f"needs {name!r} of the run", where=f"fit {fit.name!r}", hint=hint)
    if not (run[name] > 0 and math.isfinite(run[name])):
        raise ScaleRulesError(f"{name} has to be a positive number, not {run[name]!r}", where=f"fit {fit.name!r}")
    return run[name]

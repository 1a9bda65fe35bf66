"""The numbers at the base size: one for all parameters, or several by name.

`{"*": 3e-3, "embed*": 1e-2}`: a parameter takes the number of the most specific pattern that fits one of its names, the
one with the most characters that are no wildcards; of several the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from numbers import Real
from typing import Any, cast

from scalerules.errors import ScaleRulesError, nearest

Number = Any
"""A float, or a tensor of one entry (a rate that `torch.compile` does not burn in)."""
Epsilon = Any
"""A float, or a pair of them as Adafactor takes."""


@dataclass(frozen=True)
class Tuned:
    """A number at the base size: `values` by pattern; `{"*": number}` for one of all parameters."""

    what: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, what: str, given: Any, read: Callable[[str, Any], Any]) -> Tuned:
        """From what a user gives. Raises `ScaleRulesError` for what is no number."""
        if not isinstance(given, Mapping):
            return cls(what, {"*": read(what, given)})
        by_name = cast("Mapping[Any, Any]", given)
        if not by_name:
            raise ScaleRulesError("names no parameter", where=f"{what}=", hint=f'{what}={{"*": ...}}')
        for pattern in by_name:
            if not isinstance(pattern, str):
                raise ScaleRulesError(f"{pattern!r} is not a name", where=f"{what}=", hint='such as "*.bias"')
        return cls(what, {pattern: read(f"{what}[{pattern!r}]", value) for pattern, value in by_name.items()})

    @property
    def plain(self) -> Any:
        """The number that was tuned: that of `*`, or else the first."""
        return self.values.get("*", next(iter(self.values.values())))

    def of_names(self, names: Sequence[str]) -> Any:
        """The number of a parameter by its names (several where it is tied). Raises `ScaleRulesError` without one."""
        patterns = [pattern for pattern in self.values if any(fits(name, pattern) for name in names)]
        if not patterns:
            hint = f'add what holds for all others: {{"*": ..., {next(iter(self.values))!r}: ...}}'
            raise ScaleRulesError(f"parameter {names[0]!r} fits no pattern", where=f"{self.what}=", hint=hint)
        most = max(map(specific, patterns))
        return self.values[[pattern for pattern in patterns if specific(pattern) == most][-1]]

    def check(self, names: Iterable[str]) -> None:
        """Raises `ScaleRulesError` for a pattern that fits no parameter of the model."""
        names = list(names)
        for pattern in self.values:
            if pattern != "*" and not any(fits(name, pattern) for name in names):
                hint = nearest(pattern, names)
                raise ScaleRulesError(f"the pattern {pattern!r} fits no parameter", where=f"{self.what}=", hint=hint)


def fits(name: str, pattern: str) -> bool:
    """Whether a name fits a pattern with wildcards, or is it."""
    return name == pattern or fnmatchcase(name, pattern)


def specific(pattern: str) -> int:
    """How many characters of a pattern are no wildcards."""
    return sum(character not in "*?" for character in pattern)


def number(what: str, value: Any) -> Number:
    """A finite number that is not negative, or a tensor of one float. Raises `ScaleRulesError`."""
    is_tensor = hasattr(value, "numel") and hasattr(value, "item")
    is_one = isinstance(value, Real) or (is_tensor and value.numel() == 1 and value.is_floating_point())
    if isinstance(value, bool) or not is_one:
        raise ScaleRulesError(f"is {_shown(value)}, not a number", where=f"{what}=")
    if not (math.isfinite(float(value)) and float(value) >= 0):
        raise ScaleRulesError(
            f"cannot be {float(value):g}", where=f"{what}=", hint="give a number that is not negative"
        )
    return value if is_tensor and not isinstance(value, Real) else float(value)


def epsilon(what: str, value: Any) -> Any:
    """An epsilon, or a pair of two as Adafactor takes them (None: what the optimizer takes by itself)."""
    if isinstance(value, (tuple, list)) and len(cast("Sequence[Any]", value)) == 2:
        return tuple(None if part is None else float(number(what, part)) for part in cast("Sequence[Any]", value))
    return float(number(what, value))


def betas(what: str, value: Any) -> tuple[float, ...]:
    """Two or three decays of moving averages. Raises `ScaleRulesError`."""
    given = cast("Sequence[Any]", value) if isinstance(value, (tuple, list)) else ()
    if len(given) not in (2, 3):
        raise ScaleRulesError(f"is {_shown(value)}, not a pair of numbers", where=f"{what}=", hint="(0.9, 0.95)")
    decays = tuple(float(number(what, beta)) for beta in given)
    if max(decays) >= 1:
        raise ScaleRulesError(f"cannot be {decays}", where=f"{what}=", hint="each is below 1")
    return decays


def _shown(value: Any) -> str:
    kind = type(value).__name__
    return "nothing" if value is None else repr(value) if isinstance(value, (str, bool)) else f"a {kind}"

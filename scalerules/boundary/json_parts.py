"""JSON that somebody wrote, read part by part: what is not as it should be is told with its place.

`parse` gives the whole as a `Part`; `scalerules/solution/json_text.py` makes a solution of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

from scalerules.errors import ScaleRulesError, UnknownName, hidden, nearest, short

from .exact import exact

MAX_CHARACTERS = 64 * 1024 * 1024
MAX_DIGITS = 40


@dataclass(frozen=True)
class Part:
    """A value in a JSON text, what the text should hold (`solution`), and the keys that lead to it."""

    value: Any
    kind: str
    path: tuple[str, ...] = ()

    def error(self, what: str, hint: str | None = None) -> ScaleRulesError:
        """A message about this part."""
        return ScaleRulesError(f"this is not the JSON of a {self.kind}: {what}", where=self.place, hint=hint)

    @property
    def place(self) -> str | None:
        """Where it stands, such as `parameters.h1.lr`."""
        return ".".join(self.path) or None

    def at(self, key: str, default: Any = ...) -> Part:
        """What a mapping holds under `key`. Raises `ScaleRulesError` if that has to be there and is not."""
        entries = self.entries()
        if key in entries:
            return entries[key]
        if default is ...:
            near = nearest(key, entries) if entries else None
            raise self.error(f"needs the key {key!r}", near if near and near.startswith("did") else None)
        return Part(default, self.kind, (*self.path, key))

    def entries(self) -> dict[str, Part]:
        """The entries of a mapping."""
        if not isinstance(self.value, dict):
            raise self.error(f"{_short(self.value)} is no mapping")
        content = cast(dict[str, Any], self.value)  # pyright: ignore[reportUnknownMemberType]
        for key in content:
            if hidden(key):
                raise self.error(f"the key {short(key)} has characters that do not show")
        return {key: Part(value, self.kind, (*self.path, key)) for key, value in content.items()}

    def items(self) -> list[Part]:
        """The items of a list."""
        if not isinstance(self.value, list | tuple):
            raise self.error(f"{_short(self.value)} is no list")
        items = cast(list[Any], self.value)  # pyright: ignore[reportUnknownMemberType]
        return [Part(value, self.kind, (*self.path, str(index))) for index, value in enumerate(items)]

    def text(self, known: Iterable[str] | None = None) -> str:
        """A text, one of `known` where that is given."""
        if not isinstance(self.value, str):
            raise self.error(f"{_short(self.value)} is no text")
        if hidden(self.value):
            raise self.error(f"{short(self.value)} has characters that do not show")
        if known is not None and self.value not in (names := list(known)):
            raise UnknownName(self.path[-1], self.value[:60], names, where=self.place)
        return self.value

    def texts(self) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(part.text() for part in self.items())

    def whole(self) -> int:
        """A whole number, at least 0."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or self.value < 0:
            raise self.error(f"{_short(self.value)} is no whole number")
        return self.value

    def number(self) -> float:
        """A number."""
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            raise self.error(f"{_short(self.value)} is no number")
        return float(self.value)

    def fraction(self) -> Fraction:
        """An exact number, written as a text."""
        return exact(self.value if isinstance(self.value, str) else None if self.value is None else repr(self.value),
                     self.place)  # fmt: skip

    def fractions(self, known: Iterable[str]) -> dict[str, Fraction]:
        """Exact numbers by name, all names among `known`."""
        names = list(known)
        entries = self.entries()
        for name in entries:
            if name not in names:
                raise UnknownName("scale", name[:60], names, where=self.place)
        return {name: part.fraction() for name, part in entries.items()}


def parse(text: str, kind: str, version: int) -> Part:
    """The whole of a JSON text, which should hold a `kind` of at most this version.

    Raises `ScaleRulesError`, with line and column where the text is no JSON.
    """
    whole = Part(None, kind)
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise whole.error(f"it is a {type(text).__name__}, not a text")
    if len(text) > MAX_CHARACTERS:
        raise whole.error(f"it is longer than {MAX_CHARACTERS} characters")
    try:
        data = json.loads(
            text, parse_int=_whole, parse_float=_number, parse_constant=_number, object_pairs_hook=_entries
        )
    except json.JSONDecodeError as error:
        mine = whole.error(error.msg)
        mine.file, mine.line, mine.column = "line", error.lineno, error.colno
        raise mine from None
    except RecursionError:
        raise whole.error("it is nested too deeply") from None
    except ValueError as error:
        raise whole.error(str(error)) from None
    whole = Part(data, kind)
    written = whole.at("version", version)
    if written.whole() > version:
        hint = "install a newer scalerules"
        raise written.error(f"it is of version {written.value}, and this scalerules reads up to {version}", hint)
    return whole


def _entries(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:60]!r} stands twice")
    return entries


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"{text[:20]}... is longer than any number in it")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no number that it can hold")
    return number


def _short(value: Any) -> str:
    """How a message shows a value."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

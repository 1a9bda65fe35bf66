"""YAML and JSON read safely, with the line and column of every value.

`scalerules.specification` makes graphs of what is read here, and finds the place of a mistake with `Document`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scalerules.errors import GraphError

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_DIGITS = 40

Route = tuple[str | int, ...]
"""Keys and positions that lead to a value: `("nodes", "h1", "inputs", 0)`."""


@dataclass(frozen=True)
class Place:
    """Line and column, counted from 1, of a key (or list entry) and of its value."""

    key: tuple[int, int]
    value: tuple[int, int]


@dataclass(frozen=True)
class Document:
    """Plain data (dicts, lists, strings, numbers) and the place of everything in it."""

    file: str
    data: Any
    places: dict[Route, Place]

    def locate(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the value at `path`, or of the innermost part of `path` that is there."""
        spot = self.places[()].value
        for depth in range(1, len(path) + 1):
            place = self.places.get(tuple(path[:depth]))
            if place is None:
                break
            spot = place.value if depth == len(path) else place.key
        return spot

    def find(self, name: str, below: Route = ()) -> tuple[int, int] | None:
        """Line and column of the first key or text below `below` that is `name`."""
        for route, place in self.places.items():
            if len(route) > len(below) and route[: len(below)] == below:
                if route[-1] == name:
                    return place.key
                if self.at(route) == name:
                    return place.value
        return None

    def at(self, path: Route) -> Any:
        """The value at `path`."""
        value = self.data
        for part in path:
            value = value[part]
        return value


def read(file: Path) -> Document:
    """The data of a YAML or JSON file (`file`, at most 1 MiB, at most 32 levels deep).

    Raises `GraphError` with line and column for a text that cannot be read, a key that stands twice, and what a
    graph never needs and a hostile file does: anchors, aliases and tags.
    """
    with file.open("rb") as stream:
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise GraphError(f"is larger than {MAX_BYTES} bytes", file=str(file), hint="build large graphs in Python")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GraphError("is not UTF-8 text", file=str(file), line=raw[: error.start].count(b"\n") + 1) from None
    # JSON is YAML except for its tabs; a space in place of each keeps the columns.
    return parse(text.replace("\t", " ") if file.suffix == ".json" else text, str(file))


def parse(text: str, file: str) -> Document:
    """The data of a YAML (or JSON) text; `file` is the name that messages give."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return _Reader(YAML(typ="safe", pure=True), file).read(text)
    except MarkedYAMLError as error:
        problem: Any = error  # ruamel.yaml declares no types here
        mark = problem.problem_mark or problem.context_mark
        what = f"cannot be read: {problem.problem or problem.context}"
        raise GraphError(what, file=file, line=mark and mark.line + 1, column=mark and mark.column + 1) from None
    except YAMLError as error:
        raise GraphError(f"cannot be read: {str(error).splitlines()[0]}", file=file) from None


@dataclass
class _Open:
    """A mapping or a list that is being read."""

    path: Route
    content: dict[str, Any] | list[Any]
    key: str | None = None
    key_place: tuple[int, int] = (1, 1)


@dataclass
class _Reader:
    """Builds data from the parser's events in a loop, so that no depth can exhaust the stack."""

    yaml: Any
    file: str
    places: dict[Route, Place] = field(default_factory=dict[Route, Place])
    data: Any = None
    filled: bool = False
    stack: list[_Open] = field(default_factory=list[_Open])

    def read(self, text: str) -> Document:
        for event in self.yaml.parse(io.StringIO(text)):
            self._take(event)
        if not self.filled:
            raise GraphError("is empty", file=self.file, line=1, column=1)
        return Document(self.file, self.data, self.places)

    def _take(self, event: Any) -> None:
        kind = type(event).__name__
        here = (event.start_mark.line + 1, event.start_mark.column + 1)
        if kind in ("MappingEndEvent", "SequenceEndEvent"):
            self.stack.pop()
        elif kind in ("MappingStartEvent", "SequenceStartEvent", "ScalarEvent", "AliasEvent"):
            self._refuse(kind, event, here)
            if kind == "ScalarEvent":
                self._scalar(event, here)
            else:
                self._open({} if kind == "MappingStartEvent" else [], here)

    def _refuse(self, kind: str, event: Any, here: tuple[int, int]) -> None:
        if kind == "AliasEvent" or event.anchor is not None:
            raise self._error("anchors and aliases are not read", here, "write the value out")
        # "!" alone marks a quoted text in some writers; no other tag changes what a graph can hold.
        if event.tag not in (None, "!"):
            raise self._error(f"tags such as {event.tag!r} are not read", here, "write a plain value")
        if len(self.stack) >= MAX_DEPTH and kind != "ScalarEvent":
            raise self._error(f"is nested deeper than {MAX_DEPTH} levels", here)
        if self.filled and not self.stack:
            raise self._error("holds a second document", here, "one graph per file")

    def _open(self, content: dict[str, Any] | list[Any], here: tuple[int, int]) -> None:
        path = self._put(content, here)
        self.stack.append(_Open(path, content))

    def _scalar(self, event: Any, here: tuple[int, int]) -> None:
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.content, dict) and top.key is None:
            key = _joined(event.value)
            if key in top.content:
                first = self.places[(*top.path, key)].key
                raise self._error(f"the key {key!r} stands twice", here, f"first in line {first[0]}")
            top.key, top.key_place = key, here
        else:
            try:
                value = _value(self.yaml, event)
            except ValueError:
                raise self._error(f"{event.value[:20]!r} is not a number that a graph can hold", here) from None
            self._put(value, here)

    def _put(self, value: Any, here: tuple[int, int]) -> Route:
        if not self.stack:
            self.data, self.filled, path, key = value, True, (), here
        else:
            top = self.stack[-1]
            if isinstance(top.content, dict):
                if top.key is None:
                    raise self._error("a key has to be a plain text", here)
                path, key = (*top.path, top.key), top.key_place
                top.content[top.key], top.key = value, None
            else:
                path, key = (*top.path, len(top.content)), here
                top.content.append(value)
        self.places[path] = Place(key, here)
        return path

    def _error(self, what: str, here: tuple[int, int], hint: str | None = None) -> GraphError:
        return GraphError(what, file=self.file, line=here[0], column=here[1], hint=hint)


def _value(yaml: Any, event: Any) -> str | int | float | bool | None:
    """A scalar: a plain `1`, `1e-3`, `true` or `null` as YAML 1.2 reads it; the rest is text.

    Raises `ValueError` for numbers that are infinite or longer than any size.
    """
    from ruamel.yaml.nodes import ScalarNode

    text = _joined(event.value)
    if not event.implicit[0]:
        return text
    tag = str(yaml.resolver.resolve(ScalarNode, text, (True, False))).rpartition(":")[2]
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        return _whole(text.replace("_", ""))
    if tag == "float":
        number = float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
        if not math.isfinite(number):
            raise ValueError(text)
        return number
    return text


def _joined(text: str) -> str:
    """The text with two halves of a character as that character: JSON writes those beyond 16 bits as two escapes."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _whole(text: str) -> int:
    """A whole number as YAML 1.2 reads it: `010` is ten, `0o10` eight, `0x10` sixteen. Raises `ValueError`."""
    if len(text) > MAX_DIGITS:
        raise ValueError(text)
    return int(text) if text.lstrip("+-").isdigit() else int(text, 0)

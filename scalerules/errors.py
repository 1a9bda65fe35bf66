"""The exceptions: each keeps its facts as fields and builds its text when it is shown.

Every mistake of a user is a `ScaleRulesError`; the command line prints its text without a traceback
and ends with `exit_status`.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Any


class ScaleRulesError(Exception):
    """Something is wrong, where it is, why, and what to do about it.

    `what` says what is wrong; `where` is a node, a parameter or another place in the graph; `hint` says
    what to do; `file`, `line` and `column` are set when the graph came from a file.
    """

    exit_status = 2

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        super().__init__(what)
        self.what, self.where, self.hint = what, where, hint
        self.file, self.line, self.column = file, line, column

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        head = ": ".join(part for part in (place, self.where) if part)
        text = f"{head}: {self.what}" if head else self.what
        return one_line(f"{text} ({self.hint})" if self.hint else text)


class GraphError(ScaleRulesError):
    """A graph is not well formed: an unknown op, axis or scale, a shape that does not fit, a cycle."""


class UnknownName(ScaleRulesError):
    """A name that is not known, with the nearest one that is."""

    def __init__(self, kind: str, name: object, known: Iterable[str], **place: Any) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(f"unknown {kind} {short(name)}", hint=nearest(name, self.known), **place)


class MissingExtra(ScaleRulesError):
    """A part of the project that is installed with an extra is needed and is not there."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra {extra!r}", hint=f"pip install 'scalerules[{extra}]'")


MOST_SHOWN = 60
"""Characters of a value, and names of a list, that a message shows."""


HIDDEN = ("Cc", "Cs", "Zl", "Zp")
"""Classes of characters that no name holds: they end lines, command terminals, or are none."""


def hidden(text: str) -> bool:
    """Whether a text holds characters that end a line, command a terminal, or are none."""
    return not text.isprintable() and any(unicodedata.category(character) in HIDDEN for character in text)


def one_line(text: str) -> str:
    """The text with such characters as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def short(value: object) -> str:
    """How a message shows a value that may be long."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 4]}...{text[-1]}"


def nearest(name: object, known: Iterable[str]) -> str:
    """The valid name nearest to `name`, or the list of all valid ones, as a hint."""
    options = sorted(known)
    match = difflib.get_close_matches(name[:200], options, n=1, cutoff=0.5) if isinstance(name, str) else []
    if match:
        return f"did you mean {match[0]!r}?"
    more = ", ..." if len(options) > MOST_SHOWN else ""
    return "one of: " + ", ".join(options[:MOST_SHOWN]) + more if options else "there are none"


class Clash(ScaleRulesError):
    """No parametrization satisfies every equation: the smallest set that clashes, in words, and what would resolve it.

    `equations` are the clashing equations, `rows` the lines of the tree of what each follows from; `remedies` say what
    would resolve it; `total` is their sum, in which every unknown cancels, where it is known.
    """

    exit_status = 1

    def __init__(
        self, where: str, equations: list[str], remedies: list[str], total: str | None = None,
        rows: list[list[str]] | None = None,
    ) -> None:  # fmt: skip
        self.equations, self.remedies, self.total = equations, remedies, total
        self.rows = rows or [[] for _ in equations]
        super().__init__("these equations cannot hold together", where=where)

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}:"]
        for number, (text, rows) in enumerate(zip(self.equations, self.rows, strict=True), 1):
            lines += [f"  {number}. {text}", *(f"    {row}" for row in rows)]
        lines += [f"Together: {self.total}."] if self.total else []
        lines += ["What would resolve it:"] + [f"  - {text}" for text in self.remedies]
        return "\n".join(lines)

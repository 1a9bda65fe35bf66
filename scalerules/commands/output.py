"""Where a result goes: standard output or a file, whole or not at all; nothing else gets into standard output."""

from __future__ import annotations

import codecs
import errno
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TextIO

from scalerules.boundary.files import destination, replaced
from scalerules.errors import ScaleRulesError

PLAIN = {"±": "+-", "×": "x", "–": "-", "—": "-", "≤": "<=", "≥": ">=", "→": "->", "−": "-", "√": "sqrt", "…": "..."}  # noqa: RUF001
"""What stands for signs that a terminal's encoding does not have."""


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    unwritable = error.object[error.start : error.end]
    escaped = (PLAIN.get(c) or c.encode("unicode_escape").decode("ascii") for c in unwritable)
    return "".join(escaped), error.end


codecs.register_error("plain", _plain)

_kept: TextIO | None = None
"""Standard output, while everything else that prints goes to standard error."""
_closed = False


def stream() -> TextIO:
    """What results are written to. Raises `OSError` where standard output is closed."""
    if _closed or sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise OSError(errno.EBADF, "it is closed")
    return _kept or sys.stdout


@contextmanager
def reserved(for_good: bool = False) -> Generator[None]:
    """Keeps standard output for the result: what is printed inside, by Python or below it, goes to standard error.

    With `for_good` also what is printed later, by a thread that a user's code has left or when the program ends.
    """
    global _kept, _closed
    shown, before = sys.stdout, _kept
    try:
        number = shown.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or not a file (in tests and notebooks)
        number = None
    if number is None:
        _kept, _closed, sys.stdout = shown, shown is None, sys.stderr
        try:
            yield
        finally:
            _kept, _closed, sys.stdout = before, False, shown
        return
    shown.flush()
    copy = os.dup(number)
    os.dup2(_errors(), number)
    _kept = os.fdopen(copy, "w", encoding=shown.encoding, errors="plain", closefd=False)
    try:
        yield
    finally:
        with suppress(OSError):
            shown.flush()  # of what was printed, to standard error
        if not for_good:
            os.dup2(copy, number)
        with suppress(OSError):
            _kept.close()  # what a full disk has not taken is dropped, not written when the stream is collected
        os.close(copy)
        _kept = before


def _errors() -> int:
    """The number of standard error, or of what swallows everything where that is closed."""
    try:
        os.fstat(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
    return 2


def write(text: str, file: str | None) -> None:
    """Writes a result to standard output or to `file`: all of it or, if anything goes wrong, nothing.

    What cannot be written is printed, so that no work is lost: on standard output, or on standard error.
    Raises `ScaleRulesError` then.
    """
    path = destination(file)
    try:
        if path is None:
            target = stream()
            target.write(text)
            target.flush()
        else:
            replaced(str(path), text.encode("utf-8", "backslashreplace"))
    except BrokenPipeError:
        raise
    except OSError as error:
        _printed_instead(text, path is not None)
        name = "to standard output" if path is None else repr(str(file))
        what = f"cannot write {name}: {error.strerror or error}"
        raise ScaleRulesError(what, hint="the result was printed instead") from None


def _printed_instead(text: str, on_output: bool) -> None:
    try:
        target = stream() if on_output else sys.stderr
        target.write(text)
        target.flush()
    except OSError:
        if on_output:
            _printed_instead(text, False)

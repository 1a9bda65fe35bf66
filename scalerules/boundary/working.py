"""A line on standard error for work that takes more than two seconds and would say nothing.

`with working("deriving mamba"):` shows how long it has taken and what `note` said last: kept up in place on a terminal,
elsewhere one line after two seconds and then one every half minute. Work inside shown work does not show itself again,
and bars that show themselves hold the line back (`held_back`).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TextIO

PATIENCE = 2.0
"""Seconds before anything is shown."""
EVERY = 30.0
"""Seconds between lines where standard error is not a terminal."""
TICK = 0.5
"""Seconds between changes of the line on a terminal."""


class _Line:
    """What is shown of the work that goes on; a thread of its own writes it."""

    def __init__(self, what: str, stream: TextIO) -> None:
        self.what, self.stream, self.said = what, stream, ""
        self.since, self.shown, self.held = time.monotonic(), False, 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        terminal = self.stream.isatty()
        wait = PATIENCE
        while not self.ended.wait(wait):
            wait = TICK if terminal else EVERY
            if not self.held:
                self._write(terminal)

    def _write(self, terminal: bool) -> None:
        seconds = time.monotonic() - self.since
        text = f"scalerules: {self.what}{f': {self.said}' if self.said else ''}, {seconds:.0f} s"
        with suppress(OSError, ValueError):
            self.stream.write(f"\r{text[:120]}\x1b[K" if terminal else f"{text}\n")
            self.stream.flush()
            self.shown = self.shown or terminal

    def clear(self) -> None:
        """Takes the line away from a terminal."""
        if self.shown:
            self.shown = False
            with suppress(OSError, ValueError):
                self.stream.write("\r\x1b[K")
                self.stream.flush()


_current: _Line | None = None
_quiet = 0
"""How many are at work that shall not be shown: what they call is not, either."""


@contextmanager
def working(what: str, wanted: bool = True) -> Generator[None]:
    """Shows `what` while the work inside takes its time; inside other shown work it only changes what is said."""
    global _current, _quiet
    if _current is not None and not wanted:
        yield
        return
    if not wanted or _quiet:
        _quiet += 1
        try:
            yield
        finally:
            _quiet -= 1
        return
    if _current is not None:
        line = _current
        before, line.said = line.said, what
        try:
            yield
        finally:
            line.said = before
        return
    stream: TextIO | None = sys.stderr
    if stream is None:  # pyright: ignore[reportUnnecessaryComparison]
        yield
        return
    line = _current = _Line(what, stream)
    line.thread.start()
    try:
        yield
    finally:
        _current = None
        line.ended.set()
        line.thread.join(1)
        line.clear()


def note(text: str) -> None:
    """Says how far the work has come."""
    if _current is not None:
        _current.said = text


@contextmanager
def held_back() -> Generator[None]:
    """A context in which something else is shown."""
    line = _current
    if line is None:
        yield
        return
    line.held += 1
    line.clear()
    try:
        yield
    finally:
        line.held -= 1

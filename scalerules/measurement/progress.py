"""A progress bar with the remaining time on standard error, for work that takes more than two seconds."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack

from scalerules.boundary.working import held_back, note

PATIENCE = 2.0
"""Seconds before a bar appears."""


class Progress:
    """A bar over `total` units of work that appears after two seconds, on a terminal only, and goes when it is done.

    Elsewhere it is told to the line of `working`, if there is one.
    """

    def __init__(self, total: float, wanted: bool, what: str = "measuring") -> None:
        from rich import progress
        from rich.console import Console

        console = Console(stderr=True)
        columns = (
            progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TaskProgressColumn(),
            progress.TimeRemainingColumn(), progress.TextColumn("left"),
        )  # fmt: skip
        self.shown = wanted and sys.stderr.isatty()
        self.bar = progress.Progress(*columns, console=console, transient=True)
        self.task = self.bar.add_task(what, total=total)
        self.total, self.done, self.instead = total or 1.0, 0.0, ExitStack()
        self.since, self.started = time.monotonic(), False

    def __enter__(self) -> Progress:
        return self

    def __call__(self, what: str, done: float = 1) -> None:
        """Says what was done last, and how many units of work that was."""
        self.done += done
        note(f"{what}, {self.done / self.total:.0%}")
        self.bar.update(self.task, advance=done, description=what)
        if self.shown and not self.started and time.monotonic() - self.since > PATIENCE:
            self.started = True
            self.instead.enter_context(held_back())
            self.bar.start()

    def __exit__(self, *_: object) -> None:
        if self.started:
            self.bar.stop()
        self.instead.close()

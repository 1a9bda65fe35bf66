"""A file (SQLite) in which finished work is kept: each result is whole and on the disk, or not there at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from scalerules.catalogue.user_code import kind_of
from scalerules.errors import ScaleRulesError

BUSY = 60.0
"""Seconds to wait for another process that writes to the same file."""


class KeptFile:
    """The tables of a file, or of memory for this call where no file is named.

    Each statement is one transaction, on the disk when `write` returns: a kill at any moment loses what has not
    finished and nothing else. Several processes may use one file at the same time. Raises `ScaleRulesError` where the
    file cannot be used, or is of a newer version.
    """

    def __init__(self, path: str | Path | None, version: int, tables: Iterable[str]) -> None:
        if not (path is None or isinstance(path, (str, Path))):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ScaleRulesError(f"store= is {kind_of(path)}, not the name of a file", hint="store='runs.sqlite'")
        self.path, self._lock = path, Lock()
        try:
            # joblib takes the next runs from threads of its own; the lock keeps them apart
            self._file = sqlite3.connect(
                str(path or ":memory:"), timeout=BUSY, isolation_level=None, check_same_thread=False
            )
            self._file.execute("PRAGMA trusted_schema=OFF")  # nothing that a file brings along is run
            self._check_version(self._file.execute("PRAGMA user_version").fetchone()[0], version)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=FULL")
            for table in tables:
                self._file.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            self._file.execute(f"PRAGMA user_version={version}")
        except sqlite3.Error as error:
            hint = "name a new file, or one that an earlier sweep wrote"
            raise ScaleRulesError(f"cannot keep runs in {str(path)!r}: {error}", hint=hint) from None

    def _check_version(self, there: int, known: int) -> None:
        if there > known:
            what = f"it is of version {there}, and this scalerules knows {known}"
            hint = "install a newer scalerules, or name another file"
            raise ScaleRulesError(f"cannot keep runs in {str(self.path)!r}: {what}", hint=hint)

    @contextmanager
    def _told(self) -> Generator[None]:
        """A full disk, or a lock that is never given back, as a message."""
        try:
            yield
        except sqlite3.Error as error:
            hint = "what was kept before is still there; the same command goes on"
            raise ScaleRulesError(f"cannot use {str(self.path)!r}: {error}", hint=hint) from None

    def write(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Carries out a statement for every row."""
        with self._lock, self._told():
            self._file.executemany(statement, rows)

    def read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that a statement asks for."""
        with self._lock, self._told():
            return self._file.execute(statement, values).fetchall()

    def unreadable(self, key: str, error: Exception) -> ScaleRulesError:
        """A row that was tampered with, as a message."""
        what = f"the run {key} in {str(self.path)!r} cannot be read: {str(error)[:80]}"
        return ScaleRulesError(what, hint="delete that row, or name another file")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

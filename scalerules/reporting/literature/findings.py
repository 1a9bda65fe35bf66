"""What a paper says beside what is derived, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .records import Record
from .rows import Row

Verdict = Literal["agrees", "differs", "unexplained", "not derived"]


_WORST_FIRST: tuple[Verdict, ...] = ("not derived", "unexplained", "differs")


@dataclass(frozen=True)
class Checked:
    """One check of a record in one setting: its rows, or the message that says why it could not be derived."""

    setting: str
    rows: tuple[Row, ...]
    error: str = ""

    @property
    def verdict(self) -> Verdict:
        """`differs` where every difference has its reason, `unexplained` where one has not."""
        if self.error:
            return "not derived"
        if all(row.agrees for row in self.rows):
            return "agrees"
        return "differs" if all(row.agrees or row.why for row in self.rows) else "unexplained"


@dataclass(frozen=True)
class Finding:
    """One record with its checks; `seconds` is the processor time that deriving it took."""

    record: Record
    checked: tuple[Checked, ...]
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of its checks."""
        verdicts = {checked.verdict for checked in self.checked}
        for verdict in _WORST_FIRST:
            if verdict in verdicts:
                return verdict
        return "agrees"

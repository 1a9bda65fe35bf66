"""The findings about all papers, and whether they agree."""

from __future__ import annotations

from dataclasses import dataclass

from .findings import Finding
from .rows import Row


@dataclass(frozen=True)
class Comparison:
    """All findings, in the order of the file. `complete` is false where the run was interrupted."""

    findings: tuple[Finding, ...]
    complete: bool = True

    @property
    def verdict(self) -> bool:
        """Whether every record was derived, and agrees or differs for a stated reason."""
        return self.complete and all(f.verdict in ("agrees", "differs") for f in self.findings)

    @property
    def rows(self) -> list[Row]:
        """Every compared exponent."""
        return [row for finding in self.findings for checked in finding.checked for row in checked.rows]

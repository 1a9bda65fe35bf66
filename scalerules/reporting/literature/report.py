"""The report on published rules: the comparison, for a terminal, for the documentation, and as JSON."""

from __future__ import annotations

from . import views
from .comparison import Comparison


class Report(Comparison):
    """What `scalerules.published` returns."""

    def to_table(self) -> str:
        """The report for a terminal."""
        return views.table(self)

    def to_markdown(self) -> str:
        """The report as a page of the documentation."""
        return views.markdown(self)

    def to_json(self) -> str:
        """The report as JSON."""
        return views.to_json(self)

"""A page of the site: where it stands, its text, and what every generated page has in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """`path` under the folder of pages, ending in .md; `text` is Markdown, HTML in it allowed.

    `script`: what stands beside the page under the same name ending in .js; as text of the page it would be parsed.
    """

    path: str
    title: str
    text: str
    script: str = ""


def titled(title: str, *parts: str) -> str:
    """The text of a page: its title, then its parts with empty lines between."""
    return "\n\n".join([f"# {title}", *(part.strip("\n") for part in parts if part)]) + "\n"


def raw(html: str) -> str:
    """HTML that Markdown leaves as it is: one block without empty lines."""
    named = html.replace("<table>", '<table class="sr-table">')  # the theme wraps and restyles those without a class
    return f'<div class="sr">{named}</div>'.replace("\n\n", "\n&#10;")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    return "\n".join(lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows])

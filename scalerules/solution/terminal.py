"""A derivation and its glossary for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from .answer import Answer
from .passes import tables
from .views import columns, heading


def derived(solution: Answer) -> str:
    """The conditions and the passes, a table each."""
    derivation = solution.derivation
    if derivation is None:
        return f"{heading(solution)}\n\nThere is no derivation here: derive again to see how it follows.\n"
    parts = [heading(solution)]
    parts += [f"{table.title}\n\n{columns([table.heads, *table.rows])}" for table in tables(derivation)]
    return "\n\n".join(parts)


def defined(words: Sequence[tuple[str, str]]) -> str:
    """Words with what they mean."""
    width = max(len(word) for word, _ in words) + 2
    indent = " " * width
    filled = (textwrap.fill(t, 110, initial_indent=w.ljust(width), subsequent_indent=indent) for w, t in words)
    return "\n".join(filled) + "\n"

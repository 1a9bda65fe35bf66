"""A page in one file: style, script and data stand in it, and nothing is loaded from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
STYLES = ("tokens.css", "page.css", "drawing.css")
"""Colours, what a page of its own needs, and drawings; the site takes the first and the last beside its theme's."""


def read(name: str) -> str:
    """The text of a style sheet or script of this folder."""
    return (FOLDER / name).read_text(encoding="utf-8")


def page(title: str, body: str, script: str = "", data: Any = None) -> str:
    """The whole page: `title` is plain text, `body` HTML from the heading on, `data` what the script reads as JSON."""
    style = "".join(map(read, STYLES))
    held = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    loaded = f'<script id="data" type="application/json">{held}</script>' if data is not None else ""
    loaded += f"<script>{script}</script>" if script else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>\n'
        f"<body><main>{body}</main>{loaded}</body></html>\n"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], style: str = "") -> str:
    """A table of HTML cells; a cell that brings its own `<td` or `<th` is taken as it is."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in heads)
    lines = ("".join(c if c.startswith(("<td", "<th")) else f"<td>{c}</td>" for c in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll {style}" tabindex="0">{whole}</div>'  # what scrolls has to be reached by the keyboard

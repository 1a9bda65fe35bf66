"""Reports in a notebook: what rich draws for a terminal, as HTML."""

from __future__ import annotations

import io
from typing import Any

WIDTH = 140
"""Characters in a line."""


def shown(renderable: Any) -> str:
    """A rich table as HTML that needs no style of the page around it."""
    from rich.console import Console

    console = Console(record=True, file=io.StringIO(), width=WIDTH)
    console.print(renderable)
    return console.export_html(inline_styles=True, code_format="<pre style='line-height:1.3'>{code}</pre>")

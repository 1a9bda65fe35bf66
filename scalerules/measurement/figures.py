"""Figures as files: what can be drawn is known before the work, and a file is whole or not there."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

from scalerules.boundary.files import destination, replaced
from scalerules.errors import MissingExtra, ScaleRulesError, UnknownName

PAGES = (".html", ".htm")
IMAGES = ("png", "svg", "pdf", "jpg", "jpeg", "webp", "tif", "tiff", "ps", "eps")


def drawable(path: str) -> str:
    """The ending of a figure's file, or of a page's, where it can be drawn and written.

    Raises `ScaleRulesError` where it cannot, `MissingExtra` without matplotlib.
    """
    ending = Path(path).suffix.lower().removeprefix(".")
    endings = (*IMAGES, *(page.removeprefix(".") for page in PAGES))
    if not ending:
        raise ScaleRulesError("has no ending that says what kind of figure it is", where=path, hint="such as x.svg")
    if ending not in endings:
        raise UnknownName("kind of figure", f".{ending}", [f".{name}" for name in endings], where=path)
    if ending in IMAGES and importlib.util.find_spec("matplotlib") is None:
        raise MissingExtra("drawing a figure", "plot")
    destination(path)
    return ending


def draw(figure: Any, path: str, **options: Any) -> None:
    """Writes a figure of matplotlib, whole or not at all."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format=drawable(path), **options)
    replaced(path, drawn.getvalue())

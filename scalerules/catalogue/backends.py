"""Backends found by name: whatever package in `backends/` has a function `emit` on its face."""

from __future__ import annotations

import importlib
import re
from types import ModuleType

from scalerules.errors import UnknownName

from .folders import folder


def backends() -> list[str]:
    """Names of the packages that carry a solution into a framework: those with a function `emit`."""
    with_emit = re.compile(r"^def emit\b|^from .* import .*\bemit\b", re.MULTILINE)
    faces = sorted(folder("backends").glob("[a-z]*/__init__.py"))
    return [face.parent.name for face in faces if with_emit.search(face.read_text(encoding="utf-8"))]


def backend(name: str) -> ModuleType:
    """The package `backends/<name>`. Raises `UnknownName`."""
    if name not in backends():
        raise UnknownName("backend", name, backends())
    return importlib.import_module(f"scalerules.backends.{name}")

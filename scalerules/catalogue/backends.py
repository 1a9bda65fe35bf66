"""Backends found by file name: whatever in `backends/` has a function `emit`."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

from scalerules.errors import UnknownName

from .folders import folder, names_in


def backends() -> list[str]:
    """Names of the files that carry a solution into a framework: those with a function `emit`."""
    with_emit = re.compile(r"^def emit\b|^from .* import .*\bemit\b", re.MULTILINE)
    files = {name: folder("backends") / f"{name}.py" for name in names_in("backends")}
    return [name for name, file in files.items() if with_emit.search(file.read_text(encoding="utf-8"))]


def backend(name: str) -> ModuleType:
    """The module `backends/<name>.py`. Raises `UnknownName`."""
    if name not in backends():
        raise UnknownName("backend", name, backends())
    return importlib.import_module(f"scalerules.backends.{name}")

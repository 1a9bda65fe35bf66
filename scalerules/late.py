"""Faces that import nothing at once: a name is looked up in its module when it is first used.

`import scalerules` is quick so, and a command that trains nothing does not wait for torch and the plots.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def late(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` (PEP 562) of a package whose names live in these modules of it; it raises `AttributeError`."""

    def look_up(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return look_up

"""The folders `graphs` and `backends`, in a checkout or in site-packages."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

from scalerules.errors import ScaleRulesError


def folder(part: str) -> Path:
    """The folder of `scalerules.graphs` or `scalerules.backends`, in a checkout or in site-packages."""
    spec = importlib.util.find_spec(f"scalerules.{part}")
    if spec is None or not spec.submodule_search_locations:
        raise ScaleRulesError(f"the folder {part}/ is not installed", hint="pip install --editable . in the checkout")
    return Path(next(iter(spec.submodule_search_locations)))


def headline(file: Path) -> str:
    """The first line of the docstring of a Python file, which is not run."""
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def names_in(part: str) -> list[str]:
    """The names of the files in a folder, sorted."""
    return sorted(file.stem for file in folder(part).glob("[a-z]*.py"))

"""The reference: every public name from its docstring, every command from its help."""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Iterator
from typing import Any

import scalerules
from scalerules.commands.common import COMMANDS
from scalerules.commands.main import main

from .page import Page, titled

FOLDER = "reference"
WIDE = 90


def reference_pages() -> list[Page]:
    """The Python interface, and the command line."""
    names = [part for name in sorted(scalerules.__all__, key=str.lower) for part in _documented(name)]
    lead = "Everything that `import scalerules as sr` has, from the docstrings."
    commands = [part for name in COMMANDS for part in (f"## scalerules {name}", f"```text\n{_help(name)}\n```")]
    return [
        Page(f"{FOLDER}/python.md", "Python", titled("Python reference", lead, *names)),
        Page(f"{FOLDER}/commands.md", "Command line", titled("Commands", "What `--help` says.", *commands)),
    ]


def _documented(name: str) -> Iterator[str]:
    thing = getattr(scalerules, name)
    yield f"## {name}"
    yield f"```python\n{_signature(name, thing)}\n```"
    yield _text(thing)
    if inspect.isclass(thing):
        for method, function in inspect.getmembers(thing, inspect.isfunction):
            if not method.startswith("_") and function.__module__.startswith("scalerules") and function.__doc__:
                yield f"### {name}.{method}"
                yield f"```python\n{_signature(method, function)}\n```"
                yield _text(function)


def _signature(name: str, thing: Any) -> str:
    """A call as a reader would write it, a parameter a line where one line is too short."""
    try:
        found = inspect.signature(thing)
    except ValueError:
        return name
    text = f"{name}{found}"
    if len(text) >= WIDE:
        parts = [str(parameter) for parameter in found.parameters.values()]
        kinds = [parameter.kind for parameter in found.parameters.values()]
        if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
            parts.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
        inside = "".join(f"    {part},\n" for part in parts)
        text = f"{name}(\n{inside})" + (f" -> {found.return_annotation}" if isinstance(
            found.return_annotation, str) else "")  # fmt: skip
    return text.replace("scalerules.", "").replace("'", "")


def _text(thing: Any) -> str:
    return inspect.getdoc(thing) or ""


def _help(name: str) -> str:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        main([name, "--help"])
    return shown.getvalue().strip()

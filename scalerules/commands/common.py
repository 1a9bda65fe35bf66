"""What the commands share: the table that they stand in, the kinds of their arguments, and how text is written.

To add a command: write a function with a docstring (its help) and put `@command` above it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from scalerules.boundary.files import destination
from scalerules.measurement.figures import drawable

from .options import Question, Trained
from .output import stream

F = TypeVar("F", bound=Callable[..., int])


COMMANDS: dict[str, Callable[..., int]] = {}


def writable(_: object, file: str | None) -> None:
    """Raises `ScaleRulesError` for a place that cannot be written: told before the work, not after it."""
    destination(file)


def figure(_: object, file: str | None) -> None:
    """Raises `ScaleRulesError` for a name that neither a figure nor a page can be written to."""
    if file is not None:
        drawable(file)


Output = Annotated[
    str | None,
    Parameter(name=["-o", "--output"], validator=writable, help="The file to write, whole or not at all."),
]
GraphName = Annotated[str, Parameter(help="A catalogue name, a path to .py, .yaml or .json, or module:factory.")]
Asked = Question()
AskedToTrain = Trained()


def command(function: F) -> F:
    """Offers the function as a command."""
    COMMANDS[function.__name__.rstrip("_")] = function
    return function


def version() -> str:
    """The installed version."""
    from importlib import metadata

    return metadata.version("scalerules")


def call_of(method: str) -> Callable[[Any], str]:
    """What calls a method of a solution by its name."""
    return lambda solution: getattr(solution, method)()


def ended(text: str) -> str:
    """A text that ends with a line's end."""
    return text if text.endswith("\n") else text + "\n"


def warn(warnings: Iterable[str]) -> None:
    """Prints warnings on standard error, a line each."""
    for warning in warnings:
        print(f"scalerules: warning: {warning}", file=sys.stderr)


def rich_text(renderable: Any) -> str:
    """What rich draws, as text: as wide as the terminal, and never cut off where it goes into a file or a pipe."""
    import io
    import shutil

    from rich.console import Console

    shown, encoding = False, "utf-8"
    with suppress(OSError):  # closed: it is told when it is written
        shown, encoding = stream().isatty(), stream().encoding or encoding
    drawn = io.BytesIO()
    # rich draws boxes of signs that the encoding has
    file = io.TextIOWrapper(drawn, encoding=encoding, errors="plain")
    wide = shutil.get_terminal_size().columns if shown else 200
    Console(file=file, width=wide, force_terminal=shown).print(renderable)
    file.flush()
    text = drawn.getvalue().decode(file.encoding)
    return "".join(line.rstrip() + "\n" for line in text.splitlines())

"""The command line: what a user types becomes a call of a command, its text, and an exit status.

The commands themselves are in `scalerules.commands`. Exit 0: done; 1: a negative verdict; 2: a user's mistake.
"""

from __future__ import annotations

import errno
import inspect
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from scalerules.boundary.guard import limits
from scalerules.boundary.working import working
from scalerules.errors import ScaleRulesError

from . import derive, measure, read  # each enters its commands
from .common import COMMANDS, version
from .output import reserved

assert derive and measure and read

if TYPE_CHECKING:
    from cyclopts import App

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
"""What a system says of a disk that takes no more."""

WHOLE = ("--steps", "--seed", "--seeds", "--graphs", "--jobs")
"""Options that count."""

HELP = """Derives how initialisation, multipliers and learning rates scale with width, depth, state size.

GRAPH is a name of the catalogue (scalerules list), a path to .py, .yaml or .json, or module:factory.

For example:
  scalerules derive mlp
  scalerules derive mamba --optimizer adamw
  scalerules COMMAND --help
"""


def application() -> App:
    """The command line with all commands."""
    from cyclopts import App

    app = App(name="scalerules", help=HELP, help_format="plaintext", version=version)
    for name, function in COMMANDS.items():
        app.command(function, name=name, help=inspect.getdoc(function))
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that `arguments` (by default those of the process) name; returns the exit status."""
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments), arguments is None)
        if sys.stdout:
            sys.stdout.flush()
        return status
    except ScaleRulesError as error:
        return _ended(str(error), error.exit_status)
    except BrokenPipeError:
        # The reader (head, less) has seen enough; what is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        if error.filename is None and error.errno not in FULL:
            raise
        return _ended(f"{error.filename or 'cannot write'}: {error.strerror}", 2)
    except MemoryError as error:
        text = " ".join(str(error).split())
        return _ended(f"there is not enough memory{f': {text}' if text else ''}", 2)
    except RecursionError:
        return _ended("this is nested too deeply", 2)
    except KeyboardInterrupt:
        return _ended("interrupted", 130)


def _ended(text: str, status: int) -> int:
    """Says why it ends; a standard error that is closed or full says nothing."""
    with suppress(OSError, ValueError):
        print(f"scalerules: {text}", file=sys.stderr, flush=True)
    return status


def _run(arguments: list[str], for_good: bool) -> int:
    from cyclopts import CycloptsError

    app = application()
    arguments = _joined(arguments)
    _check_whole(arguments)
    try:
        command, bound, *_ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        named = [name for name in arguments[:1] if name in app]
        raise ScaleRulesError(str(error), hint=f"see scalerules {' '.join([*named, '--help'])}") from None
    if command not in COMMANDS.values():  # help, version
        command(*bound.args, **bound.kwargs)
        return 0
    shown = " ".join(text[:40] for text in arguments[:2])
    with reserved(for_good), limits(), working(shown, not bound.arguments.get("quiet")):
        status: Any = command(*bound.args, **bound.kwargs)
    return status if isinstance(status, int) else 0


def _check_whole(arguments: Sequence[str]) -> None:
    """Raises `ScaleRulesError` for a number of things that is no whole number: the parser would round it."""
    words = [part for text in arguments for part in (text.split("=", 1) if text.startswith("--") else [text])]
    for option, text in zip(words, words[1:], strict=False):
        if option in WHOLE and re.fullmatch(r"[-+]?\d*\.\d*", text):
            raise ScaleRulesError(f"{option} {text} is not a whole number")


def _joined(arguments: Sequence[str]) -> list[str]:
    """`--sizes -64,128` as `--sizes=-64,128`: a number behind an option is its value, whatever its sign."""
    joined: list[str] = []
    for text in arguments:
        if joined and re.match(r"-(\d|\.\d|inf|nan)", text, re.IGNORECASE) and re.fullmatch(r"--[\w-]+", joined[-1]):
            joined[-1] += f"={text}"
        else:
            joined.append(text)
    return joined

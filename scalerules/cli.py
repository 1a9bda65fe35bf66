"""The command line: what a user types becomes a call of a command, its text, and an exit status.

The commands themselves are in `scalerules.commands`. Exit 0: done; 1: a negative verdict; 2: a user's mistake.
"""

from __future__ import annotations

import inspect
import os
import stat
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ScaleRulesError

if TYPE_CHECKING:
    from cyclopts import App

HELP = """Derives how initialisation, multipliers and learning rates scale with width, depth, state size.

GRAPH is a name of the catalogue (scalerules list), a path to .py, .yaml or .json, or module:factory.

For example:
  scalerules derive mlp
  scalerules derive mamba --optimizer adamw
  scalerules COMMAND --help
"""


def application() -> App:
    """The command line with the commands whose parts are there."""
    from cyclopts import App

    from .commands import COMMANDS, version

    app = App(name="scalerules", help=HELP, help_format="plaintext", version=version)
    for name, function in COMMANDS.items():
        app.command(function, name=name, help=inspect.getdoc(function))
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that `arguments` (by default those of the process) name; returns the exit status."""
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return status
    except ScaleRulesError as error:
        print(f"scalerules: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        # The reader (head, less) has seen enough; what is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        print(f"scalerules: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("scalerules: interrupted", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    from cyclopts import CycloptsError

    app = application()
    try:
        command, bound, *_ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        known = [name for name in arguments[:1] if name in app]
        raise ScaleRulesError(str(error), hint=f"see scalerules {' '.join([*known, '--help'])}") from None
    status: Any = command(*bound.args, **bound.kwargs)
    return status if isinstance(status, int) else 0


def write(text: str, file: str | None) -> None:
    """Writes a result to standard output or to `file`: all of it or, if anything goes wrong, nothing."""
    path = destination(file)
    if path is None:
        sys.stdout.write(text)
        return
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        path.write_text(text, encoding="utf-8")
        return
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(temporary, _mode(path))
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def destination(file: str | None) -> Path | None:
    """The file to write, None for standard output. Raises `ScaleRulesError` where nothing could be written."""
    if file is None or file == "-":
        return None
    path = Path(file).expanduser().resolve()  # a link stays a link
    if not path.parent.is_dir():
        raise ScaleRulesError(f"there is no folder {str(path.parent)!r}", hint="make it first")
    if path.is_dir():
        raise ScaleRulesError(f"{file!r} is a folder", hint="name a file in it")
    return path


def _mode(path: Path) -> int:
    """Permissions of the file that is replaced, or those that a new file gets."""
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask

"""Files that a user named: whether they can be written is known before the work; they are whole, or as before."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from scalerules.errors import ScaleRulesError


def replaced(file: str, content: bytes) -> None:
    """Writes a file: it is there whole, or as it was before."""
    path = Path(file).expanduser().resolve()
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        path.write_bytes(content)
        return
    handle, temporary = tempfile.mkstemp(prefix=_prefix(path), dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file_there:
            file_there.write(content)
        os.chmod(temporary, _mode(path))
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def destination(file: str | None) -> Path | None:
    """The file to write, None for standard output. Raises `ScaleRulesError` where nothing could be written."""
    if file is None or file == "-":
        return None
    try:
        path = Path(file).expanduser().resolve()  # a link stays a link
        there = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ScaleRulesError(f"cannot write {file[:60]!r}: {text}") from None
    if not path.parent.is_dir():
        raise ScaleRulesError(f"there is no folder {str(path.parent)!r}", hint="make it first")
    if path.is_dir():
        raise ScaleRulesError(f"{file!r} is a folder", hint="name a file in it")
    if not there or path.is_file():
        _try(path, file)
    elif not os.access(path, os.W_OK):
        raise ScaleRulesError(f"cannot write {file!r}: Permission denied")
    return path


def folder(name: str) -> None:
    """Makes a folder, where it is not there. Raises `ScaleRulesError` where nothing could be written into it."""
    try:
        Path(name).expanduser().mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        text = error.strerror if isinstance(error, OSError) else str(error)
        raise ScaleRulesError(f"cannot make the folder {name[:60]!r}: {text}") from None
    _try(Path(name).expanduser() / "file", name)


def _try(path: Path, file: str) -> None:
    """Makes a file beside `path` and takes it away again. Raises `ScaleRulesError` where that does not go."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=_prefix(path), dir=path.parent)
        os.close(handle)
        os.unlink(temporary)
    except OSError as error:
        raise ScaleRulesError(f"cannot write {file!r}: {error.strerror}", hint="name another place") from None


def _prefix(path: Path) -> str:
    return f".{path.name[:60]}."


def _mode(path: Path) -> int:
    """Permissions of the file that is replaced, or those that a new file gets."""
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask

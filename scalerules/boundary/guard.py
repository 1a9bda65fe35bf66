"""What a user's code may do while it runs: take a limited time and memory, and neither end nor double the program.

`guarded` is put around every call of a user's code: files that are loaded, factories, make_inputs, optimizers of one's
own. Exceptions pass through; who calls turns them into messages. Limits hold on the command line only (`limits`): in
Python the user's program has its own.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NoReturn

from scalerules.errors import ScaleRulesError

from .memory import available, held

SECONDS = 300.0
"""How long one call of a user's code may take."""
AGAIN = 5.0
"""Seconds after which code that catches the message too is ended with the program."""
RESERVE = 0.8
"""The part of the memory that is free which a user's code may take."""

_limited = False
_inside = False


class Endless(ScaleRulesError):
    """A user's code took too long; trying it again would take as long again."""


class TooLong(BaseException):
    """A user's code takes too long; nothing that catches exceptions on the way should catch it."""


@contextmanager
def limits() -> Generator[None]:
    """A context in which a user's code has limited time and memory."""
    global _limited
    before, _limited = _limited, True
    try:
        yield
    finally:
        _limited = before


@contextmanager
def guarded(what: str) -> Generator[None]:
    """Runs a user's code, which messages call `what`, such as `build() of my.py`.

    It cannot leave another working folder, standard output or `os._exit` behind; a process that it forks ends with it.
    Raises `ScaleRulesError` where it takes too long.
    """
    global _inside
    if _inside:  # a file that loads another one
        yield
        return
    process, folder, streams, leave = os.getpid(), _folder(), (sys.stdout, sys.stderr), os._exit

    def exits(status: int) -> NoReturn:
        if os.getpid() != process:
            leave(status)
        raise SystemExit(f"os._exit({status})")

    _inside = True
    os._exit = exits
    try:
        with _time(what, process, leave), _memory():
            yield
    except TooLong:
        raise Endless(f"{what} takes more than {SECONDS:g} s", hint="let it do less, or run it in Python") from None
    except (Exception, SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # of a kind of its own, which nothing further up would catch
        raise ScaleRulesError(said(error)) from error
    finally:
        os._exit = leave
        if os.getpid() != process:
            leave(0)
        _inside = False
        sys.stdout, sys.stderr = streams
        if folder is not None and folder != _folder():
            os.chdir(folder)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


@contextmanager
def _time(what: str, process: int, leave: Callable[[int], NoReturn]) -> Generator[None]:
    """Raises `TooLong` inside after the time is up; ends the program where the code goes on all the same."""
    main = threading.current_thread() is threading.main_thread()
    if not _limited or not main or not hasattr(signal, "SIGALRM"):
        yield
        return
    told, until = 0, time.monotonic() + SECONDS

    def stop(_: int, __: types.FrameType | None) -> None:
        nonlocal told
        if (left := until - time.monotonic()) > 0:  # an alarm that the code has set itself
            signal.setitimer(signal.ITIMER_REAL, left, AGAIN)
            return
        told += 1
        if told > 1 or os.getpid() != process:
            os.write(2, f"scalerules: {what} takes more than {SECONDS:g} s and does not end\n".encode())
            leave(2)
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _memory() -> Generator[None]:
    """Makes allocations fail inside that go beyond the memory that is free, before the system kills the program."""
    free, now = (available(), held()) if _limited else (None, None)
    if free is None or now is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = now + int(RESERVE * free)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def said(error: BaseException) -> str:
    """An exception of a user's code in one line."""
    try:
        text: Any = getattr(error, "msg", None) if isinstance(error, SyntaxError) else str(error)
    except Exception:  # its __str__ fails
        text = ""
    line = " ".join(str(text or "").split())
    line = line if len(line) <= 300 else f"{line[:297]}..."
    return f"{type(error).__name__}: {line}" if line else type(error).__name__

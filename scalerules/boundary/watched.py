"""A program that runs a user's code in a child process, so that a crash of the process is told and not only happens.

Nothing inside of a process can say that it crashed. The program forks before it has done anything, which costs about a
millisecond; the child goes on as the program, and the parent waits, passes signals on and says how the child ended.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import IO

CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")
PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<name>\S+)')
OURS = re.compile(rf"/(torch|site-packages|lib/python[\d.]+)/|^{re.escape(str(Path(__file__).parent.parent))}/")
"""Files that are not the user's. A folder of his may have the name of this package, as a checkout has."""
HINT = "run forward() on these inputs alone; small sizes may do"
"""What to do about a crash."""


def watched() -> int | None:
    """None in the child, which is to go on; in the parent, the exit status, once the child has ended."""
    if not hasattr(os, "fork"):
        return None
    trail = tempfile.TemporaryFile()  # noqa: SIM115  # kept open in both processes
    child = os.fork()
    if not child:
        tell_crashes(trail)
        return None
    for name in PASSED_ON:
        signal.signal(getattr(signal, name), lambda number, _: _pass_on(child, number))
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return os.waitstatus_to_exitcode(status)
    return _ended(os.WTERMSIG(status), trail)


def tell_crashes(trail: IO[bytes]) -> None:
    """From now on a crash of this process writes there where it was, for `crash_of`."""
    faulthandler.disable()  # a library may have taken its handlers since it was enabled
    faulthandler.enable(trail)


def _pass_on(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


def _ended(number: int, trail: IO[bytes]) -> int:
    """Says what a signal ended; ends by the same one where that is no crash."""
    if crash := crash_of(number, trail):
        place, what = crash
        print(f"scalerules: {place}{': ' if place else ''}{what}\n  hint: {HINT}", file=sys.stderr)
        return 2
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


def crash_of(number: int, trail: IO[bytes]) -> tuple[str, str] | None:
    """Where a signal crashed a process, and what to say of it; None where it was ended by another one.

    The place is the innermost line of the user's in what `faulthandler` wrote, most recent call first; "" without one.
    """
    name = signal.Signals(number).name
    if name not in CRASHES:
        return None
    trail.seek(0)
    written = FRAME.finditer(trail.read().decode(errors="replace"))
    frames = [each for each in written if not OURS.search(each["file"])]
    place = f"{frames[0]['file']}:{frames[0]['line']} {frames[0]['name']}" if frames else ""
    return place, f"the process crashed ({name}), in compiled code that the module calls"

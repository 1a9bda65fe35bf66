"""Work that runs a user's code in a process of its own and gives its result back, so that a crash is an exception.

The work is forked, not started anew: it sees everything that is there. What it changes in memory stays behind, and code
that needs a graphics card which this process uses already cannot run there.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import tempfile
from collections.abc import Callable
from typing import IO, Any, TypeVar, cast

from scalerules.errors import ScaleRulesError

from .guard import limits, said
from .watched import HINT, crash_of, tell_crashes

Result = TypeVar("Result")

FIELDS = ("what", "where", "hint", "file", "line", "column")
"""What an error that comes out of the process is told with."""


def isolated(work: Callable[[], Result]) -> Result:
    """What `work` returns, computed in a forked process; it has the limits of time and memory of the command line.

    Raises `ScaleRulesError` where the process crashes, is killed, or ends before its time, and what `work` raises.
    """
    if not hasattr(os, "fork"):
        raise ScaleRulesError("this system has no fork", hint="trace without isolated=True, or on the command line")
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as returned, tempfile.TemporaryFile() as trail:
        child = os.fork()
        if not child:
            _run(work, returned, trail)
        status = _waited(child)
        if os.WIFSIGNALED(status):
            raise _ended_by(os.WTERMSIG(status), trail)
        returned.seek(0)
        data = returned.read()
    if not data:
        what = f"the module ends the process with status {os.waitstatus_to_exitcode(status)}"
        raise ScaleRulesError(what, hint="take out what ends it, or takes for ever")
    fine, result = pickle.loads(data)
    if fine:
        return cast(Result, result)
    raise ScaleRulesError(**result)


def _run(work: Callable[[], Any], returned: IO[bytes], trail: IO[bytes]) -> None:
    """The forked process: does the work, writes what came of it, and ends."""
    try:
        tell_crashes(trail)
        if (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(1)  # the threads of a pool are not forked
        try:
            with limits():
                answer = (True, work())
        except ScaleRulesError as error:
            answer = (False, {name: getattr(error, name) for name in FIELDS})
        except BaseException as error:
            answer = (False, {"what": said(error)})
        pickle.dump(answer, returned)
        returned.flush()
    finally:
        os._exit(0)


def _waited(child: int) -> int:
    try:
        return os.waitpid(child, 0)[1]
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise


def _ended_by(number: int, trail: IO[bytes]) -> ScaleRulesError:
    if crash := crash_of(number, trail):
        place, what = crash
        return ScaleRulesError(what, where=place or None, hint=HINT)
    what = f"the process was ended ({signal.Signals(number).name})"
    return ScaleRulesError(what, hint="it may have taken all memory; try smaller sizes")

"""`python -m scalerules` is the command `scalerules`."""

from __future__ import annotations

import os
import signal
import sys
import threading

PATIENCE = 10.0
"""Seconds that threads which a user's code has left may take to end, once everything is done."""


def main() -> int:
    """Runs the command line; returns the exit status, also where Ctrl-C comes while it is loaded."""
    if any(":" in argument for argument in sys.argv[1:]):  # a factory: its code may crash the process
        from scalerules.boundary.watched import watched

        if (ended := watched()) is not None:
            return ended
    try:
        from scalerules.commands.main import main as run

        status = run()
    except KeyboardInterrupt:
        print("scalerules: interrupted", file=sys.stderr)
        status = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # everything is said
    exec("")  # Python remembers a Ctrl-C that came inside an exec(), of dataclasses or named tuples, until the next one
    end = threading.Timer(PATIENCE, os._exit, (status,))
    end.daemon = True
    end.start()
    return status


if __name__ == "__main__":
    sys.exit(main())

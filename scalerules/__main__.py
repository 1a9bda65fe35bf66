"""`python -m scalerules` is the command `scalerules`."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the command line; returns the exit status, also where Ctrl-C comes while it is loaded."""
    try:
        from scalerules.commands.main import main as run

        return run()
    except KeyboardInterrupt:
        print("scalerules: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

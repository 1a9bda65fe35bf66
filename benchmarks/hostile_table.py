"""A table of hostile inputs: message, exit status, seconds of CPU, peak memory; ends with 1 if one is off.

    python -m benchmarks.hostile_table > table.md      (--more: those of hostile_more.py alone)

Every line of `hostile_inputs.py` and `hostile_more.py` is run by a shell in a folder with their files. Off is: a
traceback, another status than 0, 1, 2 or 130, several lines of message, more than `SECONDS`, more than `MEGABYTES`,
noise in a result, or code that a name has run.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .hostile_inputs import FILES, LINES
from .hostile_more import MORE, MORE_FILES

SECONDS, MEGABYTES = 10.0, 1500
PYTHON = """\
import sys, scalerules as sr
try:
    print({question})
except sr.ScaleRulesError as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
"""
WIDE = 150
"""Characters of a message that are shown."""


@dataclass(frozen=True)
class Row:
    """What became of one line."""

    line: str
    status: int
    said: str
    seconds: float
    memory: float
    result: str = ""

    @property
    def message(self) -> str:
        """The last line of standard error that does not say how far the work is."""
        lines = [line for line in self.said.strip().splitlines() if not re.fullmatch(r"scalerules: .*, \d+ s", line)]
        return (lines or ["(the result)"])[-1]

    @property
    def off(self) -> str:
        """What is wrong with it; empty where nothing is."""
        own = [line for line in self.said.splitlines() if re.match(r"scalerules: (?!warning)(?!.*, \d+ s$)", line)]
        wrong = {
            "traceback": "Traceback" in self.said,
            f"status {self.status}": self.status not in (0, 1, 2, 130),
            "several lines": len(own) > 1,
            "slow": self.seconds > SECONDS,
            "large": self.memory > MEGABYTES,
            "noise": "noise" in self.result,
            "no message": self.status == 2 and not self.said.strip(),
        }
        return ", ".join(what for what, is_so in wrong.items() if is_so)

    def __str__(self) -> str:
        message = self.message if len(self.message) <= WIDE else f"{self.message[: WIDE - 4]} ..."
        cells = (self.line.removeprefix("$ "), message.removeprefix("scalerules: "))
        shown = " | ".join(f"`` {cell} ``".replace("|", "\\|") for cell in cells)
        return f"| {shown} | {self.status} | {self.seconds:.1f} | {self.memory:.0f} |"


def row(line: str, folder: Path) -> Row:
    """Runs a line."""
    if line.startswith("$ "):
        command = f"{shlex.quote(sys.executable)} -c {shlex.quote(PYTHON.format(question=line[2:]))}"
    else:
        command = f"set -o pipefail; {shlex.quote(sys.executable)} -m scalerules {line}"
    error, began = folder / ".stderr", time.monotonic()
    with error.open("wb") as said, (folder / ".stdout").open("wb") as result:
        process = os.posix_spawn(
            "/bin/bash", ["bash", "-c", command], {**os.environ, "OMP_NUM_THREADS": "1"},
            file_actions=[(os.POSIX_SPAWN_DUP2, result.fileno(), 1), (os.POSIX_SPAWN_DUP2, said.fileno(), 2)],
        )  # fmt: skip
        _, status, used = os.wait4(process, 0)
    seconds = min(used.ru_utime + used.ru_stime, time.monotonic() - began)
    text, shown = ((folder / file).read_text(encoding="utf-8", errors="replace") for file in (".stderr", ".stdout"))
    return Row(line, os.waitstatus_to_exitcode(status), text, seconds, used.ru_maxrss / 1024, shown)


def main() -> int:
    """Prints the table."""
    print("| input | message | status | seconds of CPU | MB |\n| --- | --- | --- | --- | --- |")
    bad: list[Row] = []
    lines = [*([] if "--more" in sys.argv else LINES), *MORE]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        for file, text in {**FILES, **MORE_FILES}.items():
            (folder / file).write_bytes(text.encode("utf-8", "surrogateescape"))
        for line in lines:
            found = row(line, folder)
            print(found, flush=True)
            if found.off:
                bad.append(found)
        if (folder / "PWNED").exists():
            print("\na name has run code")
            return 1
    print(f"\n{len(lines)} inputs, {len(bad)} off")
    for found in bad:
        print(f"off ({found.off}): {found.line}\n{found.said[-600:]}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

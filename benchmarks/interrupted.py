"""Ctrl-C and kill -9 at random moments of verify, transfer and fuzz: nothing lost, nothing twice, no half file.

    python -m benchmarks.interrupted [--times 20] [--only verify] [--seed 0]

Each command is started, stopped at a random moment of its length, and started again over what it kept, `--times` times
by each signal. Ctrl-C has to end in one line or in the report of what there is, and status 130; after a kill every file
is whole or not there. At the end the command runs undisturbed and has to report what it reports without any stop.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COMMANDS = {
    "verify": ["verify", "mlp", "--sizes", "16,32,64", "--seeds", "2"],
    "transfer": [
        "transfer", "mlp", "--sizes", "16,32", "--steps", "30", "--seeds", "2", "--lrs", "0.01,0.03,0.1,0.3",
        "--store", "kept",
    ],
    "fuzz": ["fuzz", "--graphs", "2", "--optimizers", "adamw,sgd", "--sizes", "16,32,64", "--store", "kept"],
}  # fmt: skip
TABLE = {"transfer": "runs", "fuzz": "outcomes"}
OUT = "out.json"
PASSING = ("seconds", "cpu_seconds", "runs_made", "interrupted")
"""What a report says of the run and not of the result."""


class Stopped:
    """One command that is stopped again and again, in a folder of its own."""

    def __init__(self, name: str, folder: Path, draw: random.Random) -> None:
        self.name, self.folder, self.draw = name, folder, draw
        self.found, self.wrong = Counter[str](), list[str]()
        self.length, self.whole, self.kept = 0.0, {}, 0

    def start(self) -> subprocess.Popen[str]:
        """The command, in a process group of its own, as a shell starts it."""
        return subprocess.Popen(
            [sys.executable, "-m", "scalerules", *COMMANDS[self.name], "--quiet", "--format", "json", "-o", OUT],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, preexec_fn=heeding,
        )  # fmt: skip

    def undisturbed(self) -> dict[str, Any]:
        """The report of a run that nobody stops."""
        began = time.monotonic()
        _, said = self.start().communicate()
        self.length = time.monotonic() - began
        if not (self.folder / OUT).exists():
            raise SystemExit(f"{self.name} does not run: {said}")
        return plain(json.loads((self.folder / OUT).read_text()))

    def stop(self, how: signal.Signals) -> None:
        """Starts it, stops it at a random moment, and looks at what is left."""
        (self.folder / OUT).unlink(missing_ok=True)
        moment = self.draw.random() * self.length
        began, process = time.monotonic(), self.start()
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, how)
        _, said = process.communicate()
        took = time.monotonic() - began
        late = took - moment
        self.look(how, process.returncode, said, f"{how.name} after {moment:.2f} s")
        if process.returncode in (0, 1):
            self.length = min(self.length, took)
        elif late > 10:
            self.wrong.append(f"{how.name} after {moment:.2f} s: ends {late:.1f} s later")

    def look(self, how: signal.Signals, status: int, said: str, when: str) -> None:
        """Holds what a stop left against what it should leave."""
        file = self.folder / OUT
        report = self.read(file, when) if file.exists() else None
        if "Traceback" in said:
            self.wrong.append(f"{when}: {said[-300:]}")
        if status in (0, 1):
            self.found[f"{how.name}: ended before"] += 1
        elif how == signal.SIGKILL:
            self.found[f"{how.name}: killed"] += 1
        elif status == 130 and report is not None:
            self.found[f"{how.name}: report so far"] += 1
            if not report.get("interrupted"):
                self.wrong.append(f"{when}: the report does not say that it was interrupted")
        elif status == 130 and said.endswith("scalerules: interrupted\n"):
            self.found[f"{how.name}: nothing yet"] += 1
        elif status == -signal.SIGINT and not said:
            self.found[f"{how.name}: before Python was there"] += 1
        else:
            self.wrong.append(f"{when}: status {status}, {said[-200:]!r}")
        left = [path.name for path in self.folder.glob(f".{OUT}.*")]
        self.found["files that a kill left beside it"] += len(left)
        for name in left:
            (self.folder / name).unlink()
        self.count(when)

    def read(self, file: Path, when: str) -> dict[str, Any] | None:
        """A report, which is whole."""
        try:
            return json.loads(file.read_text())
        except ValueError:
            self.wrong.append(f"{when}: half a file")
            return None

    def count(self, when: str) -> None:
        """What is kept grows."""
        if self.name not in TABLE or not (self.folder / "kept").exists():
            return
        try:
            with sqlite3.connect(self.folder / "kept", timeout=30) as kept:
                now = kept.execute(f"SELECT count(*) FROM {TABLE[self.name]}").fetchone()[0]
        except sqlite3.OperationalError:  # no table yet
            now = 0
        if now < self.kept:
            self.wrong.append(f"{when}: {self.kept - now} finished runs are lost")
        self.kept = now
        if now and self.draw.random() < 0.2:  # begins anew now and then, so that stops fall everywhere
            self.twice(when)
            for path in self.folder.glob("kept*"):
                path.unlink()
            self.kept = 0

    def twice(self, when: str) -> None:
        """No run was made again once it was there."""
        if self.name == "transfer":
            asked = "SELECT count(*) FROM starts JOIN runs ON starts.key = runs.key WHERE started > finished"
            with sqlite3.connect(self.folder / "kept", timeout=30) as kept:
                again = kept.execute(asked).fetchone()[0]
            if again:
                self.wrong.append(f"{when}: {again} runs were made twice")


def heeding() -> None:
    """Ctrl-C is heeded, also where this script runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def plain(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what differs from run to run."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in report.get("rows", [])]
    return {key: value for key, value in report.items() if key not in PASSING} | {"rows": rows}


def main(arguments: Sequence[str] | None = None) -> int:
    """Stops every command; prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", choices=list(COMMANDS), action="append")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    bad = 0
    for name in options.only or COMMANDS:
        with tempfile.TemporaryDirectory() as folder:
            stopped = Stopped(name, Path(folder), random.Random(options.seed))
            whole = stopped.undisturbed()
            for path in Path(folder).glob("kept*"):
                path.unlink()
            length = stopped.length
            for how in (signal.SIGINT, signal.SIGKILL):
                for _ in range(options.times):
                    stopped.stop(how)
            if stopped.undisturbed() != whole:
                stopped.wrong.append("the report differs from that of a run that was never stopped")
            said = ", ".join(f"{count} {what}" for what, count in sorted(stopped.found.items()))
            print(f"{name} ({length:.1f} s): {said}; {len(stopped.wrong)} wrong", flush=True)
            print("".join(f"  {line}\n" for line in stopped.wrong), end="", flush=True)
            bad += len(stopped.wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs one model of the lists after the other, each in a process of its own, and keeps what was found in a file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stored import Store
from zoo import ZOO
from zoo_large import LARGE
from zoo_libraries import LIBRARIES
from zoo_more import MORE
from zoo_new import NEW
from zoo_others import OTHERS
from zoo_plain import PLAIN

LISTS = {"zoo": ZOO, "more": MORE, "plain": PLAIN, "new": NEW, "libraries": LIBRARIES, "others": OTHERS, "large": LARGE}
MODELS = {name: entry for models in LISTS.values() for name, entry in models.items()}


def chosen(names: Sequence[str]) -> list[str]:
    """Models by their names or by those of their lists; all of them if none is named."""
    return [name for each in names or LISTS for name in LISTS.get(each, [each])]


def rows(script: str, names: Sequence[str], limit: float, options: Sequence[str], store: Path | None) -> Iterator[Any]:
    """A row for each model: out of the store where it is there, else run and added to it."""
    kept = Store(store)
    for name in names:
        command = [sys.executable, script, "--one", *options, "--limit", str(limit), name]
        yield kept.row(name, partial(last_row, command, name, limit))


def last_row(command: Sequence[str], name: str, limit: float) -> dict[str, Any]:
    """The last row that the process of one model has printed."""
    done = subprocess.run(command, capture_output=True, text=True)
    problem = ""
    if done.returncode == -signal.SIGPROF:
        problem = f"not done after {limit:.0f} s"
    elif done.returncode:
        problem = (done.stderr.strip().splitlines() or ["killed"])[-1]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return (found[-1] if found else {"model": name}) | ({"message": problem[:300]} if problem else {})


def report(row: dict[str, Any]) -> None:
    """Says what is known so far: a time limit leaves it standing."""
    print(json.dumps(row), flush=True)


def stop_after(seconds: float) -> None:
    """Ends this process after so many seconds of a processor."""
    signal.setitimer(signal.ITIMER_PROF, seconds)  # nobody handles it


def table(heads: Sequence[str], found: Iterator[Sequence[Any]]) -> None:
    """Prints a table in Markdown, row by row."""
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads), flush=True)
    for cells in found:
        print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)

"""All benchmarks by one command: `python -m benchmarks [--only PART ...] [--quick]` prints their tables.

Parts: `derive` (growing graphs, catalogue, depth), `verify` (beside mup.coord_check: seconds, and what each finds on
the seven faults), `scan` (the selective scan beside others), `groups` (an optimizer step). None is part of the tests.
Figures are seconds of CPU, one thread; what needs a package that is not there says so and is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PARTS = {"derive": "bench_derive", "verify": "bench_verify", "scan": "bench_scan", "groups": "bench_groups"}
NEEDS = {"verify": "mup"}
QUICK = {"scan": ["--quick"], "verify": ["--repeats", "1"]}


def measured(path: Path, timer: str) -> list[str]:
    """The lines of a pytest-benchmark file: a table per group, the ratio to the first of it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        command = [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "--benchmark-only",
            "--benchmark-quiet", f"--benchmark-timer={timer}", f"--benchmark-json={file}", str(path),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True)
        lines: list[str] = [done.stdout[-2000:], done.stderr[-2000:]] if done.returncode else []
        found = json.loads(file.read_text())["benchmarks"] if file.exists() else []
    for group in dict.fromkeys(b["group"] for b in found):
        rows = [b for b in found if b["group"] == group]
        lines += ["", group]
        for b in rows:
            seconds, first = b["stats"]["median"], rows[0]["stats"]["median"]
            name = b["param"] or b["name"]
            lines.append(f"  {name:34} {seconds:9.3f} s   {seconds / first:6.1f} times the first")
    return lines


def machine() -> str:
    """The class of machine, without names."""
    import torch

    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"


def main() -> int:
    """Prints every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(PARTS), action="append")
    parser.add_argument("--quick", action="store_true", help="few repeats")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(machine(), flush=True)
    for part in options.only or PARTS:
        path = HERE / f"{PARTS[part]}.py"
        print(f"\n=== {part}", flush=True)
        if not path.exists() or (part in NEEDS and importlib.util.find_spec(NEEDS[part]) is None):
            print(f"left out: needs {NEEDS.get(part, path.name)}")
        elif part == "derive":
            print("\n".join(measured(path, "time.process_time")), flush=True)
        else:
            arguments = QUICK.get(part, []) if options.quick else []
            command = [sys.executable, "-m", f"benchmarks.{PARTS[part]}", *arguments]
            subprocess.run(command, cwd=HERE.parent, check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The scripts of `examples/` run as a reader runs them, and the transferred rate is the better one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt", "hugging_face"])
def test_what_is_tuned_small_holds_at_eight_times_the_width(name: str, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", "--quick"],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=500, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert not [line for line in result.stderr.splitlines() if "ModelWarning" in line], result.stderr
    lines = [line for line in result.stdout.splitlines() if line.startswith("width ")]
    losses = [float(found[1]) for line in lines if (found := re.search(r"loss ([\d.]+)$", line))]
    small, plain, transferred = min(losses[:-2]), losses[-2], losses[-1]
    # wider is better when the rate is right; measured over seeds, the two wide runs differ by 0.3 or more
    assert transferred < small and transferred < plain - 0.1, lines


def test_there_are_no_others() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == ["gpt", "hugging_face", "own_loop"]

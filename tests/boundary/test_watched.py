"""A module that crashes the process, or ends it, is a message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
import ctypes, os, torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a = nn.Linear(4, width)

    def forward(self, x):
        {what}
        return self.a(x)

def make_net(width):
    return Net(width)

def make_inputs(width):
    return torch.ones(3, 4)
"""


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("ctypes.string_at(0)", "own.py:11 forward: the process crashed (SIGSEGV)"),
        ("os.abort()", "own.py:11 forward: the process crashed (SIGABRT)"),
        ("os._exit(0)", "forward() ends the program"),
        ("raise SystemExit(3)", "forward() ends the program"),
    ],
)
def test_the_end_of_the_process_is_told(what: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(MODULE.replace("{what}", what))
    command = [sys.executable, "-m", "scalerules", "trace", "own.py:make_net", "--scale", "width=8,16,24"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_what_ends_well_ends_as_it_did(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(MODULE.replace("{what}", "pass"))
    command = [sys.executable, "-m", "scalerules", "trace", "own.py:make_net", "--scale", "width=8,16,24"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "a.weight" in done.stdout

"""A module that crashes the process, or ends it, is a message."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch._dynamo  # noqa: F401  # what tracing imports is there before the fork

from scalerules.__main__ import main

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


def traced(what: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """How `scalerules trace` of such a module ends, in a process that is forked: it has torch already."""
    (folder / "own.py").write_text(MODULE.replace("{what}", what))
    command = ["scalerules", "trace", "own.py:make_net", "--scale", "width=8,16,24"]
    child = os.fork()
    if not child:
        status = 70
        try:
            os.chdir(folder)
            sys.argv, sys.stdout, sys.stderr = command, open("out", "w"), open("err", "w")  # noqa: SIM115
            os.dup2(sys.stdout.fileno(), 1)
            os.dup2(sys.stderr.fileno(), 2)
            status = main()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return subprocess.CompletedProcess(command, status, (folder / "out").read_text(), (folder / "err").read_text())


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
    done = traced(what, tmp_path)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_what_ends_well_ends_as_it_did(tmp_path: Path) -> None:
    done = traced("pass", tmp_path)
    assert done.returncode == 0 and "a.weight" in done.stdout

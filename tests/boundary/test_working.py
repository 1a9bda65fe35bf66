"""The line on standard error for work that takes its time: when it appears, what it says, when it goes."""

from __future__ import annotations

import io
import time
from contextlib import redirect_stderr

import pytest

from scalerules.boundary import working as module
from scalerules.boundary.working import held_back, note, working


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(params=[io.StringIO, Terminal])
def stream(request, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "TICK", 0.02)
    monkeypatch.setattr(module, "EVERY", 0.02)
    return request.param()


def test_work_that_is_soon_done_says_nothing(stream):
    with redirect_stderr(stream), working("deriving"):
        pass
    assert stream.getvalue() == ""


def test_long_work_says_what_it_does(stream):
    with redirect_stderr(stream), working("deriving"):
        with working("solving"):
            note("turn 2")
            time.sleep(0.2)
        with held_back():
            time.sleep(0.05)
            before = stream.getvalue()
            time.sleep(0.1)
            assert stream.getvalue() == before
    shown = stream.getvalue()
    assert "scalerules: deriving: turn 2, 0 s" in shown
    assert shown.endswith("\r\x1b[K" if stream.isatty() else "\n")
    time.sleep(0.1)
    assert stream.getvalue() == shown


def test_what_is_not_wanted_is_not_shown(stream):
    with redirect_stderr(stream), working("deriving", False):
        note("nothing")
        time.sleep(0.15)
    assert stream.getvalue() == ""


def test_what_quiet_work_calls_is_quiet_too(stream):
    with redirect_stderr(stream), working("fuzzing", False), working("deriving"):
        time.sleep(0.15)
    assert stream.getvalue() == ""
    with redirect_stderr(stream), working("deriving"):
        until = time.monotonic() + 30
        while "deriving" not in stream.getvalue() and time.monotonic() < until:
            time.sleep(0.05)
    assert "deriving" in stream.getvalue()

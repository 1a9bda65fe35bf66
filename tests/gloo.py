"""Two processes that talk over gloo, on this machine."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

PATIENCE = 100
HOW = "fork" if sys.platform == "linux" else "spawn"
"""How the two come into being: what is forked need not import torch, and all that the tests use, again."""


@contextmanager
def in_two_processes(target: Callable[[int, str], None], folder: Path, seconds: float) -> Iterator[None]:
    """Runs `target(index, folder)` in two processes, beside the body; both have to end well in this time."""
    context = multiprocessing.get_context(HOW)
    processes = [context.Process(target=target, args=(index, str(folder)), daemon=True) for index in (0, 1)]
    for process in processes:
        process.start()
    yield
    for process in processes:
        process.join(seconds)
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in processes] == [0, 0]


@contextmanager
def joined(index: int, folder: str) -> Iterator[None]:
    """One of the two, while it belongs to the group; they meet by a file, since a free port may be taken meanwhile.

    Where it hangs, its threads are printed.
    """
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    torch.set_num_threads(1)
    os.environ.update(RANK=str(index), LOCAL_RANK=str(index), WORLD_SIZE="2")
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=index, world_size=2)
    try:
        yield
        torch.distributed.barrier()  # what the other still sends needs this one
    finally:
        torch.distributed.destroy_process_group()
        faulthandler.cancel_dump_traceback_later()

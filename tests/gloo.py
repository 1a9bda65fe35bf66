"""Two processes that talk over gloo, on this machine."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


@contextmanager
def in_two_processes(target: Callable[[int, int, str], None], folder: Path, seconds: float) -> Iterator[None]:
    """Runs `target(index, port, folder)` in two processes, beside the body; both have to end well in this time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=target, args=(index, port, str(folder)), daemon=True) for index in (0, 1)]
    for process in processes:
        process.start()
    yield
    for process in processes:
        process.join(seconds)
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in processes] == [0, 0]


@contextmanager
def joined(index: int, port: int) -> Iterator[None]:
    """One of the two, while it belongs to the group."""
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(index), WORLD_SIZE="2")
    torch.distributed.init_process_group("gloo", rank=index, world_size=2)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()

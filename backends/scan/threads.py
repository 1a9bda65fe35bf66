"""Compiled kernels on threads of our own, and memory for what they return."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numba.core import event
from torch import Tensor

THREADED_FROM = 2e6  # states times steps that one thread needs about 2 ms for


class _Announcement(event.Listener):
    """Says once in a process that numba compiles; it is not called where the disk cache has the code."""

    said = False

    def on_start(self, event: Any) -> None:
        if not self.said:
            print("scalerules: compiling the selective scan (once; it is kept on disk) ...", file=sys.stderr)
            _Announcement.said = True

    def on_end(self, event: Any) -> None:
        pass


@contextmanager
def announced() -> Generator[None]:
    """A context in which the user is told when numba compiles."""
    listener = _Announcement()
    event.register("numba:compile", listener)
    try:
        yield
    finally:
        event.unregister("numba:compile", listener)


def run(kernel: Callable[..., None], tasks: int, work: float, *arguments: Any) -> None:
    """Call kernel(begin, end, *arguments) over all tasks, on threads of our own where it is worth it.

    numba's own threads are not used: a second OpenMP beside torch's stalls both.
    """
    values = [a.numpy() if isinstance(a, Tensor) else a for a in arguments]
    threads = min(torch.get_num_threads(), tasks) if work > THREADED_FROM else 1
    with announced():
        if threads == 1:
            kernel(0, tasks, *values)
            return
        pieces = min(tasks, 4 * threads)
        edges = [tasks * i // pieces for i in range(pieces + 1)]
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(lambda begin, end: kernel(begin, end, *values), edges[:-1], edges[1:]):
                pass


def empty(like: Tensor, *shape: int) -> Tensor:
    """Memory from numpy, which asks for huge pages where torch does not: page faults cost more than the scan."""
    return torch.from_numpy(np.empty(shape or tuple(like.shape), like.new_empty(0).numpy().dtype))

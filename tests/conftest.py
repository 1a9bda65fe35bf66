"""Settings that all tests share."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from scalerules.ops.registry import OPS
from scalerules.optimizers.own import STEPS
from scalerules.optimizers.table import OPTIMIZERS

# A noisy machine must not decide whether a property holds.
settings.register_profile("scalerules", deadline=None, derandomize=True)
settings.load_profile("scalerules")


def pytest_collection_finish() -> None:
    """What is imported by now stays: looking through it for garbage again and again took a twelfth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)


@pytest.fixture(autouse=True)
def what_a_test_registers_ends_with_it() -> Iterator[None]:
    """No test sees the operations and optimizers of another, in whatever order they run."""
    registered: list[dict[str, Any]] = [OPS, OPTIMIZERS, STEPS]
    tables = [(table, dict(table)) for table in registered]
    yield
    for table, before in tables:
        if table != before:
            table.clear()
            table.update(before)

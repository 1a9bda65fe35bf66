"""Derivations look for what lies in circles as seldom as it is worth it, and keep no memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from scalerules.passes import memory


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many objects in circles each look found; a look is due after a thousand.

    What other tests have left is put aside meanwhile: one look through it all takes seconds at the end of the suite.
    """
    found: list[int] = []
    gc.freeze()
    memory._frozen.cache_clear()
    collect = gc.collect

    def counted(generation: int = 2) -> int:
        found.append(collect(generation))
        return found[-1]

    monkeypatch.setattr(memory, "FEW", 1_000)
    monkeypatch.setattr(memory, "_left", memory._Left())
    monkeypatch.setattr(memory.gc, "collect", counted)
    yield found
    gc.unfreeze()
    memory._frozen.cache_clear()


def held(count: int) -> list[list[int]]:
    """So many objects without circles."""
    return [[i] for i in range(count)]


def circles(count: int) -> None:
    """So many objects that nobody holds but themselves."""
    for _ in range(count):
        one: list[object] = []
        one.append(one)


def test_what_is_held_is_looked_through_ever_more_seldom(looks: list[int]) -> None:
    for _ in range(32):
        with memory.gathering():
            kept = held(2_000)
    assert kept and 1 <= len(looks) <= 4


def test_circles_are_looked_for_as_often_as_they_come(looks: list[int]) -> None:
    for _ in range(32):
        with memory.gathering():
            circles(2_000)
    assert len(looks) >= 16 and sum(looks) > 30_000


def test_nothing_is_done_for_those_who_switched_the_collector_off(looks: list[int]) -> None:
    gc.disable()
    try:
        with memory.gathering():
            circles(5_000)
        assert not gc.isenabled() and not looks
    finally:
        gc.enable()

"""What a repeated block and its members are called."""

from __future__ import annotations

from .record import Repetition


def starred(name: str, repetition: Repetition, copy: int = 0) -> str:
    """A name in one block as the name of all blocks: `h.0.attn` -> `h.*.attn`."""
    for path in repetition.lists:
        before = f"{path}." if path else ""
        for index, word in zip(repetition.members[copy], words_of(repetition), strict=True):
            head = f"{before}{index}"
            if name == head or name.startswith((f"{head}.", f"{head}[")):
                return f"{before}{word}{name[len(head) :]}"
    return name


def words_of(repetition: Repetition) -> list[str]:
    """What stands for the index of each member of the first block: `*`, `1::2` of groups, `0:6` beside other runs."""
    period, first, last = len(repetition.members[0]), repetition.members[0][0], repetition.members[-1][-1]
    stop = "" if repetition.alone else str(last + 1)
    if period == 1:
        return ["*"] if repetition.alone else [f"{first}:{stop}"]
    return [f"{index}:{stop}:{period}" for index in repetition.members[0]]

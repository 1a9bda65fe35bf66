"""What a repeated block and its members are called."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .record import Repetition

NUMBERED = re.compile(r"(\D.*?)(\d+)")
"""A name that ends in a number: `encoder_layer_0`, `block3`."""


def members_of(path: str, numbered: bool = False) -> Iterator[tuple[str, int]]:
    """The lists that a path goes through, each with the index in it.

    With `numbered`, parts that are called alike but for a number at the end are a list too, `encoder.block#`.
    """
    parts = path.split(".")
    for depth, part in enumerate(parts):
        if part.isdigit():
            yield ".".join(parts[:depth]), int(part)
        elif numbered and (match := NUMBERED.fullmatch(part)):
            yield ".".join([*parts[:depth], f"{match[1]}#"]), int(match[2])


def member(path: str, index: int | str) -> str:
    """The name of a member of a list: `h` and 3 are `h.3`, `block#` and 3 are `block3`."""
    if path.endswith("#"):
        return f"{path[:-1]}{index}"
    return f"{path}.{index}" if path else str(index)


def starred(name: str, repetition: Repetition, copy: int = 0) -> str:
    """A name in one block as the name of all blocks: `h.0.attn` -> `h.*.attn`."""
    for path in repetition.lists:
        for index, word in zip(repetition.members[copy], words_of(repetition), strict=True):
            head = member(path, index)
            if name == head or name.startswith((f"{head}.", f"{head}[")):
                return f"{member(path, word)}{name[len(head) :]}"
    return name


def words_of(repetition: Repetition) -> list[str]:
    """What stands for the index of each member of the first block: `*`, `1::2` of groups, `0:6` beside other runs."""
    period, first, last = len(repetition.members[0]), repetition.members[0][0], repetition.members[-1][-1]
    stop = "" if repetition.alone else str(last + 1)
    if period == 1:
        return ["*"] if repetition.alone else [f"{first}:{stop}"]
    return [f"{index}:{stop}:{period}" for index in repetition.members[0]]

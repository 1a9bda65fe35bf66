"""Names of what stands in every block of a stack: `h.*.attn` of all blocks, `h.1::2.attn` of every second from 1 on.

A stack whose blocks repeat in groups has one name for each member of a group, written as Python writes a slice; a
stack in two stretches of unlike blocks has `h.0:6.attn` and `h.6:12.attn`. Blocks that are no list
but called alike, `block0` and `block1`, are `block*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SLICE = re.compile(r"(?P<start>\d+):(?P<stop>\d*)(?::(?P<step>\d+))?")

_STEM = re.compile(r"(?:.*[^\d:*])?")
"""What stands in front of the number of blocks that are no list: `block` of `block*`."""


def is_blocks(word: str) -> bool:
    """Whether a part of a name (between dots) stands for several blocks."""
    return word == "*" or _SLICE.fullmatch(word) is not None


def stands_for(pattern: str, name: str) -> bool:
    """Whether `name`, with the number of a block, is one of those that `pattern` stands for."""
    theirs, ours = _words(pattern), _words(name)
    return len(theirs) == len(ours) and all(a == b or _has(a, b) for a, b in zip(theirs, ours, strict=True))


def of_block(name: str, patterns: Iterable[str]) -> list[str]:
    """The patterns that stand for `name`."""
    return [pattern for pattern in patterns if stands_for(pattern, name)]


def _words(name: str) -> list[str]:
    """The parts between dots; what stands in brackets is one with the last."""
    head, bracket, rest = name.partition("[")
    words = head.split(".")
    return [*words[:-1], words[-1] + bracket + rest]


def _stem(word: str) -> str:
    match = _STEM.match(word)
    return match[0] if match else ""


def _has(word: str, index: str) -> bool:
    stem = _stem(word)
    word, number_of = word[len(stem) :], index[len(stem) :]
    if not index.startswith(stem) or not number_of.isdigit():
        return False
    if word == "*":
        return True
    match = _SLICE.fullmatch(word)
    if match is None:
        return False
    start, step, number = int(match["start"]), int(match["step"] or 1), int(number_of)
    return number >= start and (number - start) % step == 0 and (not match["stop"] or number < int(match["stop"]))

"""Names, texts and data with something wrong in them: what the fuzzed inputs are made of."""

from __future__ import annotations

import copy
import random
import sys
import unicodedata
from functools import cache
from typing import Any

from scalerules.errors import hidden

PIECES = (
    "", " ", "\n", ":", ",", "[", "]", "{", "}", "'", '"', "-", "&a", "*a", "!!python/object:os.system", "<<", "|",
    ">", "?", "%", "@", "`", "#", "---", "...", "null", "true", "1", "-1", "0", "1e999999999", "9" * 50, ".inf",
    ".nan", "0x10", "1/0", "1/3", "width", "depth", "stream", "n", "h", "relu", "einsum", "repeat", "scan", "softmax",
    "concat", "x", "input", "op", "axes", "width^64", "9^999", "n^(1/2)", "[[[[[[", "b i, o i -> b o", "b i i -> i",
    "->", "\u202e", "\u2028", "\x00", "\ufeff", "\ud7ff",
)  # fmt: skip
VALUES = (
    None, True, 0, 1, -1, 3, 10**15, 0.5, 1e300, -0.0, [], {}, [[]], {"": ""}, "n", "width", "stream", "h", "relu",
    "einsum", "repeat", "scan", "softmax", "concat", "rms_norm", "mean", "top_k", "rfft", "window", "x", "W", "input",
    "normal", "zeros", "range", "tokens", "cross_entropy", "width^64", "9^999", "n^(1/2)", "1/0", "1e999999999", "n/0",
    "b i, o i -> b o", "b i i -> i", "->", "a, b -> c", "batch n", "batch in", "depth - 5", "half + half", "\u202e",
)  # fmt: skip
WORDS = ("self", "torch", "import os", '"""', "exec", "print", "__class__", "model", "lambda", "open('PWNED','w')")
SIGNS = "\"'\\\n\r#{}()[],;: _.=abc\t\x00"


@cache
def _classes() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number in range(sys.maxunicode + 1):
        found.setdefault(unicodedata.category(chr(number)), []).append(chr(number))
    return found


def character(rng: random.Random) -> str:
    """A character of any class of Unicode, each as likely as the others."""
    return rng.choice(_classes()[rng.choice(sorted(_classes()))])


def name(rng: random.Random) -> str:
    """A name of a few characters, some of which mean something to Python."""
    length = rng.choice((0, 1, 2, 3, 5, 8))
    parts = [rng.choice(SIGNS) if rng.random() < 0.4 else character(rng) for _ in range(length)]
    return "".join([*parts, rng.choice(WORDS)] if rng.random() < 0.3 else parts)


def shown(rng: random.Random, word: bool = False) -> str:
    """A name that a graph can hold: no character that does not show, for an axis (`word`) no space either."""
    while True:
        text = name(rng)
        if not hidden(text) and all(text.split(".")) and (not word or text.split() == [text]):
            return text


def disturb(data: Any, rng: random.Random) -> None:
    """One change somewhere in plain data: another value, a key gone, another key, an entry that stands twice."""
    places: list[tuple[Any, Any]] = []
    waiting = [data]
    while waiting:
        holder = waiting.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            places.append((holder, key))
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])
    if not places:
        return
    holder, key = rng.choice(places)
    kind = rng.randrange(5)
    if kind < 2:
        holder[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 2:
        del holder[key]
    elif kind == 3:
        other, place = rng.choice(places)
        holder[key] = copy.deepcopy(other[place])
    elif isinstance(holder, dict):
        holder[rng.choice([name(rng), *(str(place) for _, place in places)])] = holder.pop(key)
    else:
        holder.append(copy.deepcopy(holder[key]))


def changed(text: str, rng: random.Random) -> str:
    """A text with one change: a piece for a word, lines doubled or gone, a cut, a character."""
    kind = rng.randrange(6)
    start = rng.randrange(len(text) + 1)
    if kind == 0:
        return text[:start] + rng.choice(PIECES) + text[start:]
    if kind == 1:
        words = text.split(" ")
        words[rng.randrange(len(words))] = rng.choice(PIECES)
        return " ".join(words)
    if kind == 2:
        lines = text.splitlines(keepends=True)
        i = rng.randrange(len(lines)) if lines else 0
        lines[i : i + 1] = lines[i : i + 1] * rng.choice((0, 2))
        return "".join(lines)
    if kind == 3:
        return text[:start] + text[start + rng.randrange(1, 30) :]
    if kind == 4:
        return text[:start] + character(rng) + text[start:]
    words = sorted(set(text.replace(",", " ").replace(":", " ").split()))
    return text.replace(rng.choice(words), rng.choice(words), 1) if words else text

"""Pictures for laws that a picture says best: what a sum of many entries comes to, and a matrix with its transpose."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

WIDE, HIGH, LEFT, COUNT = 640, 260, 44, 64


def sums() -> str:
    """Running sums of 64 entries of size one: aligned along a line, independent within a band that grows as a root."""
    draw = random.Random(3)
    walks = [list(_walk([draw.choice((-1, 1)) for _ in range(COUNT)])) for _ in range(12)]
    band = " ".join(f"{_x(k)},{_y(k**0.5)}" for k in range(COUNT + 1))
    below = " ".join(f"{_x(k)},{_y(-(k**0.5))}" for k in range(COUNT, -1, -1))
    lines = "".join(_line(walk, "walk") for walk in walks)
    return (
        f'<svg class="picture" viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="aligned and independent sums">'
        f'<polygon class="band" points="{band} {below}"/>{lines}{_line(range(COUNT + 1), "straight")}'
        f'<path class="axis" d="M{LEFT} {_y(0)}H{WIDE - 90}"/>'
        f"{_text(_x(COUNT) + 6, _y(COUNT) + 10, 'aligned: n')}{_text(_x(COUNT) + 6, _y(8) + 4, 'root of n')}"
        f"{_text(LEFT, HIGH - 6, 'entries summed, 1 to 64; twelve independent sums, one aligned')}</svg>"
    )


def mirrored() -> str:
    """A vector through a matrix and back through its transpose: every path that returns to where it began agrees."""
    left, right = [40 + 44 * i for i in range(5)], [18 + 44 * i for i in range(6)]
    there = "".join(f'<path class="walk" d="M60 {a}L260 {b}L460 {c}"/>' for a in left for b in right for c in left)
    back = "".join(f'<path class="straight" d="M60 {left[2]}L260 {b}L460 {left[2]}"/>' for b in right)
    dots = "".join(
        f'<circle class="dot" cx="{x}" cy="{y}" r="5"/>' for x, column in ((60, left), (260, right), (460, left))
        for y in column
    )  # fmt: skip
    names = _text(52, 276, "x") + _text(244, 276, "W x") + _text(430, 276, "Wᵀ W x")
    return (
        '<svg class="picture" viewBox="0 0 640 290" role="img" aria-label="the mirror of a matrix">'
        f"{there}{back}{dots}{names}</svg>"
    )


def _walk(steps: Sequence[int]) -> Iterator[int]:
    total = 0
    yield total
    for step in steps:
        total += step
        yield total


def _line(values: Sequence[int], style: str) -> str:
    points = " ".join(f"{_x(k)},{_y(value)}" for k, value in enumerate(values))
    return f'<polyline class="{style}" points="{points}"/>'


def _x(k: float) -> float:
    return round(LEFT + (WIDE - 140) * k / COUNT, 1)


def _y(value: float) -> float:
    return round(180 - 2.6 * value, 1)


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x}" y="{y}">{text}</text>'

"""Parts of one weight: whether two of them have entries in common, in whatever factors each is read."""

from __future__ import annotations

from collections.abc import Sequence

from scalerules.sizes.arithmetic import probe
from scalerules.sizes.lengths import Length
from scalerules.tracing.sketch.values import Factor, Part, stretch_of


def overlap(parts: Sequence[Part]) -> bool:
    """Whether two parts of one weight have entries in common."""
    return any(
        not any(_apart(x, y) for x, y in zip(a.factors, b.factors, strict=True))
        for i, a in enumerate(parts)
        for b in parts[i + 1 :]
    )


def _apart(a: Sequence[Factor], b: Sequence[Factor]) -> bool:
    """Whether no entry of a dimension is read by both of two parts, which may have it in other factors."""
    pairs = [(stretch_of(a), stretch_of(b))]
    if any(start is None for start, _ in pairs[0]):
        same = len(a) == len(b)
        pairs = [((x.start, x.length), (y.start, y.length)) for x, y in zip(a, b, strict=True)] if same else []
    return any(
        start is not None and other is not None and (_ends(start, length, other) or _ends(other, more, start))
        for (start, length), (other, more) in pairs
    )


def _ends(start: Length, length: Length, other: Length) -> bool:
    """Whether a stretch ends where another one starts, or before."""
    return probe(start)[0] + probe(length)[0] <= probe(other)[0] + 1e-6

"""What a module itself does to its weights at the start, measured on small real copies with fixed seeds.

A weight that is the same at every seed is zero, constant, counts up, or has another fixed structure; what differs
from seed to seed is random, and its standard deviation is compared between copies in which one scale differs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch

from scalerules.sizes.lengths import Length
from scalerules.tracing.additive_masks import is_mask
from scalerules.tracing.record import Initial, Weight

from .factories import Sizes, module_of, quiet
from .fixed_values import Array, fixed, order, simple, unstructured
from .unlike_runs import Changed, unlike_runs

Values: TypeAlias = dict[str, Array]

SEEDS = 3
CLEAR = 0.15
"""The largest standard error of a power that is read off random entries: a few entries tell nothing."""
LAWFUL = 0.01
"""How far twice a power may be off a whole number that a single number is taken to follow."""
FEW_ENTRIES, MAX_ENTRIES = 2_000_000, 40_000_000
"""Entries of a copy that is built to measure initial values (of all weights together): wanted, and at most."""


def initials(
    make_model: Callable[..., Any],
    weights: tuple[Weight, ...],
    points: Sequence[Sizes],
    notes: list[str] | None = None,
    drawn_once: bool = False,
) -> tuple[Weight, ...]:
    """The weights with what was measured; `points` are sizes that the factory accepts. A failure goes into `notes`.

    `drawn_once`: the factory returns the same weights at every seed; entries without a structure are taken as random.
    """
    notes = [] if notes is None else notes
    if drawn_once:
        make_model = _shuffled(make_model)
    base, copies = _base(make_model, weights, points)
    if base is None:
        notes.append(f"initial values were not measured: no copy with fewer than {MAX_ENTRIES} entries could be built")
        return weights
    others: dict[str, tuple[float, list[Values]]] = {}
    for scale in base:
        found = _changed(make_model, weights, points, base, scale)
        if found is not None:
            others[scale] = found
    found = [(weight, _initial(weight, copies, others, base)) for weight in weights]
    return tuple(replace(w, initial=_drawn_once(w, seen, copies) if drawn_once else seen) for w, seen in found)


def _drawn_once(weight: Weight, seen: Initial, copies: list[Values]) -> Initial:
    """What was seen of a weight that nothing draws again: few entries that follow no simple law are random."""
    single = seen.kind == "constant" and copies[0][weight.name].size == 1
    lawful = all(abs(2 * power - round(2 * power)) < LAWFUL for power in seen.exponents.values())
    if unstructured(seen) or (single and not lawful):
        return Initial("normal", abs(seen.value or 0.0), note="drawn once")
    return seen


def _shuffled(make_model: Callable[..., Any]) -> Callable[..., Any]:
    """A factory whose weights have their entries in another order at every seed, but for those with a structure."""

    def make(**sizes: int) -> Any:
        model = make_model(**sizes)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.numel() > 1 and unstructured(fixed(_array(weight), {})):
                    weight.copy_(weight.flatten()[torch.randperm(weight.numel())].view_as(weight))
        return model

    return make


def _base(
    make_model: Callable[..., Any], weights: Sequence[Weight], points: Sequence[Sizes]
) -> tuple[dict[str, int] | None, list[Values]]:
    """Sizes at which real copies may be built, and those with several seeds.

    The first traced sizes, or smaller ones: their steps (what they all are multiples of), halved.
    """
    steps = {scale: math.gcd(*(point[scale] for point in points)) for scale in points[0]}
    halved = [{scale: max(1, step >> k) for scale, step in steps.items()} for k in range(12)]
    few = [sizes for sizes in (*points[:1], *halved) if _entries(weights, sizes) <= FEW_ENTRIES]
    more = [sizes for sizes in (*points[:1], *halved) if FEW_ENTRIES < _entries(weights, sizes) <= MAX_ENTRIES]
    for sizes in (*few, *more[::-1]):
        copies = _copies(make_model, sizes)
        if copies:
            return dict(sizes), copies
    return None, []


def _changed(
    make_model: Callable[..., Any], weights: Sequence[Weight], points: Sequence[Sizes], base: Sizes, scale: str
) -> tuple[float, list[Values]] | None:
    """The logarithm of the ratio, and copies with one scale at another size: the largest that may be built."""
    ratios = sorted({point[scale] / points[0][scale] for point in points} - {1.0}, reverse=True)
    tried: set[int] = {base[scale]}
    for most in (2 * FEW_ENTRIES, MAX_ENTRIES):
        for ratio in (*ratios, 2.0, 0.5):
            value = round(base[scale] * ratio)
            sizes = {**base, scale: value}
            if value > 0 and value not in tried and _entries(weights, sizes) <= most:
                tried.add(value)
                copies = _copies(make_model, sizes)
                if copies:
                    return math.log(value / base[scale]), copies
    return None


def _entries(weights: Sequence[Weight], sizes: Sizes) -> float:
    def length(axis: Length | None) -> int:
        return 64 if axis is None else axis.at(sizes)

    return sum(math.prod(length(axis) for axis in weight.shape) for weight in weights)


def _copies(make_model: Callable[..., Any], sizes: Sizes) -> list[Values]:
    """The weights of real modules, one per seed, as they are after construction; empty if one cannot be built."""
    found: list[Values] = []
    for seed in range(SEEDS):
        try:
            with quiet(), _seeded(seed), torch.device("cpu"):
                model = module_of(make_model, sizes)
                both = [*model.named_parameters(), *model.named_buffers()]
                found.append({name: _array(tensor) for name, tensor in both})
        except Exception:  # other sizes are tried; tracing has shown that the module can be built
            return []
    return found


def _array(tensor: torch.Tensor) -> Array:
    return tensor.detach().to(torch.float32).numpy().copy()


@contextmanager
def _seeded(seed: int) -> Generator[None]:
    """With the three generators that modules draw from at `seed`; afterwards they are what they were.

    A factory that seeds them itself would draw the same numbers at every seed, and what is random would look fixed: its
    own seeds are moved along.
    """
    python, numpy = random.getstate(), np.random.get_state()
    owners: list[tuple[Any, str]] = [(torch, "manual_seed"), (random, "seed"), (np.random, "seed")]
    plain = [(owner, name, getattr(owner, name)) for owner, name in owners]
    for _, _, function in plain:
        function(seed)
    for owner, name, function in plain:
        setattr(owner, name, _moved(function, seed))
    try:
        yield
    finally:
        for owner, name, function in plain:
            setattr(owner, name, function)
        random.setstate(python)
        np.random.set_state(numpy)


def _moved(seeding: Callable[..., Any], by: int) -> Callable[..., Any]:
    """A function that seeds, with whole numbers moved."""

    def moved(value: Any = None, *rest: Any, **more: Any) -> Any:
        return seeding(value + by if isinstance(value, int) else value, *rest, **more)

    return moved


def _initial(
    weight: Weight, copies: list[Values], others: Mapping[str, tuple[float, list[Values]]], sizes: Sizes
) -> Initial:
    arrays = [copy[weight.name] for copy in copies if weight.name in copy]
    if weight.initial.kind != "unknown":
        return weight.initial
    if not arrays or not arrays[0].size:
        return Initial("unknown", note="made while the module runs" if not weight.trained else "not in a real copy")
    if any(array.shape != arrays[0].shape for array in arrays):
        return Initial("unknown", note="its shape differs from seed to seed")
    if not weight.trained and all(map(is_mask, arrays)):
        return Initial("zeros", 0.0, note="a mask")
    if not all(np.isfinite(array).all() for array in arrays):
        return Initial("unknown", note="not all of its entries are finite")
    if not weight.trained and weight.dtype.startswith("int") and (found := order(arrays)) is not None:
        return found
    changed = {
        scale: (step, [copy[weight.name] for copy in those if weight.name in copy and copy[weight.name].size])
        for scale, (step, those) in others.items()
    }

    def seen(arrays: list[Array], changed: Changed) -> Initial:
        fresh = ~np.isclose(arrays[0], arrays[1], rtol=1e-6, atol=0.0)
        if not fresh.any():
            return fixed(arrays[0], changed)
        return _random(weight, arrays, fresh, changed, _lengths_of(weight.name, copies[0]))

    return replace(seen(arrays, changed), runs=unlike_runs(arrays, changed, sizes, seen))


def _lengths_of(name: str, values: Values) -> str:
    """The first matrix of whose rows (along any axis) or whole a weight holds the lengths, as a weight norm does."""
    lengths = np.squeeze(values[name])
    if lengths.ndim > 1 or np.any(lengths <= 0):
        return ""
    for other, matrix in values.items():
        axes = [axis for axis, length in enumerate(matrix.shape) if length == lengths.size] if lengths.ndim else [0]
        rows = [np.moveaxis(matrix, axis, 0).reshape(lengths.size, -1) for axis in axes if matrix.ndim > 1]
        if any(np.allclose(lengths, np.linalg.norm(each, axis=1)) for each in rows):
            return other
    return ""


def _random(
    weight: Weight,
    arrays: list[Array],
    fresh: np.ndarray[Any, np.dtype[np.bool_]],
    changed: Changed,
    lengths_of: str,
) -> Initial:
    """Independent entries, all or most of them."""
    share = float(fresh.mean())
    drawn = np.concatenate([array[fresh] for array in arrays])
    mean, std = float(drawn.mean(dtype=float)), float(drawn.std(dtype=float))
    if abs(mean) < 5 * std / math.sqrt(drawn.size) * (1 + 20 / max(drawn.size - 1, 1) ** 2):
        mean = 0.0
    exponents: dict[str, float] = {}
    size = _size(drawn, mean)
    for scale, (step, each) in changed.items():
        values = _drawn(each)
        if values.size > 1 and size > 0 and _size(values, mean) > 0:
            error = math.sqrt(0.5 / drawn.size + 0.5 / values.size) / abs(step)
            if error < CLEAR:
                exponents[scale] = simple(math.log(_size(values, mean) / size) / step, error)
    if share >= 0.5:
        note = "" if share > 0.999 else f"{1 - share:.1%} of the entries are fixed"
        return Initial("normal", std, exponents, mean, note=note, lengths_of=lengths_of)
    root = math.sqrt(float(np.mean(arrays[0] ** 2)))
    return Initial("structured", root, exponents, mean, note=f"{share:.1%} of the entries of {weight.name} are random")


def _size(values: Array, mean: float) -> float:
    """The standard deviation, or of entries that agree in sign (lengths of random rows) their root mean square."""
    std = float(values.std(dtype=float))
    return std if abs(mean) <= std else math.sqrt(float(np.mean(np.square(values, dtype=float))))


def _drawn(arrays: list[Array]) -> Array:
    """The entries that differ between the copies of two seeds."""
    if len(arrays) < 2 or arrays[0].shape != arrays[1].shape:
        return np.zeros(0, np.float32)
    fresh = ~np.isclose(arrays[0], arrays[1], rtol=1e-6, atol=0.0)
    return np.concatenate([array[fresh] for array in arrays])

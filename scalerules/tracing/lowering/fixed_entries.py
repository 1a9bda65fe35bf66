"""Fixed entries along an axis that grows: sinusoids of positions and time steps, random features kept in buffers.

What they do in a sum depends on how large they are. The calls that make them read neither weights nor real data, so
they are run, at two sizes; what comes out stands in the graph as data, times the power of the scales that was seen.
"""

# torch's own annotations are partial: what comes out of it is taken as Any.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch

from scalerules.sizes.arithmetic import ONE
from scalerules.sizes.lengths import Length, Monomial
from scalerules.tracing.additive_masks import is_mask
from scalerules.tracing.record import ORDER, Call, Initial, Input, Record, Ref, Shape, Weight, references
from scalerules.tracing.sketch.sketch import Sketch
from scalerules.tracing.sketch.values import Constant, Value, whole

LARGER = 4
"""So many times the first sizes are the others."""
MAX_ENTRIES = 4_000_000
MEAN = 0.2
"""Entries whose mean is a larger part than this of their root mean square have a part that does not average out."""
CERTAIN = 3
"""So many standard errors the mean of random entries may be off zero."""


def fixed_entries(record: Record, sketch: Sketch, earlier: dict[str, Value | None], constant: Constant) -> Value | None:
    """A constant as data of the size that it has; None where that is not known or nothing of it grows.

    `earlier` holds what was found before. Entries that do not average to zero along their axes get a part that is the
    same everywhere besides.
    """
    if constant.discrete or constant.number is not None or not constant.ref:
        return None
    lengths = [length for length in constant.shape if length is not None]
    grown = sum(bool(length.scales) for length in lengths)
    if len(lengths) < len(constant.shape) or not grown or (grown > 1 and len(lengths) != 2):
        return None
    if constant.ref not in earlier:
        matrix = grown > 1  # it turns gradients back through itself: data would not
        earlier[constant.ref] = _matrix(record, constant) if matrix else _stated(record, sketch, constant, lengths)
    return earlier[constant.ref]


def _matrix(record: Record, constant: Constant) -> Value | None:
    """A fixed matrix as a weight that is not trained, if it is an identity, or made of numbers that are random.

    So a layer whose weight is kept in few bits is read: what its buffers make is as random as they are.
    """
    return _identity(record, constant) or _random(record, constant)


def _random(record: Record, constant: Constant) -> Value | None:
    measurement = measured(record, constant.ref)
    if measurement is None or not measurement[1] or not isinstance(record.by_name[constant.ref], Call):
        return None
    if not any(weight.initial.kind == "normal" for weight in _read(record, constant.ref)):
        return None  # masks and tables that are the same at every start have a structure
    size = measurement[0].value({scale: float(value) for scale, value in record.sizes().items()})
    initial = Initial("normal", float(size))
    return whole(Weight(constant.ref, constant.shape, "float32", trained=False, initial=initial), constant.ref)


def _read(record: Record, name: str) -> list[Weight]:
    """The weights and buffers that a call is made of."""
    found, waiting, seen = list[Weight](), [name], set[str]()
    while waiting:
        here = waiting.pop()
        what = record.by_name[here]
        if here in seen:
            continue
        seen.add(here)
        if isinstance(what, Weight):
            found.append(what)
        elif isinstance(what, Call):
            waiting += [ref.name for ref in references((what.args, what.kwargs))]
    return found


def _identity(record: Record, constant: Constant) -> Value | None:
    """A fixed matrix as a weight that is not trained, if it is an identity."""
    try:
        entries = _Runner(record, record.sizes()).value(Ref(constant.ref))
        other = _Runner(record, {scale: 2 * size for scale, size in record.sizes().items()}).value(Ref(constant.ref))
    except Exception:  # an operation that cannot be run alone: the caller says what is not known
        return None
    if not all(torch.equal(each, each[0, 0] * torch.eye(*each.shape)) for each in (entries, other)):
        return None
    return identity(constant.ref, constant.shape)


def identity(name: str, shape: Shape) -> Value:
    """A weight of that name that is not trained and starts as the identity."""
    return whole(Weight(name, shape, "float32", trained=False, initial=Initial("identity", 1.0)), name)


def _stated(record: Record, sketch: Sketch, constant: Constant, lengths: list[Length]) -> Value | None:
    measurement = measured(record, constant.ref)
    if measurement is None:
        return None
    size, centred = measurement
    with sketch.nodes.within(None):  # it stands outside of a repeated block: all of them read the same
        value = sketch.data(sketch.nodes.name_here("fixed"), lengths, fixed=True)
        if not centred:
            letters = [str(i) for i in range(len(lengths))]
            value = sketch.combine("add", [(value, letters), (sketch.constant(), [])], letters, "fixed")
        return sketch.scale(value, size, "fixed_size")


def measured(record: Record, ref: str) -> tuple[Length, bool] | None:
    """The root mean square of what a call or buffer holds, as a power of the scales, and whether its mean is small."""
    base = record.sizes()
    try:
        first, centred = _summary(record, ref, base), True
        powers: dict[str, Fraction] = {}
        for scale in base:
            other = _summary(record, ref, {**base, scale: base[scale] * LARGER})
            centred = other[1] < max(MEAN, CERTAIN / math.sqrt(other[2]))
            power = math.log(other[0] / first[0]) / math.log(LARGER)
            powers[scale] = Fraction(round(2 * power), 2)
    except Exception:  # an operation that cannot be run alone: the caller says what is not known
        return None
    number = first[0] / math.prod(float(base[scale]) ** float(power) for scale, power in powers.items())
    kept = tuple(sorted((scale, power) for scale, power in powers.items() if power))
    size = Length((Monomial(Fraction(number).limit_denominator(10**9), kept),)) if kept else ONE
    return size, centred


def is_order(record: Record, constant: Constant) -> bool:
    """Whether a row of whole numbers is every place of an axis once, at two sizes: what it picks is reordered."""
    if not constant.ref or len(constant.shape) != 1:
        return False
    base = record.sizes()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            rows = [_Runner(record, sizes).value(Ref(constant.ref))
                    for sizes in (base, {scale: 2 * size for scale, size in base.items()})]  # fmt: skip
        return all(torch.equal(torch.sort(row).values, torch.arange(row.numel())) for row in rows)
    except Exception:  # an operation that cannot be run alone: nothing is known of it
        return False


def masks(record: Record, ref: str) -> bool:
    """Whether what a call holds leaves no weight to some of the scores that it is added to, and adds 0 to others."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return is_mask(_Runner(record, record.sizes()).value(Ref(ref)))
    except Exception:  # an operation that cannot be run alone: nothing is known of it
        return False


def root_mean_square(record: Record, ref: str) -> float:
    """The root mean square of what a call or buffer holds at the first sizes; 0 where that is not known."""
    try:
        return _summary(record, ref, record.sizes())[0]
    except Exception:  # an operation that cannot be run alone
        return 0.0


def _summary(record: Record, ref: str, sizes: Mapping[str, int]) -> tuple[float, float, int]:
    """Root mean square, the part of it that the mean is, and the number of entries."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        value = _Runner(record, sizes).value(Ref(ref))
    assert isinstance(value, torch.Tensor)
    entries = torch.view_as_real(value) if value.is_complex() else value
    entries = entries.to(torch.float64).flatten()
    entries = entries[entries.isfinite()]
    root = float(entries.square().mean().sqrt())
    if not root:
        raise ValueError("all entries are zero")
    return root, abs(float(entries.mean())) / root, entries.numel()


def _as_kept(entries: torch.Tensor, dtype: str) -> torch.Tensor:
    """Entries as whole numbers, where the buffer holds those."""
    if not dtype.startswith(("int", "uint")):
        return entries
    kind = getattr(torch, dtype)
    return entries.round().clamp(torch.iinfo(kind).min, torch.iinfo(kind).max).to(kind)


class _Runner:
    """Runs the calls behind a constant at given sizes."""

    def __init__(self, record: Record, sizes: Mapping[str, int]) -> None:
        self.record, self.sizes, self.values = record, sizes, dict[str, Any]()

    def value(self, ref: Ref) -> Any:
        """What a reference stands for."""
        if ref.name not in self.values:
            self.values[ref.name] = self._made(self.record.by_name[ref.name])
        value = self.values[ref.name]
        return value[ref.index or 0] if isinstance(value, (tuple, list)) else value

    def _made(self, what: Call | Weight | Input) -> Any:
        if isinstance(what, Call):
            return self._run(what)
        shape = [self._number(length) for length in what.shape]
        if math.prod(shape) > MAX_ENTRIES:
            raise ValueError("too many entries")
        if isinstance(what, Weight) and (what.trained or what.initial.value is not None):
            return self._buffer(what, shape)
        if not what.dtype.startswith(("int", "bool", "uint")) and isinstance(what, Input):
            raise ValueError("real data")
        if any(length is None or length.scales for length in what.shape):
            raise ValueError("not known")
        places = torch.arange(math.prod(shape)).reshape(shape)
        return places % 2 == 0 if what.dtype == "bool" else 1 + places % 7  # a mask; a time step, a few indices

    def _buffer(self, weight: Weight, shape: list[int]) -> torch.Tensor:
        initial = weight.initial
        if initial.note == ORDER:
            return torch.randperm(shape[0])
        if weight.trained or initial.value is None:
            raise ValueError("not known")
        ratio = {scale: self.sizes[scale] / size for scale, size in self.record.sizes().items()}
        size = initial.value * math.prod(ratio[scale] ** power for scale, power in initial.exponents.items())
        if initial.kind in ("zeros", "ones", "constant"):
            return torch.full(shape, size)
        if initial.kind == "identity" and len(shape) == 2:
            return size * torch.eye(*shape)
        if initial.kind in ("range", "log_range"):
            steps = torch.arange(1, shape[-1] + 1, dtype=torch.float32).expand(shape)
            return steps if initial.kind == "range" else steps.log()
        share = min(abs(initial.mean / initial.value), 1.0) if initial.kind == "structured" and initial.value else 0.0
        mean = initial.mean if initial.kind == "normal" else size * share
        std = size if initial.kind == "normal" else size * math.sqrt(1 - share**2)
        return _as_kept(mean + std * torch.randn(shape), weight.dtype)

    def _run(self, call: Call) -> Any:
        if call.unresolved or not call.target.startswith("aten."):
            raise ValueError("not known")
        packet, _, overload = call.target.removeprefix("aten.").partition(".")
        function = getattr(getattr(torch.ops.aten, packet), overload or "default")
        kwargs = {name: self._argument(value) for name, value in call.kwargs.items() if value is not None}
        if "dtype" in kwargs:
            kwargs["dtype"] = getattr(torch, str(kwargs["dtype"]))
        return function(*(self._argument(value) for value in call.args), **kwargs)

    def _argument(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self.value(value)
        if isinstance(value, Length):
            return self._number(value)
        if isinstance(value, tuple):
            return [self._argument(inner) for inner in value]
        return value

    def _number(self, length: Any) -> Any:
        number = length.value({name: float(size) for name, size in self.sizes.items()})
        return round(number) if abs(number - round(number)) < 1e-6 * max(1.0, abs(number)) else number

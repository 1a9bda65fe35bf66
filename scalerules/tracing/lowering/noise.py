"""Noise that is drawn anew in every call and multiplies a weight: `mu + sigma * torch.randn_like(mu)`.

However equal the entries of the weight are, those of the product are independent: their sums grow like roots, as those
of a weight with random entries do. So does what weights make (`exp(rho)`): there noise is a random matrix of its own.
"""

from __future__ import annotations

from dataclasses import replace

from scalerules.tracing.record import Call, Initial, Record, Ref, Weight, references

DRAWN = ("randn", "randn_like", "normal", "normal_functional", "rand", "rand_like", "uniform", "bernoulli")
"""The calls that draw random numbers."""


def under_noise(record: Record, weight: Weight) -> Weight:
    """A weight with random entries, where noise of the shape of a matrix multiplies it at all calls that read it."""
    readers = [call for call in record.calls if any(ref.name == weight.name for ref in _read(call))]
    if len(weight.shape) < 2 or not readers or not all(_noisy(record, call, weight) for call in readers):
        return weight
    return replace(weight, initial=Initial("normal", weight.initial.value, weight.initial.exponents))


def drawn_beside(record: Record, call: Call) -> bool:
    """Whether a call reads random numbers that have as many axes as what it returns."""
    return any(_drawn(record, ref.name, len(call.shape)) for ref in _read(call))


def _noisy(record: Record, call: Call, weight: Weight) -> bool:
    others = [ref.name for ref in _read(call) if ref.name != weight.name]
    return _name(call) in ("mul", "mul_") and bool(others) and _drawn(record, others[0], len(weight.shape))


def _drawn(record: Record, ref: str, axes: int) -> bool:
    """Whether random numbers make a tensor of so many axes, and no weight multiplies them on the way."""
    made = record.by_name.get(ref)
    if not isinstance(made, Call) or len(made.shape) != axes:
        return False
    stack, found = [made], False
    while stack:
        call = stack.pop()
        if _name(call) in DRAWN:
            found = True
            continue
        sources = [record.by_name.get(source.name) for source in _read(call)]
        if not all(isinstance(source, Call) for source in sources):
            return False
        stack.extend(source for source in sources if isinstance(source, Call))
    return found


def _read(call: Call) -> list[Ref]:
    return list(references((*call.args, *call.kwargs.values())))


def _name(call: Call) -> str:
    return call.target.removeprefix("aten.").partition(".")[0]

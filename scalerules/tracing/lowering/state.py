"""The state while the calls of a record are lowered, and what the functions that lower them read and make."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from scalerules.ops.functions import SOME
from scalerules.sizes.arithmetic import fixed, same
from scalerules.sizes.lengths import Length
from scalerules.tracing.record import Argument, Call, Input, Record, Ref, Shape, Weight
from scalerules.tracing.sketch.axes import Axis
from scalerules.tracing.sketch.sketch import Sketch, kept_if_done
from scalerules.tracing.sketch.values import (
    SUIT,
    Atom,
    Constant,
    Dim,
    Operand,
    Part,
    Put,
    Result,
    Source,
    Unknown,
    Value,
    place,
    whole,
)

from .buffers import DISCRETE, buffer
from .fixed_entries import fixed_entries, identity
from .noise import under_noise


def operation(target: str) -> str:
    """`aten.linear.default` -> `linear`."""
    parts = target.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


class Lowering:
    """The state while the calls are lowered, and what the functions of the table need."""

    def __init__(
        self, record: Record, sketch: Sketch, lower: Callable[[Lowering, Call], Result], unfolded: frozenset[str]
    ) -> None:
        self.record, self.sketch, self.unfolded = record, sketch, unfolded
        self._lower = lower
        self.results: dict[str, Result] = {}
        self.notes: list[str] = []
        self.held: set[str] = set()
        """Scales that count steps of a loop, along which nothing is known."""
        self.fixed: dict[str, Value | None] = {}
        """The data that fixed entries along growing axes stand for, by what makes them."""
        self.zeros: dict[str, bool] = {}
        """The constants that are zero, by their nodes."""
        self.put: dict[str, Put] = {}
        """What is zeros but for a fixed number of entries, by its node."""
        self.shown: dict[str, str] = {}
        """The call that returns the value of each node."""

    @contextmanager
    def attempt(self) -> Generator[None]:
        """What is lowered in the block stays only if the block ends without an error."""
        with self.sketch.attempt(), kept_if_done(self.results, self.shown, self.fixed, self.zeros, self.put):
            yield

    def unknown(self, what: str, hint: str) -> Unknown:
        """An error at the present call: what it is, and what to write instead."""
        return self.sketch.nodes.unknown(what, hint)

    # --- what a call reads -------------------------------------------------------------------------

    def lower(self, call: Call) -> Result:
        """What a call computes; for what lowers calls inside of others. Raises `Unknown`."""
        return self._lower(self, call)

    def operands(self, value: object) -> Iterable[Operand]:
        """All tensors in a nested argument."""
        if isinstance(value, Ref):
            referred = self.get(value)
            yield from referred if isinstance(referred, tuple) else [referred]  # type: ignore[misc]
        elif isinstance(value, (tuple, list)):
            for inner in value:  # pyright: ignore[reportUnknownVariableType]
                yield from self.operands(inner)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, dict):
            yield from self.operands(tuple(value.values()))  # pyright: ignore[reportUnknownArgumentType]

    def get(self, ref: Ref) -> Result:
        """What a reference refers to."""
        if ref.name not in self.results:
            origin = self.record.by_name.get(ref.name)
            if isinstance(origin, Weight):
                self.results[ref.name] = self.results.get(origin.name) or self.weight(origin)
            elif isinstance(origin, Input):
                self.results[ref.name] = self.input(origin)
            else:
                raise Unknown(f"reads {ref}, which nothing computes", where=place(self.sketch.nodes.call or _NO_CALL))
        result = self.results[ref.name]
        if isinstance(result, tuple):
            picked = result[ref.index or 0] if ref.index is not None or len(result) == 1 else result
            if picked is None:
                raise Unknown(
                    f"output {ref.index} of {ref.name} is not followed", where=place(self.sketch.nodes.call or _NO_CALL)
                )
            return picked
        return result

    def weight(self, weight: Weight) -> Operand:
        """A weight as a value (one that is not trained too, if it is a random matrix), a buffer as a constant."""
        random = weight.initial.kind == "normal" or (weight.frozen and weight.initial.kind == "unknown")
        matrix = sum(length is not None and bool(length.scales) for length in weight.shape) > 1
        if weight.trained or (random and (weight.frozen or matrix)):
            drawn = under_noise(self.record, weight)
            if drawn is not weight:
                self.notes.append(f"{weight.name} is multiplied by noise: its entries count as independent ones")
            value = whole(drawn, f"module {self.record.model}")
            for dim in value.dims:
                for atom in dim:
                    atom.axis.hints.extend(_hints(weight))
            return value
        return buffer(weight, self.record.sizes())

    def input(self, given: Input) -> Operand:
        """Real data as an input node, whole numbers (tokens, masks) as constants."""
        if given.dtype.startswith(DISCRETE) or any(length is None for length in given.shape):
            return Constant(given.shape, discrete=True, ref=given.name)
        return self.sketch.data(given.name, [length for length in given.shape if length is not None])

    def arg(self, call: Call, position: int, name: str = "", default: Any = None) -> Any:
        """An argument by position or keyword: tensors as operands, everything else as it stands."""
        if position < len(call.args):
            given = call.args[position]
            if f"args[{position}]" in call.unresolved:
                raise Unknown("a number in it varies with the scales by no known law", where=place(call))
        elif name in call.kwargs:
            given = call.kwargs[name]
            if f"kwargs[{name}]" in call.unresolved:
                raise Unknown(f"the number {name} varies with the scales by no known law", where=place(call))
        else:
            return default
        return self._resolved(given)

    def _resolved(self, value: Argument) -> Any:
        if isinstance(value, Ref):
            return self.get(value)
        if isinstance(value, tuple):
            return tuple(self._resolved(inner) for inner in value)
        return value

    def value(self, call: Call, position: int, name: str = "") -> Value:
        """A tensor argument that has to depend on data or weights."""
        operand = self.arg(call, position, name)
        if isinstance(operand, Value):
            return operand
        if isinstance(operand, Constant):
            return self.constant(operand)
        raise Unknown(f"argument {position} is no tensor that can be followed", where=place(call))

    def constant(self, constant: Constant) -> Value:
        """A constant as a value: entries that are data, or a fixed number of size 0, copied along its axes."""
        if (entries := self.entries_of(constant)) is not None:
            return entries
        value = self.sketch.constant()
        if constant.number == 0 and isinstance(value.source, str):
            self.zeros[value.source] = True
        return value.at([copies(length, self.sketch) for length in constant.shape])

    def is_zero(self, source: Source) -> bool:
        """Whether a value is a constant of zeros, however it is laid out."""
        if not isinstance(source, str):
            return False
        node = self.sketch.nodes[source]
        return source in self.zeros or (node.op == "rearrange" and all(map(self.is_zero, node.operands)))

    def identity(self, rows: Length, columns: Length) -> Value:
        """An identity, as a weight that is not trained."""
        name, number = "identity", 0
        while name in self.record.by_name or name in self.results:
            number += 1
            name = f"identity_{number}"
        self.results[name] = made = identity(name, (rows, columns))
        return made

    def of_weights(self, value: Value) -> bool:
        """Whether weights alone make a value: no data, and nothing that a repeated block passes on."""
        waiting, seen = [value.source], set[Source]()
        while waiting:
            source = waiting.pop()
            if isinstance(source, str) and source not in seen:
                node = self.sketch.nodes[source]
                if node.op in ("input", "stream"):
                    return False
                seen.add(source)
                waiting += node.operands
        return True

    def as_matrix(self, operand: object) -> object:
        """A constant that is an identity as a weight that is not trained; anything else as it is."""
        known = self.entries_of(operand) if isinstance(operand, Constant) else None
        return known if known is not None and known.is_weight else operand

    def entries_of(self, constant: Constant) -> Value | None:
        """The entries of a constant as data; None where they are not known or nothing of it grows."""
        entries = fixed_entries(self.record, self.sketch, self.fixed, constant)
        if entries is not None and isinstance(entries.source, Part) and entries.source.initial.kind == "normal":
            said = f"{constant.ref}: made of buffers, it counts as a random matrix that is not trained"
            self.notes += [said] if said not in self.notes else []
        return entries

    def dim(self, value: Any, rank: int) -> int:
        """A dimension counted from the front."""
        return int(number(value)) % max(rank, 1)

    # --- results -----------------------------------------------------------------------------------

    def widened(self, value: Value, shape: Shape) -> Value:
        """The value copied along the dimensions of `shape` that it lacks."""
        dims: list[Dim] = [() for _ in range(len(shape) - len(value.dims))] + list(value.dims)
        for i, length in enumerate(shape):
            if not dims[i]:
                dims[i] = copies(length, self.sketch)
        if all(a is b for a, b in zip(dims, value.dims, strict=False)) and len(dims) == len(value.dims):
            return value
        return replace(value, dims=tuple(dims), curve=None, piece=None)

    def without_growth(self, call: Call) -> Result:
        """An operation that is not known, where nothing that it reads or makes grows: some function of its operands."""
        operands = [o for o in self.operands((*call.args, *call.kwargs.values())) if isinstance(o, Value)]
        shapes = [length for shape in call.shapes for length in shape]
        grows = any(atom.axis.length.scales for o in operands for dim in o.dims for atom in dim)
        if grows or any(length is None or length.scales for length in shapes):
            raise Unknown(
                "this operation is not known, and it works on axes that grow", where=place(call),
                hint="write it with operations that are known, or ask for it with the name and this line",
            )  # fmt: skip
        results: list[Operand | None] = []
        for shape in call.shapes:
            flat = [self.sketch.unary(SOME, self.relabelled(o, shape)) for o in operands]
            letters = [str(i) for i in range(len(shape))]
            total = flat[0] if len(flat) == 1 else self.sketch.combine("add", [(f, letters) for f in flat], letters)
            results.append(total)
        return several(call, results)

    def relabelled(self, value: Value, shape: Shape) -> Value:
        """A value without growing axes as one of another shape."""
        count = len(self.sketch.nodes.slots(value.source))
        axes = [Axis(length) for length in shape if length is not None and not same(length, fixed(1))]
        name = self.sketch.nodes.rearranged(value.source, range(count, count + len(axes)), axes, "taken")
        dims: list[Dim] = []
        slot = 0
        for length in shape:
            if length is None or same(length, fixed(1)):
                dims.append(())
            else:
                dims.append((Atom(axes[slot], slot),))
                slot += 1
        return Value(name, tuple(dims))


_NO_CALL = Call("", "the output", (), {}, (), ())


def several(call: Call, results: list[Any]) -> Result:
    """The one result of a call, or all of them as a tuple."""
    return results[0] if len(results) == 1 else tuple(results)


def _hints(weight: Weight) -> list[str]:
    """What the axes of a weight could be called: the module that holds it."""
    parts = [part for part in weight.name.split(".") if not part.isdigit()]
    return [parts[-2]] if len(parts) > 1 else []


def copies(length: Length | None, sketch: Sketch) -> Dim:
    """A dimension along which everything is copied."""
    if length is None:
        raise sketch.nodes.unknown("a length fits no simple function of the scales", SUIT)
    return () if same(length, fixed(1)) else (Atom(Axis(length), None),)


def number(value: Any, default: float = 0.0) -> float:
    """A plain number; of a length that does not vary, its value."""
    if isinstance(value, Length):
        return value.value({}) if not value.scales else default
    if isinstance(value, Constant) and isinstance(value.number, (int, float)):
        return float(value.number)
    return float(value) if isinstance(value, (int, float)) else default


def as_length(value: Any) -> Length | None:
    """A number or length as a length."""
    if isinstance(value, Length):
        return value
    if isinstance(value, Constant):
        return as_length(value.number)
    finite = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return fixed(value) if finite else None

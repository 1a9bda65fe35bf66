"""What a traced module computes, with symbolic sizes: calls, weights, inputs, outputs and repeated blocks.

`scalerules.tracing.exporting.recording.record` writes it, `scalerules.tracing.lowering` reads it. Plain data, no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from scalerules.sizes.lengths import Length

Shape: TypeAlias = "tuple[Length | None, ...]"
"""One length per axis, a function of the scales; None where no simple function fits what was seen ('?')."""

Argument: TypeAlias = "Ref | Length | bool | int | float | str | None | tuple[Argument, ...] | dict[str, Argument]"
"""Of a call: what it reads, a number that varies with the scales (a `Length`), or a constant."""


@dataclass(frozen=True)
class Ref:
    """Reference to a call, an input or a weight; `index` picks one output of a call with several."""

    name: str
    index: int | None = None

    def __str__(self) -> str:
        return f"%{self.name}" if self.index is None else f"%{self.name}[{self.index}]"


@dataclass(frozen=True)
class Call:
    """One operation, `target` as torch names it: `aten.linear.default` (or `scalerules.selective_scan`).

    `args` and `kwargs` are nested tuples of references, constants and lengths; arguments left at their defaults are
    left out. `shapes` and `dtypes` have one entry per output. `stack` holds the modules that it stands in, outermost
    first, each `(path, class name)`; `source` is the line of the user's program, `file:line code`. `unresolved` names
    the arguments (`args[1]`, `kwargs[scale]`) whose number varies without a known law: they are None.
    """

    name: str
    target: str
    args: tuple[Argument, ...]
    kwargs: dict[str, Argument]
    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]
    stack: tuple[tuple[str, str], ...] = ()
    source: str = ""
    unresolved: tuple[str, ...] = ()

    @property
    def shape(self) -> Shape:
        """Shape of the first output."""
        return self.shapes[0]

    @property
    def module(self) -> str:
        """Path and class of the innermost module: `model.layers.0.mlp (LlamaMLP)`."""
        path, kind = self.stack[-1] if self.stack else ("", "")
        return f"{path} ({kind})" if path else kind

    def reads(self) -> Iterator[Ref]:
        """Everything that it reads, in the order of the arguments."""
        yield from references((*self.args, *self.kwargs.values()))


ORDER = "each number once"
"""What is said of whole numbers that are the places of an axis in another order."""


@dataclass(frozen=True)
class Initial:
    """What the module itself does to a weight, measured on real small copies.

    `normal`: independent random entries of any distribution (`value` is their standard deviation at the first traced
    sizes, `exponents` the powers of the scales with which it varies, `mean` their mean). `constant`: all entries are
    `value`. `range` and `log_range`: `1, 2, 3, ...` and their logarithms along the last axis. `identity`: `value` where
    the first two indices agree (in the middle of all others), or are permuted, and else 0. `structured`: the same at
    every seed but not constant, or random only in part (`note` says what was seen; `value` is its root mean square,
    `axes` are the axes along which it varies). `unknown`: could not be measured (`note` says why).
    `lengths_of` names the weight of whose rows or columns the entries are the lengths: they are as open as it is.
    `runs` are parts that start unlike each other.
    """

    kind: Literal["normal", "zeros", "ones", "constant", "range", "log_range", "identity", "structured", "unknown"]
    value: float | None = None
    exponents: Mapping[str, float] = field(default_factory=dict[str, float])
    mean: float = 0.0
    axes: tuple[int, ...] = ()
    note: str = ""
    lengths_of: str = ""
    runs: tuple[Run, ...] = ()

    def __str__(self) -> str:
        number = "" if self.value is None or self.kind in ("zeros", "ones") else f" {self.value:.4g}"
        powers = "".join(f" * {scale}^{power:.2f}" for scale, power in self.exponents.items() if abs(power) > 0.02)
        return self.kind + number + powers + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Run:
    """Neighbouring entries of a weight, `start` to `stop` along an axis at these sizes, that start alike."""

    axis: int
    start: int
    stop: int
    sizes: Mapping[str, int]
    initial: Initial


@dataclass(frozen=True)
class Weight:
    """A parameter or a buffer (`trained` False), by the name the module gives it.

    `aliases` are the further names of the same tensor (tied weights); `owner` is the class of the module that holds
    it. A tensor that the module makes while it runs and keeps (a lifted constant) is a buffer too.
    """

    name: str
    shape: Shape
    dtype: str
    trained: bool
    initial: Initial = Initial("unknown")
    aliases: tuple[str, ...] = ()
    owner: str = ""
    frozen: bool = False
    """A parameter of the module that is not trained (`requires_grad` False), and no buffer."""


@dataclass(frozen=True)
class Input:
    """One tensor that the module is called with; `path` is how it is passed: `args[0]`, `input_ids`."""

    name: str
    path: str
    shape: Shape
    dtype: str


@dataclass(frozen=True)
class Output:
    """One tensor that the module returns; `path` is `logits`, `[0]`, `past_key_values[0]`.

    `loss`: a scalar that the module computed itself.
    """

    ref: Ref
    path: str
    shape: Shape
    dtype: str
    loss: bool = False


@dataclass(frozen=True)
class Repetition:
    """Calls that repeat: isomorphic groups, one after the other, over layers or over time.

    `copies[k]` are the names of the calls of copy k (those of the record, all copies of the first traced sizes),
    position by position the same operation. `weights[k]` are the weights that copy k reads, likewise (over time:
    all the same). `count` is the number of copies as a function of the scales.
    `carried` are pairs (initial, result): copy 0 reads `initial` (a Ref from outside) where copy k + 1 reads
    what `result` (a Ref to a call of copy 0) is in copy k. `captured` are references from outside that all copies read.
    `stepped` are pairs (initial, position) of reads that differ from copy to copy in another way (a slice per step).
    `path` is the module list that it runs over: `model.layers`; `members[k]` are the indices in it that copy k consists
    of; `lists` are all lists of which the copies read these members; `alone`: no other repetition goes over them.
    """

    over: Literal["layers", "time"]
    path: str
    count: Length | None
    copies: tuple[tuple[str, ...], ...]
    weights: tuple[tuple[str, ...], ...]
    carried: tuple[tuple[Ref, Ref], ...] = ()
    captured: tuple[Ref, ...] = ()
    stepped: tuple[tuple[Ref, ...], ...] = ()
    members: tuple[tuple[int, ...], ...] = ()
    lists: tuple[str, ...] = ()
    alone: bool = True


@dataclass(frozen=True)
class Record:
    """A module's forward pass: `calls` stand in an order in which each stands behind what it reads.

    `scales` holds the values that were traced, per scale (the first are those of `calls`, the last was held out
    to check the fitted shapes). `repetitions` are the repeated blocks. `notes` say what a user should know: a
    fallback, an unresolved axis.
    """

    model: str
    scales: dict[str, tuple[int, ...]]
    inputs: tuple[Input, ...]
    weights: tuple[Weight, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Output, ...]
    repetitions: tuple[Repetition, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    cut: tuple[int, int] | None = None
    """Inputs were cut along axes of this length to so many entries, for a loop over time."""
    decided: bool = False
    """Whether entries of the inputs decided a branch: other inputs may take another."""
    taken_apart: str = ""
    """An operation that runs a program of its own (`scan`), in whose place the calls of that program stand."""
    own_gradients: bool = False
    """Whether functions have a gradient of their own, which the calls have not."""

    @cached_property
    def by_name(self) -> dict[str, Call | Weight | Input]:
        """Every call, weight (under each of its names) and input by its name."""
        by_name: dict[str, Call | Weight | Input] = {entry.name: entry for entry in (*self.inputs, *self.calls)}
        for weight in self.weights:
            by_name.update(dict.fromkeys((weight.name, *weight.aliases), weight))
        return by_name

    def shape_of(self, ref: Ref) -> Shape:
        """Shape of what `ref` refers to."""
        entry = self.by_name[ref.name]
        return entry.shapes[ref.index or 0] if isinstance(entry, Call) else entry.shape

    def sizes(self) -> dict[str, int]:
        """The values of the scales at which `calls` were recorded."""
        return {scale: values[0] for scale, values in self.scales.items()}

    def resolved(self) -> tuple[int, int, int, int]:
        """Resolved axes and all axes of the weights, then of the calls."""
        weights = [axis for weight in self.weights for axis in weight.shape]
        calls = [axis for call in self.calls for shape in call.shapes for axis in shape]
        counts = (sum(axis is not None for axis in axes) for axes in (weights, calls))
        return next(counts), len(weights), next(counts), len(calls)

    def __str__(self) -> str:
        scales = ", ".join(f"{scale} = {', '.join(map(str, values))}" for scale, values in self.scales.items())
        lines = [f"{self.model}: {len(self.calls)} calls, {len(self.weights)} weights; {scales}"]
        rows = [("input", i.name, f"{i.path} {i.dtype}", text(i.shape)) for i in self.inputs]
        for weight in self.weights:
            kind = "weight" if weight.trained else "buffer"
            tied = f" = {', '.join(weight.aliases)}" if weight.aliases else ""
            rows.append((kind, weight.name + tied, str(weight.initial), text(weight.shape)))
        for call in self.calls:
            shapes = "; ".join(text(shape) for shape in call.shapes)
            rows.append((call.name, f"{call.target}({_arguments(call)})", call.module, shapes))
        rows += [("output", str(o.ref), o.path + (" (loss)" if o.loss else ""), text(o.shape)) for o in self.outputs]
        widths = [min(60, max((len(row[column]) for row in rows), default=0)) for column in range(3)]
        for row in rows:
            lines.append("  ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=False)] + [row[3]]))
        for repetition in self.repetitions:
            calls = f"{repetition.count} x {len(repetition.copies[0])} calls"
            lines.append(f"run over {repetition.over}: {repetition.path}: {calls}")
        return "\n".join([*lines, *self.notes])


def references(value: object) -> Iterator[Ref]:
    """All references in a nested argument."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, (tuple, list)):
        for inner in value:  # pyright: ignore[reportUnknownVariableType]
            yield from references(inner)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, dict):
        yield from references(tuple(value.values()))  # pyright: ignore[reportUnknownArgumentType]


def text(shape: Shape) -> str:
    """A shape as it is read: `[7, width, ?]`."""
    return "[" + ", ".join("?" if axis is None else str(axis) for axis in shape) + "]"


def _arguments(call: Call) -> str:
    parts = [_argument(arg) for arg in call.args]
    return ", ".join(parts + [f"{name}={_argument(arg)}" for name, arg in call.kwargs.items()])


def _argument(value: Argument) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_argument(inner) for inner in value) + "]"
    return str(value)

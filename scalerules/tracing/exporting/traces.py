"""One export as plain data: operations with numbers, weights by their names, inputs, outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scalerules.tracing.record import Ref


@dataclass
class Step:
    """A traced operation with plain numbers; `args` hold `Ref`s, numbers, strings, None and tuples of them."""

    name: str
    target: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    stack: tuple[tuple[str, str], ...]
    source: str


@dataclass
class Tensor:
    """A weight, an input or an output of a trace."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    path: str = ""
    trained: bool = False
    aliases: tuple[str, ...] = ()
    owner: str = ""
    ref: Ref | None = None
    frozen: bool = False
    """A parameter that is not trained."""
    value: float | None = None
    """The entries of a tensor of equal ones that the module makes while it runs."""


@dataclass
class Trace:
    """One export: everything of a record, at one set of sizes. `built` says with which tensors it was made."""

    model: str
    sizes: dict[str, int]
    steps: list[Step]
    inputs: list[Tensor]
    weights: list[Tensor]
    outputs: list[Tensor]
    built: str
    notes: list[str] = field(default_factory=list[str])
    loops: list[Any] = field(default_factory=list[Any])
    """Loops over time of which only the first steps are kept (`loops.Loop`)."""
    cut: tuple[int, int] | None = None
    """How the inputs were cut (`brief.Cut`)."""
    taken: tuple[bool, ...] = ()
    """The conditions that data decided, in their order (`measured_values.Decisions`)."""
    decided: bool = False
    """Whether data decided anything: a condition, or a number."""
    taken_apart: str = ""
    """An operation that runs a program of its own, of which the calls are in the trace instead."""
    own_gradients: bool = False
    """Whether functions have a gradient of their own (`torch.autograd.Function`), which is not in the trace."""
    chosen: set[str] = field(default_factory=set[str])
    """Lengths that data decide, already noted."""

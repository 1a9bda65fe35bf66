"""A node and a parameter of a graph, as data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Data(BaseModel):
    """Data of a graph: nothing but the fields that are named, checked when it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _words(value: object) -> object:
    """Axes may be written as one string: `"batch time n"`."""
    return value.split() if isinstance(value, str) else value


Axes = Annotated[list[str], BeforeValidator(_words)]


class Parameter(Data):
    """A trained tensor. `axes` names its axes, without the depth axis of a repeat that it stands in.

    `init`: `normal` (independent entries whose std is derived), `zeros`, `ones`, or a fixed structure along
    the last axis: `range` (1, 2, 3, ...), `log_range` (log 1, log 2, ...); or `identity`: 1 where the first two indices
    agree (in the middle of all other axes, as `torch.nn.init.eye_` and `dirac_` have it) and else 0.
    `density`: a static random mask keeps this part of the entries (a number, or a product of axes and scales such as
    `"density"`), the others are zero for good; the std is that of the entries that are kept.
    `factor`: what fixed initial entries are multiplied with (a number, or a product such as `"width^(-1/2)"`).
    """

    axes: Axes
    init: Literal["normal", "zeros", "ones", "range", "log_range", "identity"] = "normal"
    trained: bool = True
    density: str | float | None = None
    factor: str | float | None = None


class Node(Data):
    """One elementary operation. Operands are `inputs` (nodes), then `parameters`.

    Which other fields an op takes is listed by `scalerules list ops`:
    `equation` (einsum, words are axis labels: `"b t n, m n -> b t m"`), `axes` (of an input or a reshaped tensor),
    `axis` (the axis that a softmax, norm, mean, concat, slice, window or repeat works on), `factor` (a fixed number,
    a product of axes and scales: `"head^(-1/2)"`), `free` (its exponent is solved for), `body` and `result` (repeat).
    """

    op: str
    inputs: list[str] = []
    parameters: list[str] = []
    equation: str | None = None
    axes: Axes | None = None
    axis: str | None = None
    factor: str | float | None = None
    free: bool | None = None
    kind: Literal["normal", "tokens"] | None = None
    causal: bool | None = None
    offset: str | int | None = None
    discretisation: Literal["zoh", "euler", "bilinear"] | None = None
    body: dict[str, Node] | None = None
    result: str | None = None

    @property
    def operands(self) -> tuple[str, ...]:
        """Names of the nodes and then of the parameters that it reads."""
        return (*self.inputs, *self.parameters)

    def labels(self) -> tuple[list[list[str]], list[str]]:
        """The labels of an einsum: one list per operand, and those of the result."""
        left, _, right = (self.equation or "").partition("->")
        return [part.split() for part in left.split(",")], right.split()

"""A builder with which an architecture reads as it does in its paper.

Each method adds one node (or, for `repeat`, opens a body) and returns its name; `build()` validates.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from scalerules.errors import GraphError, nearest
from scalerules.ops import OPS
from scalerules.ops.node import Node, Parameter

from .graph import MAX_NODES, Graph


class Builder:
    """Collects axes, parameters and nodes of one graph.

    >>> g = Builder("mlp", axes={"batch": 16, "in": 8, "n": "width", "out": 4})
    >>> x = g.input("x", "batch in")
    >>> h = g.dense("input", x, "n in")
    >>> y = g.dense("output", g.relu(h), "out n")
    >>> graph = g.build(y)
    """

    def __init__(
        self,
        name: str,
        axes: Mapping[str, str | int],
        scales: Mapping[str, int | str | Fraction] | None = None,
        sizes: Mapping[str, float] | None = None,
        loss: str = "mse",
    ) -> None:
        self.name, self.loss = name, loss
        self.scales = dict(scales or {"width": 1})
        self.sizes = dict(sizes or {})
        self.axes = dict(axes)
        self.parameters: dict[str, Parameter] = {}
        self._bodies: list[dict[str, Node]] = [{}]
        self._count = 0
        self._axes_of: dict[str, list[str]] = {}

    def input(self, name: str, axes: str, kind: str = "normal") -> str:
        """Data: entries of size 0, or (`kind="tokens"`) one-hot along the last axis."""
        return self.node(name, "input", axes=axes, kind=kind)

    def parameter(
        self, name: str, axes: str, init: str = "normal", trained: bool = True, density: str | float | None = None,
        factor: str | float | None = None,
    ) -> str:  # fmt: skip
        """Declares a parameter; it is read by naming it in a node.

        `density`: the part that a static mask keeps; `factor`: what fixed initial entries are multiplied with.
        """
        data = {"axes": axes, "init": init, "trained": trained, "density": density, "factor": factor}
        self.parameters[name] = Parameter.model_validate(data)
        return name

    def node(self, name: str, op: str, *inputs: str, parameters: tuple[str, ...] = (), **fields: Any) -> str:
        """Adds a node and returns its name."""
        body = self._bodies[-1]
        self._count += 1
        if self._count > MAX_NODES:
            raise GraphError(f"has more than {MAX_NODES} nodes", where=f"graph {self.name!r}")
        if name in body:
            raise GraphError("stands twice", where=f"node {name!r}", hint="give one of them another name")
        data = {"op": op, "inputs": list(inputs), "parameters": list(parameters), **fields}
        body[name] = Node.model_validate({key: value for key, value in data.items() if value not in (None, [])})
        return name

    def einsum(self, name: str, equation: str, *inputs: str, parameters: tuple[str, ...] = ()) -> str:
        """Any contraction; the labels of `equation` are words, operands are inputs, then parameters."""
        return self.node(name, "einsum", *inputs, parameters=parameters, equation=equation)

    def dense(
        self, name: str, x: str, axes: str, batch: str = "b", init: str = "normal", density: str | float | None = None
    ) -> str:
        """A linear map with the parameter `name` of axes `"out in"`; node and parameter share the name.

        `batch` lists the labels of the other axes of `x`, such as `"b t"`.
        """
        self.parameter(name, axes, init, density=density)
        return self.einsum(name, f"{batch} i, o i -> {batch} o", x, parameters=(name,))

    def gain(self, name: str, x: str, axis: str, batch: str = "b", factor: str | float | None = None) -> str:
        """A trained gain, ones at first (times a factor), along the last axis of `x`."""
        self.parameter(name, axis, "ones", factor=factor)
        return self.einsum(name, f"{batch} i, i -> {batch} i", x, parameters=(name,))

    def bias(self, name: str, x: str, axis: str) -> str:
        """A trained bias, zeros at first, along `axis`."""
        self.parameter(name, axis, "zeros")
        return self.node(name, "add", x, parameters=(name,))

    def scale(self, name: str, x: str, factor: str | float | None = None, free: bool = False) -> str:
        """A fixed number (`"1/head"`), or a free multiplier whose exponent is solved for."""
        return self.node(name, "scale", x, factor=factor, free=True if free else None)

    def residual(self, name: str, stream: str, branch: str) -> str:
        """`stream + branch`; inside a repeat, one term of the sum over depth."""
        return self.node(name, "residual", stream, branch)

    @contextmanager
    def repeat(self, name: str, stream: str, axis: str) -> Generator[_Body]:
        """A block that is repeated along the depth axis `axis`: set `body.result` to what it passes on."""
        body = _Body()
        self._bodies.append({})
        yield body
        nodes = self._bodies.pop()
        self.node(name, "repeat", stream, axis=axis, body=nodes, result=body.result)

    def build(self, *outputs: str) -> Graph:
        """The validated graph with these outputs."""
        return Graph.model_validate(
            {
                "name": self.name,
                "scales": {scale: str(growth) for scale, growth in self.scales.items()},
                "axes": self.axes,
                "parameters": self.parameters,
                "nodes": self._bodies[0],
                "outputs": list(outputs),
                "loss": self.loss,
                "sizes": self.sizes,
            }
        )

    def __getattr__(self, op: str) -> Any:
        """`builder.relu(x)`: a node of the elementwise op `relu`, named after its input."""
        if op.startswith("_"):
            raise AttributeError(op)
        if op not in OPS:
            names = {*OPS, *(name for name in dir(type(self)) if not name.startswith("_"))}
            raise AttributeError(f"unknown op {op!r} ({nearest(op, names)})")

        def add(*inputs: str, name: str | None = None, parameters: tuple[str, ...] = (), **fields: Any) -> str:
            return self.node(name or f"{(inputs or parameters)[0]}.{op}", op, *inputs, parameters=parameters, **fields)

        return add


class _Body:
    """The inside of a repeat: `stream` is what comes in, `result` what goes on."""

    def __init__(self) -> None:
        self.stream = "stream"
        self.result = ""

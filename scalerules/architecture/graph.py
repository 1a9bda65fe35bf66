"""The computation graph: named axes, parameters and nodes of elementary operations, validated.

Everything else reads this: the calculus propagates sizes through it, the backends run and export it. A graph is data
(pydantic), the same in Python, YAML and JSON; `scalerules.architecture.Builder` writes one that reads like the paper.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from scalerules.boundary.exact import exact
from scalerules.errors import GraphError, UnknownName, hidden
from scalerules.ops import OPS
from scalerules.ops.node import Data, Node, Parameter
from scalerules.ops.registry import like
from scalerules.sizes.lengths import Length, parse_length

from .order import in_order, walk
from .yaml_text import dump_yaml

MAX_NODES = 20_000


def _exact(value: object) -> object:
    """Growths as exact numbers, however they were written."""
    if not isinstance(value, Mapping):
        return value
    growths = cast(Mapping[str, object], value).items()
    return {name: exact(growth, f"scale {name!r}", "growth") for name, growth in growths}


Growths = Annotated[dict[str, Fraction], BeforeValidator(_exact)]


class Lines(dict[str, str]):
    """Where nodes are written: said of a graph, no part of what it is: graphs from two files may be equal."""

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lines)


class Graph(Data):
    """An architecture: scales with the family's default direction, axes as products of them, parameters, nodes.

    Raises `GraphError` (or `UnknownName`, with the nearest valid name) when it is not well formed.
    """

    name: str
    scales: Growths = Field(default_factory=lambda: {"width": Fraction(1)})
    axes: dict[str, str | int]
    parameters: dict[str, Parameter]
    nodes: dict[str, Node]
    outputs: list[str]
    loss: Literal["mse", "cross_entropy"] = "mse"
    sizes: dict[str, float] = {}
    """Values of the scales that a reader would start from (the base sizes); 64 where none is given."""

    _axes_of: dict[str, tuple[str, ...]] = PrivateAttr(default_factory=dict)
    _operands_of: dict[str, tuple[tuple[str, ...], ...]] = PrivateAttr(default_factory=dict)
    _computed: dict[str, Node] = PrivateAttr(default_factory=dict)
    _repeat_of: dict[str, str] = PrivateAttr(default_factory=dict)
    _lines: Lines = PrivateAttr(default_factory=lambda: Lines())

    @model_validator(mode="after")
    def _check(self) -> Graph:
        names = {"graph": [self.name], "scale": self.scales, "axis": self.axes, "parameter": self.parameters}
        for kind, listed in {**names, "node": [name for name, _ in walk(self.nodes)]}.items():
            for name in listed:
                if hidden(name):
                    hint = "letters, digits, signs that show"
                    raise GraphError("has characters that do not show", where=f"{kind} {name!r}", hint=hint)
        for name in (*self.axes, *self.scales):
            if name.split() != [name]:
                where = f"{'axis' if name in self.axes else 'scale'} {name!r}"
                raise GraphError("is not one word", where=where, hint="axes are listed with spaces between")
        for axis, length in self.lengths.items():
            for scale in length.scales - set(self.scales):
                raise UnknownName("scale", scale, [*self.scales, *self.axes], where=f"axis {axis!r}")
        self._check_sizes()
        for name, parameter in self.parameters.items():
            self._known_axes(parameter.axes, f"parameter {name!r}")
            self._check_density(parameter, f"parameter {name!r}")
            self._check_start(parameter, f"parameter {name!r}")
            self._check_factor(parameter, f"parameter {name!r}")
        self._check_nodes(self.nodes, outer={}, repeat=None)
        used = {p for node in self.walk() for p in node[1].parameters}
        for name in self.parameters:
            if name not in used:
                raise GraphError("is never used", where=f"parameter {name!r}", hint="remove it, or read it in a node")
        for name in self.outputs:
            if name not in self.nodes:
                raise UnknownName("output", name, self.nodes)
        if not self.outputs:
            raise GraphError("has no outputs", where=f"graph {self.name!r}", hint="name the nodes that the loss reads")
        return self

    def _check_sizes(self) -> None:
        for scale, value in self.sizes.items():
            if scale not in self.scales:
                raise UnknownName("scale", scale, self.scales, where="sizes")
            if not 0 < value < math.inf:
                raise GraphError(f"has the base size {value:g}", where=f"scale {scale!r}", hint="a size is above 0")
        for axis, length in self.lengths.items():
            at_base = length.value(self.base_sizes())
            if not at_base > 0 and not (length.scales and at_base == 0):
                hint = "a length is above 0"
                raise GraphError(f"has the length {at_base:g} at the base size", where=f"axis {axis!r}", hint=hint)

    @cached_property
    def lengths(self) -> dict[str, Length]:
        """The length of every axis; an axis may be written with axes that stand before it."""
        lengths: dict[str, Length] = {}
        for axis, text in self.axes.items():
            lengths[axis] = parse_length(text, lengths, where=f"axis {axis!r}")
        return lengths

    def length(self, text: str | int | float, where: str) -> Length:
        """A product of axes and scales, such as the factor of a `scale` node."""
        length = parse_length(text if isinstance(text, str) else repr(text), self.lengths, where=where)
        for scale in length.scales - set(self.scales):
            raise UnknownName("scale or axis", scale, [*self.scales, *self.axes], where=where)
        return length

    def axes_of(self, name: str) -> tuple[str, ...]:
        """Axes of the value of a node (inside a repeat: without the depth axis)."""
        return self._axes_of[name]

    def operand_axes(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Axes of what a node reads, inputs before parameters; 'stream' is that of its own repeat."""
        return self._operands_of[name]

    def repeat_of(self, parameter: str) -> str | None:
        """The axis along which a parameter is stacked: that of the repeat it is used in, or None."""
        return self._repeat_of.get(parameter)

    def shape_of(self, parameter: str) -> tuple[str, ...]:
        """Axes of a parameter, the depth axis of its repeat first."""
        axis = self.repeat_of(parameter)
        return (*([axis] if axis else []), *self.parameters[parameter].axes)

    @property
    def lines(self) -> Mapping[str, str]:
        """Where nodes are written, `file:line` of a specification or of a traced module; of a graph made here none."""
        return self._lines

    def written_at(self, lines: Mapping[str, str]) -> None:
        """Notes where nodes are written, for what is said of them."""
        self._lines = Lines(lines)

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Every node with its name, those in the bodies of repeats included, each behind what it reads."""
        yield from self._computed.items()

    def base_sizes(self) -> dict[str, float]:
        """The value of every scale at the base size."""
        return {scale: self.sizes.get(scale, 64) for scale in self.scales}

    def to_dict(self) -> dict[str, Any]:
        """The graph as plain data, defaults left out."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude_none=True) | {
            "scales": {name: str(growth) for name, growth in self.scales.items()}
        }

    def to_json(self) -> str:
        """The graph as JSON; `scalerules.graph` reads it back without loss."""
        import json

        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_yaml(self) -> str:
        """The graph as YAML; `scalerules.graph` reads it back without loss."""
        return dump_yaml(self.to_dict())

    def _known_axes(self, axes: list[str], where: str) -> None:
        for axis in axes:
            if axis not in self.axes:
                raise UnknownName("axis", axis, self.axes, where=where)

    def _check_density(self, parameter: Parameter, where: str) -> None:
        if parameter.density is None:
            return
        if parameter.init != "normal":
            raise GraphError(f"has a density and init {parameter.init!r}", where=where, hint="only normal entries do")
        part = self.length(parameter.density, where).value(self.base_sizes())
        if not 0 < part <= 1:
            hint = "a density is above 0 and at most 1; name the base size of its scale in `sizes`"
            raise GraphError(f"has the density {part:g} at the base size", where=where, hint=hint)

    def _check_start(self, parameter: Parameter, where: str) -> None:
        if parameter.init == "identity" and len(parameter.axes) < 2:
            hint = "an identity has two axes or more; of one axis write init: ones"
            raise GraphError(f"starts as the identity and has the axes {parameter.axes}", where=where, hint=hint)

    def _check_factor(self, parameter: Parameter, where: str) -> None:
        if parameter.factor is None:
            return
        if parameter.init in ("normal", "zeros"):
            hint = "only ones, range, log_range and identity have one; what is random has an init that is derived"
            raise GraphError(f"has a factor and init {parameter.init!r}", where=where, hint=hint)
        at_base = self.length(parameter.factor, where).value(self.base_sizes())
        if not 0 < at_base < math.inf:
            raise GraphError(f"has the factor {at_base:g} at the base size", where=where, hint="a factor is above 0")

    def _check_nodes(self, nodes: Mapping[str, Node], outer: Mapping[str, object], repeat: str | None) -> None:
        if sum(1 for _ in walk(nodes)) > MAX_NODES:
            raise GraphError(f"has more than {MAX_NODES} nodes", where=f"graph {self.name!r}")
        if "stream" in nodes:
            hint = "'stream' is what a repeated block reads"
            raise GraphError("is a reserved name", where="node 'stream'", hint=hint)
        for name in in_order(nodes, outer):
            self._check_node(name, nodes[name], repeat)

    def _check_node(self, name: str, node: Node, repeat: str | None) -> None:
        where = f"node {name!r}"
        if name in self._axes_of:
            raise GraphError("stands twice", where=where, hint="names are unique, in the bodies of repeats too")
        if node.op not in OPS:
            raise UnknownName("op", node.op, like(node), where=where)
        op = OPS[node.op]
        op.check_fields(node, where)
        for parameter in node.parameters:
            if parameter not in self.parameters:
                raise UnknownName("parameter", parameter, self.parameters, where=where)
            if self._repeat_of.setdefault(parameter, repeat or "") != (repeat or ""):
                raise GraphError(f"parameter {parameter!r} is used inside and outside of a repeat", where=where)
        for axis in [*(node.axes or []), *([node.axis] if node.axis else [])]:
            self._known_axes([axis], where)
        if node.factor is not None:
            self.length(node.factor, where)
        if node.body is not None:
            self._axes_of["stream"] = self._axes_of[node.inputs[0]]
            self._check_nodes(node.body, {"stream": None, **dict.fromkeys(node.inputs[1:])}, node.axis)
            if node.result not in node.body:
                raise UnknownName("result", str(node.result), node.body, where=where)
            if (result := self._axes_of[str(node.result)]) != (stream := self._axes_of[node.inputs[0]]):
                raise GraphError(f"the body turns axes {list(stream)} into {list(result)}", where=where)
        shapes = [self._axes_of[i] for i in node.inputs]
        shapes += [tuple(self.parameters[p].axes) for p in node.parameters]
        self._computed[name], self._operands_of[name] = node, tuple(shapes)
        self._axes_of[name] = tuple(op.axes(node, shapes, self.lengths, where))

"""Every elementary operation as one line of PyTorch: a table from the name of an op to the text that computes it.

`operations.py` is the same table with tensors; a new op of `scalerules.ops` is one entry in each, and
`tests/test_emit.py` checks that none is missing and that the two give the same numbers.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scalerules.graph import Graph, Node

from .pytorch_text import quoted

TINY = "1e-30"
"""Added under the root of a norm: against 0/0 only, so that it is nothing at any size (as in `operations.py`)."""


@dataclass(frozen=True)
class Line:
    """One node about to be written: the code of its operands, with the names of their axes."""

    graph: Graph
    name: str
    node: Node
    operands: list[str]
    axes: list[tuple[str, ...]]
    helpers: set[str]
    """Helper functions that the file needs; a line adds those that it calls."""
    indexed: frozenset[str]
    """Inputs that stay indices, because every node that reads them looks rows up."""

    @property
    def x(self) -> str:
        """The first operand, as something that a method can be called on."""
        return closed(self.operands[0])

    @property
    def dim(self) -> int:
        """The dimension, counted from the end, that the node works along (the last of that name)."""
        return last_index(self.axes[0], str(self.node.axis)) - len(self.axes[0])

    def call(self, helper: str, *more: object) -> str:
        """A call of a helper on all operands."""
        self.helpers.add(helper)
        return f"{helper}({', '.join(map(str, [*self.operands, *more]))})"


def length(axis: str) -> str:
    """Code for the length of an axis."""
    return f"self.lengths[{quoted(axis)}]"


def closed(code: str) -> str:
    """The code in parentheses if it is a product."""
    return f"({code})" if " * " in code else code


def last_index(axes: Sequence[str], axis: str) -> int:
    """The last position of `axis` in `axes` (attention weights have the axis time twice)."""
    return len(axes) - 1 - list(axes)[::-1].index(axis)


def aligned(code: str, axes: Sequence[str], whole: Sequence[str]) -> str:
    """The code of an operand with its axes in the places that they have in `whole`, ready to be broadcast."""
    position = [last_index(whole, axis) for axis in axes]
    if position == list(range(len(whole) - len(axes), len(whole))) or tuple(axes) == tuple(whole):
        return code
    order = sorted(range(len(axes)), key=position.__getitem__)
    if order != list(range(len(axes))):
        code = f"{closed(code)}.permute({', '.join(map(str, order))})"
    places = [":" if i in position else "None" for i in range(min(position), len(whole))]
    return f"{closed(code)}[{', '.join(places)}]"


def letters(labels: Sequence[str]) -> dict[str, str]:
    """One letter for every label of an einsum, its own first letter where that is free."""
    given: dict[str, str] = {}
    for label in labels:
        wanted = [c for c in label + label.upper() + string.ascii_letters if c in string.ascii_letters]
        given.setdefault(label, next(c for c in wanted if c not in given.values()))
    return given


def is_lookup(node: Node, source: str) -> bool:
    """Whether an einsum only looks up the rows of a parameter that the one-hot vectors `source` name."""
    if node.op != "einsum" or len(node.operands) != 2 or node.inputs != [source] or not node.parameters:
        return False
    (tokens, table), result = node.labels()
    return table[0] == tokens[-1] and tokens[-1] not in result and result == [*tokens[:-1], *table[1:]]


def has_offset(node: Node) -> bool:
    """Whether a slice starts behind the first entry."""
    return str(node.offset or 0) != "0"


def _einsum(line: Line) -> str:
    if line.node.inputs and line.node.inputs[0] in line.indexed:
        return f"{closed(line.operands[1])}[{line.operands[0]}]"
    parts, result = line.node.labels()
    letter = letters(list(dict.fromkeys(label for part in parts for label in part)))
    equation = ",".join("".join(letter[label] for label in part) for part in parts)
    equation += "->" + "".join(letter[label] for label in result)
    return f"torch.einsum({', '.join([quoted(equation), *line.operands])})"


def _mean(line: Line) -> str:
    dims = [i - len(line.axes[0]) for i, axis in enumerate(line.axes[0]) if axis == line.node.axis]
    return f"{line.x}.mean({dims[0] if len(dims) == 1 else dims})"


def _add(line: Line) -> str:
    whole = max(line.axes, key=len)
    return " + ".join(aligned(code, axes, whole) for code, axes in zip(line.operands, line.axes, strict=True))


def _reshape(line: Line) -> str:
    old, new = list(line.axes[0]), line.node.axes or []
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    kept = [f"*{closed(line.operands[0])}.shape[:{same}]"] if same else []
    return f"{line.x}.reshape({', '.join([*kept, *(length(axis) for axis in new[same:])])})"


def _concat(line: Line) -> str:
    first, last = line.axes[0], line.axes[-1]
    different = [i for i, (a, b) in enumerate(zip(first, last, strict=True)) if a != b]
    return f"torch.cat([{', '.join(line.operands)}], {different[0] - len(first) if different else -1})"


def _slice(line: Line) -> str:
    start = length(f"{line.name} offset") if has_offset(line.node) else "0"
    return f"{line.x}.narrow(-1, {start}, {length(str(line.node.axis))})"


def _norm(function: str) -> Callable[[Line], str]:
    def write(line: Line) -> str:
        x = line.x if line.dim == -1 else f"{line.x}.movedim({line.dim}, -1)"
        code = f"functional.{function}({x}, ({length(str(line.node.axis))},), eps={TINY})"
        return code if line.dim == -1 else f"{code}.movedim(-1, {line.dim})"

    return write


def _softmax(line: Line) -> str:
    if not line.node.causal:
        return f"torch.softmax({line.operands[0]}, {line.dim})"
    count = len(line.axes[0])
    same = [i - count for i, a in enumerate(line.axes[0]) if a == line.node.axis and i - count != line.dim]
    return line.call("causal_softmax", line.dim, same[-1] if same else line.dim - 1)


def _scan(line: Line) -> str:
    helper = f"{line.node.discretisation}_scan"
    return line.call(helper)


FUNCTIONS = {
    "identity": "{x}",
    "negative": "-{x}",
    "abs": "torch.abs({})",
    "relu": "torch.relu({})",
    "leaky_relu": "functional.leaky_relu({})",
    "gelu": "functional.gelu({})",
    "silu": "functional.silu({})",
    "elu": "functional.elu({})",
    "mish": "functional.mish({})",
    "relu_squared": "torch.relu({}).square()",
    "square": "torch.square({})",
    "tanh": "torch.tanh({})",
    "sin": "torch.sin({})",
    "cos": "torch.cos({})",
    "erf": "torch.erf({})",
    "sigmoid": "torch.sigmoid({})",
    "softplus": "functional.softplus({})",
    "exp": "torch.exp({})",
    "negative_exp": "-torch.exp({})",
}
"""Every elementwise function; `{}` is the operand, `{x}` the operand in parentheses where it needs them."""


def _elementwise(template: str) -> Callable[[Line], str]:
    return lambda line: template.format(line.operands[0], x=line.x)


LINES: dict[str, Callable[[Line], str]] = {
    "einsum": _einsum,
    "mean": _mean,
    "add": _add,
    "residual": lambda line: f"{line.operands[0]} + {line.operands[1]}",
    "scale": lambda line: f"self.factors[{quoted(line.name)}] * {line.operands[0]}",
    "reshape": _reshape,
    "concat": _concat,
    "slice": _slice,
    "window": lambda line: line.call("window", length(str(line.node.axis))),
    "shift": lambda line: line.call("shift", line.dim),
    "rms_norm": _norm("rms_norm"),
    "layer_norm": _norm("layer_norm"),
    "softmax": _softmax,
    "scan": _scan,
    **{name: _elementwise(template) for name, template in FUNCTIONS.items()},
}
"""What writes each op of `scalerules.ops.OPS`, but for `input` and `repeat`, which are not expressions."""

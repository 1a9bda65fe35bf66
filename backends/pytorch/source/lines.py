"""Every elementary operation as one line of PyTorch: a table from the name of an op to the text that computes it.

`operations.py` is the same table with tensors; a new op of `scalerules.ops` is one entry in each, and
`tests/backends/pytorch/test_emit.py` checks that none is missing and that the two give the same numbers.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scalerules.architecture.graph import Graph
from scalerules.errors import ScaleRulesError
from scalerules.ops.functions import FUNCTIONS
from scalerules.ops.node import Node

from ..python_text import quoted

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
    complexes: frozenset[str] = frozenset()
    """Nodes whose values are complex."""

    @property
    def kinds(self) -> list[tuple[str, bool]]:
        """Every operand, and whether it is complex."""
        names = [*self.node.inputs, *[""] * len(self.node.parameters)]
        return [(code, name in self.complexes) for code, name in zip(self.operands, names, strict=True)]

    @property
    def mixes_complex(self) -> bool:
        """Whether some operands are complex and others are not."""
        return len({is_complex for _, is_complex in self.kinds}) == 2

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
        letter = next((c for c in wanted if c not in given.values()), None)
        if letter is None:
            raise ScaleRulesError("torch.einsum has no more than 52 labels", hint="split the equation")
        given.setdefault(label, letter)
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


def complex_nodes(graph: Graph) -> frozenset[str]:
    """The nodes whose values are complex."""
    names: set[str] = set()
    for name, node in graph.walk():
        if node.op == "complex" or (node.op != "parts" and names.intersection(node.inputs)):
            names.add(name)
    return frozenset(names)


def _einsum(line: Line) -> str:
    if line.node.inputs and line.node.inputs[0] in line.indexed:
        return f"{closed(line.operands[1])}[{line.operands[0]}]"
    if line.mixes_complex:  # torch.einsum takes one kind of numbers
        return _equation(line, [code if is_complex else f"{code} + 0j" for code, is_complex in line.kinds])
    return _equation(line, line.operands)


def _equation(line: Line, operands: Sequence[str]) -> str:
    parts, result = line.node.labels()
    letter = letters(list(dict.fromkeys(label for part in parts for label in part)))
    equation = ",".join("".join(letter[label] for label in part) for part in parts)
    equation += "->" + "".join(letter[label] for label in result)
    return f"torch.einsum({', '.join([quoted(equation), *operands])})"


def _mean(line: Line) -> str:
    dims = [i - len(line.axes[0]) for i, axis in enumerate(line.axes[0]) if axis == line.node.axis]
    return f"{line.x}.mean({dims[0] if len(dims) == 1 else dims})"


def _add(line: Line) -> str:
    if line.node.equation:
        axes, whole = line.node.labels()
    else:
        axes, whole = line.axes, max(line.axes, key=len)
    return " + ".join(aligned(code, mine, whole) for code, mine in zip(line.operands, axes, strict=True))


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
    """All operands broadcast to the axes of `u` and, where there is one, the state behind them."""
    state = line.axes[3][-1:] if len(line.axes) == 5 else ()
    whole = (*line.axes[0], *state)
    operands = [aligned(code, axes, whole) for code, axes in zip(line.operands, line.axes, strict=True)]
    # what has neither batch nor time gets dimensions of length one for them
    missing = [_first(axes, whole) for axes in line.axes]
    operands = [_in_front(code, count) for code, count in zip(operands, missing, strict=True)]
    helper = f"{line.node.discretisation}_{'scan' if state else 'recurrence'}"
    line.helpers.add(helper)
    return f"{helper}({', '.join(operands)})"


def _first(axes: Sequence[str], whole: Sequence[str]) -> int:
    """The first position that `axes` take in `whole`."""
    return min(last_index(whole, axis) for axis in axes)


def _in_front(code: str, count: int) -> str:
    """The code with `count` dimensions of length one in front."""
    if not count:
        return code
    if code.endswith("]") and ", None]" in code:  # aligned already: one subscript for both
        inner = code.rindex("[")
        return f"{code[: inner + 1]}{'None, ' * count}{code[inner + 1 :]}"
    return f"{closed(code)}[{', '.join(['None'] * count)}]"


def _rearrange(line: Line) -> str:
    (left,), right = line.node.labels()
    kept = [left.index(label) for label in right if label in left]
    gone = [left.index(label) for label in left if label not in right]
    axes = dict(zip(right, line.node.axes or [], strict=True))
    fresh = [label for label in right if label not in left]
    order = [*(left[i] for i in kept), *fresh]
    lengths = f"[{', '.join(length(axes[label]) for label in fresh)}]"
    line.helpers.add("rearrange")
    return f"rearrange({line.operands[0]}, {kept}, {gone}, {lengths}, {[order.index(label) for label in right]})"


def _top_k(line: Line) -> str:
    choices, _ = line.node.axes or []
    return line.call("chosen", length(choices))


def _constant(line: Line) -> str:
    lengths = ", ".join(length(axis) for axis in line.node.axes or [])
    return f"torch.ones([{lengths}], device=next(self.parameters()).device)"


def _complex(line: Line) -> str:
    return f"torch.complex({', '.join(line.operands)})" if len(line.operands) == 2 else (
        f"torch.complex(*{line.x}.unbind(-1))")  # fmt: skip


def _rfft(line: Line) -> str:
    modes, dim = length((line.node.axes or [""])[0]), last_index(line.axes[0], str(line.node.axis))
    return f'torch.view_as_real(torch.fft.rfft({line.operands[0]}, dim={dim}, norm="ortho").narrow({dim}, 0, {modes}))'


def _irfft(line: Line) -> str:
    points, dim = length((line.node.axes or [""])[0]), last_index(line.axes[0], str(line.node.axis))
    return f'torch.fft.irfft(torch.view_as_complex({line.x}.contiguous()), {points}, dim={dim}, norm="ortho")'


TEMPLATES = {
    **{name: function.torch for name, function in FUNCTIONS.items()},
    "reciprocal": "torch.reciprocal({})",
    "sqrt": "torch.sqrt({})",
    "rsqrt": "torch.rsqrt({})",
    "parts": "torch.view_as_real({})",
}
"""What works on every entry; `{}` is the operand, `{x}` the operand in parentheses where it needs them."""


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
    "rearrange": _rearrange,
    "rfft": _rfft,
    "irfft": _irfft,
    "top_k": _top_k,
    "constant": _constant,
    "complex": _complex,
    **{name: _elementwise(template) for name, template in TEMPLATES.items()},
}
"""What writes each op of `scalerules.ops.OPS`, but for `input` and `repeat`, which are not expressions."""

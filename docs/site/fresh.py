"""The laws of an operation run on fresh symbols: what comes out, as linear forms in the sizes that went in.

`x`, `W` are sizes of operands, `d` that of the gradient behind the operation, `dx` of a change; `n` and `m` are how
fast axes grow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from scalerules.architecture.builder import Builder
from scalerules.ops.node import Node
from scalerules.ops.registry import OPS, Op
from scalerules.ops.site import Site
from scalerules.passes.point import Point
from scalerules.terms.pieces import Labels
from scalerules.terms.term import Fresh, Term

VECTOR, MATRIX = ("n",), ("m", "n")


@dataclass(frozen=True)
class Setting:
    """One use of an operation: its fields, the axes of each operand by name, those of the result."""

    operands: dict[str, Labels]
    result: Labels = VECTOR
    fields: dict[str, Any] | None = None
    said: str = ""
    aligned: bool = False
    """Whether the first operand carries the signs of the second one, as a change of a matrix does."""


@dataclass(frozen=True)
class Row:
    """What one use gives: the value, the gradient at the first operand, the change when it changes."""

    said: str
    forward: str
    gradient: str
    change: str


ONE = {"x": VECTOR}
OF_AXIS: dict[str, Any] = {"axis": "n"}
SETTINGS: dict[str, tuple[Setting, ...]] = {
    "einsum": (
        Setting({"W": MATRIX, "x": VECTOR}, ("m",), {"equation": "m n, n -> m"}, "a fresh matrix times a vector"),
        Setting({"W": MATRIX, "x": VECTOR}, ("m",), {"equation": "m n, n -> m"}, "a change of it, made by that vector",
                aligned=True),
        Setting({"g": VECTOR, "x": VECTOR}, VECTOR, {"equation": "n, n -> n"}, "entry by entry"),
        Setting({"x": VECTOR, "y": VECTOR}, (), {"equation": "n, n ->"}, "the inner product of independent vectors"),
        Setting({"x": VECTOR, "y": VECTOR}, (), {"equation": "n, n ->"}, "of vectors that agree in sign", aligned=True),
    ),
    "add": (Setting({"x": VECTOR, "y": VECTOR}),),
    "residual": (Setting({"x": VECTOR, "y": VECTOR}, said="outside a repeat"),),
    "concat": (Setting({"x": VECTOR, "y": VECTOR}, fields=OF_AXIS),),
    "mean": (Setting(ONE, (), OF_AXIS, "of random signs"),),
    "softmax": (
        Setting(ONE, VECTOR, OF_AXIS, "over a growing axis"),
        Setting(ONE, VECTOR, {"axis": "t"}, "a fixed one"),
    ),
    "rms_norm": (Setting(ONE, VECTOR, OF_AXIS),),
    "layer_norm": (Setting(ONE, VECTOR, OF_AXIS),),
    "scale": (
        Setting(ONE, fields={"factor": "width^(-1/2)"}, said="a fixed factor, width^(-1/2)"),
        Setting(ONE, fields={"free": True}, said="solved for"),
    ),
    "constant": (Setting({}),),
}  # fmt: skip
"""How an operation is used on its page; the others are used on one vector."""


def rows(op: Op) -> Iterator[Row]:
    """What the laws of an operation give; nothing for one that is opened into other operations."""
    if op.laws is not None:
        for setting in SETTINGS.get(op.name, (Setting(ONE),)):
            yield _row(op, setting)


def mirror() -> Row:
    """A matrix, then its transpose: `W^T (W x)` comes back to `x`, and sums up what is aligned."""
    point = _point()
    law, symbols = OPS["einsum"].laws, _Symbols(point)
    w, x = symbols.term("W", MATRIX, fresh=True), symbols.term("x", VECTOR)
    there = _site("einsum", Setting({"W": MATRIX, "x": VECTOR}, ("m",), {"equation": "m n, n -> m"}))
    back = _site("einsum", Setting({"W": MATRIX, "y": ("m",)}, VECTOR, {"equation": "m n, m -> n"}))
    y = law.value(point, there, [[[w]], [[x]]])
    return Row("the transpose of that matrix, behind it", said(law.value(point, back, [[[w]], [y]])), "", "")


def said(terms: Sequence[Term]) -> str:
    """The sizes of terms: the largest of them counts."""
    forms = list(dict.fromkeys(_linear(term) for term in terms))
    return "exactly zero" if not forms else forms[0] if len(forms) == 1 else f"max({', '.join(forms)})"


def _linear(term: Term) -> str:
    text = ""
    for (_, name), share in term.form.items():
        part = _share(abs(share), name)
        text += f"{' - ' if share < 0 else ' + ' if text else ''}{part}" if text or share > 0 else f"-{part}"
    return text or "0"


def _share(share: Fraction, name: str) -> str:
    top = name if share.numerator == 1 else f"{share.numerator} {name}"
    return top if share.denominator == 1 else f"{top}/{share.denominator}"


class _Symbols:
    """Fresh terms: each operand has a size of its own and random signs of its own along every axis."""

    def __init__(self, point: Point) -> None:
        self.point = point

    def term(self, name: str, labels: Labels, signs: tuple[int, ...] | None = None, fresh: bool = False) -> Term:
        """A term whose size is the symbol `name`; `fresh`: of a matrix that has not been applied to anything."""
        shift, source = ((("size", name), Fraction(1)),), self.point.bit("fresh", name)
        if signs is None:
            signs = (source,) * len(labels)
        return Term(0, signs, (), shift, matrix=Fresh(name, source) if fresh else None)


def _row(op: Op, setting: Setting) -> Row:
    point, site = _point(), _site(op.name, setting)
    symbols = _Symbols(point)
    terms = {name: symbols.term(name, labels) for name, labels in setting.operands.items()}
    if setting.aligned:
        first, second = list(setting.operands)[:2]
        own = symbols.term("", setting.result).signs
        terms[first] = symbols.term(first, setting.operands[first], (*own, *terms[second].signs))
    elif op.name == "einsum" and "W" in terms:
        terms["W"] = symbols.term("W", MATRIX, fresh=True)
    operands = [[[term]] for term in terms.values()]
    forward = said(op.laws.value(point, site, operands))
    if not terms:
        return Row(setting.said, forward, "", "")
    last = len(operands) - 1
    name, labels = list(setting.operands.items())[last]
    d, moved = symbols.term("d", setting.result), symbols.term(f"d{name}", labels)
    pulled = op.laws.pull(point, site, operands, last, [d])
    return Row(setting.said, forward, said(pulled), said(op.laws.push(point, site, operands, last, [[moved]])))


def _site(op: str, setting: Setting) -> Site:
    names = tuple(setting.operands)
    node = Node(op=op, inputs=list(names), **(setting.fields or {}))
    return Site(op, op, op, node, names, (), tuple(setting.operands.values()), setting.result)


def _point() -> Point:
    """Two axes, `n` and `m`, that grow as the width does; every unknown has size 0."""
    g = Builder("fresh", axes={"batch": 1, "n": "width", "m": "width", "t": 1})
    x = g.input("x", "batch n")
    graph = g.build(g.dense("y", g.dense("h", x, "m n"), "t m"))
    return Point(graph, {"width": Fraction(1)}, {})

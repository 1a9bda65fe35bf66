"""The axes that every operation gives, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from scalerules.errors import GraphError
from scalerules.ops.node import Node
from scalerules.ops.registry import LAWS, OPS, law_of
from scalerules.sizes.lengths import Length, parse_length

LENGTHS: dict[str, Length] = {
    name: parse_length(text)
    for name, text in {
        "b": 4, "t": 8, "s": 8, "short": 3, "five": 5, "six": 6, "eleven": 11, "parts": 2, "three": 3, "k": 2, "n": "width", "m": "width", "wide": "2*width",
        "both": "3*width", "double": "2*width", "experts": 16, "some": "width/2",
    }.items()
}  # fmt: skip
"""Lengths by axis."""


def axes(op: str, shapes: str, **fields: Any) -> str:
    """The axes of a result; operands are written `b n, n`."""
    operands = [tuple(shape.split()) for shape in shapes.split(",")] if shapes else []
    node = Node(op=op, inputs=[f"x{i}" for i in range(len(operands))], **fields)
    return " ".join(OPS[op].axes(node, operands, LENGTHS, "here"))


@pytest.mark.parametrize(
    ("op", "shapes", "fields", "result"),
    [
        ("input", "", {"axes": "b t"}, "b t"),
        ("add", "b n, n", {}, "b n"), ("add", "n, b n", {}, "b n"), ("add", "b n, n", {"equation": "i j, j -> j i"}, "n b"),
        ("reshape", "b n", {"axes": "n b"}, "n b"), ("reshape", "parts n", {"axes": "wide"}, "wide"),
        ("concat", "b n, b wide", {"axis": "both"}, "b both"), ("concat", "b n, b n", {"axis": "wide"}, "b wide"),
        ("concat", "short b, five b", {"axis": "t"}, "t b"), ("concat", "short b n, five b n", {"axis": "t"}, "t b n"),
        ("concat", "b n, b n, b n", {"axis": "both"}, "b both"), ("concat", "short b, short b, five b", {"axis": "eleven"}, "eleven b"),
        ("concat", "short b, five b, short b", {"axis": "eleven"}, "eleven b"),
        ("slice", "b wide", {"axis": "n"}, "b n"), ("slice", "wide", {"axis": "n"}, "n"),
        ("window", "t n", {"axis": "k"}, "t k n"), ("window", "b t n", {"axis": "k"}, "b t k n"),
        ("shift", "b t n", {"axis": "t"}, "b t n"), ("softmax", "b t", {"axis": "t"}, "b t"),
        ("mean", "b t n", {"axis": "t"}, "b n"),
        ("rfft", "b t n", {"axis": "t", "axes": "five parts"}, "b five n parts"),
        ("irfft", "b five n parts", {"axis": "five", "axes": "t"}, "b t n"),
        ("complex", "b n, b n", {}, "b n"), ("complex", "b n parts", {}, "b n"),
        ("top_k", "b experts", {"axes": "k experts"}, "b k experts"),
        ("top_k", "b t experts", {"axes": "k experts"}, "b t k experts"),
        ("rearrange", "b n", {"equation": "i j -> j i", "axes": "n b"}, "n b"),
        ("rearrange", "parts n", {"equation": "i j -> k", "axes": "wide"}, "wide"),
        ("rearrange", "b n", {"equation": "i j -> i k j", "axes": "b t m"}, "b t m"),
        ("rearrange", "b t", {"equation": "i j -> i", "axes": "b"}, "b"),
    ],
)  # fmt: skip
def test_the_axes_of_a_result(op: str, shapes: str, fields: dict[str, Any], result: str):
    assert axes(op, shapes, **fields) == result


@pytest.mark.parametrize(
    ("op", "shapes", "fields", "said"),
    [
        ("add", "b n, t", {}, "do not fit into"), ("reshape", "b n", {"axes": "n"}, "the lengths differ"),
        ("concat", "b n, b n", {"axis": "both"}, "the parts have length"), ("window", "n", {"axis": "k"}, "needs a time axis before the last axis"),
        ("shift", "b t", {"axis": "n"}, "has no axis 'n'"),
        ("rfft", "b t n", {"axis": "t", "axes": "five"}, "has axes"), ("rfft", "b t n", {"axis": "t", "axes": "five three"}, "has axes"),
        ("rfft", "b t n", {"axis": "t", "axes": "five parts parts"}, "has axes"), ("rfft", "b t n", {"axis": "t", "axes": "six parts"}, "8 points have 5 modes, not 6"),
        ("rfft", "b t n", {"axis": "n", "axes": "five parts"}, "the axis 'n' grows"), ("rfft", "b t n", {"axis": "s", "axes": "five parts"}, "has no axis 's'"),
        ("irfft", "b five n three", {"axis": "five", "axes": "t"}, "turns"), ("irfft", "b five n parts", {"axis": "five", "axes": "t s"}, "turns"),
        ("irfft", "b five n parts", {"axis": "five", "axes": "n"}, "the axis 'n' grows"), ("irfft", "b n parts", {"axis": "n", "axes": "t"}, "the axis 'n' grows"),
        ("complex", "b n, n b", {}, "the parts have axes"), ("complex", "b n three", {}, "is not two parts long"), ("complex", " ", {}, "is not two parts long"),
        ("top_k", "b experts", {"axes": "experts"}, "chooses along"), ("top_k", "b experts", {"axes": "k b"}, "chooses along"),
        ("top_k", "b experts", {"axes": "k b experts"}, "chooses along"),
        ("rearrange", "b n, b", {"equation": "i j, i -> j i", "axes": "n b"}, "does not say how"), ("rearrange", "b n", {"equation": "i -> i", "axes": "b"}, "does not say how"),
        ("rearrange", "b n", {"equation": "i j -> j i", "axes": "n"}, "does not say how"), ("rearrange", "b n", {"equation": "i i -> i", "axes": "b"}, "stands twice"),
        ("rearrange", "b n", {"equation": "i j -> i j j", "axes": "b n n"}, "stands twice"), ("rearrange", "b n", {"equation": "i j -> i j", "axes": "b wide"}, "joins axes of different lengths"),
        ("rearrange", "b n", {"equation": "i j -> i", "axes": "b"}, "selects from an axis that grows"),
        ("rearrange", "b n t", {"equation": "i j k -> i l", "axes": "b s"}, "selects from an axis that grows"),
    ],
)  # fmt: skip
def test_axes_that_are_refused(op: str, shapes: str, fields: dict[str, Any], said: str):
    with pytest.raises(GraphError) as caught:
        axes(op, shapes, **fields)
    assert said in str(caught.value)


def scanned(*shapes: str) -> str:
    return axes("scan", ",".join(shapes), discretisation="zoh")


@pytest.mark.parametrize(
    "shapes",
    [
        ("b t n", "b t n", "n some", "b t some", "b t some"), ("b t n", "n", "n some", "n some", "n some"),
        ("b t n", "b t n", "n"), ("b t n k", "b t n", "n", "b t some", "b t some"), ("b t n k", "b t n k", "n k some", "n some", "n k some"),
        ("b t n k", "n", "n k"),
    ],
)  # fmt: skip
def test_a_scan_by_its_operands(shapes: tuple[str, ...]):
    assert scanned(*shapes) == shapes[0]


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (("t n", "t n", "n"), "operand u has axes 't n'"), (("b t n k k",) * 3, "operand u has axes"), (("b t n", "b t n"), "takes 3 or 5 operands, not 2"),
        (("b t n",) * 4, "takes 3 or 5 operands, not 4"), (("b t n", "b n", "n"), "operand dt has axes 'b n'"), (("b t n", "b t n", "some"), "operand A has axes 'some'"),
        (("b t n", "b t n", "n some", "t some", "b t some"), "operand B has axes 't some'"), (("b t n", "b t n", "n some", "b t some", "n"), "operand C has axes 'n'"),
    ],
)  # fmt: skip
def test_operands_of_a_scan_that_are_refused(shapes: tuple[str, ...], said: str):
    with pytest.raises(GraphError) as caught:
        scanned(*shapes)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"op": "softmax", "inputs": ["x"], "axis": "n"}, None), ({"op": "softmax", "inputs": ["x"]}, "needs the field 'axis'"),
        ({"op": "softmax", "inputs": ["x"], "axis": "n", "free": True}, "takes no field 'free'"),
        ({"op": "softmax", "inputs": ["x", "y"], "axis": "n"}, "takes 1 operands, not 2"), ({"op": "add", "inputs": []}, "takes 1 or more operands, not 0"),
        ({"op": "add", "inputs": list("xyzuvw")}, None), ({"op": "add", "inputs": ["x"], "parameters": ["w"]}, None),
        ({"op": "concat", "inputs": ["x"], "axis": "n"}, "takes 2 or more operands, not 1"), ({"op": "relu", "inputs": ["x"], "axis": None}, None),
    ],
)  # fmt: skip
def test_fields_and_operands(fields: dict[str, Any], said: str | None):
    op, node = OPS[fields["op"]], Node(**fields)
    assert op.takes(node) == (said is None)
    if said is not None:
        with pytest.raises(GraphError, match=said):
            op.check_fields(node, "here")


def test_internal_laws_are_found_by_name_too():
    assert law_of("relu") is OPS["relu"] and all(law_of(name) is law for name, law in LAWS.items())

"""Weights that follow several rules, one for each part: `c_attn.weight[:, 0:width]`, as a traced graph names them.

A fused projection is one parameter of the model and several of the graph. Initial values are set part by part; the
optimizer has one rate for the whole parameter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scalerules.errors import ScaleRulesError
from scalerules.sizes.lengths import parse_length

if TYPE_CHECKING:
    from torch import Tensor

_CUT = re.compile(r"\s*\((?P<shape>[^()]*)\)\[(?P<cuts>[^\[\]]*)\]|(?P<plain>[^,\[\]]+)")


def weight_of(rule: str) -> str:
    """The name of the weight that a rule is for: without what stands in brackets."""
    return rule.partition("[")[0] if rule.endswith("]") else rule


def part_of(rule: str) -> str:
    """What stands in brackets, with them; empty for a whole weight."""
    return rule.removeprefix(weight_of(rule))


def region(tensor: Tensor, rule: str, sizes: Mapping[str, float]) -> Tensor:
    """The part of the whole `tensor` that a rule is for, at these sizes, as a view (a cut dimension may be unfolded).

    Raises `ScaleRulesError` if it cannot be read or lies outside of the tensor.
    """
    if not rule.endswith("]"):
        return tensor
    text = rule.partition("[")[2][:-1]
    view, dim = tensor, 0
    for match in _CUT.finditer(text):
        if match["plain"] is not None:
            if not match["plain"].strip():
                continue
            cuts = [match["plain"]]
        else:
            view = view.unflatten(dim, [_number(length, sizes, rule) for length in match["shape"].split(",")])
            cuts = match["cuts"].split(",")
        for cut in cuts:
            start, stop = _stretch(cut, view.shape[dim], sizes, rule)
            view = view.narrow(dim, start, stop - start)
            dim += 1
    if dim != view.ndim:
        raise ScaleRulesError(f"names {dim} dimensions of {view.ndim}", where=f"rule {rule!r}")
    return view


def dimensions(rule: str) -> list[int]:
    """Into how many dimensions each dimension of the weight is opened by what stands in brackets; empty for a whole."""
    text = rule.partition("[")[2][:-1] if rule.endswith("]") else ""
    cuts = [match for match in _CUT.finditer(text) if match["plain"] is None or match["plain"].strip()]
    return [1 if match["plain"] is not None else len(match["cuts"].split(",")) for match in cuts]


def with_numbers(rule: str, sizes: Mapping[str, float]) -> str:
    """What stands in brackets, with numbers for the lengths: `[:, 0:width]` -> `[:, 0:64]`."""
    if not rule.endswith("]"):
        return ""

    def number(match: re.Match[str]) -> str:
        text = match[0].strip()
        return text if not text or text.isdecimal() else str(_number(text, sizes, rule))

    return "[" + re.sub(r"[^,:()\[\]]+", number, rule.partition("[")[2][:-1]) + "]"


def _stretch(cut: str, length: int, sizes: Mapping[str, float], rule: str) -> tuple[int, int]:
    """Start and end of `:`, `0:width` or a single entry `3`."""
    first, colon, last = (part.strip() for part in cut.partition(":"))
    start = _number(first, sizes, rule) if first else 0
    stop = _number(last, sizes, rule) if last else (length if colon else start + 1)
    if not 0 <= start < stop <= length:
        what = f"reads entries {start} to {stop} of a dimension of {length}"
        raise ScaleRulesError(what, where=f"rule {rule!r}", hint="give the scale values that the model was built with")
    return start, stop


def _number(text: str, sizes: Mapping[str, float], rule: str) -> int:
    """A length at these sizes; a start of `0` is one too."""
    return 0 if text.strip() == "0" else round(parse_length(text, where=f"rule {rule!r}").value(sizes))


def by_weight(rules: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The rules by the weight that they are for."""
    rules_of: dict[str, list[str]] = {}
    for rule in rules:
        rules_of.setdefault(weight_of(rule), []).append(rule)
    return {weight: tuple(parts) for weight, parts in rules_of.items()}

"""Groups as plain data, for a framework that is configured by files: tuned numbers, factors, names of parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from .made import Group, Made
from .rows import Row

VERSION = 1


def plain(
    groups: Sequence[Group], rows: Mapping[str, Row], multipliers: Mapping[str, float],
    placed: Mapping[str, list[str]], made: Made,
) -> dict[str, Any]:  # fmt: skip
    """Everything about the groups but the parameters themselves, in numbers, strings, lists and dictionaries."""
    return {
        "version": VERSION,
        "graph": made.graph,
        "rules": made.optimizer,
        "optimizer": made.receiver.name if made.receiver is not None else None,
        "weight_decay_is": made.decay,
        "base": dict(made.base),
        "sizes": dict(made.sizes),
        "groups": [_group(group, rows) for group in groups],
        "forward": {
            node: {"factor": float(factor), "set": list(placed.get(node, []))} for node, factor in multipliers.items()
        },
        "to_set_by_hand": list(made.missing),
        "in_no_group": dict(made.left),
    }


def _group(group: Group, rows: Mapping[str, Row]) -> dict[str, Any]:
    row = rows[group["names"][0]]
    numbers: dict[str, Any] = {key: _number(value) for key, value in row.numbers.items()}
    if row.kind is not None:
        numbers["optimizer"] = row.kind
    if row.parts:
        numbers["parts"] = [{"reads": text, "lr": rate, "weight_decay": decay} for text, rate, decay in row.parts]
    tuned = {key: _number(value) for key, value in row.tuned.items()}
    factors = {key: _number(row.factor.get(key, 1.0)) for key in row.tuned}
    return {**numbers, "tuned": tuned, "factors": factors, "names": list(group["names"])}


def _number(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_number(inner) for inner in cast("tuple[Any, ...]", value)]
    return None if value is None else float(value)


def yaml_text(data: object, indent: int = 0) -> str:
    """YAML of plain data, in the form that YAML 1.1 and 1.2 read alike: strings quoted, floats with a point."""
    pad = "  " * indent
    if isinstance(data, dict):
        entries = cast("dict[str, Any]", data).items()
        return "".join(f"{pad}{_scalar(key)}:{_value(value, indent)}" for key, value in entries)
    if isinstance(data, list):
        return "".join(f"{pad}-{_value(value, indent)}" for value in cast("list[Any]", data))
    return f"{pad}{_scalar(data)}\n"


def _value(value: Any, indent: int) -> str:
    if isinstance(value, (dict, list)) and value:
        return "\n" + yaml_text(cast("object", value), indent + 1)
    return f" {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    """JSON's form, which YAML reads; but `1e-08` is a string in YAML 1.1, and `1.0e-08` a number everywhere."""
    text = json.dumps(value)
    if isinstance(value, float) and "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return text

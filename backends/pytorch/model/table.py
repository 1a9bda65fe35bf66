"""Groups as plain data, for a framework that is configured by files: tuned numbers, factors, names of parameters."""

from __future__ import annotations

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
    made: dict[str, Any] = {key: _number(value) for key, value in row.numbers.items()}
    if row.kind is not None:
        made["optimizer"] = row.kind
    if row.parts:
        made["parts"] = [{"reads": text, "lr": rate, "weight_decay": decay} for text, rate, decay in row.parts]
    tuned = {key: _number(value) for key, value in row.tuned.items()}
    factors = {key: _number(row.factor.get(key, 1.0)) for key in row.tuned}
    return {**made, "tuned": tuned, "factors": factors, "names": list(group["names"])}


def _number(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_number(each) for each in cast("tuple[Any, ...]", value)]
    return None if value is None else float(value)


def yaml_text(data: object, indent: int = 0) -> str:
    """YAML of plain data, in the form that both YAML 1.1 and 1.2 read alike: strings quoted, floats with a point."""
    pad = "  " * indent
    if isinstance(data, dict) and data:
        return "".join(
            f"{pad}{_scalar(key)}:{_value(value, indent)}" for key, value in cast("dict[str, Any]", data).items()
        )
    if isinstance(data, list) and data:
        return "".join(f"{pad}-{_value(value, indent)}" for value in cast("list[Any]", data))
    return f"{pad}{_scalar(data)}\n"


def _value(value: object, indent: int) -> str:
    is_open = isinstance(value, (dict, list)) and bool(cast("dict[str, Any] | list[Any]", value))
    return "\n" + yaml_text(cast("object", value), indent + 1) if is_open else f" {_scalar(cast('object', value))}\n"


def _scalar(value: object) -> str:
    """A key or a value: `1e-08` is a string in YAML 1.1, `1.0e-08` a number everywhere."""
    if isinstance(value, float):
        mantissa, e, exponent = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}" if e else repr(value)
    if isinstance(value, str):
        import json

        return json.dumps(value)
    return {None: "null", True: "true", False: "false"}.get(cast("Any", value), str(value)) if not value else str(value)

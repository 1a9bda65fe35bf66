"""A solution as JSON, and from it: a row for every field, with what reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast, get_args

from scalerules.boundary.json_parts import Part, parse
from scalerules.errors import ScaleRulesError
from scalerules.sizes.exponents import Exponents

from .answer import Answer
from .derivation_json import derivation_of, plain
from .rule import SIZES, VERSION, Constant, Explanation, Predicted, Quantity, Rule

Scales = tuple[str, ...]
Reader = Callable[[Part, Scales], Any]
SHORT, DEEP = 100, 3
"""What has at most so many characters, or stands so deep, is written on one line."""


def fields_of(text: str) -> dict[str, Any]:
    """The fields of the solution that a text holds. Raises `ScaleRulesError` with the place of what is wrong."""
    whole = parse(text, "solution", VERSION)
    scales = whole.at("scales").texts()
    fields = {name: read(whole.at(name), scales) for name, read in REQUIRED.items()}
    given = {"multipliers": whole.at("multipliers", {}), **whole.entries()}
    if "derivation" in given:
        given["told"] = given.pop("derivation")
    fields |= {name: read(given[name], scales) for name, read in OPTIONAL.items() if name in given}
    if "derivation" in whole.entries():
        follows(whole.value)
    return {"scales": scales, **fields}


def follows(data: Any) -> None:
    """Raises `ScaleRulesError` with the first row, condition or number of a solution's data that does not follow."""
    from .checker import failures

    try:
        wrong = next(failures(data), None)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        wrong = f"something that it needs is not there: {error}"
    if wrong is not None:
        raise ScaleRulesError(f"this derivation does not hold: {wrong}", hint="derive again, and do not edit the file")


def text_of(data: Any) -> str:
    """Plain data as JSON, with what is short or deep inside on one line."""
    return _lines(data, 0) + "\n"


def _lines(value: Any, depth: int) -> str:
    flat = json.dumps(value)
    if not isinstance(value, dict | list) or not value or (depth and len(flat) <= SHORT) or depth >= DEEP:
        return flat
    indent = "  " * (depth + 1)
    if isinstance(value, dict):
        items = cast(dict[str, Any], value).items()
        parts = [f"{indent}{json.dumps(key)}: {_lines(item, depth + 1)}" for key, item in items]
        return "{\n" + ",\n".join(parts) + f"\n{indent[2:]}}}"
    parts = [indent + _lines(item, depth + 1) for item in cast(list[Any], value)]
    return "[\n" + ",\n".join(parts) + f"\n{indent[2:]}]"


def written(answer: Answer) -> dict[str, Any]:
    """An answer as plain data."""
    return {
        "graph": answer.graph,
        "optimizer": answer.optimizer,
        "mode": answer.mode,
        "gauge": answer.gauge,
        "scales": list(answer.scales),
        "parameters": {
            name: {
                "shape": list(rule.shape),
                **{size: _written(getattr(rule, size)) for size in SIZES},
                "log": {size: "logarithm" for size in rule.log},
                **({"dampings": {n: _written(e) for n, e in rule.dampings.items()}} if rule.dampings else {}),
            }
            for name, rule in answer.parameters.items()
        },
        "multipliers": {node: _written(exponents) for node, exponents in answer.multipliers.items()},
        "direction": {scale: str(growth) for scale, growth in answer.direction.items()},
        "cone": list(answer.cone),
        "assumptions": list(answer.assumptions),
        "warnings": list(answer.warnings),
        "sizes": [
            {"quantity": p.quantity, "node": p.node, "step": p.step}
            | {"size": None if p.size is None else str(p.size)}
            | ({"parameter": p.parameter} if p.parameter else {})
            | ({} if p.lower is None else {"lower": str(p.lower)})
            for p in answer.sizes
        ],
        "explanations": {
            name: [{"quantity": e.quantity, "size": e.size, "equation": e.equation} for e in explanations]
            for name, explanations in answer.explanations.items()
        },
        **({"constants": {n: c.to_dict() for n, c in answer.constants.items()}} if answer.constants else {}),
        **({"derivation": plain(answer.derivation, answer.parameters)} if answer.derivation is not None else {}),
        "version": VERSION,
    }


def _written(exponents: Exponents) -> dict[str, str]:
    return {scale: str(value) for scale, value in exponents.fractions.items()}


def _text(part: Part, _: Scales) -> str:
    return part.text()


def _texts(part: Part, _: Scales) -> tuple[str, ...]:
    return part.texts()


def _exponents(part: Part, scales: Scales) -> Exponents:
    return Exponents(part.fractions(scales))


def _each(read: Reader) -> Reader:
    """What reads a mapping whose entries are read by `read`."""
    return lambda part, scales: {name: read(entry, scales) for name, entry in part.entries().items()}


def _all(read: Reader) -> Reader:
    """What reads a list whose items are read by `read`."""
    return lambda part, scales: tuple(read(item, scales) for item in part.items())


def _rule(part: Part, scales: Scales) -> Rule:
    log = part.at("log", {})
    sizes = {size: _exponents(part.at(size), scales) for size in SIZES}
    return Rule(
        part.at("shape").texts(), **sizes, log=tuple(_among(log, SIZES)),
        dampings=_each(_exponents)(part.at("dampings", {}), scales),
    )  # fmt: skip


def _among(part: Part, allowed: Iterable[str]) -> list[str]:
    """The keys of a mapping, all of them known."""
    names = tuple(allowed)
    return [Part(name, part.kind, (*part.path, name)).text(names) for name in part.entries()]


def _constant(part: Part, _: Scales) -> Constant:
    backward = {name: entry.number() for name, entry in part.at("backward").entries().items()}
    weights = tuple(_pair(item) for item in part.at("weights", ()).items())
    return Constant(part.at("forward").number(), backward, weights)


def _pair(part: Part) -> tuple[float, float]:
    items = part.items()
    if len(items) != 2:
        raise part.error(f"{len(items)} numbers, not two")
    return items[0].number(), items[1].number()


def _predicted(part: Part, _: Scales) -> Predicted:
    size, parameter, lower = part.at("size"), part.at("parameter", None), part.at("lower", None)
    return Predicted(
        part.at("quantity").text(get_args(Quantity)),  # pyright: ignore[reportArgumentType]
        part.at("node").text(),
        part.at("step").whole(),
        None if size.value is None else size.fraction(),
        None if parameter.value is None else parameter.text(),
        None if lower.value is None else lower.fraction(),
    )


def _explanation(part: Part, scales: Scales) -> Explanation:
    return Explanation(part.at("quantity").text(), part.at("size").text(), part.at("equation").text())


REQUIRED: Mapping[str, Reader] = {
    "graph": _text,
    "optimizer": _text,
    "mode": _text,
    "gauge": _text,
    "parameters": _each(_rule),
    "direction": lambda part, scales: part.fractions(scales),
}
"""What every version has, with what reads it."""

OPTIONAL: Mapping[str, Reader] = {
    "multipliers": _each(_exponents),
    "cone": _texts,
    "assumptions": _texts,
    "warnings": _texts,
    "sizes": _all(_predicted),
    "explanations": _each(_all(_explanation)),
    "constants": _each(_constant),
    "told": derivation_of,
}
"""What is empty where it is not there."""
